//! The responder of `reply`: the echo, a language model, or none.

use std::collections::BTreeMap;

use anyhow::{bail, ensure};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

/// The key that the fake model gets.
pub const FAKE_API_KEY: &str = "local-llm-api-key";
/// The model that is asked for at the fake.
pub const FAKE_MODEL: &str = "fake-model";

/// The variable with the responder's name.
const RESPONDER: &str = "REPLY_RESPONDER";

/// A responder of `reply`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Responder {
    /// Repeats the words of each message.
    #[default]
    Echo,
    /// A language model answers.
    Llm,
    /// Records messages and answers nothing.
    Silent,
}

/// The options of the responder.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ResponderOptions {
    /// What answers: `echo` repeats a message, `llm` is a language model, `silent` records messages and answers
    /// nothing. By default the echo, or with `--llm-url` the model. The page can change it.
    #[arg(long, global = true, value_enum)]
    pub responder: Option<Responder>,
    /// The server of the language model instead of a fake: the base address of its chat completions, such as
    /// http://127.0.0.1:11434/v1 for Ollama. Needs `--llm-model`.
    #[arg(long, global = true, value_name = "URL", value_parser = crate::endpoint::parse)]
    pub llm_url: Option<String>,
    /// The name that the model has there.
    #[arg(long, global = true, value_name = "NAME")]
    pub llm_model: Option<String>,
    /// The server's key, if it needs one. Better in the variable: other users of the machine can read arguments.
    #[arg(long, global = true, value_name = "KEY")]
    #[arg(env = "LLM_API_KEY", hide_env_values = true, value_parser = crate::endpoint::secret)]
    pub llm_api_key: Option<SecretString>,
}

/// A language model on a server.
#[derive(Clone, Debug)]
pub struct ModelServer {
    /// The base address of its chat completions.
    pub url: String,
    /// Its name there.
    pub model: String,
    key: Option<SecretString>,
}

impl ResponderOptions {
    /// Returns the responder to begin with, and the model's server unless it is the fake.
    ///
    /// # Errors
    /// Names the missing option.
    pub fn read(&self) -> anyhow::Result<(Responder, Option<ModelServer>)> {
        let server = match (&self.llm_url, &self.llm_model) {
            (Some(url), Some(model)) => {
                let url = url.trim_end_matches('/').to_owned();
                Some(ModelServer { url, model: model.clone(), key: self.llm_api_key.clone() })
            }
            (Some(_), None) => bail!("--llm-url needs --llm-model: the name of a model on that server"),
            (None, Some(_)) => bail!("--llm-model needs --llm-url: without it a fake model answers"),
            (None, None) => None,
        };
        let default = if server.is_some() { Responder::Llm } else { Responder::Echo };
        Ok((self.responder.unwrap_or(default), server))
    }

    /// Checks that the echo answers, for a command that compares the words of replies.
    ///
    /// # Errors
    /// When another responder is selected, or an option is missing.
    pub fn check_echo(&self, command: &str) -> anyhow::Result<()> {
        let (responder, _) = self.read()?;
        ensure!(
            responder == Responder::Echo,
            "{command} compares replies with messages: it needs --responder echo"
        );
        Ok(())
    }
}

impl ModelServer {
    /// The fake at this address.
    pub(crate) fn fake(url: String) -> Self {
        Self { url, model: FAKE_MODEL.to_owned(), key: Some(SecretString::from(FAKE_API_KEY)) }
    }

    /// The variables of `reply` that name it.
    pub(crate) fn environment(&self) -> BTreeMap<String, String> {
        let key = self.key.as_ref().map(|key| key.expose_secret().to_owned());
        let variables = [
            ("LLM_URL", Some(self.url.clone())),
            ("LLM_MODEL", Some(self.model.clone())),
            ("LLM_API_KEY", key),
        ];
        variables.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

impl Responder {
    /// The variable of `reply` that selects it.
    #[must_use]
    pub fn environment(self) -> BTreeMap<String, String> {
        let name = match self {
            Self::Echo => "echo",
            Self::Llm => "llm",
            Self::Silent => "silent",
        };
        BTreeMap::from([(RESPONDER.to_owned(), name.to_owned())])
    }

    /// Whether this reply to a text, or none, is as expected.
    #[must_use]
    pub fn may_answer(self, text: &str, reply: Option<&str>) -> bool {
        match self {
            Self::Echo => reply == Some(text),
            Self::Llm => reply.is_some_and(|reply| !reply.is_empty()),
            Self::Silent => reply.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(responder: Option<Responder>, url: Option<&str>, model: Option<&str>) -> Result<String, String> {
        let [llm_url, llm_model] = [url, model].map(|text| text.map(str::to_owned));
        let options = ResponderOptions { responder, llm_url, llm_model, llm_api_key: None };
        match options.read() {
            Ok((responder, server)) => Ok(format!("{responder:?} {:?}", server.map(|server| server.url))),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn a_server_needs_a_model_and_makes_it_the_responder() {
        let url = Some("http://127.0.0.1:11434/v1/");
        assert_eq!(read(None, None, None), Ok("Echo None".to_owned()));
        assert_eq!(read(Some(Responder::Llm), None, None), Ok("Llm None".to_owned()));
        let expected = "Some(\"http://127.0.0.1:11434/v1\")";
        assert_eq!(read(None, url, Some("llama")), Ok(format!("Llm {expected}")));
        assert_eq!(read(Some(Responder::Silent), url, Some("llama")), Ok(format!("Silent {expected}")));
        assert!(read(None, url, None).is_err_and(|error| error.contains("needs --llm-model")));
        assert!(read(None, None, Some("llama")).is_err_and(|error| error.contains("needs --llm-url")));
    }
}
