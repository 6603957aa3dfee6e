//! The requested page of the history, and the link to the next one.

use lambda_http::aws_lambda_events::query_map::QueryMap;
use shared::supabase::rows::MessageResponse;

use crate::cursor::{Cursor, CursorError};
use crate::filter::{Filter, FilterError};

/// Number of messages in a page without the parameter `limit`.
pub const DEFAULT_LIMIT: usize = 50;
/// Maximum number of messages in a page.
pub const MAX_LIMIT: usize = 200;

/// `?limit=&before=&channel=&role=`
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Page {
    /// Maximum number of messages in the page, 1 to [`MAX_LIMIT`].
    pub limit: usize,
    /// The start of the page; `None` is the newest message.
    pub before: Option<Cursor>,
    /// The filter of its messages.
    pub filter: Filter,
}

/// Invalid query parameters.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PageError {
    /// `limit` is not a number from 1 to 200.
    #[error("limit must be a whole number from 1 to {MAX_LIMIT}")]
    Limit,
    /// A parameter is repeated, so its value is ambiguous.
    #[error("{0} must not be given more than once")]
    Repeated(&'static str),
    /// `before` is not a cursor.
    #[error(transparent)]
    Before(#[from] CursorError),
    /// `channel` or `role` is not a name.
    #[error(transparent)]
    Filter(#[from] FilterError),
}

impl Page {
    /// Reads the query parameters. Unknown parameters are ignored.
    ///
    /// # Errors
    /// See [`PageError`].
    pub fn parse(query: &QueryMap) -> Result<Self, PageError> {
        let (limit, before) = (only(query, "limit")?, only(query, "before")?);
        let (channel, role) = (only(query, "channel")?, only(query, "role")?);
        let limit = match limit {
            None => DEFAULT_LIMIT,
            Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit)).ok_or(PageError::Limit)?
            }
            Some(_) => return Err(PageError::Limit),
        };
        let before = before.map(str::parse).transpose()?;
        Ok(Self { limit, before, filter: Filter::parse(channel, role)? })
    }

    /// Returns the value of the `Link` header (RFC 8288) from the page with the last message `last` to the next page
    /// with the same filter. The address is relative, so that it is valid under any domain.
    #[must_use]
    pub fn link_to_next(&self, last: &MessageResponse) -> String {
        let Self { limit, filter, .. } = self;
        let before = Cursor::after(last);
        format!("</messages?limit={limit}&before={before}{filter}>; rel=\"next\"")
    }
}

/// Returns the value of a parameter that may be given once.
fn only<'a>(query: &'a QueryMap, name: &'static str) -> Result<Option<&'a str>, PageError> {
    match query.all(name).as_deref() {
        None | Some([]) => Ok(None),
        Some([value]) => Ok(Some(value)),
        Some(_) => Err(PageError::Repeated(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(query: &str) -> Result<Page, PageError> {
        Page::parse(&query.parse().expect("a query"))
    }

    #[test]
    fn limit_is_50_unless_given_and_from_1_to_200() {
        let limit = |query: &str| page(query).map(|page| page.limit);
        assert_eq!(limit(""), Ok(50));
        assert_eq!(limit("limit=1"), Ok(1));
        assert_eq!(limit("limit=200"), Ok(200));
        for text in ["0", "201", "-1", "+5", "5.0", "", " 5", "1e2", "ten", "5,6", "99999999999999999999999"]
        {
            assert_eq!(
                limit(&format!("limit={}", text.replace('+', "%2B"))),
                Err(PageError::Limit),
                "{text}"
            );
        }
    }

    #[test]
    fn before_must_be_a_cursor() {
        assert_eq!(page("before=yesterday"), Err(PageError::Before(CursorError)));
    }

    #[test]
    fn a_repeated_parameter_is_refused_even_with_equal_values() {
        for (query, name) in [
            ("limit=2&limit=abc", "limit"),
            ("limit=2&limit=2", "limit"),
            ("before=&limit=5&before=", "before"),
            ("channel=web&channel=web", "channel"),
            ("role=user&limit=5&role=", "role"),
        ] {
            assert_eq!(page(query), Err(PageError::Repeated(name)), "{query}");
        }
    }

    #[test]
    fn unknown_parameters_are_ignored_with_any_value() {
        assert_eq!(page("select=*&roles=,&or=(x)&or=(y)&Role=!"), page(""));
    }

    proptest::proptest! {
        #[test]
        fn the_link_leads_to_the_next_page_with_the_same_filter(
            limit in 1..=MAX_LIMIT,
            channel in proptest::option::of("[A-Za-z0-9_.-]{1,64}"),
            role in proptest::option::of("user|assistant|[A-Za-z0-9_.-]{1,64}"),
            seconds in 0i64..253_402_300_800,
            id: u128,
        ) {
            let filter = Filter::parse(channel.as_deref(), role.as_deref()).expect("names");
            let this = Page { limit, before: None, filter };
            let row = serde_json::json!({
                "id": uuid::Uuid::from_u128(id), "user_id": uuid::Uuid::nil(),
                "created_at": chrono::DateTime::from_timestamp(seconds, 0)
            });
            let last = serde_json::from_value(row).expect("a row");

            let link = this.link_to_next(&last);
            let query = link.strip_prefix("</messages?").and_then(|rest| rest.strip_suffix(">; rel=\"next\""));
            let next = Page { before: Some(Cursor::after(&last)), ..this };
            proptest::prop_assert_eq!(page(query.expect("a link")), Ok(next.clone()));
            // Likewise from the next page.
            proptest::prop_assert_eq!(next.link_to_next(&last), link);
        }

        #[test]
        fn any_query_is_parsed_without_a_panic(text: String, values: [String; 4], known in "((limit|before|channel|role)=[^&]{0,9}&){0,4}") {
            let _ = page(&text);
            let _ = page(&known);
            let [limit, before, channel, role] = values;
            let _ = page(&format!("limit={limit}&before={before}&channel={channel}&role={role}"));
        }
    }
}
