//! Confirmations: the tap links exactly the person who tapped, and takes the number or user id from other users.

use chrono::{DateTime, Utc};
use local_supabase::{USER_A, USER_B};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{HOLDER, Linking, OTHER, Person, expired, refused, row};

/// A person who hides the number.
const HIDDEN: Person = Person { numbers: &[], user_id: Some("US.300") };
/// A person whose messages have no user id.
const WITHOUT_USER_ID: Person = Person { numbers: &["+16505550100", "16505550100"], user_id: None };

/// Times of the identity and of the number, link state, and account.
type Times = (Option<DateTime<Utc>>, Option<DateTime<Utc>>, Option<String>, Option<String>);

#[tokio::test]
async fn tap_links_number_and_user_id() {
    let linking = Linking::start().await;
    let link = linking.asked(USER_A, &HOLDER).await;
    let linked = json!({ "outcome": "linked", "user_id": USER_A, "moved": false });
    for _ in 0..2 {
        assert_eq!(linking.tap(link, &HOLDER, "t1", true).await, linked);
    }
    assert_eq!(linking.tap(link, &HOLDER, "another tap", true).await, expired());
    // A tap on the other button.
    assert_eq!(linking.tap(link, &HOLDER, "t2", false).await, expired());
    linking.assert_only_the_holder_is_linked().await;
}

#[tokio::test]
async fn not_me_discards_the_code() {
    let linking = Linking::start().await;
    let link = linking.asked(USER_A, &HOLDER).await;
    let discarded = json!({ "outcome": "discarded", "user_id": USER_A, "moved": false });
    for _ in 0..2 {
        assert_eq!(linking.tap(link, &HOLDER, "t1", false).await, discarded);
    }
    assert_eq!(linking.tap(link, &HOLDER, "t2", false).await, expired());
    // The user can create another one at once.
    assert!(!linking.link(USER_A, &HOLDER).await);
    linking.assert_only_the_holder_is_linked().await;
}

#[tokio::test]
async fn link_has_the_time_of_the_tap_and_is_completed_later() {
    let linking = Linking::start().await;
    let times = async || -> Times {
        sqlx::query_as(
            "select whatsapp_identity_at, whatsapp_number_at, whatsapp_link_state, whatsapp_waba_id
             from public.user_preferences where user_id = $1",
        )
        .bind(USER_A)
        .fetch_one(linking.project.supabase.pool())
        .await
        .expect("a row")
    };
    let at: DateTime<Utc> = "2026-11-01T00:00:07Z".parse().expect("a time");
    // An insert, an update of the same identity, of another one, and of one without a number.
    for (person, state) in [
        (&WITHOUT_USER_ID, None),
        (&WITHOUT_USER_ID, Some("changed")),
        (&HOLDER, Some("changed")),
        (&OTHER, Some("changed")),
        (&HIDDEN, Some("changed")),
    ] {
        let link = linking.asked(USER_A, person).await;
        let (status, body) = linking.try_tap(link, person, "t", true, &at.to_rfc3339()).await;
        assert_eq!((status, &body["outcome"]), (200, &json!("linked")), "{body}");
        let number_at = (!person.numbers.is_empty()).then_some(at);
        let waba_id = person.user_id.map(|_| "W".to_owned());
        assert_eq!(times().await, (Some(at), number_at, state.map(str::to_owned), waba_id));
        linking.run("delete from whatsapp.link_codes").await;
    }
    // The half that a later message contains can be added, as reply does.
    let path = format!(
        "user_preferences?user_id=eq.{USER_A}&or=(whatsapp_link_state.is.null,whatsapp_link_state.eq.changed)"
    );
    let request = linking.project.client.patch(linking.project.url(&path));
    let request = request.header("apikey", linking.project.supabase.secret_key());
    let added = json!({ "whatsapp_phone": "+16505550300", "whatsapp_link_state": "added_number" });
    assert!(crate::common::answer(request.json(&added)).await.0 < 300);
    assert_eq!(linking.links().await, [row(USER_A, "+16505550300", "US.300")]);
    linking.stop().await;
}

