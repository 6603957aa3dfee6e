//! Migrations and seed, applied like `supabase db reset`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

/// One file of `supabase/migrations`.
#[derive(Clone, Debug)]
pub struct Migration {
    /// Timestamp at the start of the file name, which determines the order.
    pub version: String,
    /// Rest of the file name.
    pub name: String,
    /// Content of the file.
    pub sql: String,
}

/// The migrations of a `supabase` directory, in order.
///
/// # Errors
/// If a file cannot be read, or is not named `<timestamp>_<name>.sql`: the Supabase CLI would skip it.
pub fn migrations(supabase: &Path) -> anyhow::Result<Vec<Migration>> {
    let directory = supabase.join("migrations");
    let entries =
        fs::read_dir(&directory).with_context(|| format!("no migrations in {}", directory.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<PathBuf>>>()?;
    paths.sort();
    paths
        .iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .map(read)
        .collect()
}

fn read(path: &PathBuf) -> anyhow::Result<Migration> {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    match stem.split_once('_') {
        Some((version, name)) if !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit()) => {
            Ok(Migration {
                version: version.to_owned(),
                name: name.to_owned(),
                sql: fs::read_to_string(path)?,
            })
        }
        _ => bail!("{} is not named <timestamp>_<name>.sql", path.display()),
    }
}

/// Applies the migrations that are not recorded yet, each in a transaction with its record, and returns their
/// number.
///
/// # Errors
/// If a statement fails; the failing migration is rolled back.
pub async fn apply(connection: &mut PgConnection, migrations: &[Migration]) -> anyhow::Result<usize> {
    let mut applied = 0;
    for migration in migrations {
        let Migration { version, name, sql } = migration;
        let mut transaction = connection.begin().await?;
        let recorded = sqlx::query("select 1 from supabase_migrations.schema_migrations where version = $1")
            .bind(version);
        if transaction.fetch_optional(recorded).await?.is_some() {
            continue;
        }
        run(&mut transaction, sql).await.with_context(|| format!("migration {version}_{name} failed"))?;
        let record = sqlx::query(
            "insert into supabase_migrations.schema_migrations (version, name, statements) values ($1, $2, array[$3])",
        );
        transaction.execute(record.bind(version).bind(name).bind(sql)).await?;
        transaction.commit().await?;
        applied += 1;
    }
    Ok(applied)
}

/// Loads `seed.sql`, in one transaction.
///
/// # Errors
/// If the file cannot be read or a statement fails.
pub async fn seed(connection: &mut PgConnection, supabase: &Path) -> anyhow::Result<()> {
    let sql = fs::read_to_string(supabase.join("seed.sql")).context("no seed.sql")?;
    let mut transaction = connection.begin().await?;
    run(&mut transaction, &sql).await.context("seed.sql failed")?;
    transaction.commit().await?;
    Ok(())
}

/// Runs a file of statements without parameters, from the project itself.
async fn run(connection: &mut PgConnection, sql: &str) -> anyhow::Result<()> {
    connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await?;
    Ok(())
}
