//! Queries about a number and about the token.

use chrono::{TimeDelta, Utc};
use local_graph::PERMISSIONS;
use serde_json::{Value, json};

use crate::common::{NUMBER, PHONE, TOKEN, Test, answer, code, text_to};

async fn get(test: &Test, path: &str, token: &str) -> (u16, Value) {
    answer(test.client.get(format!("{}{path}", test.graph.url())).bearer_auth(token)).await
}

#[tokio::test]
async fn number_query_returns_the_requested_fields_and_the_id() {
    let test = Test::start().await;
    let path =
        format!("/v26.0/{NUMBER}?fields=display_phone_number,verified_name,quality_rating,platform_type");
    let expected = json!({
        "display_phone_number": "+1 555-078-3881",
        "verified_name": "Lucky Shrub",
        "quality_rating": "GREEN",
        "platform_type": "CLOUD_API",
        "id": NUMBER,
    });
    assert_eq!(get(&test, &path, TOKEN).await, (200, expected));

    let (status, body) = get(&test, &format!("/v26.0/{NUMBER}"), TOKEN).await;
    assert_eq!((status, body["verified_name"].as_str()), (200, Some("Lucky Shrub")));
    let (status, body) = get(&test, &format!("/v26.0/{NUMBER}?fields=shoe_size"), TOKEN).await;
    assert_eq!((status, code(&body), &body["error"]["error_subcode"]), (400, 100, &Value::Null));
    test.graph.stop().await;
}

#[tokio::test]
async fn unknown_number_and_token_are_rejected() {
    let test = Test::start().await;
    let (status, body) = get(&test, "/v26.0/1234567890?fields=verified_name", TOKEN).await;
    assert_eq!((status, code(&body), body["error"]["error_subcode"].as_i64()), (400, 100, Some(33)));
    for path in [format!("/v26.0/{NUMBER}"), format!("/v26.0/debug_token?input_token={TOKEN}")] {
        let (status, body) = get(&test, &path, "other").await;
        assert_eq!((status, code(&body)), (401, 190), "{path}");
    }
    let (status, body) = get(&test, &format!("/26/{NUMBER}"), TOKEN).await;
    assert_eq!((status, code(&body)), (400, 2500));
    test.graph.stop().await;
}

#[tokio::test]
async fn debug_token_describes_a_token_until_it_expires() {
    let test = Test::start().await;
    let path = format!("/v26.0/debug_token?input_token={TOKEN}");
    let (status, body) = get(&test, &path, TOKEN).await;
    let data = &body["data"];
    assert_eq!((status, &data["is_valid"], &data["expires_at"]), (200, &json!(true), &json!(0)));
    assert_eq!(data["scopes"], json!(PERMISSIONS));
    let (_, body) = get(&test, "/v26.0/debug_token?input_token=other", TOKEN).await;
    assert_eq!(body["data"]["is_valid"], false);
    assert_eq!(code(&get(&test, "/v26.0/debug_token", TOKEN).await.1), 100);

    let end = Utc::now() + TimeDelta::hours(1);
    test.graph.expire_access_token(Some(end));
    assert_eq!(get(&test, &path, TOKEN).await.1["data"]["expires_at"], end.timestamp());
    test.ok(&text_to(PHONE, "still")).await;

    test.graph.expire_access_token(Some(Utc::now() - TimeDelta::hours(1)));
    let (status, body) = get(&test, &path, TOKEN).await;
    assert_eq!((status, code(&body), body["error"]["error_subcode"].as_i64()), (401, 190, Some(463)));
    let (status, body) = answer(test.post(&text_to(PHONE, "no longer"))).await;
    assert_eq!((status, code(&body)), (401, 190));
    test.graph.stop().await;
}

#[tokio::test]
async fn token_without_a_permission_is_rejected() {
    let test = Test::start().await;
    let [management, messaging] = PERMISSIONS;
    test.graph.set_permissions(&[messaging]);
    let (status, body) = get(&test, &format!("/v26.0/{NUMBER}"), TOKEN).await;
    assert_eq!((status, code(&body)), (403, 10));
    test.ok(&text_to(PHONE, "hi")).await;
    test.graph.set_permissions(&[management]);
    assert_eq!(get(&test, &format!("/v26.0/{NUMBER}"), TOKEN).await.0, 200);
    let (status, body) = answer(test.post(&text_to(PHONE, "hi"))).await;
    assert_eq!((status, code(&body)), (403, 10));
    test.graph.stop().await;
}
