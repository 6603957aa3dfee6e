//! An emulator of a Supabase project, limited to the features this product uses: PostgreSQL with row-level
//! security, the project's migrations, and the REST API with Supabase's key handling. No Docker.
//!
//! PostgreSQL is real. If `LOCAL_DATABASE_URL` is set, a database with a unique name is created on that
//! server and dropped at the end (after a kill it is left behind, with the prefix `local_` and 32 digits).
//! Supabase's roles, which belong to the whole server, are created if missing and stay. Otherwise a private
//! cluster is created with the programs installed on the machine, or with downloaded ones.

mod differences;
mod gateway;
mod keys;
pub mod migrate;
mod postgres;
mod prepared;
mod rest;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use local_loopback::Pages;
use local_loopback::server::{CancellationToken, Server};
use local_process::Guardian;
use secrecy::SecretString;
use sqlx::PgPool;
use tokio::net::TcpListener;
use uuid::{Uuid, uuid};

pub use keys::{JWT_SECRET, PUBLISHABLE_KEY, SECRET_KEY};
pub use postgres::Database;

/// The seed's user A, linked to [`PHONE_A`].
pub const USER_A: Uuid = uuid!("11111111-1111-4111-8111-111111111111");
/// The seed's user B, linked to [`PHONE_B`].
pub const USER_B: Uuid = uuid!("22222222-2222-4222-8222-222222222222");
/// User A's number: the sender in Meta's sample webhooks.
pub const PHONE_A: &str = "+16505551234";
/// User B's number.
pub const PHONE_B: &str = "+16505555678";

/// Environment variable with the URL of a PostgreSQL server to use instead of a private cluster.
pub const DATABASE_URL_VARIABLE: &str = "LOCAL_DATABASE_URL";

/// This workspace's `supabase` directory.
const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../supabase");

/// Startup options.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory with `migrations/` and `seed.sql`; this workspace's by default.
    pub directory: PathBuf,
    /// Whether to load `seed.sql`.
    pub seed: bool,
    /// The API's port on 127.0.0.1; 0, the default, takes a free one.
    pub port: u16,
    /// URL of a PostgreSQL server for the database, with a superuser; `LOCAL_DATABASE_URL` by default. `None`
    /// means a private cluster.
    pub server: Option<SecretString>,
    /// Maximum number of rows in a response (`max-rows`); 1,000 by default, as in a new project.
    pub max_rows: usize,
    /// Receives progress messages of slow steps, for humans; ignored by default.
    pub progress: fn(&str),
}

impl Default for Options {
    fn default() -> Self {
        Self {
            directory: PathBuf::from(DIRECTORY),
            seed: true,
            port: 0,
            server: std::env::var(DATABASE_URL_VARIABLE)
                .ok()
                .filter(|url| !url.is_empty())
                .map(SecretString::from),
            max_rows: 1000,
            progress: |_| {},
        }
    }
}

/// A running project. Dropping it stops everything; [`Supabase::stop`] also reports errors.
pub struct Supabase {
    url: String,
    keys: gateway::Keys,
    server: Server,
    rest: PgPool,
    // Last field: the database is removed after everything that uses it.
    database: Database,
}

impl Supabase {
    /// Starts the database, applies the migrations and serves the API.
    ///
    /// # Errors
    /// If PostgreSQL cannot be found or started, a migration fails, or the port is in use.
    pub async fn start(options: Options, guardian: &Guardian) -> anyhow::Result<Self> {
        let database = prepared::database(&options, guardian).await?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))
            .await
            .with_context(|| format!("port {} of 127.0.0.1", options.port))?;
        let rest = rest::build(&database.rest_url(), options.max_rows).await?;
        let keys = gateway::Keys::new()?;
        // A browser app is a legitimate client of Supabase.
        let router = gateway::router(rest.router, keys.clone());
        let server = Server::start(listener, router, Pages::Loopback, CancellationToken::new())?;
        Ok(Self { url: server.url(), keys, server, rest: rest.pool, database })
    }

    /// The project's URL; the API is below it, at `/rest/v1`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The publishable key, `sb_publishable_…`.
    #[must_use]
    pub fn publishable_key(&self) -> &str {
        PUBLISHABLE_KEY
    }

    /// The secret key, `sb_secret_…`.
    #[must_use]
    pub fn secret_key(&self) -> &str {
        SECRET_KEY
    }

    /// The legacy publishable key, a JWT.
    #[must_use]
    pub fn anon_key(&self) -> &str {
        &self.keys.anon
    }

    /// The legacy secret key, a JWT.
    #[must_use]
    pub fn service_role_key(&self) -> &str {
        &self.keys.service_role
    }

    /// An access token for the user, valid for `lifetime`.
    ///
    /// # Errors
    /// If the lifetime exceeds the range of a token.
    pub fn user_token(&self, user_id: Uuid, lifetime: Duration) -> anyhow::Result<String> {
        keys::user_token(user_id, lifetime)
    }

    /// An access token for the user that expired an hour ago.
    ///
    /// # Errors
    /// If the token cannot be signed.
    pub fn expired_token(&self, user_id: Uuid) -> anyhow::Result<String> {
        keys::expired_token(user_id)
    }

    /// URL of the database with its superuser: for `psql`, not for logs.
    #[must_use]
    pub fn database_url(&self) -> String {
        self.database.url()
    }

    /// A superuser's pool, for inspection: row-level security does not apply.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        self.database.pool()
    }

    /// The database, which can be stopped and started again.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Stops serving, closes connections and removes the database.
    ///
    /// # Errors
    /// If the database cannot be removed.
    pub async fn stop(self) -> anyhow::Result<()> {
        let Self { server, rest, database, .. } = self;
        // Neither a client's open connection nor a request waiting for the database may delay the stop.
        server.stop().await;
        if tokio::time::timeout(Duration::from_secs(2), rest.close()).await.is_err() {
            tracing::debug!("a request kept its connection to the database");
        }
        database.remove().await
    }
}

impl std::fmt::Debug for Supabase {
    // Omits the database's password; the keys are public.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Supabase").field("url", &self.url).finish_non_exhaustive()
    }
}
