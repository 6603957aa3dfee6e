//! The tables: an older program's as a fixture, and the invariants after the migrations.

use std::path::Path;
use std::time::Duration;

use local_supabase::{Options, migrate};
use serde_json::{Value, json};
use sqlx::{Executor as _, PgPool};
use uuid::{Uuid, uuid};

use super::{Project, answer, directory};

/// A user of the older program.
pub(crate) const OLD_A: Uuid = uuid!("aaaaaaaa-0000-4000-8000-000000000001");
/// Another user of the older program.
pub(crate) const OLD_B: Uuid = uuid!("aaaaaaaa-0000-4000-8000-000000000002");

/// A project with `tables` of an older program as the first migration, followed by ours.
pub(crate) async fn project_with(tables: &str) -> anyhow::Result<(Project, tempfile::TempDir)> {
    start(tables, true).await
}

/// A project with an older program's tables only.
pub(crate) async fn project_before(tables: &str) -> anyhow::Result<(Project, tempfile::TempDir)> {
    start(tables, false).await
}

async fn start(tables: &str, with_ours: bool) -> anyhow::Result<(Project, tempfile::TempDir)> {
    let older = tempfile::tempdir()?;
    let migrations = older.path().join("migrations");
    std::fs::create_dir(&migrations)?;
    std::fs::write(migrations.join("20250101000000_older_program.sql"), tables)?;
    let ours = if with_ours { Some(std::fs::read_dir(directory().join("migrations"))?) } else { None };
    for file in ours.into_iter().flatten() {
        let file = file?;
        std::fs::copy(file.path(), migrations.join(file.file_name()))?;
    }
    let options = Options { directory: older.path().to_path_buf(), seed: false, ..Options::default() };
    Ok((Project::try_start_with(options).await?, older))
}

/// A project with a file of `fastapi` as the first migration.
pub(crate) async fn project_of(fixture: &str) -> Project {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fastapi").join(fixture);
    let tables = std::fs::read_to_string(path).expect("a fixture");
    project_with(&tables).await.expect("the migrations apply").0
}

/// The migrations' error for an older program's tables: the first line of the message with the problem, and
/// the rest with the remedy. The error has no hint, because the Supabase CLI does not show hints.
pub(crate) async fn refusal(tables: &str) -> (String, String) {
    let error = project_with(tables).await.err().expect("an error");
    match error.downcast_ref() {
        Some(sqlx::Error::Database(error)) => {
            assert_eq!(error.downcast_ref::<sqlx::postgres::PgDatabaseError>().hint(), None);
            let (wrong, remedy) = error.message().split_once('\n').expect("a remedy");
            (wrong.to_owned(), remedy.to_owned())
        }
        _ => panic!("{error:#}"),
    }
}

/// Everything that the migrations determine: structure, privileges, policies, triggers and rows.
async fn state(pool: &PgPool) -> Vec<String> {
    let queries = [
        "select format('%s.%s %s null:%s default:%s', attrelid::regclass, attname, format_type(atttypid, atttypmod),
             not attnotnull, pg_get_expr(adbin, adrelid))
         from pg_attribute left join pg_attrdef on adrelid = attrelid and adnum = attnum
         where attrelid in (select oid from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r')
             and attnum > 0 and not attisdropped",
        "select conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) from pg_constraint
         where connamespace = 'public'::regnamespace",
        "select indexdef from pg_indexes where schemaname = 'public'",
        "select pg_policies::text from pg_policies where schemaname = 'public'",
        "select relname || ' ' || coalesce(relacl::text, '') || relrowsecurity from pg_class
         where relnamespace = 'public'::regnamespace",
        "select pg_get_triggerdef(oid) from pg_trigger where not tgisinternal",
        "select pg_get_functiondef(oid) || coalesce(proacl::text, '') from pg_proc
         where pronamespace = 'public'::regnamespace",
        "select nspname::text from pg_namespace where nspname not like 'pg_%'",
        "select to_jsonb(messages)::text from public.messages",
        "select to_jsonb(user_preferences)::text from public.user_preferences",
        // Only notes of changes. A note of an unresolved problem is repeated when its count changes.
        "select to_jsonb(notes)::text from adoption.notes where remedy is null",
    ];
    let mut all = Vec::new();
    for query in queries {
        let mut lines: Vec<String> = sqlx::query_scalar(query).fetch_all(pool).await.expect("rows");
        lines.sort();
        all.extend(lines);
    }
    all
}