#[tokio::test]
async fn person_without_a_number_is_linked_by_user_id() {
    let linking = Linking::start().await;
    assert!(!linking.link(USER_A, &HIDDEN).await);
    assert_eq!(linking.links().await, [row(USER_A, "", "US.300")]);
    // Another phone of the same user replaces it.
    linking.link(USER_A, &WITHOUT_USER_ID).await;
    assert_eq!(linking.links().await, [row(USER_A, "+16505550100", "")]);
    linking.stop().await;
}

#[tokio::test]
async fn number_and_user_id_move_from_other_users() {
    let linking = Linking::start().await;
    let third = Uuid::from_u128(3);
    linking.run(&format!("insert into auth.users (id) values ('{third}')")).await;
    linking
        .run(&format!(
            "insert into public.messages (user_id, channel, role, content) values ('{USER_B}', 'whatsapp', 'user', 'of B');
             insert into public.user_preferences (user_id, whatsapp_phone, whatsapp_user_id) values
               ('{USER_B}', '16505550100', null), ('{third}', '+16505550300', 'US.100')"
        ))
        .await;
    assert!(linking.link(USER_A, &HOLDER).await);
    assert_eq!(
        linking.links().await,
        [row(USER_A, "+16505550100", "US.100")],
        "a user who loses one of number and user id loses both, which are of one phone"
    );
    let of_b = format!("select count(*) from public.messages where user_id = '{USER_B}'");
    assert_eq!(linking.count(&of_b).await, 1, "the history stays");
    // And back.
    assert!(linking.link(USER_B, &HOLDER).await);
    assert_eq!(linking.links().await, [row(USER_B, "+16505550100", "US.100")]);
    linking.stop().await;
}

#[tokio::test]
async fn redelivered_tap_reports_whether_it_moved() {
    let linking = Linking::start().await;
    linking.link(USER_B, &HOLDER).await;
    let link = linking.asked(USER_A, &HOLDER).await;
    let moved = json!({ "outcome": "linked", "user_id": USER_A, "moved": true });
    for _ in 0..2 {
        assert_eq!(linking.tap(link, &HOLDER, "t1", true).await, moved);
    }
    linking.assert_only_the_holder_is_linked().await;
}

#[tokio::test]
async fn earlier_tap_does_not_undo_a_later_one() {
    let linking = Linking::start().await;
    let (a, b) = (linking.asked(USER_A, &HOLDER).await, linking.asked(USER_B, &HOLDER).await);
    assert_eq!(linking.tap_sent(b, &HOLDER, "of b", true, 2).await["outcome"], "linked");
    assert_eq!(linking.tap_sent(a, &HOLDER, "of a", true, 1).await, expired());
    assert_eq!(linking.links().await, [row(USER_B, "+16505550100", "US.100")]);
    linking.stop().await;
}

#[tokio::test]
async fn moved_phone_is_taken_from_its_user_by_either_identity() {
    let linking = Linking::start().await;
    let with_number = Person { numbers: HOLDER.numbers, user_id: HOLDER.user_id };
    let hidden = Person { numbers: &[], user_id: HOLDER.user_id };
    assert!(!linking.link(USER_B, &with_number).await);
    assert!(linking.link(USER_A, &hidden).await);
    assert_eq!(linking.links().await, [row(USER_A, "", "US.100")]);
    linking.stop().await;
}

#[tokio::test]
async fn taps_that_link_nothing_are_answered_five_times_an_hour() {
    let linking = Linking::start().await;
    let link = linking.asked(USER_A, &HOLDER).await;
    let answers = async |message: &str| {
        let (_, body) = linking.try_tap(link, &OTHER, message, true, &super::sent(0)).await;
        assert_eq!(body["outcome"], "expired");
        body["answer"].as_bool().expect("whether it is answered")
    };
    for message in ["1", "1", "2", "3", "4", "5", "5"] {
        assert!(answers(message).await, "{message}");
    }
    assert!(!answers("6").await && answers("1").await);
    // A wrong code counts, too, and the owner of the question is not affected.
    assert_eq!(linking.claim("AA2AAAA2AA", &OTHER, "7").await, refused("unknown", false));
    assert_eq!(linking.tap(link, &HOLDER, "t", true).await["outcome"], "linked");
    linking.assert_only_the_holder_is_linked().await;
}

