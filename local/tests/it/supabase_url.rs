//! `--supabase`: the pipeline on an external project, which is restored afterwards. The external project is the
//! emulator behind the two calls of Supabase Auth that a run needs.

use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use local_lambda::HttpServer;
use local_page::Page;
use local_process::{Guardian, Signal};
use local_stack::supabase::SupabaseOptions;
use local_stack::{Options, Stack};
use local_supabase::{PUBLISHABLE_KEY, SECRET_KEY, Supabase, USER_A, USER_B};
use secrecy::SecretString;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::process::Command;
use uuid::Uuid;

use local_testing::*;

/// The external project.
struct Elsewhere {
    project: Arc<Supabase>,
    server: HttpServer,
    _guardian: Guardian,
}

impl Elsewhere {
    async fn start(options: local_supabase::Options) -> Self {
        let guardian = Guardian::start().expect("a shell");
        let project = Arc::new(Supabase::start(options, &guardian).await.expect("a project"));
        let sessions = "create table auth.sessions (id uuid primary key,
            user_id uuid not null references auth.users (id) on delete cascade)";
        sqlx::raw_sql(sessions).execute(project.pool()).await.expect("a table");
        let client = shared::http::client().expect("a client");
        let rest = Arc::clone(&project);
        let router = Router::new()
            .route("/auth/v1/admin/generate_link", post(generate_link))
            .route("/auth/v1/verify", post(verify))
            .fallback(move |request| pass_on(Arc::clone(&rest), client.clone(), request))
            .with_state(Arc::clone(&project));
        let server = HttpServer::start(router, 0).await.expect("a port");
        Self { project, server, _guardian: guardian }
    }

    fn options(&self) -> SupabaseOptions {
        SupabaseOptions {
            url: Some(self.server.url()),
            secret_key: Some(SecretString::from(SECRET_KEY)),
            publishable_key: Some(SecretString::from(PUBLISHABLE_KEY)),
            database_url: Some(SecretString::from(self.project.database_url())),
        }
    }

    async fn stack(&self) -> anyhow::Result<Stack> {
        Stack::start(&Options { supabase: self.options(), ..Options::default() }, |_| {}).await
    }

    fn local(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_local"));
        command.args(arguments).args(["--supabase", &self.server.url()]);
        command.env("LOCAL_SUPABASE_SECRET_KEY", SECRET_KEY);
        command.env("LOCAL_SUPABASE_PUBLISHABLE_KEY", PUBLISHABLE_KEY);
        command.env("LOCAL_SUPABASE_DATABASE_URL", self.project.database_url());
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let output = tokio::time::timeout(Duration::from_secs(300), self.local(arguments).output());
        output.await.expect("it ends").expect("it starts")
    }

    async fn execute(&self, statement: &'static str) {
        sqlx::raw_sql(statement).execute(self.project.pool()).await.expect(statement);
    }

    /// Returns all rows of the tables that a run could change.
    async fn everything(&self) -> Vec<String> {
        let mut rows = Vec::new();
        for table in [
            "auth.users",
            "auth.identities",
            "auth.sessions",
            "user_preferences",
            "messages",
            "message_statuses",
            "account_events",
            "whatsapp.link_codes",
            "whatsapp.sender_messages",
            "whatsapp.business_numbers",
        ] {
            rows.extend(self.rows(table).await.into_iter().map(|row| format!("{table}: {row}")));
        }
        rows
    }

    async fn rows(&self, table: &str) -> Vec<String> {
        let all = format!("select to_jsonb(t)::text as row from {table} t order by row");
        sqlx::query_scalar(AssertSqlSafe(all)).fetch_all(self.project.pool()).await.expect("rows")
    }
}

/// `adminGenerateLink` for a recovery.
async fn generate_link(
    State(project): State<Arc<Supabase>>,
    headers: HeaderMap,
    Json(request): Json<Value>,
) -> Response {
    if headers.get("apikey").is_none_or(|key| key != SECRET_KEY) || headers.contains_key("authorization") {
        return (StatusCode::UNAUTHORIZED, Json(json!({"error_code": "bad_jwt"}))).into_response();
    }
    let user = find(project.pool(), request["email"].as_str()).await;
    match (request["type"].as_str(), user) {
        (Some("recovery"), Some(user)) => {
            Json(json!({"id": user, "hashed_token": user.simple().to_string()})).into_response()
        }
        _ => (StatusCode::NOT_FOUND, Json(json!({"error_code": "user_not_found"}))).into_response(),
    }
}

