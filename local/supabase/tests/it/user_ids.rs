//! Business-scoped user ids: uniqueness, lookup, and completion of a link with one identifier.

use local_supabase::{PHONE_A, USER_A, USER_B};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::common::tables::{OLD_A, OLD_B, assert_applying_again_changes_nothing, project_with, refusal};
use crate::common::warnings::Warnings;
use crate::common::{Project, answer};

const ID: &str = "US.13491208655302741918";

fn as_service(project: &Project, request: RequestBuilder) -> RequestBuilder {
    request.header("apikey", project.supabase.secret_key())
}

/// Updates the rows that match a filter, and returns the updated rows.
async fn change(project: &Project, filter: &str, new: Value) -> (u16, Value) {
    let path = format!("user_preferences?select=user_id,whatsapp_user_id&{filter}");
    let request = project.client.patch(project.url(&path)).header("prefer", "return=representation");
    answer(as_service(project, request).json(&new)).await
}

async fn set(project: &Project, user_id: Uuid, id: &str) -> (u16, Value) {
    change(project, &format!("user_id=eq.{user_id}"), json!({ "whatsapp_user_id": id })).await
}

#[tokio::test]
async fn user_id_has_metas_format_and_one_user() {
    let project = Project::start().await;
    let longest = "9".repeat(200);
    let older = "user.9373795779eb6441c8adb2eaee5b848e7dd174ddd302d7db62142f4722d574b6";
    for id in [ID, "US.ENT.11815799212886844830", "DE.aZ09", older, "93737957", "a_b-c.9", &longest] {
        let (status, rows) = set(&project, USER_A, id).await;
        assert_eq!((status, rows), (200, json!([{ "user_id": USER_A, "whatsapp_user_id": id }])));
        let (status, body) = set(&project, USER_B, id).await;
        assert_eq!((status, &body["code"]), (409, &json!("23505")), "{body}");
    }
    for none in [
        format!("{longest}9"),
        "US.7 7".to_owned(),
        "US.77\n".to_owned(),
        "US.77,US.78".to_owned(),
        PHONE_A.to_owned(),
        " ".to_owned(),
    ] {
        let (status, body) = set(&project, USER_B, &none).await;
        assert_eq!((status, &body["code"]), (400, &json!("23514")), "{none:?}");
        assert_eq!(body["message"], "whatsapp_user_id is not a business-scoped user id");
        assert!(body["hint"].as_str().is_some_and(|hint| hint.contains(ID)), "{body}");
        assert!(none.trim().len() < 4 || !body.to_string().contains(none.trim()), "{body}");
    }
    let (status, rows) = set(&project, USER_A, "").await;
    assert_eq!((status, &rows[0]["whatsapp_user_id"]), (200, &Value::Null), "no id is null");
    project.stop().await;
}

#[tokio::test]
async fn sender_is_found_by_either_id_and_the_link_is_completed() {
    let project = Project::start().await;
    let numbers = "whatsapp_phone.in.(%22%2B16505551234%22,%2216505551234%22)";
    let found = async |id: &str| {
        let path = format!(
            "user_preferences?select=user_id,whatsapp_user_id,whatsapp_phone&or=(whatsapp_user_id.eq.%22{id}%22,{numbers})"
        );
        answer(as_service(&project, project.get(&path))).await
    };
    let row = |id: Value| json!([{ "user_id": USER_A, "whatsapp_user_id": id, "whatsapp_phone": PHONE_A }]);
    assert_eq!(found(ID).await, (200, row(Value::Null)), "by the number");
    // Only where it is missing: a second update changes nothing.
    let missing = format!("user_id=eq.{USER_A}&whatsapp_user_id=is.null");
    let completed = change(&project, &missing, json!({ "whatsapp_user_id": ID })).await;
    assert_eq!(completed, (200, json!([{ "user_id": USER_A, "whatsapp_user_id": ID }])));
    let again = change(&project, &missing, json!({ "whatsapp_user_id": "US.2" })).await;
    assert_eq!(again, (200, json!([])));
    assert_eq!(found(ID).await, (200, row(json!(ID))));
    // One user has the id, another one the number.
    assert_eq!(set(&project, USER_B, "US.2").await.0, 200);
    let (status, rows) = found("US.2").await;
    assert_eq!((status, rows.as_array().map(Vec::len)), (200, Some(2)), "{rows}");
    // A changed id stays with the user.
    let changed =
        change(&project, &format!("whatsapp_user_id=eq.{ID}"), json!({ "whatsapp_user_id": "US.3" })).await;
    assert_eq!(changed, (200, json!([{ "user_id": USER_A, "whatsapp_user_id": "US.3" }])));
    assert_eq!(
        change(&project, &format!("whatsapp_user_id=eq.{ID}"), json!({ "whatsapp_user_id": "US.4" })).await,
        (200, json!([]))
    );
    project.stop().await;
}

