//! One call of AWS Secrets Manager, `GetSecretValue`, signed by the SDK's `aws-sigv4` and sent by our own client.
//!
//! The SDK's client of this service would be 130 kB more of each binary, for one call. Source:
//! “GetSecretValue” and “Common errors”, AWS Secrets Manager API reference.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http::header::CONTENT_TYPE;
use secrecy::SecretString;
use serde::Deserialize;
use tokio::time::{sleep, timeout};

use super::AwsSettings;
use crate::logging::plain;

/// Attempts, the first included.
const ATTEMPTS: u32 = 3;
/// How long an attempt may take.
const ATTEMPT: Duration = Duration::from_secs(2);
/// How long all of them may take: an invocation waits for it.
const CALL: Duration = Duration::from_secs(4);
/// The pause before the second attempt; it doubles.
const PAUSE: Duration = Duration::from_millis(50);

/// A secret of Secrets Manager.
pub(crate) struct Secret {
    settings: AwsSettings,
    id: String,
    http: reqwest::Client,
}

/// Its value now.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SecretValue {
    /// The text; `None` when the value is bytes.
    pub secret_string: Option<SecretString>,
    /// Another value has another version.
    pub version_id: Option<String>,
}

impl Secret {
    /// The secret with this name or ARN.
    pub(crate) fn new(settings: &AwsSettings, id: &str, http: &reqwest::Client) -> Self {
        Self { settings: settings.clone(), id: id.to_owned(), http: http.clone() }
    }

    /// Reads its value.
    ///
    /// # Errors
    /// Why not: AWS's code, or what kind of failure it was. It holds nothing of the request or the answer.
    pub(crate) async fn value(&self) -> Result<SecretValue, String> {
        timeout(CALL, self.attempts()).await.unwrap_or_else(|_| Err("no answer in time".to_owned()))
    }

    async fn attempts(&self) -> Result<SecretValue, String> {
        let mut pause = PAUSE;
        for _ in 1..ATTEMPTS {
            match self.attempt().await {
                Err(Failure { is_passing: true, .. }) => sleep(pause).await,
                result => return result.map_err(|failure| failure.reason),
            }
            pause *= 2;
        }
        self.attempt().await.map_err(|failure| failure.reason)
    }

    async fn attempt(&self) -> Result<SecretValue, Failure> {
        let request = self.request().ok_or_else(|| Failure::lasting("the call cannot be made"))?;
        let response = crate::http::send(&self.http, request).await?;
        let status = response.status();
        let body = response.bytes().await?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|_| Failure::lasting("an answer without a secret"));
        }
        let error: ErrorBody = serde_json::from_slice(&body).unwrap_or_default();
        let is_passing =
            status.is_server_error() || status.as_u16() == 429 || error.kind.contains("Throttling");
        // Some services write the code with a namespace before it.
        let code = error.kind.rsplit('#').next().unwrap_or_default();
        Err(Failure { reason: plain(code).to_owned(), is_passing })
    }

    /// The signed call; `None` when it cannot be written down.
    fn request(&self) -> Option<reqwest::Request> {
        let AwsSettings { region, endpoint_url, .. } = &self.settings;
        let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let url = match endpoint_url {
            Some(url) => format!("{}/", url.trim_end_matches('/')),
            None => format!("https://secretsmanager.{region}.{suffix}/"),
        };
        let body = serde_json::json!({ "SecretId": self.id }).to_string();
        let headers = [
            (CONTENT_TYPE.as_str(), "application/x-amz-json-1.1"),
            ("x-amz-target", "secretsmanager.GetSecretValue"),
        ];

        let identity = Credentials::from(&self.settings).into();
        let signing = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name("secretsmanager")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .ok()?
            .into();
        let signable = SignableRequest::new(
            "POST",
            url.as_str(),
            headers.into_iter(),
            SignableBody::Bytes(body.as_bytes()),
        );
        let (instructions, _) = sign(signable.ok()?, &signing).ok()?.into_parts();

        let mut request = http::Request::post(url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let mut request = request.body(body).ok()?;
        instructions.apply_to_request_http1x(&mut request);
        let mut request = reqwest::Request::try_from(request).ok()?;
        *request.timeout_mut() = Some(ATTEMPT);
        Some(request)
    }
}

#[derive(Default, Deserialize)]
struct ErrorBody {
    #[serde(rename = "__type", default)]
    kind: String,
}

struct Failure {
    reason: String,
    /// Whether another attempt can succeed.
    is_passing: bool,
}

impl Failure {
    fn lasting(reason: &str) -> Self {
        Self { reason: reason.to_owned(), is_passing: false }
    }
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        let reason = if error.is_timeout() { "no answer in time" } else { "no connection" };
        Self { reason: reason.to_owned(), is_passing: !error.is_builder() }
    }
}
