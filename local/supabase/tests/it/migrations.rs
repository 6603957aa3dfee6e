//! The migrations on an empty project: ownership of a number, reading of a page, and row-level security.

use std::path::PathBuf;

use local_supabase::{Options, migrate};
use serde_json::json;
use shared::meta::sender::PhoneNumber;
use sqlx::{AssertSqlSafe, Executor as _};
use uuid::Uuid;

use crate::common::tables::{
    assert_applying_again_changes_nothing, assert_rows_can_be_written, contents, insert, link, push, row,
};
use crate::common::warnings::Warnings;
use crate::common::{Project, directory};

#[tokio::test]
async fn migrations_on_an_empty_project_are_idempotent() {
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
async fn first_release_is_upgraded_and_rows_are_preserved() {
    let first = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(first.path().join("migrations")).expect("a directory");
    let files = migrate::migrations(&directory()).expect("migrations");
    for file in files.iter().filter(|file| file.version.as_str() < "20261128000400") {
        let path = first.path().join(format!("migrations/{}_{}.sql", file.version, file.name));
        std::fs::write(path, &file.sql).expect("a file");
    }
    let options = Options { directory: first.path().to_path_buf(), seed: false, ..Options::default() };
    let project = Project::start_with(options).await;
    let before = "insert into auth.users (id) values ('11111111-1111-4111-8111-111111111111');
        insert into public.user_preferences values ('11111111-1111-4111-8111-111111111111', '+16505551234');
        insert into public.messages (user_id, channel, role, content)
            values ('11111111-1111-4111-8111-111111111111', 'whatsapp', 'user', 'first');";
    project.supabase.pool().execute(before).await.expect("rows");
    let warnings = Warnings::capture();
    assert_eq!(push(&project).await.expect("they apply"), files.len() - 4);
    assert_eq!(warnings.all(), Vec::<String>::new());
    assert_eq!(contents(&project, local_supabase::USER_A).await, ["first"]);
    assert_applying_again_changes_nothing(&project).await;
    project.stop().await;
}

#[tokio::test]
async fn deleting_a_user_deletes_rows_and_blocks_new_ones() {
    let project = Project::start().await;
    assert_rows_can_be_written(&project, local_supabase::USER_A).await;
    sqlx::query("delete from auth.users where id = $1")
        .bind(local_supabase::USER_A)
        .execute(project.supabase.pool())
        .await
        .expect("the user is deleted");
    let left: i64 = sqlx::query_scalar(
        "select (select count(*) from public.messages) + count(*) from public.user_preferences where user_id = $1",
    )
    .bind(local_supabase::USER_A)
    .fetch_one(project.supabase.pool())
    .await
    .expect("a number");
    assert_eq!(left, 0);
    // The result of a record task that waited for the database.
    let (status, body) = insert(&project, &[row(local_supabase::USER_A, "user")]).await;
    assert_eq!((status, &body["code"]), (409, &json!("23503")), "{body}");
    assert!(body["message"].as_str().is_some_and(|text| text.contains("messages_user_id_fkey")), "{body}");
    project.stop().await;
}

#[tokio::test]
async fn role_is_user_or_assistant() {
    let project = Project::start().await;
    let (status, body) = insert(&project, &[row(local_supabase::USER_A, "system")]).await;
    assert_eq!((status, &body["code"]), (400, &json!("23514")), "{body}");
    project.stop().await;
}

#[tokio::test]
async fn number_has_one_user_in_any_spelling() {
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
    for none in ["+1 650 555 9999", "0650555999", "+", " ", "+1650555999912345"] {
        let (status, body) = link(&project, user, none).await;
        assert_eq!((status, &body["code"]), (400, &json!("23514")), "{none:?}");
        assert_eq!(body["message"], "whatsapp_phone is not in E.164");
        assert!(body["hint"].as_str().is_some_and(|hint| hint.contains("+16505551234")), "{body}");
    }
    assert_eq!(link(&project, user, "+16505559999").await.0, 201);
    project.stop().await;
}

#[tokio::test]
async fn page_of_messages_is_read_from_the_index() {
    let project = Project::start().await;
    let mut transaction = project.supabase.pool().begin().await.expect("a transaction");
    let setup = "
        insert into auth.users (id)
            select ('11111111-1111-4111-8111-00000000000' || n)::uuid from generate_series(0, 9) as n;
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
    // Policy and page start both use the index, and nothing is sorted or read needlessly.
    assert!(plan.contains("Index Cond: ((user_id = ") && plan.contains("AND (created_at <= "), "{plan}");
    assert!(!plan.contains("Sort"), "{plan}");
    transaction.rollback().await.expect("rolled back");
    project.stop().await;
}

#[tokio::test]
async fn supabase_directory_tests_pass() {
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
        // Test Anything Protocol: the plan, then one line per test.
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

#[tokio::test]
async fn two_spellings_of_a_number_have_one_owner() {
    let project = Project::start().await;
    let relink = async |user: Uuid, phone: &str| {
        let update = "update public.user_preferences set whatsapp_phone = $1 where user_id = $2";
        sqlx::query(update).bind(phone).bind(user).execute(project.supabase.pool()).await
    };
    for (longer, shorter) in [("+5491155501234", "541155501234"), ("5511987654321", "+551187654321")] {
        relink(local_supabase::USER_A, longer).await.expect("linked");
        let refused = relink(local_supabase::USER_B, shorter).await.expect_err("linked to two users");
        assert!(refused.as_database_error().is_some_and(|error| error.is_unique_violation()), "{refused}");
    }
    relink(local_supabase::USER_B, "+551132654321").await.expect("a landline is another number");
    project.stop().await;
}

#[tokio::test]
async fn database_and_functions_agree_on_spellings() {
    let project = Project::start().await;
    let countries = ["55", "52", "521", "54", "549", "229", "22901", "225", "22501", "22505", "22507", "1"];
    // Every pair of leading digits, and every length.
    let numbers: Vec<String> = countries
        .iter()
        .flat_map(|country| (0..100).map(move |first| format!("{country}{first:02}")))
        .flat_map(|start| (6..=10).map(move |length| format!("{start}{}", &"6512345678"[..length])))
        .collect();
    let expression: String = sqlx::query_scalar(
        "select pg_get_expr(indexprs, indrelid) from pg_index
         where indexrelid = 'public.user_preferences_whatsapp_phone_digits_key'::regclass",
    )
    .fetch_one(project.supabase.pool())
    .await
    .expect("an index");
    let query = format!(
        "select {expression} from unnest($1) with ordinality as all_numbers (whatsapp_phone, n) order by n"
    );
    let indexed: Vec<String> = sqlx::query_scalar(AssertSqlSafe(query))
        .bind(&numbers)
        .fetch_all(project.supabase.pool())
        .await
        .expect("rows");
    for (number, indexed) in numbers.iter().zip(indexed) {
        let comparable = PhoneNumber::parse(number).map(|number| number.comparable().into_owned());
        assert_eq!(comparable.as_deref(), Some(indexed.as_str()), "{number}");
    }
    project.stop().await;
}
