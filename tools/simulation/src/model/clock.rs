//! The start of every run.

/// Start of every run, in seconds since 1970: 2026-11-24 00:00 UTC.
pub const EPOCH_SECONDS: u64 = 1_795_478_400;
