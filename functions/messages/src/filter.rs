//! Which messages of the history are asked for.

use std::fmt;
use std::str::FromStr;

use postgrest::Builder;

/// Characters of a name at most.
const MAX_LENGTH: usize = 64;

/// `?channel=&role=`: only the rows that have these values. The default is all rows.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Filter {
    /// Where a message was exchanged.
    pub channel: Option<Name>,
    /// Who wrote it.
    pub role: Option<Name>,
}

/// The name of a channel or of a role: 1 to 64 ASCII letters, digits, `_`, `-` and `.`. Which of them there are
/// is not asked: a table may hold another program's.
///
/// These characters stand for themselves in a URL and in a header.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Name(String);

/// Text that is no name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NoName;

/// The parameter of this name has a value that is no [`Name`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0} must be 1 to {MAX_LENGTH} of the characters a-z, A-Z, 0-9, _, - and .")]
pub struct FilterError(&'static str);

impl Filter {
    /// Reads the values of the parameters.
    ///
    /// # Errors
    /// When one is given, and is no [`Name`]. An empty one is none.
    pub fn parse(channel: Option<&str>, role: Option<&str>) -> Result<Self, FilterError> {
        let name = |parameter, text: Option<&str>| {
            text.map(str::parse).transpose().map_err(|NoName| FilterError(parameter))
        };
        Ok(Self { channel: name("channel", channel)?, role: name("role", role)? })
    }

    /// Restricts a request to the rows that pass.
    ///
    /// PostgREST compares with all that follows `eq.`, as text: `null`, `true` and `not.eq.x` are values like
    /// others, and a dot begins nothing. (Source: `pOpExpr` and `pSingleVal` in its `QueryParams.hs`.)
    #[must_use]
    pub fn restrict(&self, request: Builder) -> Builder {
        self.given().fold(request, |request, (column, Name(value))| request.eq(column, value))
    }

    /// The columns, which have the names of the parameters, and their values, always in the same order.
    fn given(&self) -> impl Iterator<Item = (&'static str, &Name)> {
        let Self { channel, role } = self;
        [("channel", channel), ("role", role)]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_ref()?)))
    }
}

impl fmt::Display for Filter {
    /// As further parameters of a query: `&channel=whatsapp&role=user`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.given().try_for_each(|(parameter, Name(value))| write!(f, "&{parameter}={value}"))
    }
}

impl FromStr for Name {
    type Err = NoName;

    fn from_str(text: &str) -> Result<Self, NoName> {
        let of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        let is_name = (1..=MAX_LENGTH).contains(&text.len()) && text.bytes().all(of_a_name);
        if is_name { Ok(Self(text.to_owned())) } else { Err(NoName) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_as_it_is_whoever_uses_it() {
        for text in
            ["user", "assistant", "whatsapp", "System", "web-2.ios_beta", "null", ".", "7", &"a".repeat(64)]
        {
            let filter = Filter::parse(Some(text), None).expect(text);
            assert_eq!(filter, Filter { channel: Some(Name(text.to_owned())), role: None });
        }
    }

    #[test]
    fn what_is_no_name_is_refused_and_the_parameter_is_named() {
        let too_long = "a".repeat(65);
        for text in
            ["", " ", "user ", "a,b", "(a)", "\"a\"", "a&b", "a=b", "a%20", "*", "é", "a\nb", &too_long]
        {
            assert_eq!(Filter::parse(Some(text), Some("user")), Err(FilterError("channel")), "{text}");
            assert_eq!(Filter::parse(Some("whatsapp"), Some(text)), Err(FilterError("role")), "{text}");
        }
    }

    #[test]
    fn as_parameters_it_is_in_one_order_and_nothing_when_it_lets_all_rows_pass() {
        let text = |channel, role| Filter::parse(channel, role).expect("a filter").to_string();
        assert_eq!(text(None, None), "");
        assert_eq!(text(None, Some("user")), "&role=user");
        assert_eq!(text(Some("a.b"), Some("user")), "&channel=a.b&role=user");
    }
}
