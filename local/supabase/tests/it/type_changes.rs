//! Columns of other types in an older program's tables, and the objects that depend on them.

use local_supabase::migrate;
use sqlx::PgPool;

use crate::common::directory;
use crate::common::tables::{
    OLD_A, assert_applying_again_changes_nothing, assert_rows_can_be_written, contents, project_before,
    project_with, push, refusal,
};

/// An older program's table, with `changed` in place of the column of the same name.
fn messages(changed: &str) -> String {
    let usual = ["id uuid primary key", "user_id uuid", "channel text", "role text", "content text"];
    let name = |column: &str| column.split(' ').next().map(str::to_owned);
    let columns = usual.map(|column| if name(column) == name(changed) { changed } else { column });
    format!("create table public.messages ({}, created_at timestamptz);", columns.join(", "))
}

async fn constraints(pool: &PgPool) -> Vec<String> {
    let query = "select conname || ' ' || pg_get_constraintdef(oid) from pg_constraint
        where conrelid = 'public.messages'::regclass and contype = 'c' order by 1";
    sqlx::query_scalar(query).fetch_all(pool).await.expect("rows")
}

#[tokio::test]
async fn referenced_ids_are_an_error_with_a_remedy() {
    let attachments = |kind| {
        format!("create table public.attachments (message_id {kind} references public.messages (id));")
    };
    let (error, remedy) = refusal(&(messages("id bigserial primary key") + &attachments("bigint"))).await;
    assert_eq!(error, "public.messages.id is bigint and referenced by attachments");
    assert!(
        remedy.contains("alter table attachments drop constraint attachments_message_id_fkey;"),
        "{remedy}"
    );
    assert!(remedy.contains("old_id"), "{remedy}");

    let uuid = "insert into public.messages (id) values ('cccccccc-0000-4000-8000-000000000001');";
    let text = messages("id text primary key") + &attachments("text");
    let (error, remedy) = refusal(&(text.clone() + uuid)).await;
    assert_eq!(error, "public.messages.id is text and referenced by attachments");
    assert!(remedy.contains("become UUIDs") && !remedy.contains("old_id"), "{remedy}");

    let other = "insert into public.messages (id) values ('first');";
    assert!(refusal(&(text + other)).await.1.contains("old_id"));
}