async fn find(pool: &PgPool, email: Option<&str>) -> Option<Uuid> {
    sqlx::query_scalar("select id from auth.users where email = $1 and aud = 'authenticated'")
        .bind(email)
        .fetch_optional(pool)
        .await
        .expect("a table")
}

/// `verifyPost` for a recovery.
async fn verify(
    State(project): State<Arc<Supabase>>,
    headers: HeaderMap,
    Json(proof): Json<Value>,
) -> Response {
    let user = proof["token_hash"].as_str().and_then(|token| Uuid::parse_str(token).ok());
    let is_recovery =
        proof["type"] == "recovery" && headers.get("apikey").is_some_and(|key| key == PUBLISHABLE_KEY);
    let Some(user) = user.filter(|_| is_recovery) else {
        return (StatusCode::FORBIDDEN, Json(json!({"error_code": "otp_expired"}))).into_response();
    };
    let token = project.user_token(user, Duration::from_secs(3600)).expect("a token");
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).expect("claims")).expect("base64");
    let claims: Value = serde_json::from_slice(&claims).expect("JSON");
    sqlx::query("insert into auth.sessions (id, user_id) values ($1::uuid, $2)")
        .bind(claims["session_id"].as_str())
        .bind(user)
        .execute(project.pool())
        .await
        .expect("a session");
    Json(json!({"access_token": token, "token_type": "bearer", "expires_in": 3600})).into_response()
}

/// Forwards all other calls to the REST API.
async fn pass_on(project: Arc<Supabase>, client: reqwest::Client, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let body: Bytes = to_bytes(body, usize::MAX).await.expect("a body");
    let url = format!("{}{}", project.url(), parts.uri.path_and_query().expect("a path"));
    let mut headers = parts.headers;
    headers.remove(header::HOST);
    headers.remove(header::CONTENT_LENGTH);
    let answer =
        client.request(parts.method, url).headers(headers).body(body).send().await.expect("an answer");
    let (status, mut headers) = (answer.status(), answer.headers().clone());
    headers.remove(header::TRANSFER_ENCODING);
    (status, headers, answer.bytes().await.expect("a body")).into_response()
}

fn without_seed() -> local_supabase::Options {
    local_supabase::Options { seed: false, ..Default::default() }
}

/// Rows of another user, and rows without a user.
const OTHERS: &str = "
    insert into auth.users (id, email) values ('33333333-3333-4333-8333-333333333333', 'c@example.com');
    insert into user_preferences (user_id, whatsapp_phone) values ('33333333-3333-4333-8333-333333333333', '+491701234567');
    insert into messages (user_id, channel, role, content, wamids)
      values ('33333333-3333-4333-8333-333333333333', 'whatsapp', 'user', 'hello', array['wamid.theirs']);
    insert into message_statuses (id, wamid, status, at, payload)
      values (gen_random_uuid(), 'wamid.unknown', 'read', now(), '{\"recipient_id\": \"16505551234\"}');
    insert into account_events (id, received_at, field, payload)
      values (gen_random_uuid(), now(), 'account_update', '{\"phone_number\": \"16505551234\"}');";

/// Earlier messages of user A of the seed.
const EARLIER: &str = "
    insert into messages (user_id, channel, role, content, created_at)
      select '11111111-1111-4111-8111-111111111111', 'whatsapp', 'user', 'earlier ' || n, now() - n * interval '1 hour'
      from generate_series(1, 60) as n;
    insert into auth.sessions values (gen_random_uuid(), '11111111-1111-4111-8111-111111111111');";

#[tokio::test]
async fn a_demo_succeeds_and_restores_the_project() {
    for seed in [false, true] {
        let elsewhere = Elsewhere::start(local_supabase::Options { seed, ..Default::default() }).await;
        elsewhere.execute(OTHERS).await;
        if seed {
            elsewhere.execute(EARLIER).await;
        }
        let before = elsewhere.everything().await;
        for _ in 0..2 {
            let output = elsewhere.run(&["demo", "--json"]).await;
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{said}");
            for secret in [SECRET_KEY, PUBLISHABLE_KEY, elsewhere.project.database_url().as_str()] {
                assert!(!said.contains(secret), "{said}");
            }
            let demo: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
            assert_eq!(demo["rows"].as_array().map(Vec::len), Some(2));
            assert_eq!(demo["history"][USER_A.to_string()].as_array().map(Vec::len), Some(2));
            assert_eq!(demo["history"][USER_B.to_string()], json!([]));
            assert_eq!(elsewhere.everything().await, before, "seed: {seed}");
            let output = elsewhere.run(&["demo", "--link"]).await;
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert_eq!(elsewhere.everything().await, before, "seed: {seed}");
        }
    }
}

