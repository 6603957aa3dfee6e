//! Finds payloads in files: one payload, an array of payloads, an object of named payloads, one payload per line;
//! also nested.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use shared::meta::lenient;

/// The maximum depth of a payload in its file, the same as serde_json's limit.
const MAX_DEPTH: usize = 128;

/// A payload to post.
#[derive(Clone, Debug, PartialEq)]
pub struct Payload {
    /// The file.
    pub file: PathBuf,
    /// Its name in the file: keys and positions, joined by slashes; empty for the whole file.
    pub name: String,
    /// The bytes to post.
    pub body: Vec<u8>,
}

/// Reads files, and directories recursively, in the order of their names.
///
/// # Errors
/// When a path cannot be read, a directory contains no payload file, or a file contains no payload.
pub fn read(paths: &[PathBuf]) -> anyhow::Result<Vec<Payload>> {
    let mut payloads = Vec::new();
    for path in paths {
        let files = files(path)?;
        if files.is_empty() {
            bail!("{}: no *.json, *.jsonl or *.ndjson file", path.display());
        }
        let found = payloads.len();
        for file in files {
            payloads.extend(read_file(&file)?);
        }
        if payloads.len() == found {
            bail!("{}: it contains no payload", path.display());
        }
    }
    Ok(payloads)
}

fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).with_context(|| path.display().to_string())?;
    let mut entries = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    entries.sort();
    let mut found = Vec::new();
    for entry in entries {
        // Symbolic links are skipped: they could form a cycle.
        if entry.is_dir() && !entry.is_symlink() {
            found.extend(files(&entry)?);
        } else if matches!(extension(&entry), "json" | "jsonl" | "ndjson") && entry.is_file() {
            found.push(entry);
        }
    }
    Ok(found)
}

fn extension(path: &Path) -> &str {
    path.extension().and_then(|extension| extension.to_str()).unwrap_or_default()
}

fn read_file(file: &Path) -> anyhow::Result<Vec<Payload>> {
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    let payload = |name: String, body: Vec<u8>| Payload { file: file.to_owned(), name, body };
    if matches!(extension(file), "jsonl" | "ndjson") {
        let lines = bytes.split(|byte| *byte == b'\n').enumerate();
        let lines = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
        return Ok(lines
            .map(|(number, line)| payload(format!("line {}", number + 1), line.to_vec()))
            .collect());
    }
    let mut found = Vec::new();
    if let Ok(json) = serde_json::from_slice::<&RawValue>(&bytes) {
        find(json, &mut Vec::new(), &mut found);
    }
    match found.as_slice() {
        // A file that is a payload is posted unchanged; a file without a payload is posted too, to show its
        // outcome.
        [] => Ok(vec![payload(String::new(), bytes)]),
        [(name, Cow::Borrowed(_))] if name.is_empty() => Ok(vec![payload(String::new(), bytes)]),
        _ => {
            Ok(found.into_iter().map(|(name, json)| payload(name, json.into_owned().into_bytes())).collect())
        }
    }
}

/// Adds the payloads in `json`, each with its name and its bytes unchanged.
///
/// The siblings of a payload are taken for payloads too: each is posted unchanged, and the report gives the
/// reason why it was ignored.
fn find<'a>(json: &'a RawValue, path: &mut Vec<String>, found: &mut Vec<(String, Cow<'a, str>)>) {
    if let Some(payload) = as_payload(json) {
        found.push((path.join("/"), payload));
        return;
    }
    if path.len() == MAX_DEPTH {
        return;
    }
    let children = children(json);
    let beside_a_payload = children.iter().any(|(_, child)| as_payload(child).is_some());
    for (name, child) in children {
        path.push(name);
        let before = found.len();
        find(child, path, found);
        if beside_a_payload && found.len() == before {
            found.push((path.join("/"), Cow::Borrowed(child.get())));
        }
        path.pop();
    }
}

