//! The Supabase project: its URL, its keys, the migrations, and anonymous reads and calls.

mod linking;
mod notes;
mod tables;

use reqwest::Client;
use secrecy::SecretString;
use shared::supabase::{ApiKey, ProjectUrl, Supabase, SupabaseError};

use self::notes::notes;
use self::tables::{anonymous, no_rows, run, tables};

pub use self::tables::{TABLES, Table};
use super::connection::{TIMEOUT, no_answer, safe_url, shown};
use super::report::Report;
use super::settings::Settings;

/// Checks the project. Also returns a client with the secret key, if that is accepted and the database answers.
pub async fn examine(settings: &Settings, http: &Client) -> (Report, Option<Supabase>) {
    let mut report = Report::default();
    let checks: Vec<_> = ["secret_key", "publishable_key", "database"]
        .into_iter()
        .chain(TABLES.map(|table| table.check))
        .chain([notes::CHECK, linking::FUNCTIONS, "anonymous_reads", linking::RIGHTS])
        .collect();
    let Some(text) = &settings.supabase_url else {
        report.unchecked("supabase_url", "set SUPABASE_URL");
        report.all_unchecked(&checks, "set SUPABASE_URL");
        return (report, None);
    };
    let (project, shown) = match project(text, http).await {
        Ok(project) => project,
        Err(wrong) => {
            report.wrong("supabase_url", wrong);
            report.all_unchecked(&checks, "the project does not respond");
            return (report, None);
        }
    };
    report.right("supabase_url", format!("{shown} is a project"));

    let ask = async |key: &Option<SecretString>, kind: &KeyKind| match key {
        None => Key::Unknown(format!("set {}", kind.variable)),
        Some(key) => Key::ask(key, kind, &project, http).await,
    };
    let (secret, publishable) =
        tokio::join!(ask(&settings.secret_key, &SECRET), ask(&settings.publishable_key, &PUBLISHABLE));
    secret.report("secret_key", &mut report);
    publishable.report("publishable_key", &mut report);
    match (&secret, &publishable) {
        (Key::NoDatabase(why), _) | (_, Key::NoDatabase(why)) => {
            report.wrong(
                "database",
                format!("{why}: is the project paused or restarting? Its dashboard shows the state, and restores it"),
            );
            report.all_unchecked(&checks[3..], "the database does not respond");
            return (report, None);
        }
        (Key::Accepted(_), _) | (_, Key::Accepted(_)) => report.right("database", "responds"),
        _ => report.unchecked("database", "no key is accepted"),
    }
    let secret = secret.accepted();
    match &secret {
        Some(secret) => {
            tables(secret, &mut report).await;
            notes(secret, &mut report).await;
            linking::functions(secret, &mut report).await;
        }
        None => {
            let why = "the secret key is not accepted, or not set";
            report.all_unchecked(&TABLES.map(|table| table.check), why);
            report.all_unchecked(&[notes::CHECK, linking::FUNCTIONS], why);
        }
    }
    match publishable.accepted() {
        Some(publishable) => {
            anonymous(&publishable, &mut report).await;
            linking::rights(&publishable, &mut report).await;
        }
        None => report.all_unchecked(
            &["anonymous_reads", linking::RIGHTS],
            "the publishable key is not accepted, or not set",
        ),
    }
    (report, secret)
}

/// Checks that a project responds at the URL, which must refuse a request without a key. Returns the URL for display.
async fn project(text: &str, http: &Client) -> Result<(ProjectUrl, String), String> {
    const WHERE: &str = "Supabase's dashboard shows it under Connect (https://<ref>.supabase.co)";
    let url = safe_url(text).map_err(|what| format!("{what}: {WHERE}"))?;
    let project = text.parse::<ProjectUrl>().map_err(|error| format!("{error}: {WHERE}"))?;
    let rest = format!("{}/rest/v1/", url.as_str().trim_end_matches('/'));
    let response = http.get(rest).timeout(TIMEOUT).send().await;
    match response.map(|response| response.status().as_u16()) {
        Ok(401) => Ok((project, shown(&url))),
        // Source: “HTTP status codes”, Supabase's documentation.
        Ok(540) => Err("the project is paused: restore it in Supabase's dashboard".to_owned()),
        Ok(status @ 500..) => Err(format!("{status}: the project is there and fails; see its dashboard")),
        Ok(status) => Err(format!("{status}: the server is not a Supabase project; {WHERE}")),
        Err(error) => Err(format!("{}: {WHERE}", no_answer(&error))),
    }
}

