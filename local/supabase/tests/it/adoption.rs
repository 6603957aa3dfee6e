//! The migrations on a project with the FastAPI program's tables and rows.

use serde_json::{Value, json};
use uuid::{Uuid, uuid};

use crate::common::tables::{
    OLD_A, OLD_B, assert_applying_again_changes_nothing, assert_rows_can_be_written, contents, link,
    project_of, project_with, refusal,
};
use crate::common::{Project, answer};

#[tokio::test]
async fn older_rows_are_preserved_beside_new_ones() {
    let project = project_of("plain.sql").await;
    // The row without a time sorts first, whatever its id.
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
    assert_eq!(
        phones,
        ["+16505550001 dark", "16505550002 dark"],
        "separators removed from E.164 numbers only"
    );
    assert_rows_can_be_written(&project, OLD_A).await;
    assert_applying_again_changes_nothing(&project).await;
    project.stop().await;
}

#[tokio::test]
async fn adopted_tables_get_all_parts_of_new_tables() {
    let [new, older] = [Project::start().await, project_of("plain.sql").await];
    let parts = async |project: &Project| -> Vec<String> {
        let query = "select format('%s.%s %s', attrelid::regclass, attname, format_type(atttypid, atttypmod))
                from pg_attribute where attrelid in (select oid from pg_class
                    where relnamespace = 'public'::regnamespace and relkind = 'r') and attnum > 0
            union all select indexdef from pg_indexes where schemaname = 'public'
            union all select pg_get_triggerdef(oid) from pg_trigger where not tgisinternal
            union all select pg_policies::text from pg_policies where schemaname = 'public'
            union all select pg_get_constraintdef(oid) from pg_constraint
                where conrelid = 'public.user_preferences'::regclass";
        sqlx::query_scalar(query).fetch_all(project.supabase.pool()).await.expect("rows")
    };
    let older_has = parts(&older).await;
    for part in parts(&new).await {
        assert!(older_has.contains(&part), "{part}");
    }
    new.stop().await;
    older.stop().await;
}

#[tokio::test]
async fn permissive_old_policy_is_dropped() {
    let project = project_of("open.sql").await;
    assert_eq!(contents(&project, OLD_A).await, ["first"], "a restrictive policy stays");
    assert_eq!(contents(&project, OLD_B).await, Vec::<String>::new());
    let anonymous =
        project.get("messages?select=content").header("apikey", project.supabase.publishable_key());
    assert_eq!(answer(anonymous).await.0, 401, "the grant on a column is revoked, too");
    let notes = notes(&project).await;
    for lost in [
        "messages: dropped policy \"Enable read access for all users\" (for SELECT to {public}, using true, ",
        "messages: dropped policy \"anyone writes\" (for ALL to {anon,authenticated}, using true, with check true)",
        "messages: revoked what the API's roles could do: grant delete, insert, ",
        "user_preferences: dropped policy \"all preferences\"",
        "user_preferences: revoked what the API's roles could do: ",
    ] {
        assert!(notes.iter().any(|note| note.starts_with(lost)), "{lost}: {notes:#?}");
    }
    assert!(notes.iter().any(|note| note.contains("select (content), ")), "{notes:#?}");
    assert_eq!(notes.len(), 6, "the column avatar_id may be null, too: {notes:#?}");
    assert_rows_can_be_written(&project, OLD_A).await;
    assert_applying_again_changes_nothing(&project).await;
    project.stop().await;
}

/// Notes of the migrations, from the API, which shows them to the service role only.
async fn notes(project: &Project) -> Vec<String> {
    let publishable = project.get("rpc/adoption_notes").header("apikey", project.supabase.publishable_key());
    assert_eq!(answer(publishable).await.0, 401);
    let secret = project.get("rpc/adoption_notes").header("apikey", project.supabase.secret_key());
    let (status, notes) = answer(secret).await;
    assert_eq!(status, 200, "{notes}");
    let text = |note: &Value, name: &str| note[name].as_str().unwrap_or_default().to_owned();
    let notes = notes.as_array().expect("rows").iter();
    notes.map(|note| format!("{}: {}", text(note, "about"), text(note, "note"))).collect()
}

