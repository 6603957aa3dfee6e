//! The migrations on an empty project, and on one that has the FastAPI program's tables with rows in them.

mod common;

use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{Project, answer, directory};
use local_supabase::{Options, migrate};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor as _, PgPool};
use uuid::{Uuid, uuid};

const OLD_A: Uuid = uuid!("aaaaaaaa-0000-4000-8000-000000000001");
const OLD_B: Uuid = uuid!("aaaaaaaa-0000-4000-8000-000000000002");

/// A project whose first migration is `tables`, an older program's, and whose others are ours.
async fn project_with(tables: &str) -> anyhow::Result<(Project, tempfile::TempDir)> {
    let older = tempfile::tempdir()?;
    let migrations = older.path().join("migrations");
    std::fs::create_dir(&migrations)?;
    std::fs::write(migrations.join("20250101000000_older_program.sql"), tables)?;
    for file in std::fs::read_dir(directory().join("migrations"))? {
        let file = file?;
        std::fs::copy(file.path(), migrations.join(file.file_name()))?;
    }
    let options = Options { directory: older.path().to_path_buf(), seed: false, ..Options::default() };
    Ok((Project::try_start_with(options).await?, older))
}

async fn project_of(fixture: &str) -> Project {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fastapi").join(fixture);
    let tables = std::fs::read_to_string(path).expect("a fixture");
    project_with(&tables).await.expect("the migrations apply").0
}

/// Everything that the migrations decide about: structure, rights, policies and rows.
async fn state(pool: &PgPool) -> Vec<String> {
    let queries = [
        "select format('%s.%s %s null:%s default:%s', attrelid::regclass, attname, format_type(atttypid, atttypmod),
             not attnotnull, pg_get_expr(adbin, adrelid))
         from pg_attribute left join pg_attrdef on adrelid = attrelid and adnum = attnum
         where attrelid in ('public.messages'::regclass, 'public.user_preferences'::regclass)
             and attnum > 0 and not attisdropped",
        "select conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) from pg_constraint
         where connamespace = 'public'::regnamespace",
        "select indexdef from pg_indexes where schemaname = 'public'",
        "select pg_policies::text from pg_policies where schemaname = 'public'",
        "select relname || ' ' || coalesce(relacl::text, '') || relrowsecurity from pg_class
         where relnamespace = 'public'::regnamespace",
        "select to_jsonb(messages)::text from public.messages",
        "select to_jsonb(user_preferences)::text from public.user_preferences",
    ];
    let mut all = Vec::new();
    for query in queries {
        let mut lines: Vec<String> = sqlx::query_scalar(query).fetch_all(pool).await.expect("rows");
        lines.sort();
        all.extend(lines);
    }
    all
}

/// Applies our migrations again, whatever the books say, and checks that nothing changes.
async fn assert_applying_again_changes_nothing(project: &Project) {
    let before = state(project.supabase.pool()).await;
    for migration in migrate::migrations(&directory()).expect("migrations") {
        let mut transaction = project.supabase.pool().begin().await.expect("a transaction");
        transaction.execute("set local role postgres").await.expect("the role");
        transaction.execute(sqlx::raw_sql(AssertSqlSafe(migration.sql))).await.expect("it applies");
        transaction.commit().await.expect("committed");
    }
    assert_eq!(state(project.supabase.pool()).await, before);
}

