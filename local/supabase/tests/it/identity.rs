//! The life of a link: a completed identity is removed with its source, and an identity change is applied
//! once.

use local_supabase::{USER_A, USER_B};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::common::{Project, answer};

/// A row of `user_preferences`: number, user id, account, state.
type Row = [Option<String>; 4];

fn row(columns: [&str; 4]) -> Row {
    columns.map(|column| Some(column.to_owned()).filter(|column| !column.is_empty()))
}

async fn linked(project: &Project, user_id: Uuid) -> Row {
    let columns: (Option<String>, Option<String>, Option<String>, Option<String>) = sqlx::query_as(
        "select whatsapp_phone, whatsapp_user_id, whatsapp_waba_id, whatsapp_link_state
         from public.user_preferences where user_id = $1",
    )
    .bind(user_id)
    .fetch_one(project.supabase.pool())
    .await
    .expect("a row");
    columns.into()
}

/// Writes columns of a user's row, like a server with the secret key.
async fn write(project: &Project, user_id: Uuid, columns: Value) {
    let path = format!("user_preferences?user_id=eq.{user_id}");
    let request = project.client.patch(project.url(&path)).header("apikey", project.supabase.secret_key());
    let (status, body) = answer(request.json(&columns)).await;
    assert!(matches!(status, 200 | 204), "{status} {body}");
}

/// Completes a link like reply, see `Users::complete_link`.
async fn complete_link(project: &Project, user_id: Uuid, column: &str, value: &str) {
    let state = if column == "whatsapp_phone" { "added_number" } else { "added_user_id" };
    let columns = json!({column: value, "whatsapp_waba_id": "W", "whatsapp_identity_at": "2026-01-01T00:00:00Z",
        "whatsapp_link_state": state});
    write(project, user_id, columns).await;
}

#[tokio::test]
async fn completed_identity_is_removed_with_its_source() {
    let project = Project::start().await;
    let number = |number: Option<&str>| json!({ "whatsapp_phone": number });
    let id = |id: Option<&str>| json!({ "whatsapp_user_id": id });

    // A completed user id is removed with its number: when the number is changed, moved to another user or
    // removed.
    complete_link(&project, USER_A, "whatsapp_user_id", "US.1").await;
    write(&project, USER_A, number(Some("16505551234"))).await;
    assert_eq!(
        linked(&project, USER_A).await,
        row(["16505551234", "US.1", "W", "added_user_id"]),
        "a spelling"
    );
    write(&project, USER_A, number(Some("+16505550000"))).await;
    write(&project, USER_B, number(Some("+16505551234"))).await;
    assert_eq!(linked(&project, USER_A).await, row(["+16505550000", "", "", "changed"]));
    complete_link(&project, USER_A, "whatsapp_user_id", "US.1").await;
    write(&project, USER_A, number(None)).await;
    assert_eq!(linked(&project, USER_A).await, row(["", "", "", "changed"]));

    // A completed number is removed with its user id.
    for new in [None, Some("US.3")] {
        write(&project, USER_A, id(Some("US.2"))).await;
        complete_link(&project, USER_A, "whatsapp_phone", "+16505550000").await;
        write(&project, USER_A, id(new)).await;
        assert_eq!(linked(&project, USER_A).await, row(["", new.unwrap_or_default(), "", "changed"]));
    }

    // The original identity stays, and the removed one is not completed again.
    complete_link(&project, USER_A, "whatsapp_phone", "+16505550000").await;
    write(&project, USER_A, number(None)).await;
    assert_eq!(linked(&project, USER_A).await, row(["", "US.3", "W", "removed"]));
    write(&project, USER_A, json!({"whatsapp_phone": "+16505550000", "whatsapp_user_id": null})).await;
    write(&project, USER_A, number(Some("+16505550001"))).await;
    complete_link(&project, USER_A, "whatsapp_user_id", "US.1").await;
    write(&project, USER_A, id(None)).await;
    assert_eq!(linked(&project, USER_A).await, row(["+16505550001", "", "", "removed"]));

    // Both columns at once, and the second of two, count as the operator's decision.
    write(&project, USER_A, json!({"whatsapp_phone": "+16505550002", "whatsapp_user_id": "US.4"})).await;
    assert_eq!(linked(&project, USER_A).await, row(["+16505550002", "US.4", "", "changed"]));
    write(&project, USER_B, id(Some("US.5"))).await;
    assert_eq!(linked(&project, USER_B).await, row(["+16505551234", "US.5", "", "changed"]));
    let recent: bool = sqlx::query_scalar(
        "select bool_and(whatsapp_identity_at > now() - interval '1 hour') from public.user_preferences",
    )
    .fetch_one(project.supabase.pool())
    .await
    .expect("a row");
    assert!(recent, "every write updates the time of the link");
    project.stop().await;
}

