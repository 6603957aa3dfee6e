//! Versions of the Graph API.

use std::fmt;
use std::str::FromStr;

use chrono::NaiveDate;
use shared::lambda::counter::Counter;
use tracing::warn;

use super::SettingError;

/// The version for sends without `GRAPH_API_VERSION`.
///
/// Meta retired it on 2026-05-21 and serves calls to it with the oldest supported version:
/// docs/CONFIGURATION.md#graph-api-version explains the choice.
pub const GRAPH_API_VERSION: &str = "v19.0";

/// The retirement dates of versions. Source: “Graph API changelog”, Meta for Developers, November 2026.
/// <https://developers.facebook.com/docs/graph-api/changelog/versions/>
const RETIREMENT: [(u32, NaiveDate); 7] = [
    (19, date(2026, 5, 21)),
    (20, date(2026, 9, 24)),
    (21, date(2027, 1, 21)),
    (22, date(2027, 5, 20)),
    (23, date(2027, 10, 8)),
    (24, date(2028, 2, 18)),
    (25, date(2028, 7, 29)),
];

/// A version of the Graph API, such as `v25.0`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GraphVersion {
    text: String,
    major: u32,
}

const fn date(year: i32, month: u32, day: u32) -> NaiveDate {
    match NaiveDate::from_ymd_opt(year, month, day) {
        Some(date) => date,
        None => NaiveDate::MIN,
    }
}

impl GraphVersion {
    /// Returns the version as in a URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the day of its retirement by Meta; for a version older than the listed ones, a day by which it was
    /// retired. `None` if no day is known.
    #[must_use]
    pub fn retirement(&self) -> Option<NaiveDate> {
        RETIREMENT.iter().find(|(major, _)| self.major <= *major).map(|(_, date)| *date)
    }

    /// Logs a warning when Meta has retired this version by `today`.
    pub fn warn_if_retired(&self, today: NaiveDate) {
        if let Some(retired) = self.retirement().filter(|date| *date <= today) {
            warn!(
                counter = Counter::RetiredGraphVersions.name(),
                version = self.as_str(),
                %retired,
                "Meta retired this Graph API version: set GRAPH_API_VERSION to a supported one"
            );
        }
    }
}

impl Default for GraphVersion {
    fn default() -> Self {
        Self { text: GRAPH_API_VERSION.to_owned(), major: 19 }
    }
}

impl FromStr for GraphVersion {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let numbers = text.strip_prefix('v').and_then(|numbers| numbers.split_once('.'));
        let (major, minor) = numbers.ok_or(SettingError::Version)?;
        let number = |text: &str| text.parse::<u32>().map_err(|_| SettingError::Version);
        number(minor)?;
        Ok(Self { major: number(major)?, text: text.to_owned() })
    }
}

impl fmt::Display for GraphVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_a_version_with_a_known_retirement() {
        let pinned: GraphVersion = GRAPH_API_VERSION.parse().expect("a version");
        assert_eq!(pinned, GraphVersion::default());
        assert_eq!(pinned.retirement(), Some(date(2026, 5, 21)));
        assert!(RETIREMENT.iter().all(|(_, day)| *day > NaiveDate::MIN));
    }

    #[test]
    fn unlisted_older_versions_are_retired_and_newer_are_not() {
        let retirement = |text: &str| text.parse::<GraphVersion>().expect(text).retirement();
        assert_eq!(retirement("v3.2"), Some(date(2026, 5, 21)));
        assert_eq!(retirement("v20.0"), Some(date(2026, 9, 24)));
        assert_eq!(retirement("v21.0"), Some(date(2027, 1, 21)));
        assert_eq!(retirement("v25.0"), Some(date(2028, 7, 29)));
        assert_eq!(retirement("v26.0"), None);
        assert_eq!(retirement("v140.0"), None);
    }

    #[test]
    fn an_invalid_version_is_refused() {
        for text in ["", "v", "19.0", "v19", "v19.", "vx.0", "v19.0/..", "V19.0"] {
            assert_eq!(text.parse::<GraphVersion>(), Err(SettingError::Version), "{text}");
        }
    }
}
