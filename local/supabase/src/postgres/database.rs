//! A fresh database, set up like that of a Supabase project before its first migration.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use local_process::Guardian;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection};
use tokio::sync::Mutex;

use super::cluster::{Cluster, Template};
use super::{embedded, find};

/// Downloading about 20 MB may take a while; hanging indefinitely helps no user.
const DOWNLOAD: Duration = Duration::from_secs(300);

/// Origin of PostgreSQL.
pub(crate) enum Source {
    /// A private cluster, with programs installed on this machine or downloaded.
    Private,
    /// The server at this URL. The user must be a superuser, or the roles of `roles.sql` must exist.
    Server(SecretString),
}

/// A fresh database with a unique name. Dropping it removes the database, and a private cluster.
pub struct Database {
    name: String,
    /// URL options of the superuser, for the fresh database.
    options: PgConnectOptions,
    /// URL options of the REST server's login role, for the fresh database.
    rest: PgConnectOptions,
    pool: PgPool,
    host: Host,
    /// The source of a copy, for the next copies.
    _prepared: Option<Arc<Prepared>>,
}

/// A database whose server is stopped: the source of copies, while it exists.
pub(crate) struct Prepared {
    template: Arc<Template>,
    name: String,
    rest: PgConnectOptions,
}

enum Host {
    Private(Box<Mutex<Cluster>>),
    Server(Option<Box<PgConnectOptions>>),
}

impl Database {
    /// Creates the database, its roles and Supabase's objects.
    ///
    /// # Errors
    /// If PostgreSQL is missing or returns an error.
    pub(crate) async fn create(
        source: Source,
        guardian: &Guardian,
        progress: fn(&str),
    ) -> anyhow::Result<Self> {
        let (server, cluster) = match source {
            Source::Private => {
                let binaries = match find::binaries() {
                    Ok(binaries) => binaries,
                    Err(missing) => {
                        progress(&format!("{missing}: fetching PostgreSQL, some 20 MB"));
                        embedded::fetch(embedded::RELEASES, DOWNLOAD, guardian).await.context(missing)?
                    }
                };
                let cluster = Cluster::start(binaries, None, guardian).await?;
                (cluster.options(), Some(cluster))
            }
            Source::Server(url) => {
                (url.expose_secret().parse().context("the database URL is invalid")?, None)
            }
        };
        let name = format!("local_{}", uuid::Uuid::new_v4().simple());
        let password = uuid::Uuid::new_v4().simple().to_string();
        let options = server.clone().database(&name);
        let rest = options.clone().username(&name).password(&password);
        let pool = pool(&options);
        let host = match cluster {
            Some(cluster) => Host::Private(Box::new(Mutex::new(cluster))),
            None => Host::Server(Some(Box::new(server.clone()))),
        };
        // Created first: from here on, dropping it cleans up.
        let database = Self { name, options, rest, pool, host, _prepared: None };
        let name = &database.name;

        let mut maintenance = server.connect().await.context("cannot connect to PostgreSQL")?;
        maintenance.execute(include_str!("roles.sql")).await.context("cannot create Supabase's roles")?;
        // A separate login, so that the `authenticator` of a shared server keeps its password.
        run(&mut maintenance, format!("create role {name} login noinherit password '{password}'")).await?;
        run(&mut maintenance, format!("grant anon, authenticated, service_role to {name}")).await?;
        run(
            &mut maintenance,
            format!("create database {name} owner postgres template template0 encoding 'UTF8'"),
        )
        .await?;
        maintenance.close().await?;
        database.pool.execute(include_str!("bootstrap.sql")).await.context("cannot set the database up")?;
        Ok(database)
    }

    /// Stops the private cluster, as the source of copies.
    ///
    /// # Errors
    /// If the server is not private, or does not stop.
    pub(crate) async fn into_prepared(mut self) -> anyhow::Result<Arc<Prepared>> {
        self.pool.close().await;
        match std::mem::replace(&mut self.host, Host::Server(None)) {
            Host::Private(cluster) => {
                let template = Arc::new(cluster.into_inner().into_template().await?);
                Ok(Arc::new(Prepared { template, name: self.name.clone(), rest: self.rest.clone() }))
            }
            Host::Server(_) => bail!("the server of LOCAL_DATABASE_URL is shared: it is not copied"),
        }
    }