#[tokio::test]
async fn older_column_is_adopted_with_its_invalid_values() {
    let tables = "create table public.user_preferences (user_id uuid, whatsapp_phone text,
            whatsapp_user_id varchar(40) not null default '', theme text);
        insert into auth.users (id) values
            ('aaaaaaaa-0000-4000-8000-000000000001'), ('aaaaaaaa-0000-4000-8000-000000000002'),
            ('aaaaaaaa-0000-4000-8000-000000000003');
        insert into public.user_preferences values
            ('aaaaaaaa-0000-4000-8000-000000000001', null, 'US.1', 'dark'),
            ('aaaaaaaa-0000-4000-8000-000000000002', null, 'US.1', 'dark'),
            (null, null, 'US.2', 'dark'),
            ('aaaaaaaa-0000-4000-8000-000000000003', null, 'no body', 'dark'), (null, null, '', 'dark');";
    let warnings = Warnings::capture();
    let (project, _older) = project_with(tables).await.expect("they apply");
    let mut said = warnings.all();
    said.retain(|warning| warning.contains("WhatsApp"));
    assert_eq!(
        said,
        [
            "user_preferences: made 1 empty ids of WhatsApp null".to_owned(),
            "user_preferences: 1 ids of WhatsApp are none and will not be found".to_owned(),
            format!("user_preferences: one id of WhatsApp, several rows; their owners: {{{OLD_A},{OLD_B}}}"),
        ]
    );
    // An invalid id does not block changes to the rest of its row.
    let third = "user_id=eq.aaaaaaaa-0000-4000-8000-000000000003";
    assert_eq!(
        change(&project, third, json!({ "theme": "light", "whatsapp_user_id": "no body" })).await.0,
        200
    );
    assert_eq!(change(&project, third, json!({ "whatsapp_user_id": "no one" })).await.0, 400);
    assert_eq!(
        change(&project, third, json!({ "whatsapp_user_id": "US.2" })).await.0,
        200,
        "a row without a user owns no id"
    );
    assert_eq!(set(&project, OLD_A, "US.2").await.0, 200, "the conflict excludes their ids");
    assert_applying_again_changes_nothing(&project).await;
    project.stop().await;
}

#[tokio::test]
async fn incompatible_older_column_is_an_error_with_a_remedy() {
    let column = |kind: &str| {
        format!(
            "create table public.user_preferences (user_id uuid primary key, whatsapp_phone text,
            whatsapp_user_id {kind});"
        )
    };
    let (error, remedy) = refusal(&column("bigint")).await;
    assert_eq!(error, "public.user_preferences.whatsapp_user_id is of type bigint");
    assert!(remedy.starts_with("Rename it, or change it to text"), "{remedy}");
    let view = "create view public.ids as select whatsapp_user_id from public.user_preferences;";
    let (error, remedy) = refusal(&(column("varchar(40)") + view)).await;
    assert!(error.starts_with("public.user_preferences.whatsapp_user_id cannot change from"), "{error}");
    assert!(remedy.contains("view public.ids"), "{remedy}");
}
