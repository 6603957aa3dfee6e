//! The settings to check: the functions' own variables, and their sources.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use secrecy::SecretString;

use crate::env_file::{self, EnvFile};

/// The URL to which Meta posts; an output of the stack. A running `local` writes it into its file.
pub const WEBHOOK_URL: &str = "WEBHOOK_URL";
/// The URL of the history; an output of the stack.
pub const MESSAGES_URL: &str = "MESSAGES_URL";

/// A signed-in user's access token, with which a page of the history is read.
pub const USER_TOKEN: &str = "SUPABASE_USER_TOKEN";

/// The variables that identify a stack to check. (`GRAPH_API_URL`, `GRAPH_API_VERSION`, those of the responder and a
/// user's token do not suffice.)
const NAMES: [&str; 9] = [
    WEBHOOK_URL,
    MESSAGES_URL,
    "WHATSAPP_APP_SECRET",
    "WHATSAPP_VERIFY_TOKEN",
    "WHATSAPP_ACCESS_TOKEN",
    "WHATSAPP_PHONE_NUMBER_ID",
    "SUPABASE_URL",
    "SUPABASE_SECRET_KEY",
    "SUPABASE_PUBLISHABLE_KEY",
];

/// The settings, each of which may be missing.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `--url` or `WEBHOOK_URL`
    pub webhook_url: Option<String>,
    /// `--messages-url` or `MESSAGES_URL`
    pub messages_url: Option<String>,
    /// `WHATSAPP_APP_SECRET`
    pub app_secret: Option<SecretString>,
    /// `WHATSAPP_VERIFY_TOKEN`
    pub verify_token: Option<SecretString>,
    /// `WHATSAPP_ACCESS_TOKEN`
    pub access_token: Option<SecretString>,
    /// `WHATSAPP_PHONE_NUMBER_ID`
    pub phone_number_id: Option<String>,
    /// `GRAPH_API_VERSION`
    pub graph_version: Option<String>,
    /// `GRAPH_API_URL`
    pub graph_url: Option<String>,
    /// `REPLY_RESPONDER`
    pub responder: Option<String>,
    /// `LLM_URL`
    pub llm_url: Option<String>,
    /// `LLM_MODEL`
    pub llm_model: Option<String>,
    /// `LLM_API_KEY`
    pub llm_key: Option<SecretString>,
    /// `SUPABASE_URL`
    pub supabase_url: Option<String>,
    /// `SUPABASE_SECRET_KEY`
    pub secret_key: Option<SecretString>,
    /// `SUPABASE_PUBLISHABLE_KEY`
    pub publishable_key: Option<SecretString>,
    /// `SUPABASE_USER_TOKEN`: the access token of a signed-in user.
    pub user_token: Option<SecretString>,
}

/// The sources of settings.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// The JSON objects of the Secrets Manager secrets; `-` is standard input.
    pub secrets: &'a [PathBuf],
    /// A file of variables.
    pub env_file: EnvFile<'a>,
}

impl Settings {
    /// Reads the settings: from the secrets, then the named file, then the environment.
    ///
    /// `url` and `messages_url` are those of the command line.
    ///
    /// # Errors
    /// When a named file cannot be read, or no setting names a stack to check.
    pub fn read(
        url: Option<String>,
        messages_url: Option<String>,
        sources: Sources<'_>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Self> {
        let mut secret = HashMap::new();
        for path in sources.secrets {
            secret.extend(read_secret(path)?);
        }
        let mut file = match sources.env_file {
            EnvFile::Named(path) => env_file::read(path)?,
            EnvFile::OfLocal(_) => HashMap::new(),
        };
        let known = |file: &HashMap<String, String>, name: &str| {
            let value = secret.get(name).cloned().or_else(|| file.get(name).cloned());
            value.or_else(|| environment(name)).map(|value| value.trim().to_owned())
        };
        let known = |file: &_, name: &str| known(file, name).filter(|value| !value.is_empty());
        if url.is_none() && NAMES.iter().all(|name| known(&file, name).is_none()) {
            let path = match sources.env_file {
                EnvFile::Named(path) => bail!("{} contains none of {}", path.display(), NAMES.join(", ")),
                EnvFile::OfLocal(path) => path,
            };
            file = env_file::read(path).with_context(|| {
                format!(
                    "nothing to check. No `local` is running here: give --url, and --env-file or --secret, or \
                     set {}",
                    NAMES.join(", ")
                )
            })?;
        }
        let text = |name: &str| known(&file, name);
        let secret = |name: &str| text(name).map(SecretString::from);
        Ok(Self {
            webhook_url: url.or_else(|| text(WEBHOOK_URL)),
            messages_url: messages_url.or_else(|| text(MESSAGES_URL)),
            app_secret: secret("WHATSAPP_APP_SECRET"),
            verify_token: secret("WHATSAPP_VERIFY_TOKEN"),
            access_token: secret("WHATSAPP_ACCESS_TOKEN"),
            phone_number_id: text("WHATSAPP_PHONE_NUMBER_ID"),
            graph_version: text("GRAPH_API_VERSION"),
            graph_url: text("GRAPH_API_URL"),
            responder: text("REPLY_RESPONDER"),
            llm_url: text("LLM_URL"),
            llm_model: text("LLM_MODEL"),
            llm_key: secret("LLM_API_KEY"),
            supabase_url: text("SUPABASE_URL"),
            secret_key: secret("SUPABASE_SECRET_KEY"),
            publishable_key: secret("SUPABASE_PUBLISHABLE_KEY"),
            user_token: secret(USER_TOKEN),
        })
    }
}

