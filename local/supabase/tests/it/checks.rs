//! Check constraints of an older program on `messages`, which reject our rows.

use crate::common::tables::{
    OLD_A, assert_applying_again_changes_nothing, assert_rows_can_be_written, project_with, refusal,
};
use crate::common::warnings::Warnings;

/// An older program's table, with `more` after its columns.
fn messages(more: &str) -> String {
    format!(
        "create table public.messages (id uuid primary key, user_id uuid, avatar_id uuid, channel text, role text,
            content text, created_at timestamptz {more});"
    )
}

#[tokio::test]
async fn checks_that_reject_our_rows_are_dropped_with_a_warning() {
    let tables = messages(
        r#", constraint "Web only" check (channel in ('web', 'ios'))
           , constraint human check (role in ('human', 'ai'))
           , constraint short check (char_length(content) <= 4000)
           , constraint media check ((avatar_id is null) = (channel = 'web'))
           , constraint known check (role <> 'system')
           , constraint filled check (content <> '' or channel = 'web')"#,
    ) + "alter table public.messages add constraint late check (channel = 'web') not valid;";
    let warnings = Warnings::capture();
    let (project, _older) = project_with(&tables).await.expect("the migrations apply");
    let mut dropped = warnings.all();
    dropped.retain(|warning| warning.contains("dropped the check"));
    dropped.sort();
    assert_eq!(
        dropped,
        [
            r#"messages: dropped the check "Web only", which refuses our rows: CHECK ((channel = ANY (ARRAY['web'::text, 'ios'::text])))"#,
            "messages: dropped the check human, which refuses our rows: CHECK ((role = ANY (ARRAY['human'::text, 'ai'::text])))",
            "messages: dropped the check late, which refuses our rows: CHECK ((channel = 'web'::text)) NOT VALID",
            "messages: dropped the check media, which refuses our rows: CHECK (((avatar_id IS NULL) = (channel = 'web'::text)))",
            "messages: dropped the check short, which refuses our rows: CHECK ((char_length(content) <= 4000))",
        ]
    );
    let kept: Vec<String> = sqlx::query_scalar(
        "select conname::text from pg_constraint where conrelid = 'public.messages'::regclass and contype = 'c'
         order by conname",
    )
    .fetch_all(project.supabase.pool())
    .await
    .expect("rows");
    assert_eq!(kept, ["filled", "known"]);
    assert_rows_can_be_written(&project, OLD_A).await;
    assert_applying_again_changes_nothing(&project).await;
    project.stop().await;
}

#[tokio::test]
async fn nothing_is_dropped_from_a_table_that_accepts_our_rows() {
    let warnings = Warnings::capture();
    let (project, _older) = project_with("").await.expect("the migrations apply");
    assert_applying_again_changes_nothing(&project).await;
    assert_eq!(warnings.all(), Vec::<String>::new());
    project.stop().await;
}

#[tokio::test]
async fn other_rejections_of_our_rows_are_an_error() {
    // A failing cast, and an unknown key column.
    let cast = messages(", check (content::json is not null)");
    let key = "create table public.messages (id uuid, tenant text, user_id uuid, channel text, role text, content text,
        primary key (tenant, id));";
    for (tables, expected) in [(cast.as_str(), "json"), (key, "tenant")] {
        let (error, remedy) = refusal(tables).await;
        assert!(
            error.starts_with("public.messages refuses rows as the reply function writes them: "),
            "{error}"
        );
        assert!(error.contains(expected), "{error}");
        assert!(remedy.starts_with("Change what refuses them, and apply again."), "{remedy}");
    }
}
