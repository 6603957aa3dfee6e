//! Attacks on the functions themselves: guesses, floods, calls of another role, and what a thief of the database finds.
//! docs/LINKING.md lists them.

use local_supabase::{USER_A, USER_B};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::{HOLDER, Linking, OTHER, pseudonym, refused, row, sent};
use crate::common::answer;

#[tokio::test]
async fn guesses_are_limited_to_five_an_hour() {
    let linking = Linking::start().await;
    let code = linking.code(USER_A).await;
    for guess in 0..5 {
        linking.claim(&format!("AA{}AAAA2AA", 2 + guess), &OTHER, &format!("m{guess}")).await;
    }
    // The right code at last, in new messages and in those of the guesses.
    for message in ["m5", "m6", "m0", "m4"] {
        assert_eq!(linking.claim(&code, &OTHER, message).await["outcome"], "unknown");
    }
    let open = "select count(*) from whatsapp.link_codes where state = 'open'";
    assert_eq!(linking.count(open).await, 1);
    linking.assert_no_link().await;
}

/// Redelivery of one message with another text: the code is not looked at.
#[tokio::test]
async fn guesses_in_one_message_count_once_and_find_nothing() {
    let linking = Linking::start().await;
    let code = linking.code(USER_A).await;
    for guess in ["AA2AAAA2AA", "AA2AAAA2AB", &code] {
        assert_eq!(linking.claim(guess, &OTHER, "m").await, refused("unknown", true));
    }
    assert_eq!(linking.claim(&code, &OTHER, "another").await["outcome"], "ask");
    linking.assert_no_link().await;
}

/// Wrong codes of a stranger do not lock out the holder of the phone.
#[tokio::test]
async fn guesses_do_not_lock_out_another_sender() {
    let linking = Linking::start().await;
    for guess in 0..9 {
        linking.claim("AA2AAAA2AA", &OTHER, &format!("m{guess}")).await;
    }
    assert!(!linking.link(USER_A, &HOLDER).await);
    linking.assert_only_the_holder_is_linked().await;
}

#[tokio::test]
async fn sixth_code_of_an_hour_is_refused() {
    let linking = Linking::start().await;
    for _ in 0..5 {
        linking.code(USER_A).await;
    }
    let (status, body) = linking.create(USER_A).await;
    assert_eq!((status, &body["code"]), (429, &json!("PT429")), "{body}");
    assert_eq!(body["message"], "too many codes");
    assert!(body["hint"].is_string(), "{body}");
    // The latest one stays valid, and other users are not concerned.
    let open = "select count(*) from whatsapp.link_codes where state = 'open'";
    assert_eq!(linking.count(open).await, 1);
    linking.code(USER_B).await;
    // Removing a link gives no more.
    linking.unlink(USER_A).await;
    assert_eq!(linking.create(USER_A).await.0, 429);
    linking.pass(61).await;
    linking.code(USER_A).await;
    linking.assert_no_link().await;
}

#[tokio::test]
async fn concurrent_requests_get_no_sixth_code() {
    let linking = Linking::start().await;
    let create = || linking.create(USER_A);
    let (a, b, c, d) = tokio::join!(create(), create(), create(), create());
    let (e, f, g, h) = tokio::join!(create(), create(), create(), create());
    let created = [a, b, c, d, e, f, g, h].iter().filter(|(status, _)| *status == 200).count();
    assert_eq!(created, 5);
    let open = "select count(*) from whatsapp.link_codes where state = 'open'";
    assert_eq!(linking.count(open).await, 1);
    linking.assert_no_link().await;
}

/// A session that plays both sides of its own link: it has a code and no phone.
#[tokio::test]
async fn session_cannot_claim_or_confirm() {
    let linking = Linking::start().await;
    let code = linking.code(USER_A).await;
    let claim = json!({ "code_hash": linking.hash(&code).await, "sender": "0a", "message": "0b", "sent_at": sent(0) });
    let confirm = json!({ "link_id": USER_A, "sender": "0a", "message": "0b", "sent_at": sent(0),
        "numbers": HOLDER.numbers, "whatsapp_user_id": null, "waba_id": null, "accept": true });
    let register =
        json!({ "sender": "0a", "message": "0b", "phone_number_id": "1", "business_number": "16505550666" });
    for (function, arguments) in [
        ("claim_whatsapp_link", &claim),
        ("confirm_whatsapp_link", &confirm),
        ("claim_registration_text", &register),
        ("registration_text_sent", &json!({ "sender": "0a", "message": "0b" })),
    ] {
        let (status, body) = linking.as_user(USER_A, function, arguments).await;
        assert_eq!((status, &body["code"]), (403, &json!("42501")), "{function}: {body}");
    }
    // The number that others would be sent to.
    let (_, body) = linking.create(USER_B).await;
    assert!(body["url"].as_str().is_some_and(|url| url.contains(super::BUSINESS_NUMBER)), "{body}");
    linking.assert_no_link().await;
}

#[tokio::test]
async fn anonymous_request_creates_and_removes_nothing() {
    let linking = Linking::start().await;
    linking.link(USER_A, &HOLDER).await;
    let supabase = &linking.project.supabase;
    let publishable = supabase.publishable_key();
    let call = |function: &str| -> RequestBuilder {
        linking.project.post(&format!("rpc/{function}")).header("apikey", publishable).json(&json!({}))
    };
    let expired = supabase.expired_token(USER_A).expect("a token");
    for function in ["create_whatsapp_link", "delete_whatsapp_link"] {
        let (status, body) = answer(call(function)).await;
        assert_eq!((status, &body["code"]), (401, &json!("42501")), "{function}: {body}");
        for token in [expired.as_str(), "garbage"] {
            assert_eq!(answer(call(function).bearer_auth(token)).await.0, 401, "{function}");
        }
        // The secret key acts for no user.
        let (status, body) = linking.as_service(function, &json!({})).await;
        assert_eq!((status, &body["code"]), (403, &json!("42501")), "{function}: {body}");
    }
    linking.assert_only_the_holder_is_linked().await;
}