/// Returns a payload unchanged, or wraps `{"field": …, "value": {…}}`, the form of the samples in Meta's console,
/// in a complete payload.
fn as_payload(json: &RawValue) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Shape<'a> {
        #[serde(borrow, default)]
        entry: Option<&'a RawValue>,
        #[serde(borrow, default)]
        field: Option<&'a RawValue>,
        #[serde(borrow, default)]
        value: Option<&'a RawValue>,
    }
    let shape: Shape<'_> = lenient::read(json.get().starts_with('{').then_some(json))?;
    let starts_with = |part: Option<&RawValue>, first| part.is_some_and(|part| part.get().starts_with(first));
    if starts_with(shape.entry, '[') {
        return Some(Cow::Borrowed(json.get()));
    }
    let bare = starts_with(shape.field, '"') && starts_with(shape.value, '{');
    bare.then(|| {
        let (before, after) =
            (r#"{"object":"whatsapp_business_account","entry":[{"id":"0","changes":["#, "]}]}");
        Cow::Owned(format!("{before}{json}{after}"))
    })
}

/// The children of an object or an array, by key or position, in the order of the file.
fn children(json: &RawValue) -> Vec<(String, &RawValue)> {
    let text = json.get();
    if text.starts_with('{') {
        serde_json::from_str::<Members<'_>>(text).map(|members| members.0).unwrap_or_default()
    } else {
        let list = serde_json::from_str::<Vec<&RawValue>>(text).unwrap_or_default();
        list.into_iter().enumerate().map(|(position, child)| (position.to_string(), child)).collect()
    }
}

/// The members of an object: a map would lose their order.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn payload(wamid: &str) -> Value {
        json!({"object": "whatsapp_business_account",
            "entry": [{"changes": [{"field": "messages", "value": {"messages": [{"id": wamid}]}}]}]})
    }

    fn names(file: &str, content: &str) -> Vec<String> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(file);
        std::fs::write(&path, content).expect("a file");
        read(&[directory.path().to_owned()])
            .expect("payloads")
            .into_iter()
            .map(|payload| payload.name)
            .collect()
    }

    #[test]
    fn payloads_are_found_in_all_supported_file_layouts() {
        let one = payload("a").to_string();
        assert_eq!(names("a.json", &one), [""]);
        assert_eq!(names("a.json", &format!("[{one}, {one}]")), ["0", "1"]);
        assert_eq!(
            names("a.json", &format!(r#"{{"x": {{"n": {one}}}, "b": {{"a": [{one}]}}, "n": 1}}"#)),
            ["x/n", "b/a/0"]
        );
        assert_eq!(names("a.jsonl", &format!("{one}\n\n{one}\n")), ["line 1", "line 3"]);
        assert_eq!(names("a.json", r#"{"field":"messages","value":{"messages":[]}}"#), [""]);
    }

    #[test]
    fn a_value_without_a_payload_is_posted_unchanged() {
        assert_eq!(names("a.json", "not JSON"), [""]);
        assert_eq!(names("a.json", r#"{"hello": 1}"#), [""]);
    }

    #[test]
    fn siblings_of_a_payload_are_posted_unchanged_by_name() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.json");
        let good = r#"{ "object": "whatsapp_business_account", "entry": [ ], "b": 1, "a": 1.50 }"#;
        let page = r#"{"object" : "page"}"#;
        let no_list = r#"{"object":"whatsapp_business_account","entry":{}}"#;
        let parts = [("page", page), ("good", good), ("an object", no_list), ("string", r#""x""#)];
        let members: Vec<String> = parts.iter().map(|(name, json)| format!(r#""{name}": {json}"#)).collect();
        let elements: Vec<&str> = parts.iter().map(|(_, json)| *json).collect();
        let contents = [
            (format!("{{{}}}", members.join(" , ")), parts.map(|(name, _)| name)),
            (format!("[{}]", elements.join(" , ")), ["0", "1", "2", "3"]),
        ];
        for (content, names) in contents {
            std::fs::write(&path, content).expect("a file");
            let found = read(std::slice::from_ref(&path)).expect("payloads");
            let found: Vec<_> = found
                .iter()
                .map(|one| (one.name.as_str(), str::from_utf8(&one.body).expect("text")))
                .collect();
            let expected: Vec<_> = names.into_iter().zip(elements.clone()).collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_payload_that_lies_very_deep_is_not_looked_for() {
        let deep = format!("{}{}{}", "[".repeat(50_000), payload("a"), "]".repeat(50_000));
        assert_eq!(names("a.json", &deep), [""]);
    }

    #[test]
    fn a_bare_payload_keeps_its_bytes_and_a_bare_change_is_wrapped() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.json");
        let spaced = format!("  {}\n", payload("a"));
        std::fs::write(&path, &spaced).expect("a file");
        assert_eq!(read(std::slice::from_ref(&path)).expect("payloads")[0].body, spaced.as_bytes());
        std::fs::write(&path, r#"{"field":"messages","value":{"messages":[{"id":"w"}]}}"#).expect("a file");
        let body: Value = serde_json::from_slice(&read(&[path]).expect("payloads")[0].body).expect("JSON");
        assert_eq!(body["entry"][0]["changes"][0]["value"]["messages"][0]["id"], "w");
    }

    #[test]
    fn paths_that_cannot_be_read_and_empty_directories_are_errors() {
        assert!(read(&[PathBuf::from("/does/not/exist.json")]).is_err());
        let directory = tempfile::tempdir().expect("a directory");
        let refusal = |path: &Path| read(&[path.to_owned()]).expect_err("refused").to_string();
        assert!(refusal(directory.path()).ends_with(": no *.json, *.jsonl or *.ndjson file"));
        let empty = directory.path().join("empty.jsonl");
        std::fs::write(&empty, "\n\n").expect("a file");
        assert_eq!(refusal(&empty), format!("{}: it contains no payload", empty.display()));
    }
}
