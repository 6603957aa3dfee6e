//! Retention of numbers outside a user's own rows: limited in time, and not beyond the user.

use local_supabase::USER_A;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor as _, PgPool};
use uuid::Uuid;

use crate::common::Project;
use crate::common::statuses::{service_role, write};

async fn execute(pool: &PgPool, sql: &str) {
    pool.execute(AssertSqlSafe(sql)).await.expect(sql);
}

/// Number of rows that satisfy a condition.
async fn count(pool: &PgPool, table: &str, condition: &str) -> i64 {
    let sql = format!("select count(*) from public.{table} where {condition}");
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(pool).await.expect("a number")
}

/// A status of a message without a row.
fn status(wamid: &str, payload: &Value) -> Value {
    json!({ "id": Uuid::new_v4(), "wamid": wamid, "status": "sent", "at": "2026-11-27T00:00:00Z", "payload": payload })
}

fn event(payload: &Value) -> Value {
    json!({ "id": Uuid::new_v4(), "received_at": chrono::Utc::now(), "field": "messages.system", "payload": payload })
}

/// Statuses without a row and events of this age.
fn old(rows: usize, age: &str) -> String {
    format!(
        "insert into public.message_statuses (id, wamid, status, at, received_at)
           select gen_random_uuid(), '{age}', 'sent', now(), now() - interval '{age}' from generate_series(1, {rows});
         insert into public.account_events (id, field, payload, received_at)
           select gen_random_uuid(), '{age}', '{{}}', now() - interval '{age}' from generate_series(1, {rows});"
    )
}

/// Rows from before the migration: its triggers do not fire.
async fn unseen(pool: &PgPool, sql: &str) {
    execute(pool, &format!("begin; set local session_replication_role = replica; {sql} commit")).await;
}

#[tokio::test]
async fn expired_rows_are_deleted_by_later_inserts() {
    let project = Project::start().await;
    let (owner, service) = (project.supabase.pool(), service_role(&project, 2).await);
    let (answer_id, wamid) = (Uuid::new_v4(), "wamid.of-a-row");
    let row = json!({ "id": answer_id, "user_id": USER_A, "channel": "whatsapp", "role": "assistant", "content": "hi",
                      "wamids": [wamid] });
    write(&service, "messages", &[row]).await.expect("written");
    write(&service, "message_statuses", &[status(wamid, &json!({}))]).await.expect("written");
    execute(owner, "update public.message_statuses set received_at = now() - interval '1 year'").await;
    for age in ["29 days", "31 days", "89 days", "91 days"] {
        unseen(owner, &old(150, age)).await;
    }

    // 200 rows at a time: 450 statuses and 150 events have expired.
    let expired = "received_at < now() - interval '30 days' and message_id is null";
    for left in [250, 50, 0] {
        write(&service, "message_statuses", &[status("wamid.new", &json!({}))]).await.expect("written");
        assert_eq!(count(owner, "message_statuses", expired).await, left);
    }
    assert_eq!(count(owner, "account_events", "field = '91 days'").await, 150);
    write(&service, "account_events", &[event(&json!({}))]).await.expect("written");
    assert_eq!(count(owner, "account_events", "field = '91 days'").await, 0);

    assert_eq!(
        count(owner, "message_statuses", "wamid = '29 days'").await,
        150,
        "within the retention period"
    );
    assert_eq!(count(owner, "account_events", "field in ('29 days', '31 days', '89 days')").await, 450);
    assert_eq!(
        count(owner, "message_statuses", "message_id is not null").await,
        1,
        "it is deleted with its row"
    );
    service.close().await;
    project.stop().await;
}

#[tokio::test]
async fn deleting_expired_rows_waits_for_no_lock() {
    let project = Project::start().await;
    let (owner, service) = (project.supabase.pool(), service_role(&project, 1).await);
    unseen(owner, &old(3, "1 year")).await;
    let mut other = owner.begin().await.expect("a transaction");
    let locked = "select 1 from (select id from public.message_statuses limit 1 for update) one,
                  (select id from public.account_events limit 1 for update) two";
    other.execute(locked).await.expect("locked");
    execute(&service, "set lock_timeout = '1ms'").await;
    write(&service, "message_statuses", &[status("wamid.1", &json!({}))]).await.expect("nothing to wait for");
    write(&service, "account_events", &[event(&json!({}))]).await.expect("nothing to wait for");
    other.rollback().await.expect("unlocked");
    assert_eq!(count(owner, "message_statuses", "wamid = '1 year'").await, 1, "the one that was locked");
    assert_eq!(count(owner, "account_events", "field = '1 year'").await, 1);
    service.close().await;
    project.stop().await;
}

/// A wamid in Meta's format: base64, without the line breaks that PostgreSQL inserts.
async fn wamid(pool: &PgPool, number: &str) -> String {
    let wamid = "select 'wamid.' || replace(encode('\\x1c18'::bytea || set_byte('\\x00', 0, length($1))
        || convert_to($1, 'UTF8') || '\\x15020012181433413441363539394141414141414141414141414100', 'base64'), E'\\n', '')";
    sqlx::query_scalar(wamid).bind(number).fetch_one(pool).await.expect("a wamid")
}