/// Returns a message with the sender's user id, a status of a reply, a status without a row, and an event.
fn of_every_kind() -> Vec<u8> {
    let mut hello = text(PHONE_A, "wamid.hello", "hello");
    hello["from_user_id"] = json!("US.1234567890");
    let mut body: Value = serde_json::from_slice(&payload(&[hello])).expect("JSON");
    body["entry"][0]["changes"][0]["value"]["contacts"] =
        json!([{"wa_id": PHONE_A, "user_id": "US.1234567890", "profile": {"name": "A"}}]);
    let status = |wamid: &str| json!({"id": wamid, "status": "read", "timestamp": "1749416383", "recipient_id": PHONE_A});
    let changes = body["entry"][0]["changes"].as_array_mut().expect("changes");
    changes.push(json!({"field": "messages", "value": {"statuses": [status("wamid.of.nothing")]}}));
    changes.push(json!({"field": "account_update", "value": {"event": "VERIFIED_ACCOUNT"}}));
    body.to_string().into_bytes()
}

#[tokio::test]
async fn rows_of_every_kind_are_removed_after_stop_and_drop() {
    for seed in [true, false] {
        let elsewhere = Elsewhere::start(local_supabase::Options { seed, ..Default::default() }).await;
        elsewhere.execute(OTHERS).await;
        let before = elsewhere.everything().await;
        for stopped in [true, false] {
            let stack = elsewhere.stack().await.expect("a stack");
            let played = stack.play(&of_every_kind()).await.expect("played");
            assert_eq!((played.status, played.rows.len()), (200, 2));
            assert_eq!((played.statuses.len(), played.events.len()), (1, 1), "{played:?}");
            assert_eq!(elsewhere.rows("messages").await.len(), 3);
            assert_eq!(elsewhere.rows("message_statuses").await.len(), 2);
            assert_eq!(elsewhere.rows("account_events").await.len(), 2);
            let links = elsewhere.rows("user_preferences").await;
            assert!(links.iter().any(|link| link.contains("US.1234567890")), "{links:?}");
            assert_eq!(elsewhere.rows("auth.sessions").await.len(), 2);
            // Two runs would remove each other's users.
            let second = elsewhere.stack().await.err().expect("refused");
            assert!(format!("{second:#}").contains("another `local` is using it"), "{second:#}");
            if stopped {
                stack.stop().await.expect("stopped");
            } else {
                drop(stack);
            }
            assert_eq!(elsewhere.everything().await, before, "seed: {seed}, stopped: {stopped}");
        }
    }
}

