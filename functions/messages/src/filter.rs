//! The filter of the requested messages: `channel` and `role`.

use std::fmt;
use std::str::FromStr;

use postgrest::Builder;

/// Maximum number of characters of a name.
const MAX_LENGTH: usize = 64;

/// `?channel=&role=`: only rows with these values. The default is all rows.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Filter {
    /// The channel of the message.
    pub channel: Option<Name>,
    /// The role of the author.
    pub role: Option<Name>,
}

/// The name of a channel or of a role: 1 to 64 ASCII letters, digits, `_`, `-` and `.`. Unknown names are accepted: the
/// table may hold those of another program.
///
/// These characters need no escaping in a URL and in a header.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Name(String);

/// A string that is not a [`Name`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InvalidName;

/// The value of the named parameter is not a [`Name`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0} must be 1 to {MAX_LENGTH} of the characters a-z, A-Z, 0-9, _, - and .")]
pub struct FilterError(&'static str);

impl Filter {
    /// Reads the values of the parameters.
    ///
    /// # Errors
    /// When a given value is not a [`Name`]; an empty value is not.
    pub fn parse(channel: Option<&str>, role: Option<&str>) -> Result<Self, FilterError> {
        let name = |parameter, text: Option<&str>| {
            text.map(str::parse).transpose().map_err(|InvalidName| FilterError(parameter))
        };
        Ok(Self { channel: name("channel", channel)?, role: name("role", role)? })
    }

    /// Restricts a request to the matching rows.
    ///
    /// PostgREST compares with the whole string after `eq.`: `null`, `true` and `not.eq.x` are ordinary values, and a
    /// dot has no special meaning. (Source: `pOpExpr` and `pSingleVal` in its `QueryParams.hs`.)
    #[must_use]
    pub fn restrict(&self, request: Builder) -> Builder {
        self.given().fold(request, |request, (column, Name(value))| request.eq(column, value))
    }

    /// Returns the given columns, named like the parameters, and their values, always in the same order.
    fn given(&self) -> impl Iterator<Item = (&'static str, &Name)> {
        let Self { channel, role } = self;
        [("channel", channel), ("role", role)]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_ref()?)))
    }
}

impl fmt::Display for Filter {
    /// Writes the filter as further parameters of a query: `&channel=whatsapp&role=user`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.given().try_for_each(|(parameter, Name(value))| write!(f, "&{parameter}={value}"))
    }
}

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        let is_name = (1..=MAX_LENGTH).contains(&text.len()) && text.bytes().all(is_allowed);
        if is_name { Ok(Self(text.to_owned())) } else { Err(InvalidName) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_any_program_is_accepted_unchanged() {
        for text in
            ["user", "assistant", "whatsapp", "System", "web-2.ios_beta", "null", ".", "7", &"a".repeat(64)]
        {
            let filter = Filter::parse(Some(text), None).expect(text);
            assert_eq!(filter, Filter { channel: Some(Name(text.to_owned())), role: None });
        }
    }

    #[test]
    fn an_invalid_name_is_refused_with_its_parameter() {
        let too_long = "a".repeat(65);
        for text in
            ["", " ", "user ", "a,b", "(a)", "\"a\"", "a&b", "a=b", "a%20", "*", "é", "a\nb", &too_long]
        {
            assert_eq!(Filter::parse(Some(text), Some("user")), Err(FilterError("channel")), "{text}");
            assert_eq!(Filter::parse(Some("whatsapp"), Some(text)), Err(FilterError("role")), "{text}");
        }
    }

    #[test]
    fn query_parameters_have_one_order_and_may_be_empty() {
        let text = |channel, role| Filter::parse(channel, role).expect("a filter").to_string();
        assert_eq!(text(None, None), "");
        assert_eq!(text(None, Some("user")), "&role=user");
        assert_eq!(text(Some("a.b"), Some("user")), "&channel=a.b&role=user");
    }
}
