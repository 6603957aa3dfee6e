//! The doctor on a real stack: without faults, and with each fault in turn.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::{TimeDelta, Utc};
use local_stack::{Options, Stack};
use ops::doctor::examine;
use ops::doctor::report::{Outcome, Report};
use ops::doctor::settings::{MESSAGES_URL, Settings, Sources, USER_TOKEN, WEBHOOK_URL};
use ops::doctor::supabase::TABLES;
use ops::env_file::EnvFile;
use secrecy::SecretString;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use local_testing::*;

/// The checks that must pass without faults.
const CHECKS: [&str; 26] = [
    "webhook_url",
    "verify_token",
    "wrong_verify_token",
    "signature",
    "wrong_signature",
    "messages_url",
    "messages_token",
    "messages_page",
    "graph_version",
    "graph_api",
    "access_token",
    "phone_number_id",
    "responder",
    "supabase_url",
    "secret_key",
    "publishable_key",
    "database",
    "table_user_preferences",
    "table_messages",
    "table_message_statuses",
    "table_stored_answers",
    "table_account_events",
    "adoption_notes",
    "linking_functions",
    "anonymous_reads",
    "linking_rights",
];

fn environment(stack: &Stack) -> BTreeMap<String, String> {
    let services = &stack.services;
    let mut environment = services.webhook_environment();
    environment.extend(services.reply_environment());
    environment.extend(services.messages_environment());
    let urls = [(WEBHOOK_URL, stack.webhook_url()), (MESSAGES_URL, stack.messages_url())];
    environment.extend(urls.map(|(name, url)| (name.to_owned(), url)));
    let hour = std::time::Duration::from_secs(3600);
    let token =
        services.supabase.own().expect("ours").user_token(local_supabase::USER_A, hour).expect("a token");
    environment.insert(USER_TOKEN.to_owned(), token);
    environment.entry("REPLY_RESPONDER".to_owned()).or_insert_with(|| "echo".to_owned());
    environment
}

fn settings(environment: &BTreeMap<String, String>) -> Settings {
    let sources = Sources { secrets: &[], env_file: EnvFile::OfLocal(Path::new("not there")) };
    Settings::read(None, None, sources, |name| environment.get(name).cloned()).expect("settings")
}

fn names(report: &Report, outcome: Outcome) -> Vec<&'static str> {
    let findings = report.findings().iter().filter(|finding| finding.outcome == outcome);
    findings.map(|finding| finding.check).collect()
}

/// Checks that exactly these checks fail, with these words, and that no secret and no number is printed.
fn assert_wrong(case: &str, report: &Report, settings: &Settings, expected: &[(&str, &str)]) {
    let said: Vec<_> =
        report.findings().iter().map(|f| format!("{:?} {}: {}", f.outcome, f.check, f.message)).collect();
    let expected_names: Vec<_> = expected.iter().map(|(check, _)| *check).collect();
    assert_eq!(names(report, Outcome::Wrong), expected_names, "{case}: {said:#?}");
    for (check, words) in expected {
        let finding = report.findings().iter().find(|finding| finding.check == *check).expect("found");
        assert!(finding.message.contains(words), "{case}: {check}: {}", finding.message);
    }
    let secrets = [
        &settings.app_secret,
        &settings.verify_token,
        &settings.access_token,
        &settings.secret_key,
        &settings.publishable_key,
        &settings.user_token,
        &settings.llm_key,
    ];
    let secrets = secrets.into_iter().flatten().map(secrecy::ExposeSecret::expose_secret);
    for secret in secrets.chain(["5550783881", "555-078-3881"]) {
        assert!(said.iter().all(|line| !line.contains(secret)), "{case}: {said:#?}");
    }
}

fn secret(text: &str) -> Option<SecretString> {
    Some(SecretString::from(text))
}

/// A change of the settings, and the expected failures.
type Broken = (&'static str, fn(&mut Settings), &'static [(&'static str, &'static str)]);