/// Calls the function with an event of this id and one change at this second. Returns outcome and user.
async fn apply_change(
    project: &Project,
    id: u128,
    previous: [&str; 2],
    current: [&str; 2],
    second: &str,
) -> (String, Value) {
    let filled = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let numbers =
        |digits: &str| filled(digits).map_or(json!([]), |digits| json!([format!("+{digits}"), digits]));
    let received_at = chrono::Utc::now().to_rfc3339();
    let event = json!({"id": Uuid::from_u128(id), "received_at": received_at, "waba_id": "W",
        "phone_number_id": null, "field": "messages.system", "payload": {"type": "system"}});
    let change = json!({"previous_numbers": numbers(previous[0]), "previous_user_id": filled(previous[1]),
        "numbers": numbers(current[0]), "user_id": filled(current[1]), "at": format!("2026-06-01T00:00:{second}Z")});
    let request = project.post("rpc/keep_identity_event").header("apikey", project.supabase.secret_key());
    let (status, body) = answer(request.json(&json!({"event": event, "changes": [change]}))).await;
    assert_eq!(status, 200, "{body}");
    let outcome = body[0]["outcome"].as_str().expect("an outcome").to_owned();
    (outcome, body[0]["user_id"].clone())
}

#[tokio::test]
async fn change_is_applied_once_to_the_matching_identity() {
    let project = Project::start().await;
    let known =
        json!({"whatsapp_phone": "+16505551234", "whatsapp_user_id": "US.1", "whatsapp_waba_id": "W"});
    let (a, b) = (["16505551234", "US.1"], ["16505550001", "US.2"]);
    write(&project, USER_A, known).await;
    write(
        &project,
        USER_A,
        json!({"whatsapp_waba_id": "W", "whatsapp_identity_at": "2026-06-01T00:00:10.5Z"}),
    )
    .await;
    let to_a = |outcome: &str| (outcome.to_owned(), json!(USER_A));
    let to_none = |outcome: &str| (outcome.to_owned(), Value::Null);

    assert_eq!(apply_change(&project, 1, a, b, "09").await, to_a("stale"));
    assert_eq!(
        apply_change(&project, 2, ["16505551234", "US.9"], b, "11").await,
        to_none("unlinked"),
        "of an unlinked sender"
    );
    assert_eq!(apply_change(&project, 3, a, ["16505555678", "US.2"], "11").await, to_a("clash"));
    assert_eq!(linked(&project, USER_A).await, row(["+16505551234", "US.1", "W", "changed"]));
    assert_eq!(apply_change(&project, 4, a, b, "10").await, to_a("applied"), "of the same second");
    assert_eq!(linked(&project, USER_A).await, row(["+16505550001", "US.2", "W", "changed"]));
    assert_eq!(apply_change(&project, 5, b, a, "12").await, to_a("applied"), "back again");
    for _ in 0..2 {
        assert_eq!(apply_change(&project, 4, a, b, "10").await, to_none("applied_before"));
    }
    assert_eq!(linked(&project, USER_A).await, row(["+16505551234", "US.1", "W", "changed"]));
    assert_eq!(apply_change(&project, 6, a, b, "11").await, to_a("stale"), "delivered for the first time");

    // The number alone may be that of a later owner, who has another user id.
    let by_number = apply_change(&project, 7, ["16505551234", ""], ["16505550001", ""], "13").await;
    assert_eq!(by_number, to_none("unlinked"));
    assert_eq!(linked(&project, USER_A).await, row(["+16505551234", "US.1", "W", "changed"]));
    // A user id alone leaves the number.
    assert_eq!(apply_change(&project, 8, ["16505551234", "US.1"], ["", "US.3"], "14").await, to_a("applied"));
    assert_eq!(linked(&project, USER_A).await, row(["+16505551234", "US.3", "W", "changed"]));
    // A number and a user id of two different users identify neither.
    write(&project, USER_B, json!({"whatsapp_phone": "+16505555678", "whatsapp_user_id": null})).await;
    assert_eq!(apply_change(&project, 9, ["16505555678", "US.3"], b, "15").await, to_none("ambiguous"));
    let to_b = ("applied".to_owned(), json!(USER_B));
    write(&project, USER_B, json!({"whatsapp_identity_at": "2026-06-01T00:00:00Z"})).await;
    let by_number = apply_change(&project, 10, ["16505555678", ""], ["16505550002", ""], "16").await;
    assert_eq!(by_number, to_b, "a row without a user id");
    // Each event was stored, whatever its outcome.
    let kept: i64 = sqlx::query_scalar("select count(*) from public.account_events")
        .fetch_one(project.supabase.pool())
        .await
        .expect("a number");
    assert_eq!(kept, 10);
    project.stop().await;
}

