//! The Supabase project: the emulator, or an external project (`--supabase`).

mod auth;
mod cleanup;
mod linking;
mod project;
mod writes;

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use local_process::Guardian;
use local_supabase::{USER_A, USER_B};
use secrecy::{ExposeSecret, SecretString};
use shared::supabase::ApiKey;
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use uuid::Uuid;

pub use project::Project;

/// The lifetime of the emulator's tokens.
const TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// The mark in `raw_app_meta_data` of `auth.users` for users that `local` creates and removes.
pub const CREATED_BY: &str = "cargo run -p local";

/// The options of an external Supabase project: all of them, or none.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SupabaseOptions {
    /// Use this Supabase project instead of the local PostgreSQL and REST API. It must have the migrations; the rows of
    /// a run are removed at its end. Needs both keys and the database's address.
    #[arg(id = "supabase", long = "supabase", global = true, env = "LOCAL_SUPABASE_URL")]
    #[arg(value_name = "URL", value_parser = crate::endpoint::parse)]
    pub url: Option<String>,
    /// Its secret key, or the older `service_role` key. Better in the variable: other users of the machine can read
    /// arguments.
    #[arg(id = "supabase_secret_key", long = "supabase-secret-key", global = true, value_name = "KEY")]
    #[arg(env = "LOCAL_SUPABASE_SECRET_KEY", hide_env_values = true, value_parser = crate::endpoint::secret)]
    pub secret_key: Option<SecretString>,
    /// Its publishable key, or the older `anon` key.
    #[arg(
        id = "supabase_publishable_key",
        long = "supabase-publishable-key",
        global = true,
        value_name = "KEY"
    )]
    #[arg(env = "LOCAL_SUPABASE_PUBLISHABLE_KEY", hide_env_values = true, value_parser = crate::endpoint::secret)]
    pub publishable_key: Option<SecretString>,
    /// Its database, as the role `postgres` and not through a pooler in transaction mode. Better in the variable: it
    /// holds a password.
    #[arg(id = "supabase_database_url", long = "supabase-database-url", global = true, value_name = "URL")]
    #[arg(env = "LOCAL_SUPABASE_DATABASE_URL", hide_env_values = true, value_parser = crate::endpoint::secret)]
    pub database_url: Option<SecretString>,
}

/// An external project, and its keys.
struct Target {
    /// Without a slash at the end.
    url: String,
    secret_key: SecretString,
    publishable_key: SecretString,
    database: PgConnectOptions,
}

impl SupabaseOptions {
    /// Checks that all options are set and valid, or none is set.
    ///
    /// # Errors
    /// Names the missing or invalid options, without their values.
    pub fn check(&self) -> anyhow::Result<()> {
        self.target().map(drop)
    }

    fn target(&self) -> anyhow::Result<Option<Target>> {
        let given = [
            ("--supabase (LOCAL_SUPABASE_URL)", self.url.is_some()),
            ("--supabase-secret-key (LOCAL_SUPABASE_SECRET_KEY)", self.secret_key.is_some()),
            ("--supabase-publishable-key (LOCAL_SUPABASE_PUBLISHABLE_KEY)", self.publishable_key.is_some()),
            ("--supabase-database-url (LOCAL_SUPABASE_DATABASE_URL)", self.database_url.is_some()),
        ];
        let (Some(url), Some(secret_key), Some(publishable_key), Some(database_url)) =
            (&self.url, &self.secret_key, &self.publishable_key, &self.database_url)
        else {
            let missing: Vec<&str> =
                given.iter().filter(|(_, is_given)| !is_given).map(|(name, _)| *name).collect();
            ensure!(
                missing.len() == given.len(),
                "another Supabase project needs its URL, both keys and its database's address, which `supabase \
                 status` and the project's settings show. Set these, too, or none of them: {}",
                missing.join(", ")
            );
            return Ok(None);
        };
        let key = |key: &SecretString| ApiKey::try_from(key);
        let is_secret = key(secret_key).context("--supabase-secret-key")?.is_secret();
        ensure!(is_secret, "--supabase-secret-key is not a secret key, nor a service_role key");
        let is_publishable = key(publishable_key).context("--supabase-publishable-key")?.is_publishable();
        ensure!(is_publishable, "--supabase-publishable-key is not a publishable key, nor an anon key");
        // The parser's error might contain a part of the URL.
        let Ok(database) = database_url.expose_secret().parse() else {
            bail!(
                "--supabase-database-url is not like postgres://postgres:password@127.0.0.1:54322/postgres"
            );
        };
        Ok(Some(Target {
            url: url.trim_end_matches('/').to_owned(),
            secret_key: secret_key.clone(),
            publishable_key: publishable_key.clone(),
            database,
        }))
    }
}

/// The project that a stack uses.
pub enum Supabase {
    /// The emulator, which ends with this process.
    Ours(Box<local_supabase::Supabase>),
    /// An external project.
    Elsewhere(Box<Project>),
}