#[tokio::test]
async fn uuids_stored_as_text_become_uuids() {
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
async fn invalid_user_ids_are_located_by_an_error_without_values() {
    let tables = messages("user_id text")
        + "insert into public.messages (id, user_id) values (gen_random_uuid(), '+16505550001');";
    let (error, remedy) = refusal(&tables).await;
    assert_eq!(error, "public.messages.user_id is of type text and holds values that are no uuid");
    assert!(remedy.contains("select * from public.messages where user_id"), "{remedy}");
}

#[tokio::test]
async fn view_on_a_column_to_change_is_named_in_the_error() {
    let view = "create view public.latest as select content from public.messages;";
    let (error, remedy) = refusal(&(messages("content varchar(4000)") + view)).await;
    assert!(
        error.starts_with("public.messages.content cannot change from character varying to text: "),
        "{error}"
    );
    assert!(remedy.contains("Drop what stands in the way, apply again"), "{remedy}");
    assert!(remedy.ends_with("On the column depend: view public.latest"), "{remedy}");

    let preferences =
        "create table public.user_preferences (user_id uuid primary key, whatsapp_phone varchar(20));
        create view public.phones as select whatsapp_phone from public.user_preferences;";
    let (error, remedy) = refusal(preferences).await;
    assert!(error.starts_with("public.user_preferences.whatsapp_phone cannot change"), "{error}");
    assert!(remedy.ends_with("view public.phones"), "{remedy}");
}

#[tokio::test]
async fn policies_survive_a_type_change() {
    let tables = messages("user_id text")
        + r#"alter table public.messages enable row level security;
        create policy "User's rows" on public.messages as restrictive for select to authenticated, anon
            using (user_id is not null);
        create policy "the service writes" on public.messages for insert to service_role
            with check (user_id is not null);
        create policy "elsewhere" on public.messages as restrictive using (content <> 'archived');"#;
    let (project, _older) = project_with(&tables).await.expect("the migrations apply");
    let policies: Vec<String> = sqlx::query_scalar(
        "select format('%s %s %s %s %s %s', policyname, permissive, cmd, roles, qual, with_check) from pg_policies
         where tablename = 'messages' and policyname not like 'A user%' order by policyname",
    )
    .fetch_all(project.supabase.pool())
    .await
    .expect("rows");
    assert_eq!(
        policies,
        [
            "User's rows RESTRICTIVE SELECT {anon,authenticated} (user_id IS NOT NULL) ",
            "elsewhere RESTRICTIVE ALL {public} (content <> 'archived'::text) ",
            "the service writes PERMISSIVE INSERT {service_role}  (user_id IS NOT NULL)",
        ]
    );
    assert_applying_again_changes_nothing(&project).await;
    project.stop().await;
}

#[tokio::test]
async fn policy_invalid_for_the_new_type_is_quoted_in_the_error() {
    let tables = messages("user_id text")
        + "create policy own on public.messages as restrictive for select to authenticated
            using (auth.uid()::text = user_id);";
    let (error, remedy) = refusal(&tables).await;
    assert_eq!(
        error,
        "public.messages.user_id cannot change from text to uuid: operator does not exist: text = uuid"
    );
    assert!(remedy.contains("Apply again after: drop policy own on public.messages;"), "{remedy}");
    assert!(
        remedy.contains(
            "create policy own on public.messages as restrictive for select to authenticated using \
             (((auth.uid())::text = user_id));"
        ),
        "{remedy}"
    );
}

#[tokio::test]
async fn reapplying_after_the_remedy_continues() {
    let tables = messages("user_id text")
        + "create policy own on public.messages as restrictive for select to authenticated
            using (auth.uid()::text = user_id);
        create view public.latest as select user_id from public.messages;";
    let (project, _older) = project_before(&tables).await.expect("a project");
    let error = push(&project).await.expect_err("a view");
    assert!(format!("{error:#}").contains("used by a view"), "{error:#}");
    project.run("drop view public.latest").await;
    let error = push(&project).await.expect_err("a policy");
    assert!(format!("{error:#}").contains("text = uuid"), "{error:#}");
    project.run("drop policy own on public.messages").await;
    let left = migrate::migrations(&directory()).expect("migrations").len() - 1;
    assert_eq!(push(&project).await.expect("they apply"), left, "the tools are there already");
    assert_applying_again_changes_nothing(&project).await;
    project.stop().await;
}

#[tokio::test]
async fn enum_checks_become_text_checks() {
    let tables = "create type public.sender as enum ('user', 'assistant', 'system');
        create type public.sender_kind as enum ('user');"
        .to_owned()
        + &messages("role public.sender default 'user' check (role <> 'system')")
        + "alter table public.messages add constraint two check (role in ('user', 'assistant'));
        alter table public.messages add constraint three
            check (role <> 'assistant' or content <> 'user'::public.sender_kind::text) not valid;
        insert into public.messages (id, user_id, channel, content)
            values (gen_random_uuid(), 'aaaaaaaa-0000-4000-8000-000000000001', 'web', 'first');";
    let (project, _older) = project_with(&tables).await.expect("the migrations apply");
    assert_eq!(
        constraints(project.supabase.pool()).await,
        [
            "messages_role_check CHECK ((role <> 'system'::text))",
            "three CHECK (((role <> 'assistant'::text) OR (content <> ('user'::sender_kind)::text))) NOT VALID",
            "two CHECK ((role = ANY (ARRAY['user'::text, 'assistant'::text])))",
        ]
    );
    assert_rows_can_be_written(&project, OLD_A).await;
    assert_applying_again_changes_nothing(&project).await;
    project.stop().await;
}

#[tokio::test]
async fn check_invalid_for_the_new_type_is_quoted_in_the_error() {
    let (error, remedy) = refusal(&messages("user_id text check (length(user_id) = 36)")).await;
    assert!(error.contains("function length(uuid) does not exist"), "{error}");
    assert!(
        remedy.contains("alter table public.messages drop constraint messages_user_id_check;")
            && remedy.contains("CHECK ((length(user_id) = 36))"),
        "{remedy}"
    );
}

#[tokio::test]
async fn foreign_key_on_a_column_to_change_is_named_in_the_error() {
    let tables = "create table public.profiles (id text primary key);".to_owned()
        + &messages("user_id text references public.profiles (id)");
    let (_, remedy) = refusal(&tables).await;
    assert!(remedy.ends_with("constraint messages_user_id_fkey on table public.messages"), "{remedy}");
}
