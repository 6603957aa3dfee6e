//! Keys, tokens and row-level security, as seen by an HTTP client.

use std::time::Duration;

use local_supabase::{PHONE_A, PHONE_B, USER_A, USER_B};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::common::{Project, answer};

const HOUR: Duration = Duration::from_secs(3600);

/// A project with one message of each user.
async fn conversation() -> Project {
    let project = Project::start().await;
    for (user_id, content) in [(USER_A, "of A"), (USER_B, "of B")] {
        let written = project
            .post("messages")
            .header("apikey", project.supabase.secret_key())
            .json(&json!([row(Uuid::new_v4(), user_id, content)]));
        assert_eq!(answer(written).await.0, 201);
    }
    project
}

fn row(id: Uuid, user_id: Uuid, content: &str) -> Value {
    json!({ "id": id, "user_id": user_id, "channel": "whatsapp", "role": "user", "content": content })
}

fn as_user(project: &Project, user_id: Uuid, request: RequestBuilder) -> RequestBuilder {
    let token = project.supabase.user_token(user_id, HOUR).expect("a token");
    request.header("apikey", project.supabase.publishable_key()).bearer_auth(token)
}

fn contents(rows: &Value) -> Vec<&str> {
    rows.as_array().expect("rows").iter().map(|row| row["content"].as_str().expect("text")).collect()
}

#[tokio::test]
async fn user_reads_only_their_own_rows() {
    let project = conversation().await;
    for (user_id, phone, content) in [(USER_A, PHONE_A, "of A"), (USER_B, PHONE_B, "of B")] {
        let (status, rows) = answer(as_user(&project, user_id, project.get("messages"))).await;
        assert_eq!((status, contents(&rows)), (200, vec![content]));
        let (status, mut rows) = answer(as_user(&project, user_id, project.get("user_preferences"))).await;
        // The only unpredictable value: the time of the link.
        assert!(rows[0]["whatsapp_identity_at"].is_string(), "{rows}");
        rows[0]["whatsapp_identity_at"] = json!("now");
        let own = json!([{ "user_id": user_id, "whatsapp_phone": phone, "whatsapp_user_id": null,
            "whatsapp_waba_id": null, "whatsapp_identity_at": "now", "whatsapp_number_at": null,
            "whatsapp_link_state": null }]);
        assert_eq!((status, rows), (200, own));
    }
    let others = project.get(&format!("messages?user_id=eq.{USER_B}"));
    assert_eq!(answer(as_user(&project, USER_A, others)).await, (200, json!([])));
    let (_, rows) = answer(as_user(&project, Uuid::new_v4(), project.get("messages"))).await;
    assert_eq!(rows, json!([]), "a user without rows");
    project.stop().await;
}

#[tokio::test]
async fn key_without_a_user_reads_nothing() {
    let project = conversation().await;
    let publishable = project.get("messages").header("apikey", project.supabase.publishable_key());
    assert_eq!(answer(publishable).await.0, 401);
    let anon = project.supabase.anon_key();
    assert_eq!(answer(project.get("messages").header("apikey", anon)).await.0, 401);
    assert_eq!(answer(project.get("messages").header("apikey", anon).bearer_auth(anon)).await.0, 401);
    // A legacy key grants nothing in `apikey`: `Authorization` determines the role.
    let service_role = project.supabase.service_role_key();
    assert_eq!(answer(project.get("messages").header("apikey", service_role)).await.0, 401);
    project.stop().await;
}

#[tokio::test]
async fn gateway_requires_a_known_key() {
    let project = conversation().await;
    let token = project.supabase.user_token(USER_A, HOUR).expect("a token");
    let (status, body) = answer(project.get("messages").bearer_auth(&token)).await;
    assert_eq!((status, &body["message"]), (401, &json!("No API key found in request")));
    for key in ["sb_publishable_other", "sb_secret_other", &token, ""] {
        let (status, body) = answer(project.get("messages").header("apikey", key).bearer_auth(&token)).await;
        assert_eq!((status, &body["message"]), (401, &json!("Invalid API key")));
    }
    let as_parameter = project.get("messages?select=content&apikey=sb_publishable_local").bearer_auth(&token);
    assert_eq!(answer(as_parameter).await, (200, json!([{ "content": "of A" }])));
    let (status, _) = answer(project.client.get(format!("{}/elsewhere", project.supabase.url()))).await;
    assert_eq!(status, 404);
    project.stop().await;
}

#[tokio::test]
async fn expired_forged_and_malformed_tokens_are_rejected() {
    let project = conversation().await;
    let expired = project.supabase.expired_token(USER_A).expect("a token");
    let valid = project.supabase.user_token(USER_A, HOUR).expect("a token");
    let (signed, _) = valid.rsplit_once('.').expect("three parts");
    let forged = format!("{signed}.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    for token in [expired.as_str(), &forged, "garbage", "a.b.c"] {
        for key in [project.supabase.publishable_key(), project.supabase.secret_key()] {
            let (status, body) =
                answer(project.get("messages").header("apikey", key).bearer_auth(token)).await;
            assert_eq!(status, 401, "{body}");
            assert!(body["code"].as_str().is_some_and(|code| code.starts_with("PGRST30")), "{body}");
        }
    }
    project.stop().await;
}

