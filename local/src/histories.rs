//! `GET /messages` for both users.

use std::collections::{BTreeMap, HashSet};

use local_stack::Stack;
use serde_json::Value;
use uuid::Uuid;

/// Reads the users' histories without the messages that were there before.
pub struct Histories {
    earlier: HashSet<String>,
}

impl Histories {
    /// Remembers the messages of an external project; the emulator's is new.
    ///
    /// # Errors
    /// When the gateway cannot be reached or a response is an error.
    pub async fn begin(stack: &Stack) -> anyhow::Result<Self> {
        let mut earlier = HashSet::new();
        if stack.services.supabase.own().is_err() {
            for (_, token) in stack.users()? {
                earlier.extend(stack.history(&token).await?.iter().map(id));
            }
        }
        Ok(Self { earlier })
    }

    /// Returns the new messages of each user, the newest first.
    ///
    /// # Errors
    /// When the gateway cannot be reached or a response is an error.
    pub async fn read(&self, stack: &Stack) -> anyhow::Result<BTreeMap<Uuid, Vec<Value>>> {
        let mut histories = BTreeMap::new();
        for (user, token) in stack.users()? {
            let mut entries = stack.history(&token).await?;
            entries.retain(|entry| !self.earlier.contains(&id(entry)));
            histories.insert(user, entries);
        }
        Ok(histories)
    }
}

/// Returns a message's id in the history.
fn id(entry: &Value) -> String {
    entry["id"].to_string()
}
