//! Linking on the tables of an older program.

use local_supabase::{Options, USER_A, USER_B};
use serde_json::json;

use super::{HOLDER, Linking, Person, row};
use crate::common::Project;
use crate::common::tables::{OLD_A, OLD_B, assert_applying_again_changes_nothing, project_of, project_with};

const USERS: &str = "insert into auth.users (id) values ('aaaaaaaa-0000-4000-8000-000000000001'),
    ('aaaaaaaa-0000-4000-8000-000000000002');";

async fn with(tables: &str) -> (Linking, tempfile::TempDir) {
    let (project, directory) = project_with(&format!("{USERS}{tables}")).await.expect("the migrations apply");
    (Linking::of(project).await, directory)
}

#[tokio::test]
async fn number_column_that_is_not_nullable_keeps_an_empty_string() {
    let tables =
        "create table public.user_preferences (user_id uuid primary key, whatsapp_phone text not null);
        insert into public.user_preferences values ('aaaaaaaa-0000-4000-8000-000000000002', '16505550100');";
    let (linking, _directory) = with(tables).await;
    assert!(linking.link(OLD_A, &HOLDER).await);
    assert_eq!(linking.links().await, [row(OLD_A, "+16505550100", "US.100")]);
    let hidden = Person { numbers: &[], user_id: Some("US.300") };
    assert!(!linking.link(OLD_B, &hidden).await);
    linking.unlink(OLD_A).await;
    assert_eq!(linking.links().await, [row(OLD_B, "", "US.300")]);
    let empty = "select count(*) from public.user_preferences where whatsapp_phone = ''";
    assert_eq!(linking.count(empty).await, 2);
    linking.stop().await;
}

#[tokio::test]
async fn required_columns_of_an_older_program_do_not_prevent_a_link() {
    let tables = "create table public.user_preferences (id uuid primary key, user_id uuid not null unique,
        whatsapp_phone varchar(20), theme text not null, locale text not null default 'en',
        account text, numbers text, since date, written text, own int, claimant int);";
    let (linking, _directory) = with(tables).await;
    assert!(!linking.link(OLD_A, &HOLDER).await);
    assert_eq!(linking.links().await, [row(OLD_A, "+16505550100", "US.100")]);
    let notes: Vec<String> = sqlx::query_scalar(
        "select note from adoption.notes where note like 'the column%now on' order by note",
    )
    .fetch_all(linking.project.supabase.pool())
    .await
    .expect("notes");
    assert_eq!(
        notes,
        [
            "the column id has a random UUID by default from now on",
            "the column theme may be null from now on"
        ]
    );
    assert_applying_again_changes_nothing(&linking.project).await;
    linking.stop().await;
}

/// Without keys: a number of two users, several rows of a user, rows without a user.
#[tokio::test]
async fn number_of_several_rows_and_users_moves_to_one() {
    let linking = Linking::of(project_of("doubtful.sql").await).await;
    let person = Person { numbers: &["+16505550001", "16505550001"], user_id: None };
    // User B shares the number with user A, and exists in no table of users.
    assert!(linking.link(OLD_A, &person).await);
    assert_eq!(linking.links().await[0], row(OLD_A, "+16505550001", ""));
    let of =
        "select count(*) from public.user_preferences where whatsapp_phone like '%16505550001' and user_id";
    assert_eq!(linking.count(&format!("{of} is not null")).await, 1);
    assert_eq!(linking.count(&format!("{of} is null")).await, 1, "it links no user");
    linking.unlink(OLD_A).await;
    assert_eq!(linking.count(&format!("{of} is not null")).await, 0);
    linking.stop().await;
}

#[tokio::test]
async fn user_with_several_rows_is_linked_by_one_of_them() {
    let tables = "create table public.user_preferences (user_id uuid, whatsapp_phone text);
        insert into public.user_preferences values
          ('aaaaaaaa-0000-4000-8000-000000000001', null),
          ('aaaaaaaa-0000-4000-8000-000000000001', '+16505550009');";
    let (linking, _directory) = with(tables).await;
    for _ in 0..2 {
        assert!(!linking.link(OLD_A, &HOLDER).await);
        assert_eq!(linking.links().await, [row(OLD_A, "+16505550100", "US.100")]);
    }
    linking.unlink(OLD_A).await;
    assert_eq!(linking.links().await, []);
    linking.stop().await;
}

/// The digits are unique, although the form of the number is none that is looked up.
#[tokio::test]
async fn number_with_separators_moves() {
    let linking = Linking::of(Project::start_with(Options::default()).await).await;
    linking
        .run(&format!(
            "delete from public.user_preferences;
             begin; set local session_replication_role = replica;
             insert into public.user_preferences (user_id, whatsapp_phone) values ('{USER_B}', '+1 (650) 555-0100');
             commit"
        ))
        .await;
    assert!(linking.link(USER_A, &HOLDER).await);
    assert_eq!(linking.links().await, [row(USER_A, "+16505550100", "US.100")]);
    linking.stop().await;
}

#[tokio::test]
async fn link_that_an_operator_wrote_is_replaced() {
    let linking = Linking::of(Project::start_with(Options::default()).await).await;
    // The seed's numbers of A and B.
    assert!(!linking.link(USER_A, &HOLDER).await);
    assert_eq!(
        linking.links().await,
        [row(USER_A, "+16505550100", "US.100"), row(USER_B, "+16505555678", "")]
    );
    let a = Person { numbers: &["+16505555678"], user_id: Some("US.100") };
    assert!(linking.link(USER_A, &a).await);
    assert_eq!(linking.links().await, [row(USER_A, "+16505555678", "US.100")]);
    assert_eq!(linking.as_service("adoption_notes", &json!({})).await, (200, json!([])));
    linking.stop().await;
}
