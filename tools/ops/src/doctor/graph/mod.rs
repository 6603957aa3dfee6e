//! Meta's Graph API: the version, the access token and the phone number id.

mod api;
mod version;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Client;
use shared::lambda::logging::Masked;

use self::api::{About, AboutNumber, AboutToken, Failure, Graph, Rejection};
use super::connection::{safe_url, shown};
use super::report::Report;
use super::settings::Settings;

/// The URL of the Graph API, unless `GRAPH_API_URL` names a fake.
const GRAPH: &str = "https://graph.facebook.com";
/// The required permissions of the token.
const PERMISSIONS: [&str; 2] = ["whatsapp_business_messaging", "whatsapp_business_management"];
/// Days before the end of a version or token from which the report mentions it.
const SOON: i64 = 90;
/// Days before the end of a token from which the check fails.
const LAST_DAYS: i64 = 14;
/// The instructions for a new token.
const NEW_TOKEN: &str = "generate one for a system user (Business settings → Users → System users) and put it into \
                         the secret as WHATSAPP_ACCESS_TOKEN";

/// Checks version, token and number.
pub async fn examine(settings: &Settings, http: &Client) -> Report {
    let mut report = Report::default();
    let version = version::examine(settings.graph_version.as_deref(), Utc::now().date_naive(), &mut report);
    let [api, token_check, number] = ["graph_api", "access_token", "phone_number_id"];
    let Some(token) = &settings.access_token else {
        report.all_unchecked(&[api, token_check, number], "set WHATSAPP_ACCESS_TOKEN");
        return report;
    };
    let url = match safe_url(settings.graph_url.as_deref().unwrap_or(GRAPH)) {
        Ok(url) => url,
        Err(what) => {
            report.wrong(api, format!("{what}: unset GRAPH_API_URL"));
            report.all_unchecked(&[token_check, number], "GRAPH_API_URL is wrong");
            return report;
        }
    };
    let graph = Graph { url, version, token, http };
    let about_token = match graph.about_token().await {
        Err(Failure::NoAnswer(why)) => {
            report.wrong(
                api,
                format!(
                    "{why}: is {} reachable from here? Without a fake, unset GRAPH_API_URL",
                    shown(&graph.url)
                ),
            );
            report.all_unchecked(&[token_check, number], "the Graph API does not respond");
            return report;
        }
        answer => answer,
    };
    report.right(api, format!("{} responds", shown(&graph.url)));
    let about_number = match &settings.phone_number_id {
        None => None,
        Some(id) => Some(graph.about_number(id).await),
    };
    let accepted = examine_token(&about_token, about_number.as_ref(), &mut report);
    match about_number {
        None => report.unchecked(number, "set WHATSAPP_PHONE_NUMBER_ID"),
        Some(_) if !accepted => report.unchecked(number, "the access token is not accepted"),
        Some(about) => examine_number(about, &mut report),
    }
    report
}

/// Returns whether the token is accepted, and by both calls: Meta may refuse to describe a token that it accepts.
fn examine_token(
    about: &Result<AboutToken, Failure>,
    number: Option<&Result<AboutNumber, Failure>>,
    report: &mut Report,
) -> bool {
    let check = "access_token";
    let rejections = [about.as_ref().err(), number.and_then(|number| number.as_ref().err())];
    let rejections = rejections.into_iter().flatten().filter_map(|failure| match failure {
        Failure::Rejected(rejection) => Some(*rejection),
        Failure::NoAnswer(_) => None,
    });
    let invalid = about.as_ref().ok().filter(|about| !about.data.is_valid);
    let invalid = invalid.map(|about| Rejection {
        status: 200,
        code: Some(190),
        ..about.data.error.unwrap_or_default()
    });
    for rejection in invalid.into_iter().chain(rejections) {
        if let About::Token(what) = rejection.about() {
            report.wrong(check, format!("{what} ({rejection}): {NEW_TOKEN}"));
            return false;
        }
    }
    let Ok(AboutToken { data }) = about else {
        // A response about the number, or a refusal about another subject, proves that the token is accepted.
        match number {
            Some(Ok(_)) => report.right(check, "is accepted; Meta does not report its expiry"),
            Some(Err(Failure::Rejected(rejection)))
                if matches!(rejection.about(), About::Number | About::Permission) =>
            {
                report.right(check, "is accepted; Meta reports neither its permissions nor its expiry");
            }
            _ => report.unchecked(check, "Meta reports nothing about it at the moment: try again"),
        }
        return true;
    };
    let scopes = data.scopes.as_deref().unwrap_or_default();
    let missing: Vec<_> = PERMISSIONS
        .into_iter()
        .filter(|permission| !scopes.iter().any(|scope| scope == permission))
        .collect();
    if data.scopes.is_some() && !missing.is_empty() {
        let missing = missing.join(" and ");
        report.wrong(check, format!("is accepted, without the permission {missing}: with both, {NEW_TOKEN}"));
        return true;
    }
    match DateTime::from_timestamp(data.expires_at, 0).filter(|_| data.expires_at > 0) {
        None => report.right(check, "is accepted, has both permissions, and does not expire"),
        Some(end) => examine_end(end, end - Utc::now(), report),
    }
    true
}