#[tokio::test]
async fn empty_project_has_no_notes_and_hides_the_table() {
    let project = Project::start().await;
    assert_eq!(notes(&project).await, Vec::<String>::new());
    let table = project.get("notes").header("apikey", project.supabase.secret_key());
    let elsewhere = table.try_clone().expect("a request").header("accept-profile", "adoption");
    for request in [table, elsewhere] {
        let (status, body) = answer(request).await;
        assert!(matches!(status, 404 | 406), "{status} {body}");
    }
    project.stop().await;
}

#[tokio::test]
async fn integer_ids_are_replaced_by_uuids() {
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
async fn unrelated_table_is_an_error_and_unchanged() {
    let (error, _) = refusal("create table public.messages (id uuid primary key, body text)").await;
    assert_eq!(error, "public.messages has no column user_id, channel, role, content");
}

#[tokio::test]
async fn invalid_rows_are_preserved_and_new_rows_are_checked() {
    let project = project_of("doubtful.sql").await;
    let counts: (i64, i64, i64) = sqlx::query_as(
        "select (select count(*) from public.user_preferences), (select count(*) from public.messages),
            (select count(distinct id) from public.messages)",
    )
    .fetch_one(project.supabase.pool())
    .await
    .expect("numbers");
    assert_eq!(counts, (7, 4, 4), "every row is preserved, with a unique id");
    assert_eq!(contents(&project, OLD_A).await.len(), 3);
    assert_rows_can_be_written(&project, OLD_A).await;
    let empty: i64 =
        sqlx::query_scalar("select count(*) from public.user_preferences where whatsapp_phone = ''")
            .fetch_one(project.supabase.pool())
            .await
            .expect("a number");
    assert_eq!(empty, 0, "no number is null");
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
        "the conflict of two users leaves the other numbers unique"
    );
    assert_applying_again_changes_nothing(&project).await;
    project.stop().await;
}

#[tokio::test]
async fn rows_without_a_user_do_not_block_unique_numbers() {
    let tables = "create table public.user_preferences (user_id uuid, whatsapp_phone text);
        insert into auth.users (id) values
            ('aaaaaaaa-0000-4000-8000-000000000001'), ('aaaaaaaa-0000-4000-8000-000000000002');
        insert into public.user_preferences values (null, '+16505550001'), (null, '16505550001');";
    let (project, _older) = project_with(tables).await.expect("they apply");
    assert_eq!(link(&project, OLD_A, "+16505550001").await.0, 201);
    assert_eq!(link(&project, OLD_B, "16505550001").await.0, 409);
    assert_applying_again_changes_nothing(&project).await;
    project.stop().await;
}

#[tokio::test]
async fn preferences_without_a_number_column_get_one() {
    let tables = "create table public.user_preferences (user_id uuid primary key, theme text);
        insert into auth.users (id) values ('aaaaaaaa-0000-4000-8000-000000000001');
        insert into public.user_preferences values ('aaaaaaaa-0000-4000-8000-000000000001', 'dark');";
    let (project, _older) = project_with(tables).await.expect("they apply");
    assert_applying_again_changes_nothing(&project).await;
    project.stop().await;
}

#[tokio::test]
async fn number_with_and_without_separators_is_accepted() {
    let tables =
        "create table public.user_preferences (user_id uuid primary key, whatsapp_phone text unique);
        insert into public.user_preferences values
            ('aaaaaaaa-0000-4000-8000-000000000001', '+1 650 555-0001'),
            ('aaaaaaaa-0000-4000-8000-000000000002', '+16505550001');";
    let (project, _older) = project_with(tables).await.expect("they apply");
    assert_applying_again_changes_nothing(&project).await;
    project.stop().await;
}

