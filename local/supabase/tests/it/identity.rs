//! What becomes of a link: what was learned goes with what taught it, and a change that Meta tells is applied once.

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

/// Writes columns of a user's row as a server with the secret key does.
async fn write(project: &Project, user_id: Uuid, columns: Value) {
    let path = format!("user_preferences?user_id=eq.{user_id}");
    let request = project.client.patch(project.url(&path)).header("apikey", project.supabase.secret_key());
    let (status, body) = answer(request.json(&columns)).await;
    assert!(matches!(status, 200 | 204), "{status} {body}");
}

/// What reply adds to a link, see `Users::learn`.
async fn learn(project: &Project, user_id: Uuid, column: &str, value: &str) {
    let state = if column == "whatsapp_phone" { "learned_number" } else { "learned_user_id" };
    let columns = json!({column: value, "whatsapp_waba_id": "W", "whatsapp_identity_at": "2026-01-01T00:00:00Z",
        "whatsapp_link_state": state});
    write(project, user_id, columns).await;
}

#[tokio::test]
async fn what_was_learned_goes_with_what_taught_it() {
    let project = Project::start().await;
    let number = |number: Option<&str>| json!({ "whatsapp_phone": number });
    let id = |id: Option<&str>| json!({ "whatsapp_user_id": id });

    // A learned user id goes with its number, whether that is changed, given to somebody else or taken out.
    learn(&project, USER_A, "whatsapp_user_id", "US.1").await;
    write(&project, USER_A, number(Some("16505551234"))).await;
    assert_eq!(
        linked(&project, USER_A).await,
        row(["16505551234", "US.1", "W", "learned_user_id"]),
        "a spelling"
    );
    write(&project, USER_A, number(Some("+16505550000"))).await;
    write(&project, USER_B, number(Some("+16505551234"))).await;
    assert_eq!(linked(&project, USER_A).await, row(["+16505550000", "", "", "changed"]));
    learn(&project, USER_A, "whatsapp_user_id", "US.1").await;
    write(&project, USER_A, number(None)).await;
    assert_eq!(linked(&project, USER_A).await, row(["", "", "", "changed"]));

    // A learned number goes with its user id.
    for new in [None, Some("US.3")] {
        write(&project, USER_A, id(Some("US.2"))).await;
        learn(&project, USER_A, "whatsapp_phone", "+16505550000").await;
        write(&project, USER_A, id(new)).await;
        assert_eq!(linked(&project, USER_A).await, row(["", new.unwrap_or_default(), "", "changed"]));
    }

    // What was there first stays, and nothing is to be learned by it again.
    learn(&project, USER_A, "whatsapp_phone", "+16505550000").await;
    write(&project, USER_A, number(None)).await;
    assert_eq!(linked(&project, USER_A).await, row(["", "US.3", "W", "removed"]));
    write(&project, USER_A, json!({"whatsapp_phone": "+16505550000", "whatsapp_user_id": null})).await;
    write(&project, USER_A, number(Some("+16505550001"))).await;
    learn(&project, USER_A, "whatsapp_user_id", "US.1").await;
    write(&project, USER_A, id(None)).await;
    assert_eq!(linked(&project, USER_A).await, row(["+16505550001", "", "", "removed"]));

    // Both at once, and the second of two, are an operator's word.
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
    assert!(recent, "whoever writes, the link is as recent as that");
    project.stop().await;
}

