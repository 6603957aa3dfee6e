//! Attacks on a link: another person's code, phone, session or moment. Each ends without a link of the attacker.
//! docs/LINKING.md lists them.

use local_supabase::{USER_A, USER_B};
use serde_json::json;
use uuid::Uuid;

use super::{HOLDER, Linking, OTHER, Person, expired, refused, row};

/// The attacker's session has the code; the victim is made to send it.
#[tokio::test]
async fn code_sent_by_a_victim_creates_no_link_without_a_tap() {
    let linking = Linking::start().await;
    let link = linking.asked(USER_B, &HOLDER).await;
    linking.tap(link, &HOLDER, "not me", false).await;
    linking.asked(USER_B, &HOLDER).await;
    linking.assert_no_link().await;
}

#[tokio::test]
async fn tap_from_another_phone_creates_no_link() {
    let linking = Linking::start().await;
    let link = linking.asked(USER_A, &HOLDER).await;
    for accept in [true, false] {
        assert_eq!(linking.tap(link, &OTHER, "t1", accept).await, expired());
    }
    // The number alone is another sender than number and user id: nothing but the pseudonym counts.
    let alike = Person { numbers: HOLDER.numbers, user_id: None };
    assert_eq!(linking.tap(link, &alike, "t2", true).await, expired());
    assert_eq!(linking.links().await, []);
    assert_eq!(linking.tap(link, &HOLDER, "t3", true).await["outcome"], "linked");
    assert_eq!(linking.tap(link, &OTHER, "t3", true).await, expired());
    linking.assert_only_the_holder_is_linked().await;
}

#[tokio::test]
async fn guessed_link_id_creates_no_link() {
    let linking = Linking::start().await;
    linking.asked(USER_A, &HOLDER).await;
    for id in [Uuid::nil(), Uuid::new_v4(), USER_A] {
        assert_eq!(linking.tap(id, &OTHER, "t", true).await, expired());
    }
    linking.assert_no_link().await;
}

/// The id of a code that was never sent from WhatsApp.
#[tokio::test]
async fn tap_on_an_open_code_creates_no_link() {
    let linking = Linking::start().await;
    linking.code(USER_A).await;
    let id: Uuid = sqlx::query_scalar("select id from whatsapp.link_codes")
        .fetch_one(linking.project.supabase.pool())
        .await
        .expect("an id");
    assert_eq!(linking.tap(id, &OTHER, "t", true).await, expired());
    let arguments = json!({ "link_id": id, "sender": null, "message": null, "sent_at": super::sent(0),
        "numbers": OTHER.numbers, "whatsapp_user_id": null, "waba_id": null, "accept": true });
    assert_eq!(linking.as_service("confirm_whatsapp_link", &arguments).await.0, 400);
    linking.assert_no_link().await;
}

#[tokio::test]
async fn claimed_code_of_another_sender_creates_no_link() {
    let linking = Linking::start().await;
    let code = linking.code(USER_A).await;
    let question = linking.claim(&code, &HOLDER, "m1").await;
    assert_eq!(linking.claim(&code, &OTHER, "m2").await, refused("expired", true));
    // With the wamid of the holder's message.
    assert_eq!(linking.claim(&code, &OTHER, "m1").await, refused("expired", true));
    let link = question["link_id"].as_str().expect("an id").parse().expect("a UUID");
    assert_eq!(linking.tap(link, &HOLDER, "t", true).await["outcome"], "linked");
    linking.assert_only_the_holder_is_linked().await;
}

#[tokio::test]
async fn used_code_links_no_second_phone() {
    let linking = Linking::start().await;
    let code = linking.code(USER_A).await;
    let question = linking.claim(&code, &HOLDER, "m1").await;
    let link = question["link_id"].as_str().expect("an id").parse().expect("a UUID");
    linking.tap(link, &HOLDER, "t1", true).await;
    for message in ["m2", "m3"] {
        assert_eq!(linking.claim(&code, &OTHER, message).await, refused("expired", true));
    }
    assert_eq!(linking.tap(link, &OTHER, "t2", true).await, expired());
    linking.assert_only_the_holder_is_linked().await;
}

#[tokio::test]
async fn expired_code_creates_no_link() {
    let linking = Linking::start().await;
    let code = linking.code(USER_A).await;
    linking.pass(10).await;
    for message in ["m1", "m2"] {
        assert_eq!(linking.claim(&code, &OTHER, message).await, refused("expired", true));
    }
    linking.assert_no_link().await;
}

#[tokio::test]
async fn superseded_code_creates_no_link() {
    let linking = Linking::start().await;
    let (old, link) = (linking.code(USER_A).await, linking.asked(USER_A, &HOLDER).await);
    assert_eq!(linking.claim(&old, &OTHER, "m1").await, refused("expired", true));
    linking.code(USER_A).await;
    assert_eq!(linking.tap(link, &HOLDER, "t1", true).await, expired(), "a question about an older code");
    linking.assert_no_link().await;
}

#[tokio::test]
async fn late_tap_creates_no_link() {
    let linking = Linking::start().await;
    let link = linking.asked(USER_A, &HOLDER).await;
    for accept in [true, false] {
        assert_eq!(linking.tap_sent(link, &HOLDER, "t", accept, 11).await, expired());
    }
    linking.pass(11).await;
    assert_eq!(linking.tap(link, &HOLDER, "t", true).await, expired());
    linking.assert_no_link().await;
}

