//! When a message was sent.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::value::RawValue;
use shared::lenient;

/// When a message was sent: the second that Meta gives and, within that second, the order in which the
/// messages arrived.
///
/// Meta's timestamps are whole seconds, and two messages of one second must keep their order in the
/// history. The second therefore holds a minute of delay from sending to arrival, at 16 µs a millisecond,
/// and the position in the request. Two messages of one second that arrive in two requests, more than a
/// minute late and on both sides of a full minute of delay, may change places.
/// Without a plausible timestamp it is the time of arrival.
pub(super) fn sent_at(timestamp: Option<&RawValue>, received_at: DateTime<Utc>) -> DateTime<Utc> {
    const MINUTE: i64 = 60_000;
    const STEP: i64 = 16;
    let Some(second) = plausible(timestamp, received_at) else { return received_at };
    let delay = (received_at - second).num_milliseconds().max(0) % MINUTE;
    let position = i64::from(received_at.timestamp_subsec_micros() % 1000);
    second.checked_add_signed(TimeDelta::microseconds(delay * STEP + position)).unwrap_or(received_at)
}

/// When a message was written, as far as it matters whose number it came from: when it was sent, or when it arrived if it
/// is more than a year old. Meta's `history` reaches back half a year; what is older is a sample.
pub(super) fn written_at(sent_at: DateTime<Utc>, received_at: DateTime<Utc>) -> DateTime<Utc> {
    if received_at - sent_at <= TimeDelta::days(365) { sent_at } else { received_at }
}

/// The second of a timestamp, if what arrived at `received_at` can have happened then.
///
/// However long ago: Meta delivers late, and samples are old. But not before there was WhatsApp, and not more than
/// a day from now, which is more than clocks differ by: milliseconds, say, would be the year 57407, and PostgreSQL
/// would refuse the row whenever it is tried.
pub(super) fn plausible(timestamp: Option<&RawValue>, received_at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    const WHATSAPP: i64 = 1_230_768_000; // 2009-01-01
    let seconds = lenient::text(timestamp).and_then(|text| text.trim().parse().ok());
    let second = seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0))?;
    (second.timestamp() >= WHATSAPP && second - received_at <= TimeDelta::days(1)).then_some(second)
}