#[tokio::test]
async fn older_program_can_write_as_before() {
    let tables = "create table public.messages (id uuid primary key, user_id uuid, channel text, role text,
            content text, created_at timestamp);";
    let (project, _older) = project_with(tables).await.expect("they apply");
    let media = "insert into public.messages (id, user_id, channel, role, content, created_at) values
        ('cccccccc-0000-4000-8000-000000000001', 'aaaaaaaa-0000-4000-8000-000000000001', null, 'tool', null, null)";
    sqlx::query(media).execute(project.supabase.pool()).await.expect("no user, no channel, no text, no time");
    let age = "select now() - created_at < interval '1 minute' from public.messages";
    let pool = project.supabase.pool();
    assert!(sqlx::query_scalar::<_, bool>(age).fetch_one(pool).await.expect("a row"), "it has a time");
    let update = "update public.messages set created_at = '2026-01-02 03:04:05Z'";
    sqlx::query(update).execute(pool).await.expect("updated");
    sqlx::query("update public.messages set created_at = null").execute(pool).await.expect("updated");
    let kept = "select created_at = '2026-01-02 03:04:05Z' from public.messages";
    assert!(
        sqlx::query_scalar::<_, bool>(kept).fetch_one(pool).await.expect("a row"),
        "the time is unchanged"
    );
    assert_eq!(contents(&project, OLD_A).await, [""]);
    assert_rows_can_be_written(&project, OLD_A).await;
    assert_applying_again_changes_nothing(&project).await;
    project.stop().await;
}

/// Invalid numbers in a column, with an optional `constraint`.
fn doubtful_numbers(constraint: &str) -> String {
    format!(
        "create table public.user_preferences (user_id uuid primary key, whatsapp_phone text {constraint}, theme text);
        insert into auth.users (id) select ('aaaaaaaa-0000-4000-8000-00000000000' || n)::uuid
            from generate_series(1, 6) as n;
        insert into public.user_preferences values
            ('aaaaaaaa-0000-4000-8000-000000000001', '', 'dark'),
            ('aaaaaaaa-0000-4000-8000-000000000002', 'whatsapp:+16505550002', 'dark'),
            ('aaaaaaaa-0000-4000-8000-000000000003', '(650) 555-0003', 'dark'),
            ('aaaaaaaa-0000-4000-8000-000000000004', '+16505550004', 'dark');"
    )
}

#[tokio::test]
async fn invalid_old_number_stays_and_new_ones_are_rejected() {
    for constraint in ["", "not null"] {
        let (project, _older) = project_with(&doubtful_numbers(constraint)).await.expect("they apply");
        let change = |row: &str, change: Value| {
            let request = project.client.patch(project.url(&format!("user_preferences?user_id=eq.{row}")));
            answer(request.header("apikey", project.supabase.secret_key()).json(&change))
        };
        let numbers = ["", "whatsapp:+16505550002", "(650) 555-0003", "+16505550004"];
        for (n, number) in (1..).zip(numbers) {
            let row = format!("aaaaaaaa-0000-4000-8000-00000000000{n}");
            assert_eq!(change(&row, json!({ "theme": "light" })).await.0, 204, "{number:?}");
            // A program that writes every column back.
            let whole = json!({ "theme": "blue", "whatsapp_phone": number });
            assert_eq!(change(&row, whole).await.0, 204, "{number:?}");
            let (status, body) = change(&row, json!({ "whatsapp_phone": "650 555 0009" })).await;
            assert_eq!((status, &body["code"]), (400, &json!("23514")));
            assert!(!body.to_string().contains("0009"), "{body}");
        }
        // An older program's empty number, from two users.
        for user in ["aaaaaaaa-0000-4000-8000-000000000005", "aaaaaaaa-0000-4000-8000-000000000006"] {
            assert_eq!(link(&project, user.parse().expect("a UUID"), "").await.0, 201);
        }
        let kept: Vec<(String, Option<String>)> = sqlx::query_as(
            "select theme, whatsapp_phone from public.user_preferences where theme is not null
                order by user_id",
        )
        .fetch_all(project.supabase.pool())
        .await
        .expect("rows");
        let none = if constraint.is_empty() { None } else { Some("") };
        for ((theme, kept), expected) in
            kept.iter().zip([none, Some(numbers[1]), Some(numbers[2]), Some(numbers[3])])
        {
            assert_eq!((theme.as_str(), kept.as_deref()), ("blue", expected));
        }
        assert_applying_again_changes_nothing(&project).await;
        project.stop().await;
    }
}