const BROKEN: &[Broken] = &[
    (
        "the webhook's port",
        |settings| settings.webhook_url = Some("http://127.0.0.1:9/webhook".into()),
        &[("webhook_url", "output WebhookUrl")],
    ),
    (
        "another path",
        |settings| settings.webhook_url = settings.webhook_url.take().map(|url| format!("{url}s")),
        &[("webhook_url", "its path is /webhooks and not /webhook")],
    ),
    (
        "a stage that is not there",
        |settings| {
            settings.webhook_url =
                settings.webhook_url.take().map(|url| url.replace("/webhook", "/prod/webhook"))
        },
        &[("webhook_url", "404")],
    ),
    (
        "no encryption",
        |settings| settings.webhook_url = Some("http://example.com/webhook".into()),
        &[("webhook_url", "https://")],
    ),
    (
        "the verify token",
        |settings| settings.verify_token = secret("another-verify-token"),
        &[("verify_token", "Put the same WHATSAPP_VERIFY_TOKEN")],
    ),
    (
        "the app secret",
        |settings| settings.app_secret = secret("another-app-secret"),
        &[("signature", "WHATSAPP_APP_SECRET")],
    ),
    (
        "the address of the history",
        |settings| settings.messages_url = settings.messages_url.take().map(|url| format!("{url}/x")),
        &[("messages_url", "output MessagesUrl")],
    ),
    (
        "the access token",
        |settings| settings.access_token = secret("another-access-token"),
        &[("access_token", "WHATSAPP_ACCESS_TOKEN")],
    ),
    (
        "the phone number id",
        |settings| settings.phone_number_id = Some("1234567890".into()),
        &[("phone_number_id", "code 100, subcode 33): set WHATSAPP_PHONE_NUMBER_ID")],
    ),
    (
        "a number in place of its id",
        |settings| settings.phone_number_id = Some("+1 555-078-3881".into()),
        &[("phone_number_id", "which is not the number itself")],
    ),
    (
        "a retired version",
        |settings| settings.graph_version = Some("v20.0".into()),
        &[("graph_version", "Meta retired v20.0 on 2026-09-24")],
    ),
    (
        "no version",
        |settings| settings.graph_version = Some("26".into()),
        &[("graph_version", "GRAPH_API_VERSION")],
    ),
    (
        "the Graph API's address",
        |settings| settings.graph_url = Some("http://127.0.0.1:9".into()),
        &[("graph_api", "unset GRAPH_API_URL")],
    ),
    (
        "a responder that is not there",
        |settings| settings.responder = Some("gpt".into()),
        &[("responder", "to echo, llm or silent")],
    ),
    (
        "a model without its name",
        |settings| {
            settings.responder = Some("llm".into());
            (settings.llm_url, settings.llm_model) = (Some("https://example.com/v1".into()), None);
            settings.llm_key = secret("a key of the model");
        },
        &[("responder", "set LLM_MODEL (LlmModel)")],
    ),
    (
        "a model without encryption",
        |settings| {
            settings.responder = Some("llm".into());
            (settings.llm_url, settings.llm_model) = (Some("http://example.com/v1".into()), Some("m".into()));
            settings.llm_key = secret("a key of the model");
        },
        &[("responder", "LLM_URL is not usable: it does not begin with https://")],
    ),
    (
        "the project's address",
        |settings| settings.supabase_url = Some("http://127.0.0.1:9".into()),
        &[("supabase_url", "https://<ref>.supabase.co")],
    ),
    (
        "no address of a project",
        |settings| settings.supabase_url = Some("abcdefghijkl".into()),
        &[("supabase_url", "https://<ref>.supabase.co")],
    ),
    (
        "a server that is not a project",
        |settings| settings.supabase_url = settings.graph_url.clone(),
        &[("supabase_url", "not a Supabase project")],
    ),
    (
        "swapped keys",
        |settings| std::mem::swap(&mut settings.secret_key, &mut settings.publishable_key),
        &[
            ("secret_key", "set SUPABASE_SECRET_KEY to the secret key"),
            ("publishable_key", "set SUPABASE_PUBLISHABLE_KEY to the publishable key"),
        ],
    ),
    (
        "a secret key of another project",
        |settings| settings.secret_key = secret("sb_secret_other"),
        &[("secret_key", "this project does not accept it")],
    ),
    (
        "a publishable key of another project",
        |settings| settings.publishable_key = secret("sb_publishable_other"),
        &[("publishable_key", "this project does not accept it")],
    ),
    (
        "a user's token of another project",
        |settings| settings.user_token = secret("eyJhbGciOiJIUzI1NiJ9.e30.AAAA"),
        &[("messages_page", "set SUPABASE_USER_TOKEN to a fresh one")],
    ),
    (
        "no key",
        |settings| settings.publishable_key = secret("hunter2"),
        &[("publishable_key", "not a Supabase API key")],
    ),
];

