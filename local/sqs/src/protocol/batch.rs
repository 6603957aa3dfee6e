//! Common parts of the three batch actions: validation, and a result for every entry.

use std::collections::BTreeSet;

use serde::Serialize;

use super::required;
use crate::error::{Result, SqsError};

const MAXIMUM_ENTRIES: usize = 10;

/// Fault injection: the error of an entry, by position, that is not performed.
pub(crate) type Refuse<'a> = &'a dyn Fn(usize) -> Option<SqsError>;

/// An entry of a batch.
pub(super) trait Entry {
    fn id(&self) -> Option<&str>;
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct BatchResult<T> {
    // AWS omits an empty list of failures; the SDK reads a missing list as empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    successful: Vec<T>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed: Vec<Failed>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Failed {
    id: String,
    sender_fault: bool,
    code: &'static str,
    message: String,
}

/// Result of an entry without further content.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Done {
    id: String,
}

impl Done {
    pub(super) fn new(id: &str) -> Self {
        Self { id: id.to_owned() }
    }
}

/// Checks the number and the ids of the entries.
pub(super) fn validate<E: Entry>(entries: &[E]) -> Result<()> {
    if entries.is_empty() {
        return Err(SqsError::EmptyBatchRequest);
    }
    if entries.len() > MAXIMUM_ENTRIES {
        return Err(SqsError::TooManyEntriesInBatchRequest(entries.len()));
    }
    let mut ids = BTreeSet::new();
    for entry in entries {
        let id = required(entry.id(), "Id")?;
        if !(1..=80).contains(&id.len())
            || !id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        {
            return Err(SqsError::InvalidBatchEntryId);
        }
        if !ids.insert(id) {
            return Err(SqsError::BatchEntryIdsNotDistinct(id.to_owned()));
        }
    }
    Ok(())
}

/// Performs every entry in order; a failure does not stop the others.
pub(super) fn each<E: Entry, T>(
    entries: &[E],
    refuse: Refuse<'_>,
    mut perform: impl FnMut(&str, &E) -> Result<T>,
) -> BatchResult<T> {
    let mut result = BatchResult { successful: Vec::new(), failed: Vec::new() };
    for (position, entry) in entries.iter().enumerate() {
        let id = entry.id().unwrap_or_default();
        match refuse(position).map_or_else(|| perform(id, entry), Err) {
            Ok(done) => result.successful.push(done),
            Err(error) => result.failed.push(Failed {
                id: id.to_owned(),
                sender_fault: error.sender_fault(),
                code: error.code(),
                message: error.to_string(),
            }),
        }
    }
    result
}
