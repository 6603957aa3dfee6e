//! Claims: a code in a message, however often and late the message is delivered.

use local_supabase::{USER_A, USER_B};
use serde_json::json;

use super::{HOLDER, Linking, OTHER, refused};

#[tokio::test]
async fn repeated_claim_asks_again() {
    let linking = Linking::start().await;
    let code = linking.code(USER_A).await;
    let question = linking.claim(&code, &HOLDER, "m1").await;
    assert_eq!(
        question,
        json!({ "outcome": "ask", "link_id": question["link_id"], "account": "a•••@example.com" })
    );
    for _ in 0..2 {
        assert_eq!(linking.claim(&code, &HOLDER, "m1").await, question);
        // The same code in another message: its sender is asked already.
        assert_eq!(linking.claim(&code, &HOLDER, "m2").await, json!({ "outcome": "decided" }));
    }
    // Also when other codes of the sender were wrong in the meantime.
    for wrong in 0..6 {
        linking.claim("AA2AAAA2AA", &HOLDER, &format!("wrong {wrong}")).await;
    }
    assert_eq!(linking.claim(&code, &HOLDER, "m1").await, question);
    assert_eq!(linking.claim(&code, &OTHER, "m3").await, refused("expired", true));
    linking.assert_no_link().await;
}

#[tokio::test]
async fn question_stays_open_for_ten_minutes_after_the_message() {
    let linking = Linking::start().await;
    let code = linking.code(USER_A).await;
    linking.pass(9).await;
    linking.claim_sent(&code, &HOLDER, "m1", 0).await;
    let left = "select round(extract(epoch from expires_at - now()) / 60)::bigint from whatsapp.link_codes";
    assert_eq!(linking.count(left).await, 10);
    // Other messages do not prolong it.
    linking.pass(5).await;
    linking.claim_sent(&code, &HOLDER, "m1", -5).await;
    linking.claim(&code, &HOLDER, "m2").await;
    assert_eq!(linking.count(left).await, 5);
    linking.stop().await;
}

#[tokio::test]
async fn code_sent_in_time_is_honoured_after_an_outage() {
    let linking = Linking::start().await;
    let code = linking.code(USER_A).await;
    linking.pass(180).await;
    let question = linking.claim_sent(&code, &HOLDER, "m1", -175).await;
    assert_eq!(question["outcome"], "ask", "{question}");
    // The tap waited, too.
    let link = question["link_id"].as_str().expect("an id").parse().expect("a UUID");
    assert_eq!(linking.tap_sent(link, &HOLDER, "t1", true, -166).await["outcome"], "linked");
    linking.assert_only_the_holder_is_linked().await;
}

#[tokio::test]
async fn account_is_masked() {
    let linking = Linking::start().await;
    for (account, shown) in [
        ("email = 'ada.lovelace@example.co.uk', phone = '16505550999'", "a•••@example.co.uk"),
        ("email = 'ä@example.com', phone = null", "ä•••@example.com"),
        ("email = '\"a@b\"@example.com'", "\"•••@example.com"),
        ("email = null, phone = '16505550999'", "•••0999"),
        ("email = '', phone = ''", "one without an e-mail address"),
        ("email = null, phone = null", "one without an e-mail address"),
    ] {
        linking.run(&format!("update auth.users set {account} where id = '{USER_A}'")).await;
        linking.run("delete from whatsapp.link_codes").await;
        let code = linking.code(USER_A).await;
        assert_eq!(linking.claim(&code, &HOLDER, "m1").await["account"], shown);
    }
    linking.stop().await;
}

#[tokio::test]
async fn wrong_code_is_answered_five_times_an_hour() {
    let linking = Linking::start().await;
    let (used, code) = (linking.code(USER_B).await, linking.code(USER_A).await);
    linking.claim(&used, &OTHER, "m0").await;
    let wrong = ["AA2AAAA2AA", &used, "AA2AAAA2AB", &used, "AA2AAAA2AC"];
    let outcome = |code: &str| refused(if code == used { "expired" } else { "unknown" }, true);
    // Each delivery of a message has the same outcome, and counts once.
    for _ in 0..3 {
        for (number, wrong) in wrong.iter().enumerate() {
            assert_eq!(linking.claim(wrong, &HOLDER, &format!("m{number}")).await, outcome(wrong));
        }
    }
    for _ in 0..2 {
        assert_eq!(linking.claim(&code, &HOLDER, "m5").await, refused("unknown", false));
        assert_eq!(linking.claim(&used, &HOLDER, "m6").await, refused("unknown", false));
    }
    assert_eq!(linking.claim(wrong[0], &HOLDER, "m0").await, outcome(wrong[0]), "as before");
    assert_eq!(
        linking.claim("AA2AAAA2AA", &OTHER, "m1").await,
        refused("unknown", true),
        "of another sender"
    );
    // An hour later; messages in the meantime do not prolong it.
    linking.pass(59).await;
    assert_eq!(linking.claim("AA2AAAA2AA", &HOLDER, "m7").await, refused("unknown", false));
    linking.pass(2).await;
    assert_eq!(linking.claim("AA2AAAA2AA", &HOLDER, "m8").await, refused("unknown", true));
    linking.assert_no_link().await;
}

#[tokio::test]
async fn code_sent_a_day_ago_counts_as_known() {
    let linking = Linking::start().await;
    let code = linking.code(USER_A).await;
    linking.claim(&code, &HOLDER, "m1").await;
    linking.run("delete from whatsapp.link_codes").await;
    for (message, hours, outcome) in [("m1", 22, "unknown"), ("m2", 24, "expired"), ("m3", 24 * 7, "expired")]
    {
        let claimed = linking.claim_sent(&code, &HOLDER, message, -60 * hours).await;
        assert_eq!(claimed, refused(outcome, true), "{hours}");
    }
    linking.assert_no_link().await;
}

#[tokio::test]
async fn redelivery_after_the_decision_is_not_answered() {
    let linking = Linking::start().await;
    for accept in [true, false] {
        let code = linking.code(USER_A).await;
        let question = linking.claim(&code, &HOLDER, &code).await;
        let link = question["link_id"].as_str().expect("an id").parse().expect("a UUID");
        linking.tap(link, &HOLDER, "tap", accept).await;
        for _ in 0..2 {
            assert_eq!(linking.claim(&code, &HOLDER, &code).await, json!({ "outcome": "decided" }));
        }
        let again = format!("{code} again");
        assert_eq!(linking.claim(&code, &HOLDER, &again).await, json!({ "outcome": "decided" }));
    }
    linking.stop().await;
}