/// SQL that breaks the database, SQL that repairs it, and the expected failures.
type BrokenTable = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const BROKEN_TABLES: [BrokenTable; 15] = [
    (
        "revoke select on messages from authenticated",
        "grant select on messages to authenticated",
        &[("messages_page", "grant select on table public.messages to authenticated")],
    ),
    (
        "alter function adoption_notes rename to gone",
        "alter function gone rename to adoption_notes",
        &[("adoption_notes", "supabase db push --remote")],
    ),
    (
        "revoke select on messages from service_role",
        "grant select on messages to service_role",
        &[("table_messages", "grant all on table public.messages to service_role")],
    ),
    (
        "alter table user_preferences rename to gone",
        "alter table gone rename to user_preferences",
        &[("table_user_preferences", "supabase db push --remote")],
    ),
    (
        "alter table message_statuses rename to gone",
        "alter table gone rename to message_statuses",
        &[("table_message_statuses", "there is no such table")],
    ),
    (
        "alter table account_events rename to gone",
        "alter table gone rename to account_events",
        &[("table_account_events", "supabase db push --remote")],
    ),
    (
        "alter table user_preferences rename column whatsapp_user_id to gone",
        "alter table user_preferences rename column gone to whatsapp_user_id",
        &[("table_user_preferences", "has no column whatsapp_user_id: apply the migrations")],
    ),
    (
        "alter table messages rename column wamids to gone",
        "alter table messages rename column gone to wamids",
        &[("messages_page", "502"), ("table_messages", "has no column wamids")],
    ),
    (
        "grant select on user_preferences to anon; create policy open on user_preferences using (true)",
        "revoke select on user_preferences from anon; drop policy open on user_preferences",
        &[("anonymous_reads", "anyone with the publishable key can read user_preferences")],
    ),
    (
        "grant select on user_preferences to anon; alter table user_preferences disable row level security",
        "revoke select on user_preferences from anon; alter table user_preferences enable row level security",
        &[("anonymous_reads", "enable row level security")],
    ),
    (
        "alter function create_whatsapp_link rename to gone",
        "alter function gone rename to create_whatsapp_link",
        &[("linking_functions", "there is no function create_whatsapp_link with these arguments: apply")],
    ),
    (
        "alter function claim_registration_text rename to gone",
        "alter function gone rename to claim_registration_text",
        &[("linking_functions", "claim_registration_text")],
    ),
    (
        "revoke execute on function confirm_whatsapp_link from service_role",
        "grant execute on function confirm_whatsapp_link to service_role",
        &[("linking_functions", "may not execute confirm_whatsapp_link: grant execute")],
    ),
    (
        "grant usage on schema whatsapp to anon;
         grant execute on function claim_whatsapp_link, whatsapp.claim_link, confirm_whatsapp_link,
           whatsapp.confirm_link to anon",
        "revoke usage on schema whatsapp from anon;
         revoke execute on function claim_whatsapp_link, whatsapp.claim_link, confirm_whatsapp_link,
           whatsapp.confirm_link from anon",
        &[("linking_rights", "may execute claim_whatsapp_link and confirm_whatsapp_link")],
    ),
    (
        "grant usage on schema whatsapp to anon;
         grant execute on function public.delete_whatsapp_link, whatsapp.delete_link to anon",
        "revoke usage on schema whatsapp from anon;
         revoke execute on function public.delete_whatsapp_link, whatsapp.delete_link from anon",
        &[("linking_rights", "may execute delete_whatsapp_link")],
    ),
];

