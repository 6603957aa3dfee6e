//! The database of a project: set up, or a copy of one that was set up before.
//!
//! Setting one up takes longer than a short test, and a test process does it for each of its many tests: from the second
//! one on, they are copies of a stopped one.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use local_process::Guardian;
use sqlx::Connection as _;
use tokio::sync::Mutex;

use crate::postgres::{Database, Prepared, Source};
use crate::{DIRECTORY, Options, migrate};

/// Returns a database with the migrations and, if asked for, the seed.
pub(crate) async fn database(options: &Options, guardian: &Guardian) -> anyhow::Result<Database> {
    /// Whether this process has set up a database. Most processes need no other.
    static IS_SET_UP: AtomicBool = AtomicBool::new(false);
    static LATEST: Mutex<Weak<Prepared>> = Mutex::const_new(Weak::new());
    let is_usual = options.server.is_none() && options.seed && options.directory == Path::new(DIRECTORY);
    if !is_usual || !IS_SET_UP.swap(true, Ordering::Relaxed) {
        return set_up(options, guardian).await;
    }
    let mut latest = LATEST.lock().await;
    let prepared = match latest.upgrade() {
        Some(prepared) => prepared,
        None => set_up(options, guardian).await?.into_prepared().await?,
    };
    *latest = Arc::downgrade(&prepared);
    drop(latest);
    Database::copy(&prepared, guardian).await
}

async fn set_up(options: &Options, guardian: &Guardian) -> anyhow::Result<Database> {
    let source = options.server.clone().map_or(Source::Private, Source::Server);
    let database = Database::create(source, guardian, options.progress).await?;
    let mut connection = database.connect_as_postgres().await?;
    migrate::apply(&mut connection, &migrate::migrations(&options.directory)?).await?;
    if options.seed {
        migrate::seed(&mut connection, &options.directory).await?;
    }
    connection.close().await?;
    Ok(database)
}
