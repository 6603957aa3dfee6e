//! Edits and revokes mark their message, in any order of arrival.

use local_supabase::{USER_A, USER_B};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::common::Project;
use crate::common::tables::{detailed, insert};

/// A row of a user, with an optional reference to another message.
fn written(user_id: Uuid, kind: &str, wamid: &str, refers_to: Option<&str>, second: u32) -> Value {
    let mut row = detailed(user_id, "user", &[wamid]);
    row["type"] = json!(kind);
    row["refers_to"] = json!(refers_to);
    row["content"] = json!(format!("{kind} at {second}"));
    row["created_at"] = json!(format!("2026-11-24T03:05:{second:02}Z"));
    row
}

/// The seconds of the message's edit and revoke, and its content.
async fn marks(project: &Project, wamid: &str) -> (Option<i32>, Option<i32>, String) {
    sqlx::query_as(
        "select extract(second from edited_at)::integer, extract(second from revoked_at)::integer, content
         from public.messages where wamids = array[$1]",
    )
    .bind(wamid)
    .fetch_one(project.supabase.pool())
    .await
    .expect("a row")
}

async fn insert_each(project: &Project, rows: &[Value]) {
    for row in rows {
        let (status, body) = insert(project, std::slice::from_ref(row)).await;
        assert_eq!(status, 201, "{body}");
    }
}

#[tokio::test]
async fn business_message_is_marked_by_its_own_edits_only() {
    let project = Project::start().await;
    let business = |row: Value| {
        let mut row = row;
        (row["role"], row["payload"]) = (json!("assistant"), json!({"field": "smb_message_echoes"}));
        row
    };
    let early = business(written(USER_A, "edit", "wamid.edit", Some("wamid.echo"), 2));
    let message = business(written(USER_A, "text", "wamid.echo", None, 1));
    let of_a_user = written(USER_A, "revoke", "wamid.user", Some("wamid.echo"), 3);
    insert_each(&project, &[early, message, of_a_user]).await;
    assert_eq!(marks(&project, "wamid.echo").await, (Some(2), None, "text at 1".to_owned()));
    let revoke = business(written(USER_A, "revoke", "wamid.revoke", Some("wamid.echo"), 4));
    let older = business(written(USER_A, "edit", "wamid.older", Some("wamid.echo"), 1));
    insert_each(&project, &[revoke, older]).await;
    assert_eq!(marks(&project, "wamid.echo").await, (Some(2), Some(4), "text at 1".to_owned()));
    project.stop().await;
}

#[tokio::test]
async fn answer_of_a_language_model_is_not_taken_for_a_business_message() {
    let project = Project::start().await;
    let mut answer = written(USER_A, "text", "wamid.answer", None, 1);
    (answer["role"], answer["payload"]) = (json!("assistant"), json!({"llm": {"source": "model"}}));
    // An edit that was written before its message marks it only if its wamid is searched.
    let mut early = written(USER_A, "edit", "wamid.edit", Some("wamid.answer"), 2);
    (early["role"], early["payload"]) = (json!("assistant"), json!({"field": "smb_message_echoes"}));
    insert_each(&project, &[early, answer]).await;
    assert_eq!(marks(&project, "wamid.answer").await, (None, None, "text at 1".to_owned()));
    project.stop().await;
}

#[tokio::test]
async fn latest_edit_and_revoke_mark_a_message_in_every_order() {
    let project = Project::start().await;
    let mut orders: Vec<Vec<usize>> = vec![vec![]];
    for n in 0..4 {
        // All orders so far, with the next row inserted at every position.
        orders = orders
            .into_iter()
            .flat_map(|order| {
                (0..=order.len()).map(move |at| {
                    let mut longer = order.clone();
                    longer.insert(at, n);
                    longer
                })
            })
            .collect();
    }
    assert_eq!(orders.len(), 24);
    for (n, order) in orders.iter().enumerate() {
        let wamid = format!("wamid.{n}");
        let rows = [
            written(USER_A, "text", &wamid, None, 1),
            written(USER_A, "edit", &format!("{wamid}.edit"), Some(&wamid), 2),
            written(USER_A, "edit", &format!("{wamid}.edit.again"), Some(&wamid), 3),
            written(USER_A, "revoke", &format!("{wamid}.revoke"), Some(&wamid), 4),
        ];
        let rows: Vec<Value> = order.iter().map(|index| rows[*index].clone()).collect();
        if n % 2 == 0 {
            insert_each(&project, &rows).await;
        } else {
            assert_eq!(insert(&project, &rows).await.0, 201);
        }
        assert_eq!(marks(&project, &wamid).await, (Some(3), Some(4), "text at 1".to_owned()), "{order:?}");
        assert_eq!(marks(&project, &format!("{wamid}.edit")).await.0, None, "an edit is not edited itself");
    }
    project.stop().await;
}

