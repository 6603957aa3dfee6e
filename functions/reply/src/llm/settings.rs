//! Settings of the language model, from environment variables and the secrets.

use std::num::ParseIntError;
use std::str::FromStr;
use std::time::Duration;

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use shared::lambda::env::{self, EnvError};
use shared::lambda::secrets::Secrets;

use super::limits::Limits;
use crate::budget::RESPONDER;

/// The default text of `LLM_INSTRUCTIONS`.
pub const INSTRUCTIONS: &str = "You answer the messages that people write to a business.";

/// The default text of `LLM_FALLBACK_TEXT`.
pub const FALLBACK_TEXT: &str = "Sorry, I cannot answer right now. Please try again later.";

/// The default text of `LLM_LIMIT_TEXT`.
pub const LIMIT_TEXT: &str = "I have given as many answers as I can for today. Please write again tomorrow.";

/// The default of `LLM_HISTORY`.
pub const HISTORY: usize = 30;

/// The default of `LLM_MAX_TOKENS`.
pub const MAX_TOKENS: u32 = 4000;

/// All settings of the language model.
#[derive(Clone, Debug)]
pub struct LlmSettings {
    /// How to reach it.
    pub api: ApiSettings,
    /// What to ask it, and what to do without an answer.
    pub rules: Rules,
}

/// How to reach a model.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// `LLM_URL`.
    pub url: BaseUrl,
    /// `LLM_MODEL`: its name.
    pub model: String,
    /// `LLM_API_KEY`: a bearer token; `None` for a server without keys.
    pub key: Option<SecretString>,
    /// `LLM_MAX_TOKENS`: the tokens of an answer at most, including those of reasoning.
    pub max_tokens: u32,
}

/// What to ask a model, and what to do without an answer.
#[derive(Clone, Debug)]
pub struct Rules {
    /// `LLM_INSTRUCTIONS`: whom it answers for, about what, and how.
    pub instructions: String,
    /// `LLM_HISTORY`: the messages of the conversation so far that it gets, at most.
    pub history: usize,
    /// `LLM_REQUIRE_HISTORY`: whether a message waits while the conversation so far cannot be read.
    pub requires_history: bool,
    /// `LLM_TIMEOUT`: the time for an answer, with all that it takes.
    pub timeout: Duration,
    /// `LLM_FALLBACK_TEXT`: the reply without an answer; `None` for no reply.
    pub fallback_text: Option<String>,
    /// `LLM_USER_DAILY_ANSWERS`, `LLM_DAILY_ANSWERS`, `LLM_DAILY_TOKENS`.
    pub limits: Limits,
    /// `LLM_LIMIT_TEXT`: the reply at a limit, once a user and day.
    pub limit_text: String,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            instructions: INSTRUCTIONS.to_owned(),
            history: HISTORY,
            requires_history: false,
            timeout: RESPONDER,
            fallback_text: Some(FALLBACK_TEXT.to_owned()),
            limits: Limits::default(),
            limit_text: LIMIT_TEXT.to_owned(),
        }
    }
}

/// The base address of an API, such as `https://api.openai.com/v1`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BaseUrl(pub(super) Url);

/// A string that is not a base address.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("expected a base address such as https://api.openai.com/v1, without /chat/completions, ? and #")]
pub struct BaseUrlError;

impl FromStr for BaseUrl {
    type Err = BaseUrlError;

    fn from_str(text: &str) -> Result<Self, BaseUrlError> {
        let url = Url::parse(text).map_err(|_| BaseUrlError)?;
        let is_base = matches!(url.scheme(), "http" | "https")
            && url.query().is_none()
            && url.fragment().is_none()
            && !url.path().trim_end_matches('/').ends_with("/chat/completions");
        if is_base { Ok(Self(url)) } else { Err(BaseUrlError) }
    }
}

/// A whole number within bounds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Whole<const LEAST: u32, const MOST: u32>(u32);

/// A string that is not a whole number within bounds.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
enum WholeError {
    #[error("expected a whole number: {0}")]
    Number(#[from] ParseIntError),
    #[error("expected a number from {0} to {1}")]
    OutOfBounds(u32, u32),
}

impl<const LEAST: u32, const MOST: u32> FromStr for Whole<LEAST, MOST> {
    type Err = WholeError;