/// Time since which the number has been the user's, in UTC.
async fn number_at(project: &Project, user_id: Uuid) -> Option<String> {
    sqlx::query_scalar(
        "select to_char(whatsapp_number_at at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS')
         from public.user_preferences where user_id = $1",
    )
    .bind(user_id)
    .fetch_one(project.supabase.pool())
    .await
    .expect("a row")
}

#[tokio::test]
async fn number_has_the_time_since_it_was_linked() {
    let project = Project::start().await;
    assert_eq!(number_at(&project, USER_A).await, None, "as inserted");
    complete_link(&project, USER_A, "whatsapp_user_id", "US.1").await;
    assert_eq!(number_at(&project, USER_A).await, None, "a user id makes the number no younger");
    // Through the operator, a completed link, and an identity change from Meta.
    write(&project, USER_A, json!({"whatsapp_phone": "+16505550001"})).await;
    assert!(number_at(&project, USER_A).await > Some("2026-11".to_owned()), "now");
    write(&project, USER_A, json!({"whatsapp_phone": null, "whatsapp_user_id": null})).await;
    assert_eq!(number_at(&project, USER_A).await, None);
    write(&project, USER_A, json!({"whatsapp_user_id": "US.1"})).await;
    complete_link(&project, USER_A, "whatsapp_phone", "+16505551234").await;
    assert_eq!(number_at(&project, USER_A).await.as_deref(), Some("2026-01-01 00:00:00"));
    let outcome = apply_change(&project, 1, ["16505551234", "US.1"], ["16505550001", "US.2"], "10").await;
    assert_eq!(outcome, ("applied".to_owned(), json!(USER_A)));
    assert_eq!(number_at(&project, USER_A).await.as_deref(), Some("2026-06-01 00:00:10"));
    project.stop().await;
}

#[tokio::test]
async fn change_does_not_restore_a_removed_identity() {
    let project = Project::start().await;
    for (columns, left) in [
        (json!({"whatsapp_user_id": null}), ["+16505550001", "", "", "removed"]),
        (json!({"whatsapp_phone": null}), ["", "US.2", "W", "removed"]),
    ] {
        let known = json!({"whatsapp_phone": "+16505551234", "whatsapp_user_id": "US.1"});
        write(&project, USER_A, json!({"whatsapp_phone": null, "whatsapp_user_id": null})).await;
        let first = if left[0].is_empty() { json!({"whatsapp_user_id": "US.1"}) } else { known };
        write(&project, USER_A, first).await;
        if left[0].is_empty() {
            complete_link(&project, USER_A, "whatsapp_phone", "+16505551234").await;
        }
        write(&project, USER_A, columns).await;
        write(&project, USER_A, json!({"whatsapp_identity_at": "2026-06-01T00:00:00Z"})).await;
        let (a, b) = (["16505551234", "US.1"], ["16505550001", "US.2"]);
        let id = Uuid::new_v4().as_u128();
        assert_eq!(apply_change(&project, id, a, b, "01").await, ("applied".to_owned(), json!(USER_A)));
        assert_eq!(linked(&project, USER_A).await, row(left));
    }
    project.stop().await;
}
