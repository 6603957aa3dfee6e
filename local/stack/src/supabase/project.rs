//! An external project: that of `supabase start`, or any other.

use std::time::Duration;

use anyhow::{Context, ensure};
use local_lambda::HttpServer;
use local_supabase::{USER_A, USER_B, migrate};
use secrecy::{ExposeSecret, SecretString};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use uuid::Uuid;

use super::Target;
use super::auth::{self, Session};
use super::cleanup::Cleanup;
use super::writes::Writes;

/// An external project, restored at the end. Dropping the value removes the written rows; [`Project::close`] does the
/// same and returns errors.
pub struct Project {
    /// The proxy that the functions call in place of the project.
    server: HttpServer,
    url: String,
    secret_key: SecretString,
    publishable_key: SecretString,
    users: [(Uuid, String); 2],
    token_lifetime: Duration,
    rows_before: usize,
    pool: PgPool,
    cleanup: Cleanup,
}

impl Project {
    /// Checks the project's requirements, creates users A and B if they are missing, and signs them in.
    ///
    /// # Errors
    /// When a requirement is missing or a service cannot be reached; the message gives the remedy.
    pub(super) async fn open(target: Target) -> anyhow::Result<Self> {
        let pool = PgPoolOptions::new()
            .max_connections(5)
            .acquire_timeout(Duration::from_secs(2))
            .connect_lazy_with(target.database.clone());
        check_migrations(&pool).await?;
        let rows_before: i64 =
            sqlx::query_scalar("select count(*) from messages where role = 'user' and wamids is not null")
                .fetch_one(&pool)
                .await?;
        let http = shared::http::client()?;
        let writes = Writes::new(&target.url, http.clone(), pool.clone());
        let server = HttpServer::start(writes.router(), 0).await?;
        let mut cleanup = Cleanup::begin(&target.database, writes).await?;
        let mut token_lifetime = Duration::MAX;
        let mut users = [USER_A, USER_B].map(|user| (user, String::new()));
        for (user, token) in &mut users {
            let email: Option<String> = sqlx::query_scalar("select email from auth.users where id = $1")
                .bind(*user)
                .fetch_one(&pool)
                .await?;
            let email = email.with_context(|| format!("user {user} has no email address"))?;
            let session: Session = auth::sign_in(&http, &target, &email).await?;
            cleanup.add_session(session.id);
            token_lifetime = token_lifetime.min(session.lifetime);
            *token = session.token;
        }
        Ok(Self {
            url: server.url(),
            server,
            secret_key: target.secret_key,
            publishable_key: target.publishable_key,
            users,
            token_lifetime,
            rows_before: usize::try_from(rows_before).unwrap_or_default(),
            pool,
            cleanup,
        })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn secret_key(&self) -> &str {
        self.secret_key.expose_secret()
    }

    pub(super) fn publishable_key(&self) -> &str {
        self.publishable_key.expose_secret()
    }

    pub(super) fn users(&self) -> [(Uuid, String); 2] {
        self.users.clone()
    }

    pub(super) fn token_lifetime(&self) -> Duration {
        self.token_lifetime
    }

    pub(super) fn rows_before(&self) -> usize {
        self.rows_before
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Removes the written rows, and closes all connections.
    ///
    /// # Errors
    /// When the rows cannot be removed.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        let Self { server, pool, cleanup, .. } = self;
        server.stop().await;
        cleanup
            .run()
            .await
            .context("not all rows of this run were removed from the project of --supabase")?;
        pool.close().await;
        Ok(())
    }
}

/// Checks that all migrations are in the migration history, as the Supabase CLI does.
async fn check_migrations(pool: &PgPool) -> anyhow::Result<()> {
    let has_history: bool =
        sqlx::query_scalar("select to_regclass('supabase_migrations.schema_migrations') is not null")
            .fetch_one(pool)
            .await
            .context("its database cannot be used")?;
    let mut applied: Vec<String> = Vec::new();
    if has_history {
        let versions = "select version from supabase_migrations.schema_migrations";
        applied = sqlx::query_scalar(versions).fetch_all(pool).await?;
    }
    let migrations = migrate::migrations(&local_supabase::Options::default().directory)?;
    let missing: Vec<String> = migrations
        .into_iter()
        .filter(|migration| !applied.contains(&migration.version))
        .map(|migration| format!("{}_{}", migration.version, migration.name))
        .collect();
    ensure!(
        missing.is_empty(),
        "its database lacks migrations, and local does not apply migrations to an external database. On a stack of this \
         machine `supabase db push` applies them, on the linked project `supabase db push --remote`. Missing: {}",
        missing.join(", ")
    );
    Ok(())
}
