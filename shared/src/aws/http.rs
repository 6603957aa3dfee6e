//! The SDK's requests, sent by [`crate::http::client`]: one HTTP and TLS stack, whose trusted roots are compiled in.
//!
//! The SDK's own HTTP client is the same hyper and rustls once more, and reads the system's roots at every cold start.

use aws_sdk_sqs::config::http::{HttpRequest, HttpResponse};
use aws_sdk_sqs::config::{HttpClient, RuntimeComponents, SharedHttpClient};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;

use crate::http::{How, NoAnswer, attempt};

/// Sends for a client of the SDK. How long a call and an attempt may take, the client itself says; how long opening a
/// connection, [`crate::http::CONNECT_TIMEOUT`].
pub(super) fn client(http: reqwest::Client) -> SharedHttpClient {
    SharedHttpClient::new(Client(SharedHttpConnector::new(Connector(http))))
}

#[derive(Debug)]
struct Client(SharedHttpConnector);

impl HttpClient for Client {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        self.0.clone()
    }
}

#[derive(Debug)]
struct Connector(reqwest::Client);

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let http = self.0.clone();
        HttpConnectorFuture::new(async move {
            let mut response = send(&http, request).await?;
            let mut answer = http::Response::new(());
            *answer.status_mut() = response.status();
            *answer.headers_mut() = std::mem::take(response.headers_mut());
            let body = response.bytes().await.map_err(kind)?;
            HttpResponse::try_from(answer.map(|()| SdkBody::from(body)))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// Sends a call, and again at once while it meets connections that were kept and broke: the SDK, which repeats every call
/// that broke off, would pause first.
async fn send(http: &reqwest::Client, mut call: HttpRequest) -> Result<reqwest::Response, ConnectorError> {
    loop {
        let again = call.try_clone();
        let request = call.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
        let request = reqwest::Request::try_from(request.map(reqwest::Body::wrap))
            .map_err(|error| ConnectorError::user(error.into()))?;
        call = match (attempt(http, request).await, again) {
            (Ok(response), _) => return Ok(response),
            (Err(NoAnswer { how: How::KeptConnectionBroke, .. }), Some(again)) => again,
            (Err(NoAnswer { error, .. }), _) => return Err(kind(error)),
        };
    }
}

/// What the SDK makes of it: it repeats a call that timed out or broke off, and no other.
fn kind(error: reqwest::Error) -> ConnectorError {
    if error.is_timeout() {
        ConnectorError::timeout(error.into())
    } else if error.is_builder() {
        ConnectorError::user(error.into())
    } else {
        ConnectorError::io(error.into())
    }
}