/// Calls the function with an event of this id and one change, which happened at this second. Outcome and user.
async fn told(
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
async fn a_change_is_applied_once_and_to_the_identity_it_names() {
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

    assert_eq!(told(&project, 1, a, b, "09").await, to_a("stale"));
    assert_eq!(told(&project, 2, ["16505551234", "US.9"], b, "11").await, to_none("nobody"), "a stranger's");
    assert_eq!(told(&project, 3, a, ["16505555678", "US.2"], "11").await, to_a("clash"));
    assert_eq!(linked(&project, USER_A).await, row(["+16505551234", "US.1", "W", "changed"]));
    assert_eq!(told(&project, 4, a, b, "10").await, to_a("applied"), "of the same second");
    assert_eq!(linked(&project, USER_A).await, row(["+16505550001", "US.2", "W", "changed"]));
    assert_eq!(told(&project, 5, b, a, "12").await, to_a("applied"), "back again");
    for _ in 0..2 {
        assert_eq!(told(&project, 4, a, b, "10").await, to_none("applied_before"));
    }
    assert_eq!(linked(&project, USER_A).await, row(["+16505551234", "US.1", "W", "changed"]));
    assert_eq!(told(&project, 6, a, b, "11").await, to_a("stale"), "delivered for the first time");

    // A number alone leaves the user id, which goes with it, to the next message; a user id alone leaves the number.
    assert_eq!(told(&project, 7, ["16505551234", ""], ["16505550001", ""], "13").await, to_a("applied"));
    assert_eq!(linked(&project, USER_A).await, row(["+16505550001", "", "", "changed"]));
    assert_eq!(told(&project, 8, ["16505550001", "US.1"], ["", "US.3"], "14").await, to_a("applied"));
    assert_eq!(linked(&project, USER_A).await, row(["+16505550001", "US.3", "W", "changed"]));
    // Number and user id of two users are none of theirs.
    write(&project, USER_B, json!({"whatsapp_phone": "+16505555678", "whatsapp_user_id": null})).await;
    assert_eq!(told(&project, 9, ["16505555678", "US.3"], b, "15").await, to_none("ambiguous"));
    // Each was kept, whatever became of it.
    let kept: i64 = sqlx::query_scalar("select count(*) from public.account_events")
        .fetch_one(project.supabase.pool())
        .await
        .expect("a number");
    assert_eq!(kept, 9);
    project.stop().await;
}

/// Since when the number is the user's, in UTC.
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
async fn a_number_says_since_when_it_is_its_users() {
    let project = Project::start().await;
    assert_eq!(number_at(&project, USER_A).await, None, "as inserted");
    learn(&project, USER_A, "whatsapp_user_id", "US.1").await;
    assert_eq!(number_at(&project, USER_A).await, None, "a user id makes the number no younger");
    // An operator's statement, what is learned, and a change that Meta told.
    write(&project, USER_A, json!({"whatsapp_phone": "+16505550001"})).await;
    assert!(number_at(&project, USER_A).await > Some("2026-11".to_owned()), "now");
    write(&project, USER_A, json!({"whatsapp_phone": null, "whatsapp_user_id": null})).await;
    assert_eq!(number_at(&project, USER_A).await, None);
    write(&project, USER_A, json!({"whatsapp_user_id": "US.1"})).await;
    learn(&project, USER_A, "whatsapp_phone", "+16505551234").await;
    assert_eq!(number_at(&project, USER_A).await.as_deref(), Some("2026-01-01 00:00:00"));
    let outcome = told(&project, 1, ["16505551234", "US.1"], ["16505550001", "US.2"], "10").await;
    assert_eq!(outcome, ("applied".to_owned(), json!(USER_A)));
    assert_eq!(number_at(&project, USER_A).await.as_deref(), Some("2026-06-01 00:00:10"));
    project.stop().await;
}

#[tokio::test]
async fn a_change_does_not_bring_back_what_was_taken_out() {
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
            learn(&project, USER_A, "whatsapp_phone", "+16505551234").await;
        }
        write(&project, USER_A, columns).await;
        write(&project, USER_A, json!({"whatsapp_identity_at": "2026-06-01T00:00:00Z"})).await;
        let (a, b) = (["16505551234", "US.1"], ["16505550001", "US.2"]);
        let id = Uuid::new_v4().as_u128();
        assert_eq!(told(&project, id, a, b, "01").await, ("applied".to_owned(), json!(USER_A)));
        assert_eq!(linked(&project, USER_A).await, row(left));
    }
    project.stop().await;
}