impl Supabase {
    /// Starts the emulator, or prepares the given project; `progress` is called before each step that takes long.
    ///
    /// # Errors
    /// When it cannot be started or reached, or lacks a requirement; the message gives the remedy.
    pub async fn start(
        options: &SupabaseOptions,
        guardian: &Guardian,
        progress: fn(&str),
    ) -> anyhow::Result<Self> {
        if let Some(target) = options.target()? {
            let project = Project::open(target).await.context("the project of --supabase")?;
            return Ok(Self::Elsewhere(Box::new(project)));
        }
        let options = local_supabase::Options { progress, ..Default::default() };
        let ours = local_supabase::Supabase::start(options, guardian).await;
        Ok(Self::Ours(Box::new(ours.context("the database cannot be started")?)))
    }

    /// Returns the emulator, for operations that an external project does not allow.
    ///
    /// # Errors
    /// When it is an external project.
    pub fn own(&self) -> anyhow::Result<&local_supabase::Supabase> {
        match self {
            Self::Ours(ours) => Ok(ours),
            Self::Elsewhere(_) => {
                bail!("this needs local's own database: start local without --supabase")
            }
        }
    }

    /// The URL for the functions.
    #[must_use]
    pub fn url(&self) -> &str {
        match self {
            Self::Ours(ours) => ours.url(),
            Self::Elsewhere(project) => project.url(),
        }
    }

    /// Returns the database's address for display; that of an external project contains a password and is not shown.
    #[must_use]
    pub fn database_url(&self) -> String {
        match self {
            Self::Ours(ours) => ours.database_url(),
            Self::Elsewhere(_) => "that of LOCAL_SUPABASE_DATABASE_URL".to_owned(),
        }
    }

    /// The secret key.
    #[must_use]
    pub fn secret_key(&self) -> &str {
        match self {
            Self::Ours(ours) => ours.secret_key(),
            Self::Elsewhere(project) => project.secret_key(),
        }
    }

    /// The publishable key.
    #[must_use]
    pub fn publishable_key(&self) -> &str {
        match self {
            Self::Ours(ours) => ours.publishable_key(),
            Self::Elsewhere(project) => project.publishable_key(),
        }
    }

    /// Returns a connection pool without row-level security, for inspecting rows.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        match self {
            Self::Ours(ours) => ours.pool(),
            Self::Elsewhere(project) => project.pool(),
        }
    }

    /// Returns the number of users' messages in the database before this run.
    #[must_use]
    pub fn rows_before(&self) -> usize {
        match self {
            Self::Ours(_) => 0,
            Self::Elsewhere(project) => project.rows_before(),
        }
    }

    /// Returns users A and B, each with an access token; the emulator's is new at each call.
    ///
    /// # Errors
    /// When a token cannot be signed.
    pub fn users(&self) -> anyhow::Result<[(Uuid, String); 2]> {
        match self {
            Self::Ours(ours) => {
                let token = |user| ours.user_token(user, TOKEN_LIFETIME);
                Ok([(USER_A, token(USER_A)?), (USER_B, token(USER_B)?)])
            }
            Self::Elsewhere(project) => Ok(project.users()),
        }
    }

    /// Returns the lifetime of these tokens.
    #[must_use]
    pub fn token_lifetime(&self) -> Duration {
        match self {
            Self::Ours(_) => TOKEN_LIFETIME,
            Self::Elsewhere(project) => project.token_lifetime(),
        }
    }

    /// Stops the emulator and removes its database, or removes this run's rows from an external project.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub async fn stop(self) -> anyhow::Result<()> {
        match self {
            Self::Ours(ours) => ours.stop().await,
            Self::Elsewhere(project) => project.close().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(secret_key: &str, publishable_key: &str, database_url: &str) -> SupabaseOptions {
        let secret = |text: &str| (!text.is_empty()).then(|| SecretString::from(text));
        SupabaseOptions {
            url: Some("http://127.0.0.1:54321/".to_owned()),
            secret_key: secret(secret_key),
            publishable_key: secret(publishable_key),
            database_url: secret(database_url),
        }
    }

    #[test]
    fn all_options_are_given_or_none_and_no_secret_is_repeated() {
        let database = "postgres://postgres:hidden@127.0.0.1:54322/postgres";
        let (secret, publishable) = ("sb_secret_hidden", "sb_publishable_hidden");
        assert!(SupabaseOptions::default().target().expect("none").is_none());
        let complete = options(secret, publishable, database);
        let target = complete.target().expect("complete").expect("all");
        assert_eq!(target.url, "http://127.0.0.1:54321");
        assert!(!format!("{complete:?}").contains("hidden"));
        for (wrong, said) in [
            (options("", publishable, database), "LOCAL_SUPABASE_SECRET_KEY"),
            (options(secret, "", database), "LOCAL_SUPABASE_PUBLISHABLE_KEY"),
            (options(secret, publishable, ""), "LOCAL_SUPABASE_DATABASE_URL"),
            (SupabaseOptions { url: None, ..complete }, "LOCAL_SUPABASE_URL"),
            (options(publishable, publishable, database), "--supabase-secret-key is not"),
            (options(secret, secret, database), "--supabase-publishable-key is not"),
            (options("hidden", publishable, database), "--supabase-secret-key: not a Supabase API key"),
            (options(secret, publishable, "hidden"), "--supabase-database-url is not like"),
        ] {
            let error = format!("{:#}", wrong.check().expect_err(said));
            assert!(error.contains(said) && !error.contains("hidden"), "{error}");
        }
    }
}