// On a single thread, the calls of `reply` would run into their timeouts.
#[tokio::test(flavor = "multi_thread")]
async fn a_load_in_bursts_has_fewer_replies_than_messages_and_leaves_no_rows() {
    let elsewhere = Elsewhere::start(without_seed()).await;
    let bursts =
        ["load", "--messages", "20", "--senders", "2", "--bursts", "--reply-window", "1000", "--json"];
    let output = elsewhere.run(&bursts).await;
    let said = [&output.stdout[..], &output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    let load: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!((&load["lost"], &load["extra_rows"]), (&json!(0), &json!(0)));
    assert!(load["replies"].as_u64().is_some_and(|replies| (2..20).contains(&replies)), "{load}");
    assert_eq!(elsewhere.everything().await, Vec::<String>::new());
}

#[tokio::test]
async fn the_next_run_removes_the_rows_of_a_killed_run() {
    let elsewhere = Elsewhere::start(without_seed()).await;
    elsewhere.execute(OTHERS).await;
    let before = elsewhere.everything().await;
    let directory = tempfile::tempdir().expect("a directory");
    let env_file = directory.path().join("local.env");
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let mut services = elsewhere.local(&["services", "--env-file", env_file.to_str().expect("UTF-8")]);
        let mut services = services.stdout(Stdio::null()).spawn().expect("it starts");
        until("the services are up", async || Path::exists(&env_file)).await;
        assert_eq!(elsewhere.rows("auth.users").await.len(), 3);
        local_process::signal(services.id().expect("a process"), signal).expect("ours");
        tokio::time::timeout(DEADLINE, services.wait()).await.expect("it ends").expect("a status");
        assert_eq!(elsewhere.everything().await == before, signal == Signal::SIGTERM, "{signal}");
        until("the file is gone", async || !Path::exists(&env_file)).await;
    }
    until("its connection has ended", async || {
        let locks = "select count(*) from pg_locks where locktype = 'advisory'";
        let locks: i64 = sqlx::query_scalar(locks).fetch_one(elsewhere.project.pool()).await.expect("locks");
        locks == 0
    })
    .await;
    let output = elsewhere.run(&["demo"]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(elsewhere.everything().await, before);
}

#[tokio::test]
async fn a_project_without_migrations_is_unchanged_and_gets_a_remedy() {
    let all = local_supabase::Options::default().directory.join("migrations");
    let older = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(older.path().join("migrations")).expect("a directory");
    for file in std::fs::read_dir(all).expect("migrations").map(|file| file.expect("a file")) {
        let name = file.file_name();
        if !name.to_string_lossy().contains("_retention") {
            std::fs::copy(file.path(), older.path().join("migrations").join(name)).expect("copied");
        }
    }
    let options = local_supabase::Options { directory: older.path().to_owned(), ..without_seed() };
    let elsewhere = Elsewhere::start(options).await;
    let error = elsewhere.stack().await.err().expect("refused");
    let said = format!("{error:#}");
    assert!(said.contains("supabase db push --remote") && said.contains("_retention"), "{said}");
    assert!(!said.contains("_messages"), "{said}");
    assert_eq!(elsewhere.everything().await, Vec::<String>::new());
}

#[tokio::test]
async fn unusable_projects_are_reported_and_left_unchanged() {
    let elsewhere = Elsewhere::start(without_seed()).await;
    elsewhere
        .execute(
            "insert into auth.users (id) values ('33333333-3333-4333-8333-333333333333');
             insert into user_preferences (user_id, whatsapp_phone)
               values ('33333333-3333-4333-8333-333333333333', '16505555678');",
        )
        .await;
    let refusal = async |options: SupabaseOptions| {
        let started = Stack::start(&Options { supabase: options, ..Options::default() }, |_| {}).await;
        format!("{:#}", started.err().expect("refused"))
    };
    let said = refusal(elsewhere.options()).await;
    assert!(said.contains("+16505555678") && said.contains("unlink it"), "{said}");
    elsewhere.execute("update user_preferences set whatsapp_phone = '+491701234567'").await;
    let before = elsewhere.everything().await;
    let said =
        refusal(SupabaseOptions { secret_key: Some("sb_secret_other".into()), ..elsewhere.options() }).await;
    assert!(said.contains("Supabase Auth returns 401") && !said.contains("sb_secret_other"), "{said}");
    let database_url = Some("postgres://postgres:hidden@127.0.0.1:1/postgres".into());
    let said = refusal(SupabaseOptions { database_url, ..elsewhere.options() }).await;
    assert!(said.contains("its database cannot be used") && !said.contains("hidden"), "{said}");
    assert_eq!(elsewhere.everything().await, before);
}

#[tokio::test]
async fn the_page_reports_unsupported_operations() {
    let elsewhere = Elsewhere::start(local_supabase::Options::default()).await;
    elsewhere.execute(OTHERS).await;
    let stack = elsewhere.stack().await.expect("a stack");
    let page = Page::open(&stack).expect("a page");
    let client = shared::http::client().expect("a client");
    let down = client.put(format!("{}/page/faults/database-down", stack.url())).json(&json!({"on": true}));
    let answer = down.send().await.expect("an answer");
    assert_eq!(answer.status(), 409);
    assert!(answer.text().await.expect("a body").contains("start local without --supabase"));
    page.close().await;
    stack.stop().await.expect("stopped");
}

#[tokio::test]
async fn missing_options_are_named_and_help_shows_no_key() {
    let run = async |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_local"));
        command.args(arguments).env("LOCAL_SUPABASE_SECRET_KEY", "sb_secret_hidden");
        let output = command.stdin(Stdio::null()).output().await.expect("it starts");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).expect("UTF-8"))
    };
    for arguments in [&["demo"][..], &["demo", "--supabase", "http://127.0.0.1:1"], &["services"]] {
        let (code, said) = run(arguments).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("LOCAL_SUPABASE_DATABASE_URL") && !said.contains("hidden"), "{said}");
    }
    let (_, help) = run(&["--help"]).await;
    assert!(help.contains("LOCAL_SUPABASE_SECRET_KEY") && !help.contains("hidden"), "{help}");
}
