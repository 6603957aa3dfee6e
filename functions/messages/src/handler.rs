//! Routing of requests and the responses to them.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, LINK};
use http::{Method, Response};
use lambda_http::{Body, Request, RequestExt};
use shared::lambda::counter::Counter;
use shared::lambda::logging::ShortWamid;
use shared::lambda::metrics::milliseconds_since;
use tokio::time::Instant;
use tracing::info;

use crate::bearer;
use crate::history::{HistoryError, Pages};
use crate::page::Page;
use crate::problem::Problem;

/// The function and its source of pages.
#[derive(Clone)]
pub struct Messages<P> {
    history: P,
}

impl<P: Pages> Messages<P> {
    /// Creates the function with `history` as its source of pages.
    #[must_use]
    pub fn new(history: P) -> Self {
        Self { history }
    }

    /// Handles one request.
    pub async fn handle(&self, request: Request) -> Response<Body> {
        let answer = match (request.uri().path(), request.method()) {
            ("/messages" | "/messages/", &Method::GET) => self.page(&request).await,
            ("/messages" | "/messages/", _) => Err(Problem::Method),
            _ => Err(Problem::NotFound),
        };
        answer.unwrap_or_else(Problem::into_response)
    }

    async fn page(&self, request: &Request) -> Result<Response<Body>, Problem> {
        let token = bearer::token(request.headers())?;
        let page = Page::parse(&request.query_string_parameters())?;
        let start = Instant::now();
        let found = self.history.page(&token, &page).await?;
        let duration_ms = milliseconds_since(start);
        let body = serde_json::to_string(&found.messages).map_err(|_| HistoryError::Unreadable)?;
        let wamids: Vec<_> =
            found.messages.iter().flat_map(|message| message.wamids.iter().flatten()).collect();
        let wamids =
            wamids.into_iter().map(|wamid| ShortWamid::of(wamid).as_str()).collect::<Vec<_>>().join(" ");
        let user_id = found.messages.first().map(|message| tracing::field::display(message.user_id));
        let messages = found.messages.len();
        info!(
            counter = Counter::HistoryPages.name(),
            user_id,
            messages,
            more = found.more,
            wamids,
            duration_ms,
            "history read"
        );

        let mut response = Response::new(Body::from(body));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // The messages of one user: no cache may store them.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(last) = found.messages.last().filter(|_| found.more)
            && let Ok(link) = HeaderValue::try_from(page.link_to_next(last))
        {
            headers.insert(LINK, link);
        }
        Ok(response)
    }
}