/// The texts for a kind of key.
struct KeyKind {
    variable: &'static str,
    name: &'static str,
    other: &'static str,
    is_it: fn(&ApiKey) -> bool,
    is_the_other: fn(&ApiKey) -> bool,
}

const SECRET: KeyKind = KeyKind {
    variable: "SUPABASE_SECRET_KEY",
    name: "secret key (sb_secret_… or service_role)",
    other: "a publishable key, which row-level security stops",
    is_it: ApiKey::is_secret,
    is_the_other: ApiKey::is_publishable,
};

const PUBLISHABLE: KeyKind = KeyKind {
    variable: "SUPABASE_PUBLISHABLE_KEY",
    name: "publishable key (sb_publishable_… or anon)",
    other: "a secret key, which passes row-level security: every user would read everything",
    is_it: ApiKey::is_publishable,
    is_the_other: ApiKey::is_secret,
};

/// The state of a key.
enum Key {
    Unknown(String),
    Wrong(String),
    NoDatabase(String),
    Accepted(Supabase),
}

impl Key {
    async fn ask(text: &SecretString, kind: &KeyKind, project: &ProjectUrl, http: &Client) -> Self {
        let KeyKind { variable, name, other, is_it, is_the_other } = kind;
        let remedy = format!("set {variable} to the {name} of Project Settings → API Keys");
        let key = match ApiKey::try_from(text) {
            Ok(key) if is_it(&key) => key,
            Ok(key) if is_the_other(&key) => return Self::Wrong(format!("it is {other}: {remedy}")),
            Ok(_) => return Self::Wrong(format!("it is a key of another role: {remedy}")),
            Err(error) => return Self::Wrong(format!("{error}: {remedy}")),
        };
        let client = Supabase::new(project, key, http.clone());
        let no_rows = no_rows(&client, &TABLES[0], TABLES[0].columns[0]);
        match run(&client, no_rows).await {
            Err(error @ (SupabaseError::Timeout | SupabaseError::Unreachable)) => {
                Self::NoDatabase(error.to_string())
            }
            Err(SupabaseError::Rejected { status: status @ 500.., code }) => {
                let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
                Self::NoDatabase(format!("{status}{code}"))
            }
            Err(SupabaseError::Rejected { status: 401 | 403, code }) if is_of_the_key(code.as_deref()) => {
                Self::Wrong(format!(
                    "this project does not accept it: {remedy}, of the project of SUPABASE_URL"
                ))
            }
            Err(SupabaseError::Unsendable) => Self::Wrong(format!("it cannot be sent: {remedy}")),
            // Errors of the table are reported by another check.
            Ok(_) | Err(SupabaseError::Rejected { .. } | SupabaseError::RefusedRole) => {
                Self::Accepted(client)
            }
        }
    }

    fn report(&self, check: &'static str, report: &mut Report) {
        match self {
            Self::Unknown(why) => report.unchecked(check, why),
            Self::Wrong(what) => report.wrong(check, what),
            Self::NoDatabase(_) => report.unchecked(check, "the database does not respond"),
            Self::Accepted(_) => report.right(check, "is of the right kind, and accepted"),
        }
    }

    fn accepted(self) -> Option<Supabase> {
        if let Self::Accepted(client) = self { Some(client) } else { None }
    }
}

/// Returns whether a refusal is about the key, and not about a table: the gateway has no code, and PGRST30x is about a
/// JWT. Source: “Errors”, PostgREST's documentation.
fn is_of_the_key(code: Option<&str>) -> bool {
    code.is_none_or(|code| code.starts_with("PGRST30"))
}