/// Reports the remaining lifetime of a token: an expiry within days is wrong, so that a scheduled run warns in time.
fn examine_end(end: DateTime<Utc>, left: TimeDelta, report: &mut Report) {
    let check = "access_token";
    let (days, end) = (left.num_days(), end.format("%Y-%m-%d %H:%M UTC"));
    let s = if days == 1 { "" } else { "s" };
    let accepted = format!("is accepted and has both permissions, for {days} more day{s}, until {end}");
    if days < LAST_DAYS {
        report.wrong(check, format!("{accepted}: enough for a first try. For more, {NEW_TOKEN}"));
    } else if days < SOON {
        report.right(check, format!("{accepted}. Before that, {NEW_TOKEN}"));
    } else {
        report.right(check, accepted);
    }
}

fn examine_number(about: Result<AboutNumber, Failure>, report: &mut Report) {
    let check = "phone_number_id";
    let about = match about {
        Ok(about) => about,
        Err(Failure::NoAnswer(why)) => return report.unchecked(check, why),
        Err(Failure::Rejected(rejection)) => {
            return match rejection.about() {
                About::Number => report.wrong(
                    check,
                    format!(
                        "there is no such number for this token ({rejection}): set WHATSAPP_PHONE_NUMBER_ID to the id \
                         of API Setup, which is not the number itself, and assign its account (WABA) to the system user"
                    ),
                ),
                About::Permission | About::Token(_) => report.wrong(
                    check,
                    format!("the token may not see it ({rejection}): assign its account (WABA) to the system user"),
                ),
                About::Passing => report.unchecked(check, format!("{rejection}, a transient error: try again")),
                About::Unknown => report.wrong(check, format!("{rejection}: see Meta's error codes")),
            };
        }
    };
    let number = about.display_phone_number.unwrap_or_default();
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    let name: String =
        about.verified_name.unwrap_or_default().chars().filter(|c| !c.is_control()).take(80).collect();
    match about.platform_type.as_deref() {
        None | Some("CLOUD_API") => {}
        Some(_) => {
            return report.wrong(
                check,
                format!(
                    "{} is not registered with the Cloud API: register it (docs/DEPLOYING.md#credentials)",
                    Masked(&digits)
                ),
            );
        }
    }
    let quality = match about.quality_rating.as_deref() {
        Some("RED") => "low quality: users block or report it, and Meta may limit it",
        Some("YELLOW") => "medium quality",
        Some("GREEN") => "high quality",
        _ => "quality unknown",
    };
    report.right(check, format!("is {}, “{name}”, {quality}", Masked(&digits)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::report::Outcome;

    #[test]
    fn a_token_without_debug_data_is_judged_by_the_number_lookup() {
        let refusal = |status, code, subcode| Failure::Rejected(Rejection { status, code, subcode });
        let number = || AboutNumber {
            display_phone_number: None,
            verified_name: None,
            quality_rating: None,
            platform_type: None,
        };
        for (about_number, expected) in [
            (Some(Ok(number())), Outcome::Right),
            (Some(Err(refusal(400, Some(100), Some(33)))), Outcome::Right),
            (Some(Err(refusal(401, Some(190), Some(463)))), Outcome::Wrong),
            (Some(Err(refusal(503, Some(2), None))), Outcome::Unchecked),
            (None, Outcome::Unchecked),
        ] {
            let mut report = Report::default();
            let about = Err(refusal(400, Some(100), None));
            examine_token(&about, about_number.as_ref(), &mut report);
            assert_eq!(report.findings()[0].outcome, expected, "{about_number:?}");
        }
    }

    #[test]
    fn a_token_that_ends_within_two_weeks_is_wrong() {
        for (left, expected, words) in [
            (
                TimeDelta::hours(3),
                Outcome::Wrong,
                "for 0 more days, until 2027-01-01 00:00 UTC: enough for a first try",
            ),
            (TimeDelta::days(1), Outcome::Wrong, "for 1 more day, until"),
            (TimeDelta::days(14) - TimeDelta::seconds(1), Outcome::Wrong, "for 13 more days"),
            (
                TimeDelta::days(14),
                Outcome::Right,
                "for 14 more days, until 2027-01-01 00:00 UTC. Before that, generate",
            ),
            (TimeDelta::days(400), Outcome::Right, "for 400 more days, until 2027-01-01 00:00 UTC"),
        ] {
            let mut report = Report::default();
            examine_end(DateTime::from_timestamp(1_798_761_600, 0).expect("a time"), left, &mut report);
            let finding = &report.findings()[0];
            assert_eq!(finding.outcome, expected, "{left}");
            assert!(finding.message.contains(words), "{}", finding.message);
        }
    }

    #[test]
    fn an_unregistered_number_is_wrong_and_masked() {
        for (platform, expected) in [("CLOUD_API", Outcome::Right), ("NOT_APPLICABLE", Outcome::Wrong)] {
            let about = AboutNumber {
                display_phone_number: Some("+1 555-078-3881".to_owned()),
                verified_name: Some("Lucky\u{1b}[2J Shrub".to_owned()),
                quality_rating: Some("RED".to_owned()),
                platform_type: Some(platform.to_owned()),
            };
            let mut report = Report::default();
            examine_number(Ok(about), &mut report);
            let finding = &report.findings()[0];
            assert_eq!(finding.outcome, expected);
            assert!(
                finding.message.contains("…881") && !finding.message.contains("078"),
                "{}",
                finding.message
            );
            assert!(!finding.message.contains('\u{1b}'), "{}", finding.message);
        }
    }
}
