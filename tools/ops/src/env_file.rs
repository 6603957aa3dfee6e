//! The variables of a file: `NAME=value`, one per line, the value quoted or not.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context;

/// The file for the variables of a running `local`, relative to its working directory.
pub const OF_LOCAL: &str = "target/local.env";

/// The file to read.
#[derive(Clone, Copy, Debug)]
pub enum EnvFile<'a> {
    /// A file given by the user.
    Named(&'a Path),
    /// The file of a running `local`. It is used only when there are no other settings: the settings of two stacks must
    /// not be mixed.
    OfLocal(&'a Path),
}

impl<'a> EnvFile<'a> {
    /// Returns the given file, or that of a `local` in this directory.
    #[must_use]
    pub fn of(named: Option<&'a Path>) -> Self {
        named.map_or(Self::OfLocal(Path::new(OF_LOCAL)), Self::Named)
    }

    /// Returns its path.
    #[must_use]
    pub fn path(self) -> &'a Path {
        match self {
            Self::Named(path) | Self::OfLocal(path) => path,
        }
    }
}

/// Reads a file. Lines without a variable are skipped.
///
/// # Errors
/// When the file cannot be read.
pub fn read(path: &Path) -> anyhow::Result<HashMap<String, String>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(text.lines().filter_map(variable).collect())
}

fn variable(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    let (name, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
    let value = value.trim();
    let unquoted = ['"', '\'']
        .iter()
        .find_map(|quote| value.strip_prefix(*quote).and_then(|rest| rest.strip_suffix(*quote)));
    let name = name.trim();
    (!name.starts_with('#')).then(|| (name.to_owned(), unquoted.unwrap_or(value).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_read_with_and_without_quotes() {
        for (line, expected) in [
            ("A=\"b c\"", Some(("A", "b c"))),
            ("export A='b'", Some(("A", "b"))),
            (" A = b=c ", Some(("A", "b=c"))),
            ("A=\"b", Some(("A", "\"b"))),
            ("A=", Some(("A", ""))),
            ("# A=b", None),
            ("", None),
        ] {
            let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(variable(line), expected, "{line}");
        }
    }
}