#[tokio::test]
async fn each_fault_fails_exactly_its_own_checks() {
    let stack = stack().await;
    let whole = settings(&environment(&stack));
    let sql = async |statement: &'static str| {
        sqlx::raw_sql(statement).execute(stack.services.supabase.pool()).await.expect(statement);
    };

    let report = examine(&whole).await.expect("a report");
    assert_wrong("nothing", &report, &whole, &[]);
    let right = names(&report, Outcome::Right);
    assert_eq!(right, [&CHECKS[..], &["test_event"]].concat());
    // The doctor leaves no row.
    let left: i64 = sqlx::query_scalar(
        "select (select count(*) from account_events) + (select count(*) from messages)
            + (select count(*) from whatsapp.sender_messages) + (select count(*) from whatsapp.link_codes)",
    )
    .fetch_one(stack.services.supabase.pool())
    .await
    .expect("a count");
    assert_eq!(left, 0);
    assert_eq!(stack.services.graph.stored().received.len(), 0);

    for (case, break_it, expected) in BROKEN {
        let mut broken = whole.clone();
        break_it(&mut broken);
        let report = examine(&broken).await.expect("a report");
        assert_wrong(case, &report, &broken, expected);
    }
    for (break_it, repair, expected) in BROKEN_TABLES {
        sql(break_it).await;
        let report = examine(&whole).await.expect("a report");
        sql(repair).await;
        assert_wrong(break_it, &report, &whole, expected);
    }

    sql("insert into adoption.notes (about, note, remedy) values ('messages', 'made 2 things null', 'Look at them.')")
        .await;
    let report = examine(&whole).await.expect("a report");
    sql("delete from adoption.notes").await;
    assert_wrong("a note", &report, &whole, &[]);
    let shown = report.findings().iter().find(|finding| finding.check == "adoption_notes").expect("found");
    assert!(shown.message.ends_with("\n    messages: made 2 things null. Look at them."), "{shown:?}");

    let graph = &stack.services.graph;
    graph.expire_access_token(Some(Utc::now() - TimeDelta::hours(1)));
    let report = examine(&whole).await.expect("a report");
    assert_wrong("an expired token", &report, &whole, &[("access_token", "it has expired")]);
    graph.expire_access_token(Some(Utc::now() + TimeDelta::hours(3)));
    let report = examine(&whole).await.expect("a report");
    assert_wrong("a token of today", &report, &whole, &[("access_token", "for 0 more days")]);
    graph.expire_access_token(Some(Utc::now() + TimeDelta::days(60)));
    let report = examine(&whole).await.expect("a report");
    assert_wrong("a token of this month", &report, &whole, &[]);
    graph.expire_access_token(None);
    graph.set_permissions(&["whatsapp_business_management"]);
    let report = examine(&whole).await.expect("a report");
    let words = "without the permission whatsapp_business_messaging";
    assert_wrong("a token without the permission to send", &report, &whole, &[("access_token", words)]);
    graph.set_permissions(&["whatsapp_business_messaging"]);
    let report = examine(&whole).await.expect("a report");
    let words = "without the permission whatsapp_business_management";
    let expected = [("access_token", words), ("phone_number_id", "code 10")];
    assert_wrong("a token without the permission to read", &report, &whole, &expected);
    graph.set_permissions(&local_graph::PERMISSIONS);

    // `reply` cannot write the row of the event.
    sql("revoke insert on account_events from service_role").await;
    let report = examine(&whole).await.expect("a report");
    sql("grant insert on account_events to service_role").await;
    assert_wrong("a missing row", &report, &whole, &[("test_event", "the log of reply")]);

    stack.services.supabase.own().expect("ours").database().stop().await.expect("stopped");
    let report = examine(&whole).await.expect("a report");
    let expected = [("messages_page", "50"), ("database", "paused or restarting")];
    assert_wrong("the database", &report, &whole, &expected);
    stack.services.supabase.own().expect("ours").database().start().await.expect("started");

    let report = examine(&whole).await.expect("a report");
    assert_wrong("everything repaired", &report, &whole, &[]);
    assert_eq!(report.count(Outcome::Unchecked), 0);
    stack.stop().await.expect("stopped");
}

