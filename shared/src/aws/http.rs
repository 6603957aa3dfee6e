//! Sends the SDK's requests with [`crate::http::client`]: one HTTP and TLS stack, with trusted roots compiled in.
//!
//! The SDK's own HTTP client would be a second hyper and rustls, and would read the system's roots at every cold start.

use aws_sdk_sqs::config::http::{HttpRequest, HttpResponse};
use aws_sdk_sqs::config::{HttpClient, RuntimeComponents, SharedHttpClient};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;

use crate::http::{How, NoAnswer, attempt};

/// Returns the HTTP client for a client of the SDK. The SDK sets the timeouts of calls and attempts;
/// [`crate::http::CONNECT_TIMEOUT`] limits the opening of a connection.
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

/// Sends a call, and retries it immediately while it fails on reused connections that were closed: the SDK would wait
/// before its retry.
async fn send(http: &reqwest::Client, mut call: HttpRequest) -> Result<reqwest::Response, ConnectorError> {
    loop {
        let retry = call.try_clone();
        let request = call.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
        let request = reqwest::Request::try_from(request.map(reqwest::Body::wrap))
            .map_err(|error| ConnectorError::user(error.into()))?;
        call = match (attempt(http, request).await, retry) {
            (Ok(response), _) => return Ok(response),
            (Err(NoAnswer { how: How::ReusedConnectionBroke, .. }), Some(retry)) => retry,
            (Err(NoAnswer { error, .. }), _) => return Err(kind(error)),
        };
    }
}

/// Maps an error to the SDK's kinds: the SDK retries timeouts and I/O errors, and no others.
fn kind(error: reqwest::Error) -> ConnectorError {
    if error.is_timeout() {
        ConnectorError::timeout(error.into())
    } else if error.is_builder() {
        ConnectorError::user(error.into())
    } else {
        ConnectorError::io(error.into())
    }
}
