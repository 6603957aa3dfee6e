//! Settings from environment variables.

use std::fmt::Display;
use std::str::FromStr;

use secrecy::SecretString;

/// A missing or invalid setting. The message names the variable, never its value.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EnvError {
    /// A required variable is not set, or is empty.
    #[error("{0} is not set: see docs/CONFIGURATION.md")]
    Missing(&'static str),
    /// A required secret is not in the secret of `SECRET_ID`, or is empty.
    #[error("{0} is not in the secret of SECRET_ID: see docs/CONFIGURATION.md")]
    MissingSecret(&'static str),
    /// A variable has an invalid value.
    #[error("{name} is not usable: {reason}")]
    Unusable {
        /// The variable.
        name: &'static str,
        /// The fault of its value.
        reason: String,
    },
}

/// Returns the value of `name`, without surrounding white space; `None` when unset or empty.
///
/// # Errors
/// [`EnvError::Unusable`] when it is not UTF-8.
pub fn optional(name: &'static str) -> Result<Option<String>, EnvError> {
    Ok(maybe_empty(name)?.filter(|value| !value.is_empty()))
}

/// Returns the value of `name`, without surrounding white space, which may be empty; `None` when unset.
///
/// # Errors
/// [`EnvError::Unusable`] when it is not UTF-8.
pub fn maybe_empty(name: &'static str) -> Result<Option<String>, EnvError> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value.trim().to_owned())),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(EnvError::Unusable { name, reason: "it is not valid UTF-8".to_owned() })
        }
    }
}

/// Returns the value of `name`.
///
/// # Errors
/// [`EnvError::Missing`] when unset or empty.
pub fn required(name: &'static str) -> Result<String, EnvError> {
    optional(name)?.ok_or(EnvError::Missing(name))
}

/// Returns the value of `name` as a type that does not print it.
///
/// # Errors
/// [`EnvError::Missing`] when unset or empty.
pub fn secret(name: &'static str) -> Result<SecretString, EnvError> {
    required(name).map(SecretString::from)
}

/// Returns the value of `name`, parsed.
///
/// # Errors
/// [`EnvError::Missing`] when unset or empty, [`EnvError::Unusable`] when it cannot be parsed.
pub fn parsed<T: FromStr<Err: Display>>(name: &'static str) -> Result<T, EnvError> {
    parse(name, &required(name)?)
}

/// Returns the value of `name`, parsed; `None` when unset or empty.
///
/// # Errors
/// [`EnvError::Unusable`] when it is set and cannot be parsed.
pub fn optional_parsed<T: FromStr<Err: Display>>(name: &'static str) -> Result<Option<T>, EnvError> {
    optional(name)?.map(|value| parse(name, &value)).transpose()
}

fn parse<T: FromStr<Err: Display>>(name: &'static str, value: &str) -> Result<T, EnvError> {
    value.parse().map_err(|error: T::Err| EnvError::Unusable { name, reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    // The tests only read the environment: changing it is not safe in a process with threads.
    #[test]
    fn an_unset_variable_is_named_in_the_error() {
        let error = required("SHARED_TEST_UNSET").expect_err("unset");
        assert_eq!(error, EnvError::Missing("SHARED_TEST_UNSET"));
        assert!(error.to_string().contains("SHARED_TEST_UNSET"));
        assert_eq!(optional("SHARED_TEST_UNSET"), Ok(None));
        assert_eq!(maybe_empty("SHARED_TEST_UNSET"), Ok(None));
        assert_eq!(optional_parsed::<u8>("SHARED_TEST_UNSET"), Ok(None));
    }

    #[test]
    fn an_invalid_value_is_not_repeated_in_the_error() {
        let error = parse::<u8>("NAME", "hunter2").expect_err("not a number");
        assert_eq!(error.to_string(), "NAME is not usable: invalid digit found in string");
    }
}