#[tokio::test]
async fn missing_settings_are_not_checked_and_older_keys_are_accepted() {
    let stack = stack_with(Options { legacy_keys: true, ..Options::default() }).await;
    let environment = environment(&stack);
    let report = examine(&settings(&environment)).await.expect("a report");
    assert_eq!(report.count(Outcome::Right), CHECKS.len() + 1, "{:#?}", report.findings());
    for (name, checks) in [
        ("WHATSAPP_APP_SECRET", &["signature", "wrong_signature"][..]),
        ("WHATSAPP_VERIFY_TOKEN", &["verify_token", "wrong_verify_token"]),
        ("WHATSAPP_ACCESS_TOKEN", &["graph_api", "access_token", "phone_number_id"]),
        ("WHATSAPP_PHONE_NUMBER_ID", &["phone_number_id"]),
        ("GRAPH_API_VERSION", &["graph_version"]),
        ("REPLY_RESPONDER", &["responder"]),
        ("SUPABASE_URL", &["supabase_url", "secret_key", "publishable_key"]),
        ("SUPABASE_SECRET_KEY", &["secret_key"]),
        ("SUPABASE_PUBLISHABLE_KEY", &["publishable_key"]),
        (USER_TOKEN, &["messages_page"]),
        (WEBHOOK_URL, &["webhook_url", "verify_token", "signature"]),
    ] {
        let mut environment = environment.clone();
        environment.remove(name);
        let report = examine(&settings(&environment)).await.expect("a report");
        assert_eq!(names(&report, Outcome::Wrong), [""; 0], "{name}");
        for check in checks {
            let finding = report.findings().iter().find(|finding| finding.check == *check).expect("found");
            assert_eq!(finding.outcome, Outcome::Unchecked, "{check}");
            assert!(
                finding.message.starts_with("not checked: ") && finding.message.contains(name),
                "{finding:?}"
            );
        }
    }
    stack.stop().await.expect("stopped");
}

#[tokio::test]
async fn the_list_of_columns_is_that_of_the_migrations() {
    let stack = stack().await;
    for table in TABLES {
        let columns: Vec<String> = sqlx::query_scalar(
            "select column_name::text from information_schema.columns
             where table_schema = 'public' and table_name = $1 order by 1",
        )
        .bind(table.name)
        .fetch_all(stack.services.supabase.pool())
        .await
        .expect("columns");
        let mut listed = table.columns.to_vec();
        listed.sort_unstable();
        assert_eq!(listed, columns, "{}", table.name);
    }
    stack.stop().await.expect("stopped");
}

/// Starts a server that answers every request with the result of `status`, until it is dropped.
async fn another_program(status: fn(&str) -> u16) -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let server = tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = [0; 8192];
            let read = connection.read(&mut request).await.unwrap_or_default();
            let status = status(&String::from_utf8_lossy(&request[..read]));
            let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi");
            let _ = connection.write_all(answer.as_bytes()).await;
        }
    });
    (url, server)
}

#[tokio::test]
async fn another_program_at_the_url_is_detected() {
    let settings = |url: &str| Settings {
        webhook_url: Some(format!("{url}/webhook")),
        verify_token: secret("a verify token"),
        app_secret: secret("an app secret"),
        ..Settings::default()
    };
    let (url, server) = another_program(|_| 200).await;
    let settings_of = settings(&url);
    let report = examine(&settings_of).await.expect("a report");
    let expected = [("webhook_url", "another program")];
    assert_wrong("a web server", &report, &settings_of, &expected);
    server.abort();

    // A program without authentication, and a history with a refused key.
    let (url, server) = another_program(|request| match request {
        bare if bare.starts_with("GET /webhook HTTP") => 400,
        bare if bare.starts_with("GET /messages") && !bare.contains("authorization") => 401,
        with_token if with_token.starts_with("GET /messages") => 502,
        _ => 200,
    })
    .await;
    let settings_of = settings(&url);
    let report = examine(&settings_of).await.expect("a report");
    let expected = [
        ("verify_token", "without the challenge"),
        ("wrong_verify_token", "any token is accepted"),
        ("wrong_signature", "any signature is accepted"),
        ("messages_token", "SupabasePublishableKey"),
    ];
    assert_wrong("a program without authentication", &report, &settings_of, &expected);
    server.abort();

    let (url, server) = another_program(|_| 500).await;
    let settings_of = settings(&url);
    let report = examine(&settings_of).await.expect("a report");
    let expected = [("webhook_url", "the function webhook fails")];
    assert_wrong("a function that fails", &report, &settings_of, &expected);
    server.abort();
}