/// Deletes a user with this link; returns the remaining payloads of these rows.
async fn left_after(project: &Project, link: (&str, Option<&str>), rows: &[Value]) -> Vec<Value> {
    let pool = project.supabase.pool();
    let user = Uuid::new_v4();
    sqlx::query("insert into auth.users (id) values ($1)").bind(user).execute(pool).await.expect("a user");
    sqlx::query(
        "insert into public.user_preferences (user_id, whatsapp_phone, whatsapp_user_id) values ($1, $2, $3)",
    )
    .bind(user)
    .bind(Some(link.0).filter(|phone| !phone.is_empty()))
    .bind(link.1)
    .execute(pool)
    .await
    .expect("a link");
    execute(pool, "delete from public.message_statuses; delete from public.account_events").await;
    for (number, payload) in rows.iter().enumerate() {
        let wamid = payload["wamid"].as_str().map_or_else(|| format!("wamid.{number}"), str::to_owned);
        write(pool, "message_statuses", &[status(&wamid, payload)]).await.expect("written");
        write(pool, "account_events", &[event(payload)]).await.expect("written");
    }
    sqlx::query("delete from auth.users where id = $1").bind(user).execute(pool).await.expect("deleted");
    let left = "select s.payload from public.message_statuses s order by s.payload::text";
    let statuses: Vec<Value> = sqlx::query_scalar(left).fetch_all(pool).await.expect("rows");
    let left = "select payload from public.account_events order by payload::text";
    let events: Vec<Value> = sqlx::query_scalar(left).fetch_all(pool).await.expect("rows");
    assert_eq!(statuses, events);
    events
}

#[tokio::test]
async fn deleting_a_user_deletes_their_statuses_and_events() {
    let project = Project::start().await;
    let pool = project.supabase.pool();
    let user_id = "US.13491208655302741918";
    let named = [
        json!({"recipient_id": "16505559876"}),
        json!({"recipient_user_id": user_id}),
        json!({"from": "+16505559876", "system": {"body": "changed from 16505559876 to 16505550000"}}),
        json!({"deep": [{"er": [16_505_559_876_u64]}]}),
        json!({"wamid": wamid(pool, "16505559876").await}),
    ];
    let mut others = vec![
        json!({"recipient_id": "165055598760"}),
        json!({"recipient_id": "1650555987"}),
        json!({"recipient_user_id": "US.134912086553027419180"}),
        json!({"recipient_user_id": "USx13491208655302741918"}),
        json!({"wamid": wamid(pool, "16505559877").await}),
        json!({"wamid": wamid(pool, "165055598761").await}),
        json!({"wamid": wamid(pool, "1650555987").await}),
    ];
    let all = [named.as_slice(), others.as_slice()].concat();
    let left = left_after(&project, ("+16505559876", Some(user_id)), &all).await;
    others.sort_by_key(Value::to_string);
    let mut sorted = left.clone();
    sorted.sort_by_key(Value::to_string);
    assert_eq!(sorted, others);
    // A user without an identity causes no deletion.
    assert_eq!(left_after(&project, ("", None), &left).await.len(), others.len());
    project.stop().await;
}

#[tokio::test]
async fn number_is_deleted_in_every_spelling() {
    let project = Project::start().await;
    for spellings in [
        ["+5511987654321", "551187654321"],
        ["+525512345678", "5215512345678"],
        ["+5491123456789", "541123456789"],
        ["+2290112345678", "22912345678"],
        ["+2250712345678", "22512345678"],
    ] {
        for (linked, reported) in [(0, 1), (1, 0), (0, 0)] {
            let reported = spellings[reported].trim_start_matches('+');
            let wamid = wamid(project.supabase.pool(), reported).await;
            let rows = [json!({"recipient_id": reported}), json!({ "wamid": wamid })];
            let left = left_after(&project, (spellings[linked], None), &rows).await;
            assert_eq!(left, Vec::<Value>::new(), "{} is {reported}", spellings[linked]);
        }
    }
    project.stop().await;
}

/// A plan is made once per connection, while the table is small, and cached.
#[tokio::test]
async fn inserts_do_not_read_a_table_that_has_grown() {
    let project = Project::start().await;
    let mut connection = project.supabase.pool().acquire().await.expect("a connection");
    let inserts = [
        "insert into public.message_statuses (id, wamid, status, at)
           select gen_random_uuid(), gen_random_uuid(), 'sent', now() from generate_series(1, $1)",
        "insert into public.account_events (id, field, payload, received_at)
           select gen_random_uuid(), 'field', '{}', now() from generate_series(1, $1)",
    ];
    let mut read = Vec::new();
    for (times, rows) in [(10, 1), (1, 2000), (10, 1)] {
        for insert in std::iter::repeat_n(inserts, times).flatten() {
            sqlx::query(insert).bind(rows).execute(&mut *connection).await.expect("inserted");
        }
        sqlx::query("select pg_stat_force_next_flush()").execute(&mut *connection).await.expect("flushed");
        let rows: i64 = sqlx::query_scalar(
            "select sum(seq_tup_read)::bigint from pg_stat_user_tables
             where relname in ('message_statuses', 'account_events')",
        )
        .fetch_one(&mut *connection)
        .await
        .expect("statistics");
        read.push(rows);
    }
    assert!(read[2] - read[1] < 1000, "rows read for ten inserts each: {}", read[2] - read[1]);
    drop(connection);
    project.stop().await;
}