    /// Copies a database, with its name and passwords, into a private cluster of its own.
    ///
    /// # Errors
    /// If PostgreSQL does not start.
    pub(crate) async fn copy(prepared: &Arc<Prepared>, guardian: &Guardian) -> anyhow::Result<Self> {
        let Prepared { template, name, rest } = &**prepared;
        let binaries = template.binaries().to_owned();
        let cluster = Cluster::start(binaries, Some(template.clone()), guardian).await?;
        let options = cluster.options().database(name);
        let rest = rest.clone().port(options.get_port());
        let pool = pool(&options);
        let (name, host) = (name.clone(), Host::Private(Box::new(Mutex::new(cluster))));
        Ok(Self { name, options, rest, pool, host, _prepared: Some(prepared.clone()) })
    }

    /// A superuser's pool for the database: row-level security does not apply.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// URL of the database with the superuser and the password: for `psql`, not for logs.
    #[must_use]
    pub fn url(&self) -> String {
        let mut url = self.options.to_url_lossy();
        // libpq rejects unknown parameters.
        let known: Vec<(String, String)> =
            url.query_pairs().into_owned().filter(|(name, _)| name != "statement-cache-capacity").collect();
        url.query_pairs_mut().clear().extend_pairs(known);
        url.to_string()
    }

    pub(crate) fn rest_url(&self) -> String {
        self.rest.to_url_lossy().to_string()
    }

    /// A connection as `postgres`, the role for migrations on Supabase, which is not a superuser.
    pub(crate) async fn connect_as_postgres(&self) -> anyhow::Result<PgConnection> {
        let mut connection = self.options.connect().await?;
        connection.execute("set role postgres").await?;
        Ok(connection)
    }

    /// Stops the database server, to emulate an outage; the data stays.
    ///
    /// # Errors
    /// If the server is not private, or does not stop.
    pub async fn stop(&self) -> anyhow::Result<()> {
        match &self.host {
            Host::Private(cluster) => cluster.lock().await.stop().await,
            Host::Server(_) => bail!("the server of LOCAL_DATABASE_URL is shared: it is not stopped"),
        }
    }

    /// Kills the database server with `SIGKILL`, to emulate a crash; committed data stays.
    ///
    /// # Errors
    /// If the server is not private.
    pub async fn kill(&self) -> anyhow::Result<()> {
        match &self.host {
            Host::Private(cluster) => cluster.lock().await.kill(),
            Host::Server(_) => bail!("the server of LOCAL_DATABASE_URL is shared: it is not killed"),
        }
    }

    /// Starts the server again, on the same port and data.
    ///
    /// # Errors
    /// If the server is not private, or does not start.
    pub async fn start(&self) -> anyhow::Result<()> {
        match &self.host {
            Host::Private(cluster) => cluster.lock().await.restart().await,
            Host::Server(_) => bail!("the server of LOCAL_DATABASE_URL is shared: it is not started"),
        }
    }

    /// Removes the database from a shared server, or together with its private cluster.
    ///
    /// # Errors
    /// If the server returns an error.
    pub(crate) async fn remove(mut self) -> anyhow::Result<()> {
        self.pool.close().await;
        match &mut self.host {
            Host::Private(cluster) => cluster.get_mut().stop().await,
            Host::Server(server) => match server.take() {
                Some(server) => drop_from(&server, &self.name).await,
                None => Ok(()),
            },
        }
    }
}

impl std::fmt::Debug for Database {
    // The options contain passwords.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Database").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let Host::Server(server) = &mut self.host else { return };
        let Some(server) = server.take() else { return };
        let name = self.name.clone();
        // Drop cannot await, and the current runtime may be ending: another thread, another runtime.
        let cleaner = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(drop_from(&server, &name))
        });
        if let Ok(Err(error)) = cleaner.join() {
            tracing::warn!(database = %self.name, "the database was not dropped: {error:#}");
        }
    }
}

/// The superuser's pool. It connects on demand.
fn pool(options: &PgConnectOptions) -> PgPool {
    let pool = PgPoolOptions::new().max_connections(5).acquire_timeout(Duration::from_secs(5));
    pool.connect_lazy_with(options.clone())
}

async fn drop_from(server: &PgConnectOptions, name: &str) -> anyhow::Result<()> {
    let mut connection = server.connect().await?;
    run(&mut connection, format!("drop database if exists {name} with (force)")).await?;
    run(&mut connection, format!("drop role if exists {name}")).await?;
    connection.close().await?;
    Ok(())
}

/// Runs a statement without parameters: the names and passwords in it are our own hexadecimal digits.
async fn run(connection: &mut PgConnection, statement: String) -> anyhow::Result<()> {
    connection.execute(sqlx::raw_sql(AssertSqlSafe(statement))).await?;
    Ok(())
}
