//! Shared test helpers.
use local_model::ModelApi;
use serde_json::{Value, json};

pub(crate) struct Test {
    pub model: ModelApi,
    pub client: reqwest::Client,
}

impl Test {
    pub(crate) async fn start() -> Self {
        let model = ModelApi::start(0).await.unwrap();
        let client = shared::http::client().unwrap();
        Self { model, client }
    }

    pub(crate) fn post(&self, body: &Value) -> reqwest::RequestBuilder {
        self.client.post(format!("{}/chat/completions", self.model.url())).json(body)
    }

    /// A request to a path beside the API.
    pub(crate) fn beside(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, self.model.url().replace("/v1", path))
    }

    /// The status and the body of the response to `body`.
    pub(crate) async fn call(&self, body: &Value) -> (u16, Value) {
        let response = self.post(body).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// The first choice of a successful response.
    pub(crate) async fn choice(&self, body: &Value) -> Value {
        let (status, answer) = self.call(body).await;
        assert_eq!(status, 200, "{answer}");
        answer["choices"][0].clone()
    }
}

/// A conversation: instructions, and what was said, the user first.
pub(crate) fn conversation(said: &[&str]) -> Value {
    let roles = ["user", "assistant"].into_iter().cycle();
    let said = said.iter().zip(roles).map(|(content, role)| json!({"role": role, "content": content}));
    let instructions = json!({"role": "system", "content": "Be brief."});
    let messages: Vec<_> = [instructions].into_iter().chain(said).collect();
    json!({"model": "fake", "messages": messages})
}
