//! The table of counters agrees with the template, the documentation and the sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use shared::lambda::counter::Counter;
use shared::lambda::metrics::{NUMBERS, TIMES, VERSION_ERRORS};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(root().join(&path)).unwrap_or_else(|error| panic!("{:?}: {error}", path.as_ref()))
}

/// All files with an extension in a directory.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let of_entry = |path: PathBuf| match path.is_dir() {
        true => files(&path, ending),
        false => {
            vec![path].into_iter().filter(|path| path.extension().is_some_and(|is| is == ending)).collect()
        }
    };
    entries.flat_map(of_entry).collect()
}

/// The strings between each `before` and the next `after`.
fn between<'a>(text: &'a str, before: &'a str, after: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(before).skip(1).filter_map(move |rest| rest.split(after).next())
}

fn is_counter(name: &str) -> bool {
    Counter::from_name(name).is_some()
}

/// The last word of a name.
fn ending(name: &str) -> Option<&str> {
    name.rsplit_once('_').map(|(_, ending)| ending)
}

#[test]
fn names_are_unique_and_in_snake_case() {
    let names: BTreeSet<_> = Counter::ALL.iter().map(|counter| counter.name()).collect();
    assert_eq!(names.len(), Counter::ALL.len());
    for counter in Counter::ALL {
        let name = counter.name();
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        assert!(!counter.meaning().is_empty() && !counter.meaning().ends_with('.'), "{name}");
    }
}

#[test]
fn every_metric_of_the_template_is_a_counter_or_measured() {
    let template = read("template.yaml");
    let is_measured = |name: &str| TIMES.iter().chain(&NUMBERS).any(|(measured, _)| *measured == name);
    for name in between(&template, "[\"WhatsAppLambda\", \"", "\"") {
        assert!(is_counter(name) || is_measured(name), "{name}");
    }
    let of_alarms = between(&template, "Namespace: WhatsAppLambda\n", "\n");
    let of_alarms: Vec<_> = of_alarms.filter_map(|line| line.trim().strip_prefix("MetricName: ")).collect();
    assert!(of_alarms.contains(&"graph_account_errors"), "{of_alarms:?}");
    for name in of_alarms {
        assert!(is_counter(name) || name == VERSION_ERRORS, "{name}");
    }
}

#[test]
fn every_counter_that_the_documentation_names_exists() {
    let endings: BTreeSet<_> = Counter::ALL.iter().filter_map(|counter| ending(counter.name())).collect();
    // Tables, Meta's fields, and metrics without a counter: by version, and of the metric filters.
    let others = [
        "message_statuses",
        "account_events",
        "stored_answers",
        "sender_messages",
        "business_numbers",
        "message_echoes",
        "smb_message_echoes",
        "conversation_context",
        VERSION_ERRORS,
        "refused_requests",
        "wrong_signatures",
    ];
    let documents = files(&root().join("docs"), "md").into_iter().chain([root().join("README.md")]);
    let mut found = 0;
    for document in documents {
        let text = fs::read_to_string(&document).expect("a document");
        for name in
            between(&text, "`", "`").filter(|name| ending(name).is_some_and(|word| endings.contains(word)))
        {
            let is_name = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            assert!(!is_name || is_counter(name) || others.contains(&name), "{document:?}: {name}");
            found += usize::from(is_counter(name));
        }
        let one = between(&text, "counter = \"", "\"");
        let several = between(&text, "counter in [", "]").flat_map(|list| list.split(", "));
        for name in one.chain(several.map(|name| name.trim_matches('"'))) {
            assert!(is_counter(name), "{document:?}: {name}");
            found += 1;
        }
    }
    assert!(found > 30, "{found}");
}

#[test]
fn no_source_repeats_the_name_of_a_counter() {
    for folder in ["functions/webhook/src", "functions/reply/src", "functions/messages/src", "shared/src"] {
        for file in files(&root().join(folder), "rs") {
            let source = fs::read_to_string(&file).expect("a source file");
            assert!(!source.contains("counter = \"") && !source.contains("counter!(\""), "{file:?}");
            let quoted = between(&source, "\"", "\"").find(|text| text.contains('_') && is_counter(text));
            let may = file.ends_with("counter.rs") || file.ends_with("tests.rs");
            assert!(may || quoted.is_none(), "{file:?}: {quoted:?}");
        }
    }
}