/// Applies our pending migrations, like `supabase db push --remote`.
pub(crate) async fn push(project: &Project) -> anyhow::Result<usize> {
    let mut connection = project.supabase.pool().acquire().await?;
    connection.execute("set role postgres").await?;
    let applied = migrate::apply(&mut connection, &migrate::migrations(&directory())?).await;
    connection.execute("reset role").await?;
    applied
}

/// Applies our migrations again despite their records, and checks that nothing changes.
pub(crate) async fn assert_applying_again_changes_nothing(project: &Project) {
    let before = state(project.supabase.pool()).await;
    project.run("delete from supabase_migrations.schema_migrations").await;
    push(project).await.expect("they apply");
    assert_eq!(state(project.supabase.pool()).await, before);
}

/// A user's own history, through the API.
pub(crate) async fn contents(project: &Project, user_id: Uuid) -> Vec<String> {
    let token = project.supabase.user_token(user_id, Duration::from_secs(600)).expect("a token");
    let request = project
        .get("messages?select=content&order=created_at.desc,id.desc")
        .header("apikey", project.supabase.publishable_key())
        .bearer_auth(token);
    let (status, rows) = answer(request).await;
    assert_eq!(status, 200, "{rows}");
    rows.as_array()
        .expect("rows")
        .iter()
        .map(|row| row["content"].as_str().unwrap_or_default().to_owned())
        .collect()
}

/// A row as written by the reply function.
pub(crate) fn row(user_id: Uuid, role: &str) -> Value {
    json!({ "id": Uuid::new_v4(), "user_id": user_id, "channel": "whatsapp", "role": role,
            "content": "x".repeat(5000), "created_at": "2026-11-24T03:05:00.123456Z" })
}

/// Writes rows like the reply function.
pub(crate) async fn insert(project: &Project, rows: &[Value]) -> (u16, Value) {
    let request = project
        .post("messages?on_conflict=id")
        .header("apikey", project.supabase.secret_key())
        .header("prefer", "resolution=ignore-duplicates,return=minimal");
    answer(request.json(rows)).await
}

/// A row with all its columns, as written by the reply function.
pub(crate) fn detailed(user_id: Uuid, role: &str, wamids: &[&str]) -> Value {
    let payload = if role == "user" { json!({ "raw": { "type": "text" } }) } else { Value::Null };
    let mut row = row(user_id, role);
    for (name, value) in [
        ("type", json!("text")),
        ("payload", payload),
        ("phone_number_id", json!("106540352242922")),
        ("wamids", json!(wamids)),
        ("refers_to", Value::Null),
        ("unanswered_because", Value::Null),
    ] {
        row[name] = value;
    }
    row
}

/// Writes the two rows of a conversation, twice.
pub(crate) async fn assert_rows_can_be_written(project: &Project, user_id: Uuid) {
    let plain = [row(user_id, "user"), row(user_id, "assistant")];
    let with_details =
        [detailed(user_id, "user", &["wamid.1"]), detailed(user_id, "assistant", &["wamid.2", "wamid.3"])];
    for rows in [plain, with_details] {
        for _ in 0..2 {
            let (status, body) = insert(project, &rows).await;
            assert!(matches!(status, 200 | 201), "{status} {body}");
        }
        let written: i64 =
            sqlx::query_scalar("select count(*) from public.messages where id::text = any ($1)")
                .bind(rows.map(|row| row["id"].as_str().map(str::to_owned)))
                .fetch_one(project.supabase.pool())
                .await
                .expect("a number");
        assert_eq!(written, 2);
    }
}

/// Links a number to a user, like a server with the secret key.
pub(crate) async fn link(project: &Project, user_id: Uuid, phone: &str) -> (u16, Value) {
    let body = json!({ "user_id": user_id, "whatsapp_phone": phone });
    let request = project.post("user_preferences").header("apikey", project.supabase.secret_key());
    answer(request.json(&body)).await
}
