//! Download of PostgreSQL, for machines without it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use local_process::Guardian;
use postgresql_embedded::{PostgreSQL, Settings, VersionReq};

/// Builds of every release for Linux and macOS, without system libraries.
pub(super) const RELEASES: &str = "https://github.com/theseus-rs/postgresql-binaries";

/// Major version of new Supabase projects.
const VERSION: &str = "^17";

const ADVICE: &str = "PostgreSQL was not downloaded. Install version 15 or newer \
    (Debian and Ubuntu: `apt-get install postgresql`; macOS: `brew install postgresql@17`), or name a server \
    in LOCAL_DATABASE_URL, like postgres://postgres:password@127.0.0.1:5432/postgres";

/// Downloads PostgreSQL from `releases`, unless already cached, and returns its directory of programs.
///
/// # Errors
/// If the download fails or exceeds `timeout`; the error lists what to install.
pub(super) async fn fetch(releases: &str, timeout: Duration, guardian: &Guardian) -> anyhow::Result<PathBuf> {
    match tokio::time::timeout(timeout, install(releases, guardian)).await {
        Ok(installed) => installed.context(ADVICE),
        Err(_) => bail!("{ADVICE} (not downloaded within {} s)", timeout.as_secs()),
    }
}

async fn install(releases: &str, guardian: &Guardian) -> anyhow::Result<PathBuf> {
    // `setup` installs, then runs initdb unless the cluster exists. Cluster::start runs initdb itself, as a
    // user other than root, so the directory is made to look initialised.
    let scratch = guardian.temporary_directory("postgresql-embedded-")?;
    std::fs::write(scratch.join("postgresql.conf"), "")?;
    let mut postgresql = PostgreSQL::new(Settings {
        releases_url: releases.to_owned(),
        version: VersionReq::parse(VERSION)?,
        installation_dir: cache(),
        password_file: scratch.join("password"),
        data_dir: scratch.path().to_path_buf(),
        host: "127.0.0.1".to_owned(),
        port: 0,
        username: "unused".to_owned(),
        password: "unused".to_owned(),
        temporary: false,
        timeout: None,
        configuration: std::collections::HashMap::new(),
        trust_installation_dir: false,
        socket_dir: None,
    });
    postgresql.setup().await?;
    Ok(postgresql.settings().binary_dir())
}

/// Cached between runs. PostgreSQL's user has no access to root's home.
fn cache() -> PathBuf {
    let home = std::env::home_dir().filter(|_| !nix::unistd::geteuid().is_root());
    home.map_or_else(
        || Path::new("/var/cache/postgresql-embedded").to_path_buf(),
        |home| home.join(".cache/postgresql-embedded"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn download_error_lists_what_to_install() {
        let guardian = Guardian::start().expect("a shell");
        let error = fetch("http://127.0.0.1:1/nothing", Duration::from_secs(60), &guardian)
            .await
            .expect_err("nothing there");
        let error = format!("{error:#}");
        assert!(error.contains("apt-get install postgresql"), "{error}");
        assert!(error.contains("LOCAL_DATABASE_URL"), "{error}");
    }

    #[tokio::test]
    async fn download_times_out() {
        let guardian = Guardian::start().expect("a shell");
        let error = fetch(RELEASES, Duration::ZERO, &guardian).await.expect_err("no time");
        assert!(error.to_string().contains("brew install"), "{error}");
    }
}