    fn from_str(text: &str) -> Result<Self, WholeError> {
        let number = text.parse()?;
        if (LEAST..=MOST).contains(&number) {
            Ok(Self(number))
        } else {
            Err(WholeError::OutOfBounds(LEAST, MOST))
        }
    }
}

/// The longest `LLM_TIMEOUT`, in seconds.
const MAX_TIMEOUT: u32 = RESPONDER.as_secs() as u32;

impl LlmSettings {
    /// Reads all settings, with these secrets. The instructions may be in the secret, where more room is: an environment has
    /// 4 KB, a secret 64.
    ///
    /// # Errors
    /// Names the variable that is missing or unusable.
    pub fn read(secrets: &Secrets) -> Result<Self, EnvError> {
        let defaults = Rules::default();
        let instructions = secrets.optional("LLM_INSTRUCTIONS")?;
        let instructions = match instructions {
            Some(instructions) => Some(instructions.expose_secret().to_owned()),
            None => env::optional("LLM_INSTRUCTIONS")?,
        };
        let history = env::optional_parsed::<Whole<0, 200>>("LLM_HISTORY")?;
        let timeout = env::optional_parsed::<Whole<1, MAX_TIMEOUT>>("LLM_TIMEOUT")?;
        let max_tokens = env::optional_parsed::<Whole<1, { u32::MAX }>>("LLM_MAX_TOKENS")?;
        Ok(Self {
            api: ApiSettings {
                url: env::parsed("LLM_URL")?,
                model: env::required("LLM_MODEL")?,
                key: secrets.optional("LLM_API_KEY")?,
                max_tokens: max_tokens.map_or(MAX_TOKENS, |tokens| tokens.0),
            },
            rules: Rules {
                instructions: instructions.unwrap_or(defaults.instructions),
                history: history.map_or(defaults.history, |messages| messages.0 as usize),
                requires_history: env::optional_parsed("LLM_REQUIRE_HISTORY")?.unwrap_or_default(),
                timeout: timeout.map_or(defaults.timeout, |seconds| Duration::from_secs(seconds.0.into())),
                // Empty is a value, unlike unset.
                fallback_text: match env::maybe_empty("LLM_FALLBACK_TEXT")? {
                    Some(text) => Some(text).filter(|text| !text.is_empty()),
                    None => defaults.fallback_text,
                },
                limits: Limits {
                    user_answers: env::optional_parsed("LLM_USER_DAILY_ANSWERS")?,
                    answers: env::optional_parsed("LLM_DAILY_ANSWERS")?,
                    output_tokens: env::optional_parsed("LLM_DAILY_TOKENS")?,
                },
                limit_text: env::optional("LLM_LIMIT_TEXT")?.unwrap_or(defaults.limit_text),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_address_is_parsed() {
        for (text, is_base) in [
            ("https://api.openai.com/v1", true),
            ("https://generativelanguage.googleapis.com/v1beta/openai/", true),
            ("http://127.0.0.1:11434/v1", true),
            ("http://localhost:8080", true),
            ("https://api.openai.com/v1/chat/completions", false),
            ("https://api.openai.com/v1/chat/completions/", false),
            ("https://api.openai.com/v1?key=k", false),
            ("https://api.openai.com/v1#x", false),
            ("ftp://api.openai.com/v1", false),
            ("api.openai.com/v1", false),
            ("mailto:a@example.com", false),
            ("", false),
        ] {
            assert_eq!(text.parse::<BaseUrl>().is_ok(), is_base, "{text}");
        }
    }

    #[test]
    fn a_number_has_bounds() {
        assert_eq!("45".parse::<Whole<1, 45>>(), Ok(Whole(45)));
        for text in ["0", "46"] {
            assert_eq!(text.parse::<Whole<1, 45>>(), Err(WholeError::OutOfBounds(1, 45)), "{text}");
        }
        for text in ["", "-1", "1.5", "ten", "99999999999"] {
            assert!(text.parse::<Whole<1, 45>>().is_err(), "{text}");
        }
    }
}
