//! The version of the Graph API, and its end.

use chrono::NaiveDate;
use reply::graph::GraphVersion;

use super::SOON;
use crate::doctor::report::Report;

/// Reports whether the version is supported, and returns the version for further calls.
pub(super) fn examine(text: Option<&str>, today: NaiveDate, report: &mut Report) -> GraphVersion {
    let check = "graph_version";
    let remedy = "set GRAPH_API_VERSION (the template's parameter GraphApiVersion) to v26.0 or newer";
    let Some(text) = text else {
        let default = GraphVersion::default();
        let why = format!("set GRAPH_API_VERSION to the one of reply. Without it, reply uses {default}");
        match default.retirement().filter(|end| *end <= today) {
            Some(end) => report.unchecked(check, format!("{why}, which Meta retired on {end}")),
            None => report.unchecked(check, why),
        }
        return default;
    };
    let version: GraphVersion = match text.parse() {
        Ok(version) => version,
        Err(error) => {
            report.wrong(check, format!("{error}: {remedy}"));
            return GraphVersion::default();
        }
    };
    match version.retirement().map(|end| (end, (end - today).num_days())) {
        None => report.right(check, format!("{version} is supported; Meta has not announced its end")),
        Some((end, ..=0)) => report.wrong(
            check,
            format!("Meta retired {version} on {end} and uses a newer version instead: {remedy}"),
        ),
        Some((end, days @ ..=SOON)) => {
            let message = format!("{version} is supported until {end}, {days} days from now: upgrade soon");
            report.right(check, message);
        }
        Some((end, _)) => report.right(check, format!("{version} is supported until {end}")),
    }
    version
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::report::Outcome;

    fn on(day: &str, text: Option<&str>) -> (Outcome, String) {
        let mut report = Report::default();
        examine(text, day.parse().expect("a day"), &mut report);
        let finding = &report.findings()[0];
        (finding.outcome, finding.message.clone())
    }

    #[test]
    fn a_version_is_alive_until_the_day_that_meta_named() {
        for (day, text, outcome, words) in [
            ("2026-11-24", None, Outcome::Unchecked, "v19.0, which Meta retired on 2026-05-21"),
            ("2026-11-24", Some("v20.0"), Outcome::Wrong, "2026-09-24"),
            ("2026-11-24", Some("v21.0"), Outcome::Right, "58 days from now"),
            ("2027-01-21", Some("v21.0"), Outcome::Wrong, "GRAPH_API_VERSION"),
            ("2026-11-24", Some("v25.0"), Outcome::Right, "2028-07-29"),
            ("2026-11-24", Some("v26.0"), Outcome::Right, "has not announced its end"),
            ("2026-11-24", Some("26"), Outcome::Wrong, "expected a version such as"),
        ] {
            let (found, message) = on(day, text);
            assert_eq!(found, outcome, "{day} {text:?}: {message}");
            assert!(message.contains(words), "{message}");
        }
    }
}
