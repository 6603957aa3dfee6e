//! The bridge between `postgrest` 1.6.0, which builds requests for reqwest 0.11, and our client.

use postgrest::Builder;
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, Request, Url};

use super::SupabaseError;

/// The request that `builder` describes, for our client.
pub(super) fn translate(builder: Builder) -> Result<Request, SupabaseError> {
    let built = builder.build().build().map_err(|_| SupabaseError::Unsendable)?;
    let method = Method::from_bytes(built.method().as_str().as_bytes());
    let url = Url::parse(built.url().as_str());
    let (Ok(method), Ok(url)) = (method, url) else { return Err(SupabaseError::Unsendable) };
    let mut request = Request::new(method, url);
    for (name, value) in built.headers() {
        let name = HeaderName::from_bytes(name.as_str().as_bytes());
        let value = HeaderValue::from_bytes(value.as_bytes());
        let (Ok(name), Ok(value)) = (name, value) else { return Err(SupabaseError::Unsendable) };
        request.headers_mut().append(name, value);
    }
    if let Some(bytes) = built.body().and_then(|body| body.as_bytes()) {
        *request.body_mut() = Some(bytes.to_vec().into());
    }
    Ok(request)
}