#[tokio::test]
async fn service_key_reads_everything_in_each_style() {
    let project = conversation().await;
    let secret = project.get("messages").header("apikey", project.supabase.secret_key());
    assert_eq!(contents(&answer(secret).await.1).len(), 2);
    let old = project.supabase.service_role_key();
    let in_both_headers = project.get("messages").header("apikey", old).bearer_auth(old);
    assert_eq!(contents(&answer(in_both_headers).await.1).len(), 2);
    // A secret key with a user's token acts for that user.
    let token = project.supabase.user_token(USER_A, HOUR).expect("a token");
    let for_the_user =
        project.get("messages").header("apikey", project.supabase.secret_key()).bearer_auth(token);
    assert_eq!(contents(&answer(for_the_user).await.1), ["of A"]);
    project.stop().await;
}

#[tokio::test]
async fn key_in_authorization_must_equal_apikey_or_be_a_jwt() {
    let project = conversation().await;
    let (publishable, secret) = (project.supabase.publishable_key(), project.supabase.secret_key());
    let ask =
        |key: &str, bearer: &str| answer(project.get("messages").header("apikey", key).bearer_auth(bearer));
    assert_eq!(contents(&ask(secret, secret).await.1).len(), 2);
    let (status, body) = ask(publishable, publishable).await;
    assert_eq!((status, &body["code"]), (401, &json!("42501")));
    for (key, bearer) in [(publishable, secret), (secret, publishable)] {
        let (status, body) = ask(key, bearer).await;
        assert_eq!((status, &body["code"]), (401, &json!("PGRST301")));
        assert_eq!(answer(project.get("messages").bearer_auth(key)).await.0, 401);
    }
    project.stop().await;
}

#[tokio::test]
async fn user_cannot_write() {
    let project = conversation().await;
    let forged = row(Uuid::new_v4(), USER_A, "forged");
    let own_messages = format!("messages?user_id=eq.{USER_A}");
    let own_preferences = format!("user_preferences?user_id=eq.{USER_A}");
    let change = |path: &str, body: Value| project.client.patch(project.url(path)).json(&body);
    for attempt in [
        project.post("messages").json(&forged),
        change(&own_messages, json!({ "content": "changed" })),
        project.client.delete(project.url(&own_messages)),
        // Writing another user's number would give access to their messages.
        change(&own_preferences, json!({ "whatsapp_phone": "+16505550000" })),
        project.client.delete(project.url(&own_preferences)),
    ] {
        let (status, body) = answer(as_user(&project, USER_A, attempt)).await;
        assert_eq!((status, &body["code"]), (403, &json!("42501")), "{body}");
    }
    let unchanged: Vec<String> = sqlx::query_scalar("select content from public.messages order by content")
        .fetch_all(project.supabase.pool())
        .await
        .expect("rows");
    assert_eq!(unchanged, ["of A", "of B"]);
    project.stop().await;
}

#[tokio::test]
async fn reading_an_unknown_column_is_a_database_error() {
    let project = conversation().await;
    for query in
        ["select=nothing", "select=content,nothing", "nothing=eq.1", "order=nothing", "or=(nothing.eq.1)"]
    {
        let (status, body) =
            answer(as_user(&project, USER_A, project.get(&format!("messages?{query}")))).await;
        assert_eq!((status, &body["code"]), (400, &json!("42703")), "{query}: {body}");
        assert!(body["message"].as_str().is_some_and(|text| text.ends_with("does not exist")), "{body}");
    }
    let mut unknown = row(Uuid::new_v4(), USER_A, "of A");
    unknown["nothing"] = json!(1);
    let insert = project.post("messages").header("apikey", project.supabase.secret_key()).json(&unknown);
    let (status, body) = answer(insert).await;
    assert_eq!((status, &body["code"]), (400, &json!("PGRST204")), "{body}");
    project.stop().await;
}

#[tokio::test]
async fn writes_are_idempotent() {
    let project = Project::start().await;
    let ids = [Uuid::new_v4(), Uuid::new_v4()];
    for path in ["messages", "messages?on_conflict=id"] {
        for _ in 0..2 {
            let pair = json!([row(ids[0], USER_A, "asked"), row(ids[1], USER_A, "answered")]);
            let insert = project
                .post(path)
                .header("apikey", project.supabase.secret_key())
                .header("prefer", "resolution=ignore-duplicates,return=minimal")
                .json(&pair);
            let (status, body) = answer(insert).await;
            assert!(matches!(status, 200 | 201), "{status} {body}");
        }
    }
    let rows: i64 = sqlx::query_scalar("select count(*) from public.messages")
        .fetch_one(project.supabase.pool())
        .await
        .expect("a number");
    assert_eq!(rows, 2);
    project.stop().await;
}

#[tokio::test]
async fn sender_is_found_by_either_spelling() {
    let project = Project::start().await;
    let lookup = project
        .get("user_preferences?select=user_id&whatsapp_phone=in.(%22%2B16505551234%22,%2216505551234%22)")
        .header("apikey", project.supabase.secret_key());
    assert_eq!(answer(lookup).await, (200, json!([{ "user_id": USER_A }])));
    project.stop().await;
}

#[tokio::test]
async fn local_app_is_allowed_and_a_web_site_is_not() {
    let project = conversation().await;
    let ask = async |name: &str, value: &str| {
        let request = project.get("messages").header("apikey", project.supabase.secret_key());
        request.header(name, value).send().await.expect("an answer")
    };
    let app = ask("origin", "http://localhost:3000").await;
    assert_eq!(app.status(), 200);
    assert!(app.headers().contains_key("access-control-allow-origin"), "{:?}", app.headers());
    for (name, value) in [
        ("host", "rebound.example.com"),
        ("origin", "https://example.com"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
    ] {
        let site = ask(name, value).await;
        assert_eq!(site.status(), 403, "{name}: {value}");
        assert!(!site.headers().contains_key("access-control-allow-origin"));
        assert!(!site.text().await.expect("text").contains("of A"), "{name}: {value}");
    }
    project.stop().await;
}