#[tokio::test]
async fn link_after_not_me_creates_no_link() {
    let linking = Linking::start().await;
    let code = linking.code(USER_A).await;
    let question = linking.claim(&code, &HOLDER, "m1").await;
    let link = question["link_id"].as_str().expect("an id").parse().expect("a UUID");
    linking.tap(link, &HOLDER, "t1", false).await;
    assert_eq!(linking.tap(link, &HOLDER, "t2", true).await, expired());
    // The same message as before, with the other answer, changes nothing.
    assert_eq!(linking.tap(link, &HOLDER, "t1", true).await["outcome"], "discarded");
    assert_eq!(linking.claim(&code, &HOLDER, "m2").await["outcome"], "decided");
    linking.assert_no_link().await;
}

/// A tap that waits while the user removes the link or takes the code back.
#[tokio::test]
async fn tap_after_the_removal_creates_no_link() {
    let linking = Linking::start().await;
    let (open, link) = (linking.code(USER_B).await, linking.asked(USER_A, &HOLDER).await);
    linking.unlink(USER_A).await;
    linking.unlink(USER_B).await;
    assert_eq!(linking.tap_sent(link, &HOLDER, "t", true, -1).await, expired());
    assert_eq!(linking.claim(&open, &HOLDER, "m").await, refused("expired", true));
    linking.assert_no_link().await;
}

#[tokio::test]
async fn redelivered_tap_does_not_link_again_after_the_removal() {
    let linking = Linking::start().await;
    let link = linking.asked(USER_A, &HOLDER).await;
    linking.tap(link, &HOLDER, "t1", true).await;
    linking.unlink(USER_A).await;
    for message in ["t1", "t2"] {
        linking.tap(link, &HOLDER, message, true).await;
    }
    linking.assert_no_link().await;
}

#[tokio::test]
async fn redelivered_tap_does_not_take_the_number_back() {
    let linking = Linking::start().await;
    let link = linking.asked(USER_B, &HOLDER).await;
    linking.tap(link, &HOLDER, "t1", true).await;
    assert!(linking.link(USER_A, &HOLDER).await);
    for message in ["t1", "t2"] {
        linking.tap(link, &HOLDER, message, true).await;
    }
    linking.assert_only_the_holder_is_linked().await;
}

/// The former owner of a number keeps neither it nor the user id that came with it.
#[tokio::test]
async fn former_owner_of_a_number_keeps_no_half_of_the_link() {
    let linking = Linking::start().await;
    linking.link(USER_B, &HOLDER).await;
    let new_owner = Person { numbers: HOLDER.numbers, user_id: Some("US.101") };
    assert!(linking.link(USER_A, &new_owner).await);
    assert_eq!(linking.links().await, [row(USER_A, HOLDER.numbers[0], "US.101")]);
    linking.stop().await;
}

#[tokio::test]
async fn code_of_a_deleted_user_creates_no_link() {
    let linking = Linking::start().await;
    let (code, link) = (linking.code(USER_B).await, linking.asked(USER_A, &HOLDER).await);
    linking.run("delete from auth.users").await;
    assert_eq!(linking.claim(&code, &HOLDER, "m").await, refused("unknown", true));
    assert_eq!(linking.tap(link, &HOLDER, "t", true).await, expired());
    linking.assert_no_link().await;
}

#[tokio::test]
async fn two_phones_racing_for_a_code_get_one_question() {
    let linking = Linking::start().await;
    let code = linking.code(USER_A).await;
    let (one, two) = tokio::join!(linking.claim(&code, &HOLDER, "m1"), linking.claim(&code, &OTHER, "m2"));
    let asked = [one, two].iter().filter(|claimed| claimed["outcome"] == "ask").count();
    assert_eq!(asked, 1);
    linking.assert_no_link().await;
}

#[tokio::test]
async fn racing_taps_have_one_outcome() {
    let linking = Linking::start().await;
    let link = linking.asked(USER_A, &HOLDER).await;
    let (yes, no) =
        tokio::join!(linking.tap(link, &HOLDER, "t1", true), linking.tap(link, &HOLDER, "t2", false));
    let outcomes = [yes["outcome"].as_str(), no["outcome"].as_str()];
    let is_linked = outcomes == [Some("linked"), Some("expired")];
    assert!(is_linked || outcomes == [Some("expired"), Some("discarded")], "{outcomes:?}");
    assert_eq!(linking.links().await.len(), usize::from(is_linked));
    linking.stop().await;
}

/// Two accounts, one phone, at the same moment.
#[tokio::test]
async fn number_linked_by_two_users_at_once_has_one_owner() {
    let linking = Linking::start().await;
    for attempt in 0..4 {
        let (a, b) = (linking.asked(USER_A, &HOLDER).await, linking.asked(USER_B, &HOLDER).await);
        let (of_a, of_b) = (a.to_string(), b.to_string());
        let (one, two) =
            tokio::join!(linking.tap(a, &HOLDER, &of_a, true), linking.tap(b, &HOLDER, &of_b, true));
        // The earlier tap does not undo the later one.
        assert!([one, two].iter().any(|tapped| tapped["outcome"] == "linked"), "attempt {attempt}");
        assert_eq!(linking.links().await.len(), 1, "attempt {attempt}");
    }
    linking.stop().await;
}
