//! Codes: their form, their limits, and what is stored of them.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use local_supabase::{USER_A, USER_B};
use serde_json::json;
use uuid::Uuid;

use super::{BUSINESS_NUMBER, HOLDER, Linking, OTHER, refused};

const LETTERS: &str = "ABCDEFGHJKLMNPQRSTUVWXYZ";
const DIGITS: &str = "23456789";

#[tokio::test]
async fn code_has_two_groups_and_is_in_the_url() {
    let linking = Linking::start().await;
    let (status, body) = linking.create(USER_A).await;
    assert_eq!(status, 200, "{body}");
    let code = body["code"].as_str().expect("a code");
    assert_eq!((code.len(), code.find('-')), (11, Some(5)), "{code}");
    assert_eq!(body["url"], format!("https://wa.me/{BUSINESS_NUMBER}?text=Link%20my%20account%3A%20{code}"));
    let expires_at: DateTime<Utc> = body["expires_at"].as_str().expect("a time").parse().expect("a time");
    let valid_for = expires_at - Utc::now();
    assert!(valid_for > TimeDelta::minutes(9) && valid_for <= TimeDelta::minutes(10), "{valid_for}");
    linking.stop().await;
}

/// 24^8 * 8^2, some 2^42.7, equally likely.
#[tokio::test]
async fn codes_are_spread_over_their_whole_alphabet() {
    let linking = Linking::start().await;
    let codes: Vec<String> = sqlx::query_scalar("select whatsapp.new_code() from generate_series(1, 4800)")
        .fetch_all(linking.project.supabase.pool())
        .await
        .expect("codes");
    assert_eq!(codes.iter().collect::<BTreeSet<_>>().len(), codes.len(), "no code twice");
    for position in 0..10 {
        let alphabet = if matches!(position, 2 | 7) { DIGITS } else { LETTERS };
        let expected = codes.len() / alphabet.len();
        for wanted in alphabet.bytes() {
            let found = codes.iter().filter(|code| code.as_bytes()[position] == wanted).count();
            // 200 and 600 expected: more than six standard deviations.
            assert!(found.abs_diff(expected) < expected / 2, "{found} of {wanted} at {position}");
        }
        assert!(codes.iter().all(|code| code.len() == 10 && alphabet.contains(&code[position..=position])));
    }
    linking.stop().await;
}

#[tokio::test]
async fn newer_code_supersedes_only_the_users_own() {
    let linking = Linking::start().await;
    let (first, of_b, second) =
        (linking.code(USER_A).await, linking.code(USER_B).await, linking.code(USER_A).await);
    assert_eq!(linking.claim(&first, &HOLDER, "m1").await, refused("expired", true));
    assert_eq!(linking.claim(&of_b, &OTHER, "m2").await["outcome"], "ask");
    assert_eq!(linking.claim(&second, &HOLDER, "m3").await["outcome"], "ask");
    // A claimed one, too.
    linking.code(USER_A).await;
    assert_eq!(linking.claim(&second, &HOLDER, "m4").await, refused("expired", true));
    let usable = "select count(*) from whatsapp.link_codes where state in ('open', 'claimed')";
    assert_eq!(linking.count(usable).await, 2);
    linking.stop().await;
}

#[tokio::test]
async fn no_code_before_a_business_number_is_known() {
    let linking = Linking::start().await;
    linking.run("delete from whatsapp.business_numbers").await;
    let (status, body) = linking.create(USER_A).await;
    assert_eq!((status, &body["code"]), (503, &json!("PT503")), "{body}");
    assert_eq!(body["message"], "no business number is known yet");
    assert_eq!(body["hint"], "Send a message to the business number from an unlinked phone first.");
    linking.stop().await;
}

#[tokio::test]
async fn url_has_the_first_business_number_as_it_is_now() {
    let linking = Linking::start().await;
    linking.run("update whatsapp.business_numbers set first_seen_at = now() - interval '1 day'").await;
    let learn = async |id: &str, number: &str| {
        let arguments =
            json!({ "sender": "0a", "message": "0b", "phone_number_id": id, "business_number": number });
        linking.as_service("claim_registration_text", &arguments).await
    };
    let url_is_of = async |number: &str| {
        let (_, body) = linking.create(USER_A).await;
        let url = body["url"].as_str().expect("a URL");
        assert!(url.starts_with(&format!("https://wa.me/{number}?")), "{url}");
    };
    // Meta's `display_phone_number` is not always digits alone.
    learn("another", "+1 555-078-3882").await;
    url_is_of(BUSINESS_NUMBER).await;
    learn("106540352242922", "15550783899").await;
    url_is_of("15550783899").await;
    for (id, number) in [
        (json!("106540352242922"), json!(null)),
        (json!(null), json!("15550783883")),
        (json!("106540352242922"), json!("1555")),
    ] {
        let arguments =
            json!({ "sender": "0a", "message": "0b", "phone_number_id": id, "business_number": number });
        assert_eq!(linking.as_service("claim_registration_text", &arguments).await, (200, json!(true)));
    }
    learn("106540352242922", "none").await;
    url_is_of("15550783899").await;
    linking.stop().await;
}

#[tokio::test]
async fn codes_are_deleted_after_a_day_and_with_their_user() {
    let linking = Linking::start().await;
    let link = linking.asked(USER_B, &OTHER).await;
    linking.tap(link, &OTHER, "tap", true).await;
    linking
        .run(&format!(
            "insert into whatsapp.link_codes (user_id, code_hash, state)
             select '{USER_A}', int4send(n), 'superseded' from generate_series(1, 450) as n"
        ))
        .await;
    linking.pass(24 * 60 + 1).await;
    // 200 at a time: a call is not delayed by all of them.
    for left in [251, 51, 0] {
        linking.code(USER_A).await;
        let old = "select count(*) from whatsapp.link_codes where created_at < now() - interval '1 day'";
        assert_eq!(linking.count(old).await, left);
    }
    linking.code(USER_A).await;
    let all = "select count(*) from whatsapp.link_codes";
    assert_eq!(linking.count(all).await, 4, "all new");
    linking.run(&format!("delete from auth.users where id = '{USER_A}'")).await;
    assert_eq!(linking.count(all).await, 0);
    linking.stop().await;
}

/// A user's deletion leaves nothing that refers to the user.
#[tokio::test]
async fn deleting_a_user_deletes_the_link_and_its_code() {
    let linking = Linking::start().await;
    linking.link(USER_A, &HOLDER).await;
    let late = linking.code(USER_A).await;
    linking.run(&format!("delete from auth.users where id = '{USER_A}'")).await;
    let left = "select (select count(*) from whatsapp.link_codes) + count(*) from public.user_preferences";
    assert_eq!(linking.count(left).await, 0);
    assert_eq!(linking.claim(&late, &HOLDER, "m").await, refused("unknown", true));
    // The token of the deleted user is still valid.
    let (status, body) = linking.create(USER_A).await;
    assert_eq!((status, &body["code"]), (409, &json!("23503")), "{body}");
    assert_eq!(linking.create(Uuid::new_v4()).await.0, 409);
    linking.stop().await;
}