#[tokio::test]
async fn user_creates_and_removes_only_their_own() {
    let linking = Linking::start().await;
    linking.link(USER_A, &HOLDER).await;
    for function in ["create_whatsapp_link", "delete_whatsapp_link"] {
        let (status, body) = linking.as_user(USER_B, function, &json!({ "user_id": USER_A })).await;
        assert_eq!((status, &body["code"]), (404, &json!("PGRST202")), "{function}: {body}");
    }
    linking.unlink(USER_B).await;
    linking.assert_only_the_holder_is_linked().await;
}

/// A session cannot write the number of another person into its own row.
#[tokio::test]
async fn session_cannot_write_a_link() {
    let linking = Linking::start().await;
    linking.link(USER_A, &HOLDER).await;
    linking.link(USER_B, &OTHER).await;
    let supabase = &linking.project.supabase;
    let token = supabase.user_token(USER_B, std::time::Duration::from_secs(60)).expect("a token");
    let url = linking.project.url(&format!("user_preferences?user_id=eq.{USER_B}"));
    for stolen in
        [json!({ "whatsapp_phone": HOLDER.numbers[0] }), json!({ "whatsapp_user_id": HOLDER.user_id })]
    {
        let request = linking.project.client.patch(&url).header("apikey", supabase.publishable_key());
        assert_eq!(answer(request.bearer_auth(&token).json(&stolen)).await.0, 403);
    }
    linking.unlink(USER_B).await;
    linking.assert_only_the_holder_is_linked().await;
}

#[tokio::test]
async fn api_does_not_expose_the_schema() {
    let linking = Linking::start().await;
    linking.code(USER_A).await;
    let secret = linking.project.supabase.secret_key();
    for table in ["link_codes", "sender_messages", "business_numbers"] {
        let plain = linking.project.get(table).header("apikey", secret);
        assert_eq!(answer(plain).await.0, 404, "{table}");
        let (status, body) =
            answer(linking.project.get(table).header("apikey", secret).header("accept-profile", "whatsapp"))
                .await;
        assert_eq!((status, &body["code"]), (406, &json!("PGRST106")), "{table}: {body}");
    }
    let private = json!({ "claimant": USER_A, "numbers": HOLDER.numbers, "id": null, "account": null, "since": sent(0) });
    let call =
        linking.project.post("rpc/link").header("apikey", secret).header("content-profile", "whatsapp");
    assert_eq!(answer(call.json(&private)).await.0, 406);
    let (status, _) = linking.as_service("link", &private).await;
    assert_eq!(status, 404);
    linking.assert_no_link().await;
}

#[tokio::test]
async fn stolen_tables_hold_no_code_and_no_number() {
    let linking = Linking::start().await;
    let code = linking.code(USER_A).await;
    linking.claim(&code, &HOLDER, "m1").await;
    linking.claim("AA2AAAA2AA", &OTHER, "m2").await;
    linking.register(&HOLDER, "m3").await;
    let stored: Vec<String> = sqlx::query_scalar(
        "select to_jsonb(c)::text from whatsapp.link_codes c union all select to_jsonb(m)::text from whatsapp.sender_messages m",
    )
    .fetch_all(linking.project.supabase.pool())
    .await
    .expect("rows");
    assert_eq!(stored.len(), 4);
    let stored = stored.join("\n");
    assert!(stored.contains(&linking.hash(&code).await), "the hash");
    for secret in [&code, &code[..5], &pseudonym(&code), "650555"] {
        assert!(!stored.contains(secret), "{secret}: {stored}");
    }
    linking.assert_no_link().await;
}

#[tokio::test]
async fn malformed_arguments_are_refused() {
    let linking = Linking::start().await;
    let link = linking.asked(USER_A, &HOLDER).await;
    let tap = |changes: Value| {
        let mut arguments = json!({ "link_id": link, "sender": HOLDER.sender(), "message": "0b", "sent_at": sent(0),
            "numbers": HOLDER.numbers, "whatsapp_user_id": null, "waba_id": null, "accept": true });
        for (name, value) in changes.as_object().expect("an object") {
            arguments[name] = value.clone();
        }
        arguments
    };
    for (changes, code) in [
        (json!({ "sender": "no hex" }), "22023"),
        (json!({ "link_id": "' or true --" }), "22P02"),
        (json!({ "sent_at": "soon" }), "22007"),
        // Neither a number nor a user id would unlink the user.
        (json!({ "numbers": [] }), "22023"),
        (json!({ "numbers": [""] }), "22023"),
        (json!({ "numbers": ["' or true --"] }), "23514"),
        (json!({ "numbers": [], "whatsapp_user_id": "' or true --" }), "23514"),
    ] {
        let (status, body) = linking.as_service("confirm_whatsapp_link", &tap(changes.clone())).await;
        assert_eq!((status, &body["code"]), (400, &json!(code)), "{changes}: {body}");
    }
    assert_eq!(linking.links().await, []);
    assert_eq!(linking.tap(link, &HOLDER, "t", true).await["outcome"], "linked", "nothing was decided");
    assert_eq!(linking.links().await, [row(USER_A, HOLDER.numbers[0], "US.100")]);
    linking.stop().await;
}