#[tokio::test]
async fn number_moves_in_either_spelling() {
    let linking = Linking::start().await;
    for (spellings, stored) in [
        (["+5511987654321", "5511987654321", "+551187654321", "551187654321"], "+551187654321"),
        (["+541155501234", "541155501234", "+5491155501234", "5491155501234"], "5491155501234"),
    ] {
        let person = Person { numbers: Box::leak(Box::new(spellings)), user_id: None };
        linking.run("delete from public.user_preferences; delete from whatsapp.link_codes").await;
        linking
            .run(&format!(
                "insert into public.user_preferences (user_id, whatsapp_phone) values ('{USER_B}', '{stored}')"
            ))
            .await;
        assert!(linking.link(USER_A, &person).await);
        assert_eq!(linking.links().await, [row(USER_A, spellings[0], "")]);
    }
    linking.stop().await;
}

#[tokio::test]
async fn unlinked_number_stays_unlinked_and_the_history_stays() {
    let linking = Linking::start().await;
    linking.link(USER_A, &HOLDER).await;
    linking.link(USER_B, &OTHER).await;
    let message = format!(
        "insert into public.messages (user_id, channel, role, content) values ('{USER_A}', 'whatsapp', 'user', 'hi')"
    );
    linking.run(&message).await;
    for _ in 0..2 {
        linking.unlink(USER_A).await;
    }
    assert_eq!(linking.links().await, [row(USER_B, "+16505550200", "US.200")]);
    assert_eq!(linking.count("select count(*) from public.messages").await, 1);
    // The next message gets the registration text: no user is found, and no half of a link is left to be completed.
    assert!(linking.register(&HOLDER, "m1").await);
    // A user without a row.
    linking.run(&format!("delete from public.user_preferences where user_id = '{USER_A}'")).await;
    linking.unlink(USER_A).await;
    linking.stop().await;
}

/// An identity change from Meta, as reply applies it. Returns its outcome.
async fn change(linking: &Linking, id: u128, numbers: [&str; 2], at: &str) -> Value {
    let event = json!({"id": Uuid::from_u128(id), "received_at": Utc::now(), "waba_id": "W",
        "phone_number_id": null, "field": "messages.system", "payload": {"type": "system"}});
    let change = json!({"previous_numbers": [numbers[0]], "previous_user_id": "US.100", "numbers": [numbers[1]],
        "user_id": "US.101", "at": at});
    let arguments = json!({ "event": event, "changes": [change] });
    let (status, body) = linking.as_service("keep_identity_event", &arguments).await;
    assert_eq!(status, 200, "{body}");
    body[0]["outcome"].clone()
}

#[tokio::test]
async fn identity_change_is_stale_before_the_tap_and_applied_after_it() {
    let linking = Linking::start().await;
    // Linked before, with the same identity: the tap alone is new.
    linking
        .run(&format!(
            "insert into public.user_preferences (user_id, whatsapp_phone, whatsapp_user_id, whatsapp_waba_id,
               whatsapp_identity_at) values ('{USER_A}', '+16505550100', 'US.100', 'W', '2026-01-01')"
        ))
        .await;
    let link = linking.asked(USER_A, &HOLDER).await;
    linking.try_tap(link, &HOLDER, "t", true, "2026-11-01T00:00:10Z").await;
    let numbers = ["+16505550100", "+16505550101"];
    assert_eq!(change(&linking, 1, numbers, "2026-11-01T00:00:09Z").await, "stale");
    assert_eq!(linking.links().await, [row(USER_A, "+16505550100", "US.100")]);
    assert_eq!(change(&linking, 2, numbers, "2026-11-01T00:00:11Z").await, "applied");
    assert_eq!(linking.links().await, [row(USER_A, "+16505550101", "US.101")]);
    linking.stop().await;
}