#[tokio::test]
async fn other_users_messages_and_answers_are_never_marked() {
    let project = Project::start().await;
    let answered = |wamid: &str, kind: &str, refers_to: Option<&str>| {
        let mut row = detailed(USER_A, "assistant", &[wamid]);
        row["type"] = json!(kind);
        row["refers_to"] = json!(refers_to);
        row
    };
    let before = [written(USER_B, "edit", "wamid.b.1", Some("wamid.asked"), 2)];
    let rows = [written(USER_A, "text", "wamid.asked", None, 1), answered("wamid.answered", "text", None)];
    let after = [
        written(USER_B, "revoke", "wamid.b.2", Some("wamid.asked"), 3),
        written(USER_A, "edit", "wamid.a.1", Some("wamid.answered"), 3),
        written(USER_A, "reaction", "wamid.a.2", Some("wamid.asked"), 3),
        written(USER_A, "edit", "wamid.a.3", None, 3),
        answered("wamid.answered.2", "edit", Some("wamid.asked")),
    ];
    insert_each(&project, &before).await;
    assert_eq!(insert(&project, &rows).await.0, 201);
    insert_each(&project, &after).await;
    let marked: Vec<String> = sqlx::query_scalar(
        "select wamids[1] from public.messages where edited_at is not null or revoked_at is not null",
    )
    .fetch_all(project.supabase.pool())
    .await
    .expect("rows");
    assert_eq!(marked, Vec::<String>::new());
    project.stop().await;
}

#[tokio::test]
async fn mark_survives_rewriting_rows() {
    let project = Project::start().await;
    let rows = [
        written(USER_A, "text", "wamid.asked", None, 1),
        written(USER_A, "revoke", "wamid.revoke", Some("wamid.asked"), 2),
    ];
    for _ in 0..2 {
        for row in &rows {
            let (status, body) = insert(&project, std::slice::from_ref(row)).await;
            assert!(matches!(status, 200 | 201), "{status} {body}");
        }
        assert_eq!(marks(&project, "wamid.asked").await, (None, Some(2), "text at 1".to_owned()));
    }
    project.stop().await;
}

/// Plans are made once per connection, while the table is small, and cached.
#[tokio::test]
async fn triggers_do_not_read_a_table_that_has_grown() {
    let project = Project::start().await;
    let mut connection = project.supabase.pool().acquire().await.expect("a connection");
    let insert = "insert into public.messages (id, user_id, channel, role, content, wamids)
         select gen_random_uuid(), $1, 'whatsapp', role, 'x', array[gen_random_uuid()::text]
         from generate_series(1, $2), unnest(array['user', 'assistant']) as role";
    // One at a time, until the plans are cached; then many; then one at a time again.
    let mut read = Vec::new();
    for (times, rows) in [(10, 1), (1, 1000), (10, 1)] {
        for _ in 0..times {
            let inserted = sqlx::query(insert).bind(USER_A).bind(rows).execute(&mut *connection).await;
            inserted.expect("inserted");
        }
        sqlx::query("select pg_stat_force_next_flush()").execute(&mut *connection).await.expect("flushed");
        let rows: i64 = sqlx::query_scalar(
            "select sum(seq_tup_read)::bigint from pg_stat_user_tables where relname like 'message%'",
        )
        .fetch_one(&mut *connection)
        .await
        .expect("statistics");
        read.push(rows);
    }
    assert!(read[2] - read[1] < 1000, "rows read for ten messages: {}", read[2] - read[1]);
    drop(connection);
    project.stop().await;
}