/// What a user's own history is, through the API.
async fn contents(project: &Project, user_id: Uuid) -> Vec<String> {
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

/// Writes the two rows of a conversation as the reply function does, twice.
async fn assert_rows_can_be_written(project: &Project, user_id: Uuid) {
    let ids = [Uuid::new_v4(), Uuid::new_v4()];
    let row = |id: Uuid, role: &str| {
        json!({ "id": id, "user_id": user_id, "channel": "whatsapp", "role": role, "content": "x".repeat(5000),
                "created_at": "2026-11-24T03:05:00.123456Z" })
    };
    for _ in 0..2 {
        let insert = project
            .post("messages?on_conflict=id")
            .header("apikey", project.supabase.secret_key())
            .header("prefer", "resolution=ignore-duplicates,return=minimal")
            .json(&json!([row(ids[0], "user"), row(ids[1], "assistant")]));
        let (status, body) = answer(insert).await;
        assert!(matches!(status, 200 | 201), "{status} {body}");
    }
    let written: i64 = sqlx::query_scalar("select count(*) from public.messages where id = any ($1)")
        .bind(ids)
        .fetch_one(project.supabase.pool())
        .await
        .expect("a number");
    assert_eq!(written, 2);
}

async fn link(project: &Project, user_id: Uuid, phone: &str) -> (u16, Value) {
    let body = json!({ "user_id": user_id, "whatsapp_phone": phone });
    let request = project.post("user_preferences").header("apikey", project.supabase.secret_key());
    answer(request.json(&body)).await
}

#[tokio::test]
async fn an_empty_project_gets_the_tables_and_applying_twice_changes_nothing() {
    let project = Project::start().await;
    assert_applying_again_changes_nothing(&project).await;
    assert_rows_can_be_written(&project, local_supabase::USER_A).await;
    let versions: Vec<String> =
        sqlx::query_scalar("select version from supabase_migrations.schema_migrations order by version")
            .fetch_all(project.supabase.pool())
            .await
            .expect("rows");
    let files = migrate::migrations(&directory()).expect("migrations");
    let in_files: Vec<String> = files.into_iter().map(|migration| migration.version).collect();
    assert_eq!(versions, in_files);
    project.stop().await;
}

#[tokio::test]
async fn the_older_programs_rows_are_kept_and_ours_go_beside_them() {
    let project = project_of("plain.sql").await;
    // The row without a time goes to the start, whichever way its id sorts.
    let history = contents(&project, OLD_A).await;
    assert_eq!(history[0], "second");
    assert_eq!(history.len(), 3);
    assert_eq!(contents(&project, OLD_B).await, ["of another"]);
    let times: Vec<String> = sqlx::query_scalar(
        "select to_char(created_at at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS') from public.messages order by id",
    )
    .fetch_all(project.supabase.pool())
    .await
    .expect("rows");
    assert_eq!(
        times,
        ["2026-01-02 03:04:05", "2026-01-02 03:04:06", "2026-01-02 03:04:05", "2026-02-02 00:00:00"]
    );
    let phones: Vec<String> = sqlx::query_scalar(
        "select whatsapp_phone || ' ' || theme from public.user_preferences order by user_id",
    )
    .fetch_all(project.supabase.pool())
    .await
    .expect("rows");
    assert_eq!(phones, ["+16505550001 dark", "16505550002 dark"], "separators out, digits alone kept");
    assert_rows_can_be_written(&project, OLD_A).await;
    assert_applying_again_changes_nothing(&project).await;
    project.stop().await;
}

#[tokio::test]
async fn an_old_policy_that_shows_everything_shows_nothing_any_more() {
    let project = project_of("open.sql").await;
    assert_eq!(contents(&project, OLD_A).await, ["first"], "a restrictive policy stays");
    assert_eq!(contents(&project, OLD_B).await, Vec::<String>::new());
    let nobody = project.get("messages?select=content").header("apikey", project.supabase.publishable_key());
    assert_eq!(answer(nobody).await.0, 401, "the grant on a column is gone, too");
    assert_rows_can_be_written(&project, OLD_A).await;
    assert_applying_again_changes_nothing(&project).await;
    project.stop().await;
}

#[tokio::test]
async fn integer_ids_move_aside_for_uuids() {
    let project = project_of("integer_ids.sql").await;
    assert_eq!(contents(&project, OLD_A).await.len(), 2);
    let old_ids: Vec<i64> = sqlx::query_scalar("select old_id from public.messages order by old_id")
        .fetch_all(project.supabase.pool())
        .await
        .expect("rows");
    assert_eq!(old_ids, [1, 2]);
    assert_rows_can_be_written(&project, OLD_A).await;
    assert_eq!(
        link(&project, OLD_B, "+16505550001").await.0,
        409,
        "the number is linked, as an integer once"
    );
    assert_applying_again_changes_nothing(&project).await;
    project.stop().await;
}

#[tokio::test]
async fn integer_ids_that_others_refer_to_are_an_error_that_says_what_to_do() {
    let tables =
        "create table public.messages (id bigserial primary key, user_id uuid, channel text, role text,
            content text, created_at timestamptz);
        create table public.attachments (message_id bigint references public.messages (id));";
    let error = project_with(tables).await.err().expect("an error");
    let error = format!("{error:#}");
    assert!(error.contains("public.messages.id is bigint and referenced by attachments"), "{error}");
}

#[tokio::test]
async fn uuids_kept_as_text_become_uuids() {
    let tables =
        "create table public.messages (id varchar(36), user_id varchar(36), avatar_id varchar(36) not null,
            channel text, role text, content text, primary key (user_id, id));
        insert into public.messages values ('cccccccc-0000-4000-8000-000000000001',
            'aaaaaaaa-0000-4000-8000-000000000001', 'x', 'web', 'user', 'first');
        create view public.latest as select content from public.messages;";
    let (project, _older) = project_with(tables).await.expect("the migrations apply");
    assert_eq!(contents(&project, OLD_A).await, ["first"]);
    assert_rows_can_be_written(&project, OLD_A).await;
    assert_applying_again_changes_nothing(&project).await;
    project.stop().await;
}

#[tokio::test]
async fn a_table_of_another_kind_is_an_error_and_is_left_alone() {
    let error = project_with("create table public.messages (id uuid primary key, body text)").await.err();
    let error = format!("{:#}", error.expect("an error"));
    assert!(error.contains("public.messages has no column user_id, channel, role, content"), "{error}");
}

