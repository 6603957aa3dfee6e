//! The settings of the responder: whether they agree with each other. Nothing is sent to the model.

use secrecy::SecretString;

use super::connection::{safe_url, shown};
use super::report::Report;
use super::settings::Settings;

/// The name of the check.
const CHECK: &str = "responder";

/// Checks what `reply` refuses at its start, and what it would learn from the model's first response.
pub(super) fn examine(settings: &Settings, report: &mut Report) {
    match settings.responder.as_deref() {
        None => {
            report.unchecked(CHECK, "set REPLY_RESPONDER (the parameter ReplyResponder; echo by default)")
        }
        Some("echo") => report.right(CHECK, "echo: users get their own words back"),
        Some("silent") => report.right(CHECK, "silent: messages are recorded, and none is answered"),
        Some("llm") => match model(settings) {
            Ok(found) => report.right(CHECK, found),
            Err(fault) => report.wrong(CHECK, fault),
        },
        Some(other) => report.wrong(
            CHECK,
            format!(
                "there is no responder {other}: set REPLY_RESPONDER (ReplyResponder) to echo, llm or silent"
            ),
        ),
    }
}

/// Returns what `llm` asks, or the fault of a setting with its remedy.
fn model(settings: &Settings) -> Result<String, String> {
    let (Some(url), Some(model)) = (&settings.llm_url, &settings.llm_model) else {
        let missing: Vec<_> =
            [("LLM_URL (LlmUrl)", &settings.llm_url), ("LLM_MODEL (LlmModel)", &settings.llm_model)]
                .into_iter()
                .filter_map(|(name, value)| value.is_none().then_some(name))
                .collect();
        return Err(format!("llm needs a URL and a model: set {}", missing.join(" and ")));
    };
    let url = safe_url(url).map_err(|fault| format!("LLM_URL is not usable: {fault}"))?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err("LLM_URL is a base address, without ? and #; a key belongs into LLM_API_KEY".to_owned());
    }
    let address = shown(&url);
    if address.ends_with("/chat/completions") {
        return Err("LLM_URL is the base address: leave /chat/completions out of it".to_owned());
    }
    let key = |_: &SecretString| "with the key of LLM_API_KEY";
    let key = settings.llm_key.as_ref().map_or("without a key, as there is no LLM_API_KEY", key);
    Ok(format!("llm: {model} at {address}, {key}"))
}

#[cfg(test)]
mod tests {
    use super::super::report::Outcome;
    use super::*;

    fn of(responder: &str, url: Option<&str>, model: Option<&str>, key: Option<&str>) -> (Outcome, String) {
        let settings = Settings {
            responder: Some(responder.to_owned()),
            llm_url: url.map(str::to_owned),
            llm_model: model.map(str::to_owned),
            llm_key: key.map(SecretString::from),
            ..Settings::default()
        };
        let mut report = Report::default();
        examine(&settings, &mut report);
        let [finding] = report.findings() else { panic!("{report:?}") };
        (finding.outcome, finding.message.clone())
    }

    #[test]
    fn a_model_needs_a_safe_base_address_and_a_name() {
        for (url, model, words) in [
            (None, Some("m"), "set LLM_URL (LlmUrl)"),
            (Some("https://a.example/v1"), None, "set LLM_MODEL (LlmModel)"),
            (None, None, "set LLM_URL (LlmUrl) and LLM_MODEL (LlmModel)"),
            (Some("http://a.example/v1"), Some("m"), "it does not begin with https://"),
            (Some("a.example"), Some("m"), "it is not a URL"),
            (Some("https://a.example/v1?key=hunter2"), Some("m"), "LLM_API_KEY"),
            (Some("https://a.example/v1/chat/completions"), Some("m"), "leave /chat/completions out"),
            (Some("https://a.example/v1/chat/completions/"), Some("m"), "leave /chat/completions out"),
        ] {
            let (outcome, message) = of("llm", url, model, Some("hunter2"));
            assert_eq!(outcome, Outcome::Wrong, "{url:?} {model:?}");
            assert!(message.contains(words) && !message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn a_missing_key_is_named_and_a_key_is_not_printed() {
        for (url, key, words) in [
            (
                "https://a.example/v1/",
                Some("hunter2"),
                "llm: m at https://a.example/v1, with the key of LLM_API_KEY",
            ),
            ("http://127.0.0.1:11434/v1", None, "llm: m at http://127.0.0.1:11434/v1, without a key"),
        ] {
            let (outcome, message) = of("llm", Some(url), Some("m"), key);
            assert_eq!(outcome, Outcome::Right, "{message}");
            assert!(message.starts_with(words), "{message}");
        }
    }

    #[test]
    fn other_responders_need_no_model() {
        assert_eq!(of("echo", None, None, None).0, Outcome::Right);
        assert_eq!(of("silent", None, None, None).0, Outcome::Right);
        assert_eq!(of("LLM", None, None, None).0, Outcome::Wrong);
        let mut report = Report::default();
        examine(&Settings::default(), &mut report);
        assert_eq!(report.count(Outcome::Unchecked), 1);
    }
}