/// Returns the secret's values. Errors do not contain its text.
fn read_secret(path: &Path) -> anyhow::Result<HashMap<String, String>> {
    let standard_input = || PathBuf::from("/dev/stdin");
    let path = if path == Path::new("-") { standard_input() } else { path.to_owned() };
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text)
        .map_err(|_| anyhow::anyhow!("{} is not a JSON object of strings", path.display()))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn nothing(_: &str) -> Option<String> {
        None
    }

    fn sources(env_file: EnvFile<'_>) -> Sources<'_> {
        Sources { secrets: &[], env_file }
    }

    #[test]
    fn the_secret_precedes_the_file_and_the_file_the_environment() {
        let directory = tempfile::tempdir().expect("a directory");
        let [webhook, reply, file] =
            ["webhook.json", "reply.json", "my.env"].map(|name| directory.path().join(name));
        std::fs::write(&webhook, r#"{"WHATSAPP_APP_SECRET": "of the secret"}"#).expect("written");
        std::fs::write(&reply, r#"{"SUPABASE_SECRET_KEY": "of the other secret"}"#).expect("written");
        let lines = "WHATSAPP_APP_SECRET=of the file\nWHATSAPP_VERIFY_TOKEN=of the file\n";
        std::fs::write(&file, lines).expect("written");
        let secrets = [webhook, reply];
        let sources = Sources { secrets: &secrets, ..sources(EnvFile::Named(&file)) };
        let settings = Settings::read(None, None, sources, |name| Some(format!("{name} of the environment")));
        let settings = settings.expect("settings");
        let text = |secret: Option<SecretString>| secret.expect("set").expose_secret().to_owned();
        assert_eq!(text(settings.app_secret), "of the secret");
        assert_eq!(text(settings.secret_key), "of the other secret");
        assert_eq!(text(settings.verify_token), "of the file");
        assert_eq!(text(settings.access_token), "WHATSAPP_ACCESS_TOKEN of the environment");
    }

    #[test]
    fn settings_of_the_running_local_do_not_mix_with_others() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("local.env");
        std::fs::write(&file, "SUPABASE_URL=\"http://here\"\n").expect("written");
        let alone = Settings::read(None, None, sources(EnvFile::OfLocal(&file)), nothing).expect("settings");
        assert_eq!(alone.supabase_url.as_deref(), Some("http://here"));

        let url = Some("https://there/webhook".to_owned());
        let given = Settings::read(url, None, sources(EnvFile::OfLocal(&file)), nothing).expect("settings");
        assert_eq!(given.supabase_url, None);
        let set = |name: &str| (name == "WHATSAPP_APP_SECRET").then(|| "x".to_owned());
        let given = Settings::read(None, None, sources(EnvFile::OfLocal(&file)), set).expect("settings");
        assert_eq!(given.supabase_url, None);
    }

    #[test]
    fn missing_settings_are_named_and_secrets_are_not_printed() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("none.env");
        let error = Settings::read(None, None, sources(EnvFile::OfLocal(&file)), nothing)
            .expect_err("nothing is set");
        assert!(format!("{error:#}").contains("--url"), "{error:#}");

        std::fs::write(&file, "hunter2").expect("written");
        let secrets = [file.clone()];
        let sources = Sources { secrets: &secrets, ..sources(EnvFile::OfLocal(&file)) };
        let error = Settings::read(None, None, sources, nothing).expect_err("not JSON");
        assert!(!format!("{error:#}").contains("hunter2"), "{error:#}");
    }
}