#[tokio::test]
async fn what_cannot_be_put_right_is_kept_and_new_rows_are_checked() {
    let project = project_of("doubtful.sql").await;
    let counts: (i64, i64, i64) = sqlx::query_as(
        "select (select count(*) from public.user_preferences), (select count(*) from public.messages),
            (select count(distinct id) from public.messages)",
    )
    .fetch_one(project.supabase.pool())
    .await
    .expect("numbers");
    assert_eq!(counts, (6, 4, 4), "every row is kept, and has an id of its own");
    assert_eq!(contents(&project, OLD_A).await.len(), 3);
    assert_rows_can_be_written(&project, OLD_A).await;
    assert_eq!(link(&project, OLD_A, "no number").await.0, 400);
    assert_eq!(link(&project, Uuid::new_v4(), "+16505550007").await.0, 409, "of no user");
    let newcomer = Uuid::new_v4();
    sqlx::query("insert into auth.users (id) values ($1), ('aaaaaaaa-0000-4000-8000-000000000009')")
        .bind(newcomer)
        .execute(project.supabase.pool())
        .await
        .expect("users");
    assert_eq!(link(&project, newcomer, "+16505550008").await.0, 201);
    assert_eq!(
        link(&project, uuid!("aaaaaaaa-0000-4000-8000-000000000009"), "16505550008").await.0,
        409,
        "the clash of two users leaves the others' numbers unique"
    );
    assert_applying_again_changes_nothing(&project).await;
    project.stop().await;
}

#[tokio::test]
async fn one_number_has_one_user_in_any_spelling() {
    let project = Project::start().await;
    let user = Uuid::new_v4();
    sqlx::query("insert into auth.users (id) values ($1)")
        .bind(user)
        .execute(project.supabase.pool())
        .await
        .expect("a user");
    for taken in ["+16505551234", "16505551234"] {
        assert_eq!(link(&project, user, taken).await.0, 409);
    }
    for none in ["+1 650 555 9999", "0650555999", "+", "", "+1650555999912345"] {
        assert_eq!(link(&project, user, none).await.0, 400, "{none:?}");
    }
    assert_eq!(link(&project, user, "+16505559999").await.0, 201);
    project.stop().await;
}

#[tokio::test]
async fn a_page_of_a_users_messages_is_read_from_the_index() {
    let project = Project::start().await;
    let mut transaction = project.supabase.pool().begin().await.expect("a transaction");
    let setup = "
        insert into public.messages (user_id, channel, role, content, created_at)
            select ('11111111-1111-4111-8111-00000000000' || n % 10)::uuid, 'whatsapp', 'user', 'text',
                '2026-01-01'::timestamptz + n * interval '1 minute'
            from generate_series(1, 20000) as n;
        analyze public.messages;
        set local request.jwt.claims = '{\"sub\": \"11111111-1111-4111-8111-000000000003\"}';
        set local role authenticated;";
    transaction.execute(setup).await.expect("rows");
    let plan: Vec<String> = sqlx::query_scalar(
        "explain select * from public.messages
         where created_at <= '2026-01-09' and (created_at < '2026-01-09' or id < gen_random_uuid())
         order by created_at desc, id desc limit 50",
    )
    .fetch_all(&mut *transaction)
    .await
    .expect("a plan");
    let plan = plan.join("\n");
    assert!(plan.contains("Index Scan using messages_user_id_created_at_id_idx"), "{plan}");
    // The policy and the page's beginning are both looked up, and nothing is sorted or read in vain.
    assert!(plan.contains("Index Cond: ((user_id = ") && plan.contains("AND (created_at <= "), "{plan}");
    assert!(!plan.contains("Sort"), "{plan}");
    transaction.rollback().await.expect("rolled back");
    project.stop().await;
}

#[tokio::test]
async fn every_test_of_the_supabase_directory_passes() {
    let project = Project::start().await;
    let files: Vec<PathBuf> = std::fs::read_dir(directory().join("tests"))
        .expect("tests")
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .collect();
    assert!(!files.is_empty());
    for file in files {
        let sql = std::fs::read_to_string(&file).expect("text");
        let mut connection = project.supabase.pool().acquire().await.expect("a connection");
        connection.execute("set role postgres").await.expect("the role");
        let rows = connection.fetch_all(sqlx::raw_sql(AssertSqlSafe(sql))).await.expect("it runs");
        // Test Anything Protocol: the plan, then a line for each test.
        let lines: Vec<String> =
            rows.iter().filter_map(|row| sqlx::Row::try_get::<String, _>(row, 0).ok()).collect();
        let planned: usize =
            lines.iter().find_map(|line| line.strip_prefix("1..")?.parse().ok()).expect("a plan");
        let failed: Vec<&String> = lines.iter().filter(|line| line.starts_with("not ok")).collect();
        assert!(failed.is_empty(), "{}: {failed:#?}", file.display());
        assert_eq!(
            lines.iter().filter(|line| line.starts_with("ok ")).count(),
            planned,
            "{}",
            file.display()
        );
    }
    project.stop().await;
}
