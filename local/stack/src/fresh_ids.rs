//! Ids that are new to the queue, for payloads that are posted more than once.

use std::collections::HashSet;

use serde_json::Value;
use uuid::Uuid;

use crate::payloads::Payload;

/// Gives messages wamids that are new to the queue.
///
/// The queue discards a second message with the same wamid as a duplicate, and row ids are derived from wamids.
#[derive(Debug, Default)]
pub struct FreshIds {
    used: HashSet<String>,
    /// A suffix for every wamid.
    run: Option<String>,
}

impl FreshIds {
    /// For a new queue, a wamid is replaced only if an earlier payload has used it. For a queue that may know the
    /// wamids from an earlier run, every wamid is made unique to this run.
    #[must_use]
    pub fn new(queue_is_new: bool) -> Self {
        let run = (!queue_is_new).then(|| format!("{:08x}", Uuid::new_v4().as_fields().0));
        Self { used: HashSet::new(), run }
    }

    /// Returns the reason for replacing a wamid.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        if self.run.is_some() {
            "the queue may have received it in an earlier run"
        } else {
            "an earlier payload of this run has used it"
        }
    }

    /// Gives the payload's messages new wamids where necessary; returns the number of replaced wamids.
    pub fn replace_used(&mut self, payload: &mut Payload) -> usize {
        let Ok(mut json) = serde_json::from_slice::<Value>(&payload.body) else { return 0 };
        if let Some(run) = &self.run
            && mark_events(&mut json, run)
        {
            payload.body = json.to_string().into_bytes();
        }
        // A status names a sent message: it needs another wamid only for a queue that may know the status.
        let lists: &[&str] = if self.run.is_some() { &["messages", "statuses"] } else { &["messages"] };
        let own: HashSet<String> = lists.iter().flat_map(|list| ids(&json, list)).collect();
        let mut replaced = 0;
        for wamid in &own {
            let new = |wamid: &String| !self.used.contains(wamid) && !own.contains(wamid);
            let fresh = match &self.run {
                None if !self.used.contains(wamid) => None,
                None => (2..).map(|n| format!("{wamid}~{n}")).find(new),
                Some(run) => {
                    let first = std::iter::once(format!("{wamid}~{run}"));
                    first.chain((2..).map(|n| format!("{wamid}~{run}~{n}"))).find(new)
                }
            };
            if let Some(fresh) = &fresh {
                replace_in_body(&mut payload.body, wamid, fresh);
                replaced += 1;
            }
            self.used.insert(fresh.unwrap_or_else(|| wamid.clone()));
        }
        replaced
    }
}

/// Returns the ids in `value.messages` or `value.statuses`.
fn ids(payload: &Value, updates: &str) -> Vec<String> {
    let list =
        |json: &Value, name: &str| json.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    list(payload, "entry")
        .into_iter()
        .flat_map(|entry| list(&entry, "changes"))
        .flat_map(|change| change.get("value").map(|value| list(value, updates)).unwrap_or_default())
        .filter_map(|update| update.get("id").and_then(Value::as_str).map(str::to_owned))
        // webhook treats a blank id as missing.
        .filter(|wamid| !wamid.trim().is_empty())
        .collect()
}

/// Gives every event a time that no earlier run has used, because the time identifies an event. Returns whether the
/// payload contains an event.
fn mark_events(payload: &mut Value, run: &str) -> bool {
    let is_event = |change: &Value| {
        let value = change.get("value");
        let has = |list| value.is_some_and(|value| value.get(list).is_some());
        !has("messages") && !has("statuses") || has("errors")
    };
    let mut marked = false;
    for entry in payload.get_mut("entry").and_then(Value::as_array_mut).into_iter().flatten() {
        let changes = entry.get("changes").and_then(Value::as_array);
        if changes.is_some_and(|changes| changes.iter().any(is_event))
            && let Some(entry) = entry.as_object_mut()
        {
            entry.insert("time".to_owned(), u32::from_str_radix(run, 16).unwrap_or_default().into());
            marked = true;
        }
    }
    marked
}

