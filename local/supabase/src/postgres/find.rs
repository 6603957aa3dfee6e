//! Search for PostgreSQL's programs on this machine.

use std::cmp::Reverse;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Oldest major version supported by the migrations and the REST API.
const OLDEST: u32 = 15;

/// Reason why no PostgreSQL on this machine can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Missing {
    /// None was found.
    #[error("there is no PostgreSQL on this machine")]
    None,
    /// The one found is too old.
    #[error("PostgreSQL {version} in {} is too old, {OLDEST} or newer is needed", .directory.display())]
    Older {
        /// Major version of the first one found.
        version: u32,
        /// Directory of its programs.
        directory: PathBuf,
    },
}

/// The directory of `postgres` and `initdb`: from `PATH`, from `pg_config`, or a package's location. The
/// first version that is not too old.
///
/// # Errors
/// If there is none.
pub(super) fn binaries() -> Result<PathBuf, Missing> {
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).collect::<Vec<_>>();
    first_usable(on_path.into_iter().chain(of_pg_config()).chain(of_packages(Path::new("/"))))
}

fn first_usable(candidates: impl Iterator<Item = PathBuf>) -> Result<PathBuf, Missing> {
    let mut missing = Missing::None;
    for directory in candidates {
        match version(&directory) {
            Some(version) if version >= OLDEST => return Ok(directory),
            Some(version) if missing == Missing::None => missing = Missing::Older { version, directory },
            _ => {}
        }
    }
    Err(missing)
}

/// Major version of the server in `directory`, if its programs exist and run.
fn version(directory: &Path) -> Option<u32> {
    if !["postgres", "initdb"].iter().all(|program| directory.join(program).is_file()) {
        return None;
    }
    let output = Command::new(directory.join("postgres")).arg("--version").output().ok()?;
    // postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)
    let said = String::from_utf8(output.stdout).ok()?;
    let version = said.split_once("(PostgreSQL) ")?.1;
    version.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}

fn of_pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
}

/// Locations of Debian, Red Hat, Homebrew and Postgres.app packages, the newest version of each first.
fn of_packages(root: &Path) -> Vec<PathBuf> {
    // Parent directory, prefix of the directory name before the version, and the path below it.
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
            // "pgsql" without a version is the prefix of a build from source.
            let version = if version.is_empty() { 0 } else { version.parse().ok()? };
            Some((version, entry.path().join(rest)))
        })
        .collect();
    found.sort_by_key(|(version, _)| Reverse(*version));
    found.into_iter().map(|(_, directory)| directory).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn newest_installed_version_comes_first() {
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

    /// A directory with programs that report this version.
    fn programs(root: &Path, name: &str, version: &str) -> PathBuf {
        let directory = root.join(name);
        std::fs::create_dir(&directory).expect("a directory");
        for program in ["postgres", "initdb"] {
            let file = directory.join(program);
            std::fs::write(&file, format!("#!/bin/sh\necho '{program} (PostgreSQL) {version}'\n"))
                .expect("a file");
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).expect("executable");
        }
        directory
    }

    #[test]
    fn first_supported_version_with_initdb_is_used() {
        let root = tempfile::tempdir().expect("a directory");
        let old = programs(root.path(), "old", "9.6.24");
        let older = programs(root.path(), "older", "14.1 (Debian 14.1-1)");
        let partial = programs(root.path(), "partial", "17.0");
        std::fs::remove_file(partial.join("initdb")).expect("removed");
        let usable = programs(root.path(), "usable", "15.14 (Debian 15.14-0+deb12u1)");
        let newest = programs(root.path(), "newest", "18beta1");
        let first = |candidates: &[&PathBuf]| first_usable(candidates.iter().map(|path| (*path).clone()));
        assert_eq!(first(&[&old, &older, &partial, &usable, &newest]), Ok(usable.clone()));
        assert_eq!(first(&[&newest, &usable]), Ok(newest.clone()));
        assert_eq!(first(&[&partial, &root.path().join("nothing")]), Err(Missing::None));
        let missing = first(&[&partial, &old, &older]).expect_err("too old");
        let error = missing.to_string();
        assert!(error.starts_with("PostgreSQL 9 in ") && error.contains("15 or newer"), "{error}");
    }
}
