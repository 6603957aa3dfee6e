//! The default queues: those of the environment, or of the running `local`.

use std::path::Path;

use anyhow::{Context, bail};

use crate::env_file;

/// The variables, shared with `reply`.
const VARIABLES: [&str; 2] = ["INBOUND_DEAD_LETTERS_URL", "RECORD_DEAD_LETTERS_URL"];

/// Returns the URLs of both dead-letter queues.
///
/// # Errors
/// When neither the environment nor `env_file`, written by a running `local`, names both.
pub fn both(env_file: &Path) -> anyhow::Result<[String; 2]> {
    both_of(|name| std::env::var(name).ok().filter(|url| !url.is_empty()), env_file)
}

fn both_of(variable: impl Fn(&str) -> Option<String>, env_file: &Path) -> anyhow::Result<[String; 2]> {
    let [inbound, records] = VARIABLES;
    match (variable(inbound), variable(records)) {
        (Some(inbound), Some(records)) => return Ok([inbound, records]),
        (None, None) => {}
        _ => bail!("only one of {inbound} and {records} is set: set both, or give --queue-url"),
    }
    let file = env_file::read(env_file).with_context(|| {
        format!(
            "which dead-letter queue? No `local` is running here ({} does not exist): give --queue-url, or set \
             {inbound} and {records}",
            env_file.display()
        )
    })?;
    match VARIABLES.map(|name| file.get(name).cloned()) {
        [Some(inbound), Some(records)] => Ok([inbound, records]),
        _ => bail!("{} does not name {inbound} and {records}", env_file.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_precedes_the_file_and_neither_is_an_error() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("local.env");
        let none = |_: &str| None;
        let error = both_of(none, &file).expect_err("nothing is named").to_string();
        assert!(error.contains("--queue-url"), "{error}");

        let written =
            "A=\"b\"\nINBOUND_DEAD_LETTERS_URL=\"http://i\"\nRECORD_DEAD_LETTERS_URL=\"http://r\"\n";
        std::fs::write(&file, written).expect("written");
        assert_eq!(both_of(none, &file).expect("named"), ["http://i", "http://r"]);
        let named = |name: &str| Some(format!("http://{name}"));
        assert_eq!(both_of(named, &file).expect("named")[0], "http://INBOUND_DEAD_LETTERS_URL");
        let half = |name: &str| (name == VARIABLES[0]).then(|| "http://x".to_owned());
        assert!(both_of(half, &file).is_err());
    }
}
