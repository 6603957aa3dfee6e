//! The REST API, served in-process by `postrust-server` in place of PostgREST.

use anyhow::Context as _;
use axum::Router;
use postrust_core::AppConfig;
use postrust_server::{Builder, Host};
use sqlx::PgPool;

use crate::keys::JWT_SECRET;

/// Seconds that a request waits for a connection, for example while the database is down.
const POOL_TIMEOUT: &str = "2";

/// The REST API and its connection pool.
pub(crate) struct Rest {
    pub(crate) router: Router,
    pub(crate) pool: PgPool,
}

/// Connects as the login role at `database_url`, reads the schema, and builds the API.
pub(crate) async fn build(database_url: &str, max_rows: usize) -> anyhow::Result<Rest> {
    let settings = AppConfig::try_from_vars([
        ("PGRST_DB_URI", database_url),
        ("PGRST_DB_SCHEMAS", "public"),
        ("PGRST_DB_EXTRA_SEARCH_PATH", "public,extensions"),
        ("PGRST_DB_ANON_ROLE", "anon"),
        ("PGRST_DB_POOL", "20"),
        ("PGRST_DB_POOL_TIMEOUT", POOL_TIMEOUT),
        ("PGRST_DB_MAX_ROWS", max_rows.to_string().as_str()),
        ("PGRST_JWT_SECRET", JWT_SECRET),
        // Paths and responses in PostgREST's format, not postrust's own.
        ("PGRST_COMPAT_MODE", "true"),
    ])
    .context("postrust rejects its settings")?;
    let app = Builder::new(settings, Host::SERVER).build().await.context("the REST API does not start")?;
    Ok(Rest { router: app.router, pool: app.state.pool.clone() })
}
