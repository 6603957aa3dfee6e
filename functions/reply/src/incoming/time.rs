//! The time of a message.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::value::RawValue;
use shared::meta::lenient;

/// Returns the time of sending: Meta's timestamp in seconds and, within that second, the order of arrival.
///
/// Meta's timestamps are whole seconds, and two messages of one second must keep their order in the history. The fraction
/// of the second therefore encodes the delay from sending to arrival, modulo one minute at 16 µs per millisecond, and the
/// position in the request. Two messages of one second may swap places if they arrive in two requests, more than a minute
/// late and on both sides of a full minute of delay. Without a plausible timestamp, the time of arrival counts.
pub(super) fn sent_at(timestamp: Option<&RawValue>, received_at: DateTime<Utc>) -> DateTime<Utc> {
    const MINUTE: i64 = 60_000;
    const STEP: i64 = 16;
    let Some(second) = plausible(timestamp, received_at) else { return received_at };
    let delay = (received_at - second).num_milliseconds().max(0) % MINUTE;
    let position = i64::from(received_at.timestamp_subsec_micros() % 1000);
    second.checked_add_signed(TimeDelta::microseconds(delay * STEP + position)).unwrap_or(received_at)
}

/// Returns the time of writing, for the lookup of the number's owner at that time: the time of sending, or the time of
/// arrival if the message is more than a year old. Meta's `history` covers half a year; older messages are samples.
pub(super) fn written_at(sent_at: DateTime<Utc>, received_at: DateTime<Utc>) -> DateTime<Utc> {
    if received_at - sent_at <= TimeDelta::days(365) { sent_at } else { received_at }
}

/// Returns the time of a timestamp in seconds, if it is plausible for an update that arrived at `received_at`.
///
/// An old time is plausible: Meta delivers late, and samples are old. A time before WhatsApp existed is not, nor one more
/// than a day in the future, which exceeds any clock skew: a timestamp in milliseconds, for example, would be the year
/// 57407, and PostgreSQL would refuse the row on every retry.
pub(super) fn plausible(timestamp: Option<&RawValue>, received_at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    const WHATSAPP: i64 = 1_230_768_000; // 2009-01-01
    let seconds = lenient::text(timestamp).and_then(|text| text.trim().parse().ok());
    let second = seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0))?;
    (second.timestamp() >= WHATSAPP && second - received_at <= TimeDelta::days(1)).then_some(second)
}
