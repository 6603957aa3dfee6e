//! Columns of an older program's `messages`, and tables, with the names of ours.

use crate::common::tables::{
    OLD_A, assert_applying_again_changes_nothing, assert_rows_can_be_written, project_with, refusal,
};
use crate::common::warnings::Warnings;

/// An older program's table, with `more` after its columns.
fn messages(more: &str) -> String {
    format!(
        "create table public.messages (id uuid primary key, user_id uuid, channel text, role text, content text,
            created_at timestamptz, {more});"
    )
}

#[tokio::test]
async fn compatible_columns_are_adopted_with_their_values() {
    let tables = "create type public.kind as enum ('chat', 'photo');".to_owned()
        + &messages(
            "type public.kind not null default 'chat', status varchar(10) not null default 'active',
            payload json not null, wamids varchar(100)[], phone_number_id char(15), error_code smallint,
            read_at timestamp, edited_at timestamptz not null default now()",
        )
        + "insert into public.messages values
            ('cccccccc-0000-4000-8000-000000000001', 'aaaaaaaa-0000-4000-8000-000000000001', 'web', 'user', 'first',
                now(), 'photo', 'active', '{\"a\": 1}', '{wamid.old}', '123', 7, '2026-01-02 03:04:05',
                '2026-01-02 03:04:05Z');";
    let warnings = Warnings::capture();
    let (project, _older) = project_with(&tables).await.expect("the migrations apply");
    let mut said = warnings.all();
    said.retain(|warning| warning.contains("status that"));
    assert_eq!(
        said,
        ["messages: 1 rows have a status that is none of WhatsApp's; they keep it, and it is shown"]
    );
    let types: Vec<String> = sqlx::query_scalar(
        "select attname || ' ' || format_type(atttypid, atttypmod) || case when attnotnull then ' not null' else '' end
         from pg_attribute where attrelid = 'public.messages'::regclass and attname in ('type', 'status', 'payload',
             'wamids', 'phone_number_id', 'error_code', 'read_at', 'edited_at') order by attname",
    )
    .fetch_all(project.supabase.pool())
    .await
    .expect("rows");
    assert_eq!(
        types,
        [
            "edited_at timestamp with time zone",
            "error_code integer",
            "payload jsonb",
            "phone_number_id text",
            "read_at timestamp with time zone",
            "status text",
            "type text",
            "wamids text[]",
        ]
    );
    let kept: String = sqlx::query_scalar(
        "select concat_ws(' ', type, status, payload, wamids, phone_number_id, error_code, read_at at time zone 'UTC')
         from public.messages",
    )
    .fetch_one(project.supabase.pool())
    .await
    .expect("a row");
    assert_eq!(kept, r#"photo active {"a": 1} {wamid.old} 123 7 2026-01-02 03:04:05"#);
    assert_rows_can_be_written(&project, OLD_A).await;
    assert_applying_again_changes_nothing(&project).await;
    project.stop().await;
}

#[tokio::test]
async fn conflicting_checks_are_dropped_and_the_rest_stays() {
    let tables = messages(
        "type text check (type in ('chat', 'photo')), status text check (status in ('active', 'sent')),
        error_text text constraint short check (length(error_text) < 80), error_code integer check (error_code >= 0),
        payload jsonb constraint arrays check (jsonb_typeof(payload) = 'array')",
    );
    let warnings = Warnings::capture();
    let (project, _older) = project_with(&tables).await.expect("the migrations apply");
    let mut dropped = warnings.all();
    dropped.retain(|warning| warning.contains("dropped the check"));
    dropped.sort();
    assert_eq!(
        dropped,
        [
            "messages: dropped the check arrays, which refuses our rows: CHECK ((jsonb_typeof(payload) = 'array'::text))",
            "messages: dropped the check messages_status_check, which refuses our rows: CHECK ((status = ANY (ARRAY['active'::text, 'sent'::text])))",
            "messages: dropped the check messages_type_check, which refuses our rows: CHECK ((type = ANY (ARRAY['chat'::text, 'photo'::text])))",
            "messages: dropped the check short, which refuses our rows: CHECK ((length(error_text) < 80))",
        ]
    );
    let kept: Vec<String> = sqlx::query_scalar(
        "select conname::text from pg_constraint where conrelid = 'public.messages'::regclass and contype = 'c'",
    )
    .fetch_all(project.supabase.pool())
    .await
    .expect("rows");
    assert_eq!(kept, ["messages_error_code_check"]);
    assert_rows_can_be_written(&project, OLD_A).await;
    assert_applying_again_changes_nothing(&project).await;
    project.stop().await;
}

#[tokio::test]
async fn incompatible_columns_are_an_error_with_a_remedy() {
    for (column, error, remedy) in [
        ("status integer", "public.messages.status is of type integer", "change it to text"),
        ("payload text", "public.messages.payload is of type text", "change it to jsonb"),
        ("wamids text", "public.messages.wamids is of type text", "change it to text[]"),
        ("read_at date", "public.messages.read_at is of type date", "change it to timestamp with time zone"),
        (
            "type text generated always as (channel) stored",
            "public.messages refuses rows as the reply function writes them: ",
            "Change what refuses them, and apply again.",
        ),
        (
            "type text references public.types (name)",
            "public.messages.type refers to another table, which does not hold our values",
            "alter table public.messages drop constraint messages_type_fkey;",
        ),
    ] {
        let tables = "create table public.types (name text primary key);".to_owned() + &messages(column);
        let (said, advised) = refusal(&tables).await;
        assert!(said.starts_with(error), "{said}");
        assert!(advised.contains(remedy), "{advised}");
    }
}

#[tokio::test]
async fn dependents_of_a_column_to_change_are_named() {
    let view = "create view public.open as select status from public.messages;";
    let (error, remedy) = refusal(&(messages("status varchar(10)") + view)).await;
    assert!(
        error.starts_with("public.messages.status cannot change from character varying to text"),
        "{error}"
    );
    assert!(remedy.starts_with("Drop what stands in the way"), "{remedy}");
    assert!(remedy.contains("view public.open"), "{remedy}");
}

#[tokio::test]
async fn policies_and_checks_of_a_changed_column_are_preserved() {
    let tables = "create type public.state as enum ('active', 'gone');".to_owned()
        + &messages("status public.state check (status <> 'gone'), refers_to varchar(10)")
        + "create policy shown on public.messages as restrictive for select to authenticated
            using (status <> 'gone' and refers_to <> 'hidden');";
    let (project, _older) = project_with(&tables).await.expect("the migrations apply");
    let kept: Vec<String> = sqlx::query_scalar(
        "select pg_get_constraintdef(oid) from pg_constraint
             where conrelid = 'public.messages'::regclass and contype = 'c'
         union all select qual from pg_policies where policyname = 'shown'",
    )
    .fetch_all(project.supabase.pool())
    .await
    .expect("rows");
    assert_eq!(
        kept,
        ["CHECK ((status <> 'gone'::text))", "((status <> 'gone'::text) AND (refers_to <> 'hidden'::text))",]
    );
    assert_applying_again_changes_nothing(&project).await;
    project.stop().await;
}

#[tokio::test]
async fn foreign_table_with_our_name_is_an_error_and_unchanged() {
    let (error, _) =
        refusal("create table public.message_statuses (id uuid primary key, wamid text, at date)").await;
    assert!(error.starts_with("public.message_statuses has no column status text, at timestamp"), "{error}");
    let (error, remedy) =
        refusal("create table public.account_events (id bigint primary key, field text)").await;
    assert!(error.starts_with("public.account_events has no column id uuid, received_at"), "{error}");
    assert!(
        remedy.starts_with("It is not the table that the migrations make. Rename it, or add"),
        "{remedy}"
    );
}
