//! Linking a phone with a user, as the user's app does it: calls of Supabase's API with the user's token.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::supabase::Supabase;

/// The timeout of a call.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A one-time code: whoever sends it from a phone, and confirms it there, links that phone with the code's user.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Link {
    /// The code.
    pub code: String,
    /// Opens WhatsApp with a message to the business number that holds the code.
    pub url: String,
    /// When the code becomes invalid.
    pub expires_at: DateTime<Utc>,
}

/// A call that had no success.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The API refused the call.
    #[error("{message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The reason and the remedy, for display.
        message: String,
    },
    /// The API cannot be reached, or responds with something else.
    #[error("Supabase's API does not respond as expected")]
    Http(#[from] reqwest::Error),
}

/// The calls of an app.
#[derive(Clone, Debug)]
pub struct Links {
    client: reqwest::Client,
    url: String,
    publishable_key: String,
}

impl Link {
    /// Returns the text of the message that `url` opens.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        let url = Url::parse(&self.url).ok()?;
        url.query_pairs().find(|(name, _)| name == "text").map(|(_, text)| text.into_owned())
    }
}

impl Links {
    /// Returns the calls to this project.
    ///
    /// # Errors
    /// When the HTTP client cannot be built.
    pub fn new(supabase: &Supabase) -> anyhow::Result<Self> {
        Ok(Self {
            client: shared::http::client()?,
            url: supabase.url().to_owned(),
            publishable_key: supabase.publishable_key().to_owned(),
        })
    }

    /// Creates a code for the user with this token. The user's earlier code becomes invalid.
    ///
    /// # Errors
    /// When the API refuses it (429: too many codes within an hour; 503: no business number is known yet) or cannot be
    /// reached.
    pub async fn create(&self, token: &str) -> Result<Link, LinkError> {
        Ok(self.call("create_whatsapp_link", token).await?.json().await?)
    }

    /// Unlinks the user with this token.
    ///
    /// # Errors
    /// When the API refuses it or cannot be reached.
    pub async fn delete(&self, token: &str) -> Result<(), LinkError> {
        self.call("delete_whatsapp_link", token).await.map(drop)
    }

    async fn call(&self, function: &str, token: &str) -> Result<reqwest::Response, LinkError> {
        let request = self.client.post(format!("{}/rest/v1/rpc/{function}", self.url)).timeout(TIMEOUT);
        let request = request.header("apikey", &self.publishable_key).bearer_auth(token).json(&json!({}));
        let response = request.send().await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let error: Value = response.json().await.unwrap_or_default();
        let text = |name: &str| error[name].as_str().filter(|text| !text.is_empty());
        let reason = text("message").map_or_else(|| status.to_string(), str::to_owned);
        let message = text("hint").map_or_else(|| reason.clone(), |hint| format!("{reason}. {hint}"));
        Err(LinkError::Refused { status: status.as_u16(), message })
    }
}
