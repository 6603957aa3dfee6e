//! Valid characters of a string.

use crate::error::{Result, SqsError};

/// SQS accepts the characters of XML 1.0 (API reference, SendMessage).
pub(crate) fn validate(text: &str) -> Result<()> {
    let allowed = |c: char| match c {
        '\u{9}' | '\u{a}' | '\u{d}' => true,
        '\u{fffe}' | '\u{ffff}' => false,
        c => c >= ' ',
    };
    if text.chars().all(allowed) { Ok(()) } else { Err(SqsError::InvalidMessageContents) }
}
