//! Where PostgreSQL's programs are on this machine.

use std::cmp::Reverse;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The directory that holds `postgres` and `initdb`: of `PATH`, of `pg_config`, or where packages put it.
#[must_use]
pub fn binaries() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).collect::<Vec<_>>();
    on_path
        .into_iter()
        .chain(of_pg_config())
        .chain(of_packages(Path::new("/")))
        .find(|directory| usable(directory))
}

fn usable(directory: &Path) -> bool {
    ["postgres", "initdb"].iter().all(|program| directory.join(program).is_file())
}

fn of_pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
}

/// The places of Debian, Red Hat, Homebrew and Postgres.app, the newest version of each first.
fn of_packages(root: &Path) -> Vec<PathBuf> {
    // The parent, what the directory's name starts with before the version, and what follows it.
    const PLACES: [(&str, &str, &str); 7] = [
        ("usr/lib/postgresql", "", "bin"),
        ("usr", "pgsql-", "bin"),
        ("opt/homebrew/opt", "postgresql@", "bin"),
        ("usr/local/opt", "postgresql@", "bin"),
        ("home/linuxbrew/.linuxbrew/opt", "postgresql@", "bin"),
        ("Applications/Postgres.app/Contents/Versions", "", "bin"),
        ("usr/local", "pgsql", "bin"),
    ];
    PLACES.iter().flat_map(|(parent, prefix, rest)| versions(&root.join(parent), prefix, rest)).collect()
}

fn versions(parent: &Path, prefix: &str, rest: &str) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let version = name.to_str()?.strip_prefix(prefix)?;
            // "pgsql" alone is what a build from source installs into.
            let version = if version.is_empty() { 0 } else { version.parse().ok()? };
            Some((version, entry.path().join(rest)))
        })
        .collect();
    found.sort_by_key(|(version, _)| Reverse(*version));
    found.into_iter().map(|(_, directory)| directory).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_installed_version_comes_first() {
        let root = tempfile::tempdir().expect("a directory");
        for version in ["9", "15", "17", "notes"] {
            std::fs::create_dir_all(root.path().join("usr/lib/postgresql").join(version).join("bin"))
                .expect("a directory");
        }
        std::fs::create_dir_all(root.path().join("opt/homebrew/opt/postgresql@16/bin")).expect("a directory");
        let found = of_packages(root.path());
        let found: Vec<_> = found
            .iter()
            .map(|path| path.strip_prefix(root.path()).expect("below").to_str().expect("text"))
            .collect();
        assert_eq!(
            found,
            [
                "usr/lib/postgresql/17/bin",
                "usr/lib/postgresql/15/bin",
                "usr/lib/postgresql/9/bin",
                "opt/homebrew/opt/postgresql@16/bin",
            ]
        );
    }

    #[test]
    fn a_directory_without_initdb_is_passed_over() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("postgres"), "").expect("a file");
        assert!(!usable(directory.path()));
        std::fs::write(directory.path().join("initdb"), "").expect("a file");
        assert!(usable(directory.path()));
    }
}
