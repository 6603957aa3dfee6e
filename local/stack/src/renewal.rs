//! Ids that the queue has not seen, for payloads that are posted more than once.

use std::collections::HashSet;

use serde_json::Value;
use uuid::Uuid;

use crate::payloads::Payload;

/// Gives messages wamids that the queue has not seen.
///
/// It takes a second message with the same wamid for a redelivery, and rows are known by it.
#[derive(Debug, Default)]
pub struct Renewal {
    used: HashSet<String>,
    /// Added to every wamid.
    run: Option<String>,
}

impl Renewal {
    /// Wamids stay as they are until a later payload has the same: for a queue that is as old as the run, its own.
    /// For one that may know them from an earlier run, every wamid becomes unique to this one.
    #[must_use]
    pub fn new(queue_is_new: bool) -> Self {
        let run = (!queue_is_new).then(|| format!("{:08x}", Uuid::new_v4().as_fields().0));
        Self { used: HashSet::new(), run }
    }

    /// Why a wamid is given anew.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        if self.run.is_some() {
            "the queue may know it from an earlier run"
        } else {
            "an earlier payload of this run has used it"
        }
    }

    /// Gives the payload's messages new wamids where they need them; says how many.
    pub fn renew(&mut self, payload: &mut Payload) -> usize {
        let Ok(mut json) = serde_json::from_slice::<Value>(&payload.body) else { return 0 };
        if let Some(run) = &self.run
            && mark_events(&mut json, run)
        {
            payload.body = json.to_string().into_bytes();
        }
        // A status names a message that was sent: only a queue that may know the status wants another.
        let lists: &[&str] = if self.run.is_some() { &["messages", "statuses"] } else { &["messages"] };
        let own: HashSet<String> = lists.iter().flat_map(|list| ids(&json, list)).collect();
        let mut renewed = 0;
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
                renewed += 1;
            }
            self.used.insert(fresh.unwrap_or_else(|| wamid.clone()));
        }
        renewed
    }
}

/// The ids in `value.messages` or `value.statuses`.
fn ids(payload: &Value, updates: &str) -> Vec<String> {
    let list =
        |json: &Value, name: &str| json.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    list(payload, "entry")
        .into_iter()
        .flat_map(|entry| list(&entry, "changes"))
        .flat_map(|change| change.get("value").map(|value| list(value, updates)).unwrap_or_default())
        .filter_map(|update| update.get("id").and_then(Value::as_str).map(str::to_owned))
        // Not an id: webhook takes the message for one without.
        .filter(|wamid| !wamid.trim().is_empty())
        .collect()
}

/// Gives an event a time that no earlier run has given it: it is told from others by that. Whether there is one.
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

/// Replaces the string wherever it stands, and leaves every other byte alone if that can be done.
fn replace_in_body(body: &mut Vec<u8>, old: &str, new: &str) {
    let Ok(mut json) = serde_json::from_slice::<Value>(body) else { return };
    replace(&mut json, old, new);
    let written = |text: &str| Value::from(text).to_string();
    let replaced = String::from_utf8_lossy(body).replace(&written(old), &written(new));
    // It may be written in another way, or look like what stands between two others.
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
    fn a_wamid_is_renewed_when_an_earlier_payload_has_used_it() {
        let mut renewal = Renewal::new(true);
        let mut play = |wamid: &str| play(&mut renewal, &payload(wamid).to_string());
        assert_eq!(play("a"), (0, payload("a").to_string()));
        assert_eq!(play("a"), (1, payload("a~2").to_string()));
        assert_eq!(play("a"), (1, payload("a~3").to_string()));
        assert_eq!(play("b"), (0, payload("b").to_string()));
    }

    #[test]
    fn for_a_queue_that_is_older_than_the_run_every_wamid_is_unique_to_it() {
        let body = payload("a").to_string();
        let mut runs = [Renewal::new(false), Renewal::new(false)];
        let bodies: Vec<_> = runs.iter_mut().flat_map(|run| [play(run, &body), play(run, &body)]).collect();
        assert!(bodies.iter().all(|(renewed, _)| *renewed == 1));
        let distinct: HashSet<&String> = bodies.iter().map(|(_, body)| body).chain([&body]).collect();
        assert_eq!(distinct.len(), 5);
    }

    #[test]
    fn renewing_leaves_every_other_byte_alone_however_odd_the_wamid_is() {
        let odd = [r#"a"#, r#",""#, r#":""#, r#"\/"#, r#"\u0061"#, ",", ":"];
        for wamid in odd {
            let Ok(value) = serde_json::from_str::<String>(&format!("\"{wamid}\"")) else { continue };
            let body = |wamid: &str| {
                let message = format!(r#"{{ "z": ",", "id": "{wamid}", "b": [":", "x"] }}"#);
                format!(r#"{{"entry": [{{"changes": [{{"value": {{"messages": [{message}]}}}}]}}]}}"#)
            };
            let mut renewal = Renewal::new(true);
            play(&mut renewal, &body(wamid));
            let (renewed, renewed_body) = play(&mut renewal, &body(wamid));
            let json: Value = serde_json::from_str(&renewed_body).expect("JSON");
            assert_eq!(ids(&json, "messages"), [format!("{value}~2")], "{renewed}");
            if wamid == "a" {
                assert_eq!(renewed_body, body("a~2"));
            }
        }
    }

    fn play(renewal: &mut Renewal, body: &str) -> (usize, String) {
        let mut payload =
            Payload { file: PathBuf::new(), name: String::new(), body: body.as_bytes().to_vec() };
        let renewed = renewal.renew(&mut payload);
        (renewed, String::from_utf8(payload.body).expect("UTF-8"))
    }
}
