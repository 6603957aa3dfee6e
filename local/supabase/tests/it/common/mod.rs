//! A separate project per test, and requests to its API.

pub(crate) mod statuses;
pub(crate) mod tables;
pub(crate) mod warnings;

use std::path::PathBuf;

use local_process::Guardian;
use local_supabase::{Options, Supabase};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;

/// A running project, and the values that must outlive it.
pub(crate) struct Project {
    pub supabase: Supabase,
    pub client: Client,
    _guardian: Guardian,
}

impl Project {
    pub(crate) async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    pub(crate) async fn start_with(options: Options) -> Self {
        Self::try_start_with(options).await.expect("Supabase starts")
    }

    pub(crate) async fn try_start_with(options: Options) -> anyhow::Result<Self> {
        let guardian = Guardian::start()?;
        let supabase = Supabase::start(options, &guardian).await?;
        Ok(Self { supabase, client: shared::http::client()?, _guardian: guardian })
    }

    pub(crate) async fn stop(self) {
        self.supabase.stop().await.expect("it stops");
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url(path))
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(self.url(path))
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}/rest/v1/{path}", self.supabase.url())
    }

    /// Runs a statement as the superuser.
    pub(crate) async fn run(&self, sql: &'static str) {
        sqlx::query(sql).execute(self.supabase.pool()).await.expect("it runs");
    }
}

/// Status and JSON of a response.
pub(crate) async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response: Response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    let text = response.text().await.expect("a body");
    (status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect("JSON") })
}

/// This workspace's `supabase` directory.
pub(crate) fn directory() -> PathBuf {
    Options::default().directory
}
