//! Shared test helpers.
use local_graph::{GraphApi, GraphSettings};
use serde_json::{Value, json};

pub(crate) const TOKEN: &str = "local-access-token";
pub(crate) const NUMBER: &str = "106540352242922";
pub(crate) const PHONE: &str = "16505551234";

pub(crate) struct Test {
    pub graph: GraphApi,
    pub client: reqwest::Client,
}

impl Test {
    pub(crate) async fn start() -> Self {
        let settings =
            GraphSettings { access_token: TOKEN.to_owned(), phone_numbers: vec![NUMBER.to_owned()] };
        let graph = GraphApi::start(settings, 0).await.unwrap();
        let client = shared::http::client().unwrap();
        Self { graph, client }
    }

    /// A request to `/v19.0/NUMBER/messages` with the valid token.
    pub(crate) fn post(&self, body: &Value) -> reqwest::RequestBuilder {
        self.post_to(&format!("/v19.0/{NUMBER}/messages"), body).bearer_auth(TOKEN)
    }

    pub(crate) fn post_to(&self, path: &str, body: &Value) -> reqwest::RequestBuilder {
        self.client.post(format!("{}{path}", self.graph.url())).json(body)
    }

    pub(crate) async fn ok(&self, body: &Value) -> Value {
        let (status, answer) = answer(self.post(body)).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// The error code of the response to `body`; nothing may be stored.
    pub(crate) async fn code(&self, body: &Value) -> i64 {
        let stored = self.graph.stored();
        let (status, answer) = answer(self.post(body)).await;
        assert_eq!(status, 400, "{answer}");
        assert_eq!(self.graph.stored(), stored);
        code(&answer)
    }
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

/// The code of an error body, after a check of its shape.
pub(crate) fn code(answer: &Value) -> i64 {
    let error = &answer["error"];
    assert_eq!(error["type"], "OAuthException", "{answer}");
    assert!(error["message"].is_string() && error["fbtrace_id"].is_string(), "{answer}");
    error["code"].as_i64().unwrap()
}

pub(crate) fn text_to(to: &str, body: &str) -> Value {
    json!({
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": to,
        "type": "text",
        "text": { "body": body, "preview_url": false },
    })
}