/// Replaces every occurrence of the string, and leaves all other bytes unchanged if possible.
fn replace_in_body(body: &mut Vec<u8>, old: &str, new: &str) {
    let Ok(mut json) = serde_json::from_slice::<Value>(body) else { return };
    replace(&mut json, old, new);
    let quoted = |text: &str| Value::from(text).to_string();
    let replaced = String::from_utf8_lossy(body).replace(&quoted(old), &quoted(new));
    // The string may be escaped differently, or look like the separator between two other strings.
    let is_same = serde_json::from_str::<Value>(&replaced).is_ok_and(|replaced| replaced == json);
    *body = if is_same { replaced } else { json.to_string() }.into_bytes();
}

fn replace(json: &mut Value, old: &str, new: &str) {
    match json {
        Value::String(text) if text == old => new.clone_into(text),
        Value::Array(list) => list.iter_mut().for_each(|child| replace(child, old, new)),
        Value::Object(map) => map.values_mut().for_each(|child| replace(child, old, new)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::json;

    use super::*;

    fn payload(wamid: &str) -> Value {
        json!({"object": "whatsapp_business_account",
            "entry": [{"changes": [{"field": "messages", "value": {"messages": [{"id": wamid}]}}]}]})
    }

    #[test]
    fn a_wamid_used_by_an_earlier_payload_is_replaced() {
        let mut fresh_ids = FreshIds::new(true);
        let mut play = |wamid: &str| play(&mut fresh_ids, &payload(wamid).to_string());
        assert_eq!(play("a"), (0, payload("a").to_string()));
        assert_eq!(play("a"), (1, payload("a~2").to_string()));
        assert_eq!(play("a"), (1, payload("a~3").to_string()));
        assert_eq!(play("b"), (0, payload("b").to_string()));
    }

    #[test]
    fn every_wamid_is_unique_to_the_run_for_an_older_queue() {
        let body = payload("a").to_string();
        let mut runs = [FreshIds::new(false), FreshIds::new(false)];
        let bodies: Vec<_> = runs.iter_mut().flat_map(|run| [play(run, &body), play(run, &body)]).collect();
        assert!(bodies.iter().all(|(replaced, _)| *replaced == 1));
        let distinct: HashSet<&String> = bodies.iter().map(|(_, body)| body).chain([&body]).collect();
        assert_eq!(distinct.len(), 5);
    }

    #[test]
    fn replacing_an_odd_wamid_leaves_other_bytes_unchanged() {
        let odd = [r#"a"#, r#",""#, r#":""#, r#"\/"#, r#"\u0061"#, ",", ":"];
        for wamid in odd {
            let Ok(value) = serde_json::from_str::<String>(&format!("\"{wamid}\"")) else { continue };
            let body = |wamid: &str| {
                let message = format!(r#"{{ "z": ",", "id": "{wamid}", "b": [":", "x"] }}"#);
                format!(r#"{{"entry": [{{"changes": [{{"value": {{"messages": [{message}]}}}}]}}]}}"#)
            };
            let mut fresh_ids = FreshIds::new(true);
            play(&mut fresh_ids, &body(wamid));
            let (replaced, new_body) = play(&mut fresh_ids, &body(wamid));
            let json: Value = serde_json::from_str(&new_body).expect("JSON");
            assert_eq!(ids(&json, "messages"), [format!("{value}~2")], "{replaced}");
            if wamid == "a" {
                assert_eq!(new_body, body("a~2"));
            }
        }
    }

    fn play(fresh_ids: &mut FreshIds, body: &str) -> (usize, String) {
        let mut payload =
            Payload { file: PathBuf::new(), name: String::new(), body: body.as_bytes().to_vec() };
        let replaced = fresh_ids.replace_used(&mut payload);
        (replaced, String::from_utf8(payload.body).expect("UTF-8"))
    }
}
