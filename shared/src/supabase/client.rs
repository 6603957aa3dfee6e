//! Supabase's REST API (PostgREST) over the workspace's HTTP client.
//!
//! `postgrest` builds the requests, with [`crate::http::client`]; [`Supabase::run`] adds credentials and a timeout, sends
//! the requests and reads the responses.

use std::time::Duration;

use postgrest::Builder;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::error::SupabaseError;
use super::key::ApiKey;
use crate::lambda::trace;

/// The identity of a request, to which row-level security applies.
#[derive(Clone, Copy, Debug)]
pub enum Caller<'a> {
    /// The API key's own role.
    Key,
    /// The user of this JWT; PostgREST verifies it.
    User(&'a SecretString),
}

/// One request to the REST API. It must be idempotent, because it is sent again when its connection breaks.
#[derive(Clone)]
pub struct Query<'a> {
    /// The request of `postgrest`.
    pub request: Builder,
    /// The identity of the request.
    pub caller: Caller<'a>,
    /// The complete `Prefer` header. (The one that `postgrest` sets cannot be changed.)
    pub prefer: Option<&'static str>,
    /// The timeout for the complete response.
    pub timeout: Duration,
}

/// The body of a response, or its beginning.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// The bytes.
    pub body: Vec<u8>,
    /// Whether the body is complete.
    pub is_whole: bool,
}

/// A client of one Supabase project's REST API.
#[derive(Clone)]
pub struct Supabase {
    /// `…/rest/v1`
    rest: String,
    key: ApiKey,
    http: reqwest::Client,
}

/// A string that is not the URL of a project.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a project's URL: expected https://<project>.supabase.co")]
pub struct UrlError;

/// The URL of a Supabase project, `https://<project>.supabase.co`.
#[derive(Clone, Debug)]
pub struct ProjectUrl(Url);

impl std::str::FromStr for ProjectUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let url = Url::parse(text.trim_end_matches('/')).map_err(|_| UrlError)?;
        let usable = matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none();
        if usable { Ok(Self(url)) } else { Err(UrlError) }
    }
}

impl Supabase {
    /// Creates a client for the project at `url`, with `key` for requests without a user's token.
    #[must_use]
    pub fn new(url: &ProjectUrl, key: ApiKey, http: reqwest::Client) -> Self {
        let rest = format!("{}/rest/v1", url.0.as_str().trim_end_matches('/'));
        Self { rest, key, http }
    }

    /// Returns a builder of a request on `table`.
    #[must_use]
    pub fn from(&self, table: &str) -> Builder {
        // `Postgrest::new` would create another HTTP client.
        Builder::new(format!("{}/{table}", self.rest), None, HeaderMap::new(), self.http.clone())
    }

    /// Returns a pseudonym of a value, in hexadecimal digits: HMAC-SHA256 with the API key. Whoever reads the database
    /// alone cannot find the value by trying. It changes with the key. `kind` distinguishes equal values of different
    /// kinds.
    #[must_use]
    pub fn pseudonym(&self, kind: &str, value: &[&str]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.key.secret().expose_secret().as_bytes());
        let mut context = hmac::Context::with_key(&key);
        for part in std::iter::once(&kind).chain(value) {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        context.sign().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Sends a request and returns the body of the response.
    ///
    /// # Errors
    /// See [`SupabaseError`].
    pub async fn run(&self, query: Query<'_>) -> Result<Vec<u8>, SupabaseError> {
        Ok(self.run_up_to(usize::MAX, query).await?.body)
    }

    /// Sends a request and returns the body of the response, truncated to at most `max` bytes.
    ///
    /// # Errors
    /// See [`SupabaseError`].
    pub async fn run_up_to(&self, max: usize, query: Query<'_>) -> Result<Answer, SupabaseError> {
        let mut request = query.request.build().build()?;
        *request.timeout_mut() = Some(query.timeout);
        let headers = request.headers_mut();
        if let Some(prefer) = query.prefer {
            headers.insert("prefer", HeaderValue::from_static(prefer));
        }
        if let Some(trace) = trace::current().and_then(|trace| HeaderValue::try_from(trace).ok()) {
            headers.insert(trace::HEADER, trace);
        }
        headers.insert("apikey", secret_header("", self.key.secret())?);
        match (query.caller, self.key.is_jwt()) {
            (Caller::User(token), _) => {
                headers.insert(AUTHORIZATION, secret_header("Bearer ", token)?);
            }
            (Caller::Key, true) => {
                headers.insert(AUTHORIZATION, secret_header("Bearer ", self.key.secret())?);
            }
            // A new key is not a JWT and must not be in `Authorization`.
            (Caller::Key, false) => {}
        }

        let mut response = crate::http::send(&self.http, request).await?;
        let status = response.status();
        let mut answer = Answer { body: Vec::new(), is_whole: true };
        while let Some(chunk) = response.chunk().await? {
            let room = max - answer.body.len();
            answer.is_whole = chunk.len() <= room;
            answer.body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if !answer.is_whole {
                break;
            }
        }
        if status.is_success() {
            Ok(answer)
        } else {
            Err(SupabaseError::rejected(status.as_u16(), &answer.body))
        }
    }
}

/// Builds a header value that is never printed.
fn secret_header(scheme: &str, secret: &SecretString) -> Result<HeaderValue, SupabaseError> {
    let value = format!("{scheme}{}", secret.expose_secret());
    let mut value = HeaderValue::try_from(value).map_err(|_| SupabaseError::Unsendable)?;
    value.set_sensitive(true);
    Ok(value)
}
