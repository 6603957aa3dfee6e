//! Answers of a language model: the day's counts, and the plans of the queries that precede each answer.

use chrono::{DateTime, TimeDelta, Utc};
use local_supabase::{USER_A, USER_B};
use serde_json::{Value, json};
use sqlx::Executor as _;
use uuid::{Uuid, uuid};

use crate::common::tables::{insert, row};
use crate::common::{Project, answer};

async fn usage(project: &Project, user_id: Uuid) -> Value {
    let request = project.post("rpc/llm_usage").header("apikey", project.supabase.secret_key());
    let (status, usage) = answer(request.json(&json!({ "user_id": user_id }))).await;
    assert_eq!(status, 200, "{usage}");
    usage
}

/// An answer whose payload is this.
fn answered(user_id: Uuid, at: DateTime<Utc>, payload: Value) -> Value {
    let mut row = row(user_id, "assistant");
    (row["created_at"], row["payload"]) = (json!(at), payload);
    row
}

fn of_model(output_tokens: u32) -> Value {
    let llm = json!({ "source": "model", "model": "m", "input_tokens": 900, "output_tokens": output_tokens, "ms": 5,
                      "finish_reason": "stop" });
    json!({ "llm": llm })
}

#[tokio::test]
async fn answers_of_the_day_are_counted_by_user_and_in_all() {
    let project = Project::start().await;
    let nothing = json!({ "user_answers": 0, "answers": 0, "output_tokens": 0, "limit_notices": 0 });
    assert_eq!(usage(&project, USER_A).await, nothing);
    // Not of a day that ends during the test.
    let now = Utc::now() + TimeDelta::hours(1);
    let spent = json!({ "llm": { "source": "fallback", "output_tokens": 7 } });
    let mut of_a_user = row(USER_A, "user");
    (of_a_user["created_at"], of_a_user["payload"]) = (json!(now), of_model(1000));
    let rows = [
        answered(USER_A, now, of_model(30)),
        answered(USER_A, now, spent),
        answered(USER_A, now, json!({ "llm": { "source": "fallback" } })),
        answered(USER_A, now, json!({ "llm": { "source": "limit" } })),
        answered(USER_B, now, of_model(200)),
        answered(USER_B, now, json!({ "llm": { "source": "limit" } })),
        answered(USER_B, now, json!({ "llm": { "source": "limit" } })),
        // Neither an echo, nor a message of the business, nor what a user sent, nor what another program wrote.
        answered(USER_A, now, Value::Null),
        answered(USER_A, now, json!({ "raw": {}, "field": "smb_message_echoes" })),
        answered(USER_A, now, json!(["llm"])),
        answered(USER_A, now, json!({ "llm": { "source": "other", "output_tokens": "many" } })),
        answered(USER_A, now, json!({ "llm": null })),
        of_a_user,
    ];
    let (status, body) = insert(&project, &rows).await;
    assert_eq!(status, 201, "{body}");
    let of_a = json!({ "user_answers": 3, "answers": 4, "output_tokens": 237, "limit_notices": 1 });
    assert_eq!(usage(&project, USER_A).await, of_a);
    let of_b = json!({ "user_answers": 1, "answers": 4, "output_tokens": 237, "limit_notices": 2 });
    assert_eq!(usage(&project, USER_B).await, of_b);
    let of_none = json!({ "user_answers": 0, "answers": 4, "output_tokens": 237, "limit_notices": 0 });
    assert_eq!(usage(&project, Uuid::new_v4()).await, of_none);
    project.stop().await;
}

#[tokio::test]
async fn a_day_begins_at_midnight_utc_in_every_time_zone_of_the_database() {
    let project = Project::start().await;
    for zone in ["UTC", "Pacific/Kiritimati", "Pacific/Niue"] {
        let mut transaction = project.supabase.pool().begin().await.expect("a transaction");
        let set = sqlx::query("select set_config('timezone', $1, true)").bind(zone);
        set.execute(&mut *transaction).await.expect("set");
        let mut counts = Vec::new();
        // In the transaction, whose time does not change.
        let now: DateTime<Utc> =
            sqlx::query_scalar("select now()").fetch_one(&mut *transaction).await.expect("the time");
        let day = now.date_naive().and_hms_opt(0, 0, 0).expect("midnight").and_utc();
        for at in [day - TimeDelta::microseconds(1), day, now] {
            sqlx::query(
                "insert into public.messages (user_id, channel, role, content, created_at, payload)
                 values ($1, 'whatsapp', 'assistant', 'text', $2, '{\"llm\": {\"source\": \"model\"}}')",
            )
            .bind(USER_A)
            .bind(at)
            .execute(&mut *transaction)
            .await
            .expect("a row");
            let count: i64 = sqlx::query_scalar("select (public.llm_usage($1) ->> 'answers')::bigint")
                .bind(USER_A)
                .fetch_one(&mut *transaction)
                .await
                .expect("a count");
            counts.push(count);
        }
        assert_eq!(counts, [0, 1, 2], "{zone}");
        transaction.rollback().await.expect("rolled back");
    }
    project.stop().await;
}

#[tokio::test]
async fn only_the_service_role_may_count() {
    let project = Project::start().await;
    let arguments = json!({ "user_id": USER_A });
    let request = project.post("rpc/llm_usage").header("apikey", project.supabase.publishable_key());
    assert!(matches!(answer(request.json(&arguments)).await.0, 401 | 403));
    let token = project.supabase.user_token(USER_A, std::time::Duration::from_secs(60)).expect("a token");
    let request = project.post("rpc/llm_usage").header("apikey", project.supabase.publishable_key());
    let (status, error) = answer(request.bearer_auth(token).json(&arguments)).await;
    assert_eq!((status, &error["code"]), (403, &json!("42501")), "{error}");
    project.stop().await;
}

/// 10^5 answers, 500 of them of this day.
const MANY_ANSWERS: &str = "
    insert into auth.users (id)
        select ('11111111-1111-4111-8111-0000000000' || lpad(n::text, 2, '0'))::uuid from generate_series(0, 99) as n;
    insert into public.messages (user_id, channel, role, content, created_at, payload)
        select ('11111111-1111-4111-8111-0000000000' || lpad((n % 100)::text, 2, '0'))::uuid, 'whatsapp',
            case n % 2 when 0 then 'user' else 'assistant' end, 'text',
            date_trunc('day', now(), 'UTC') + (1000 - n) * interval '1 second',
            case n % 2 when 1 then '{\"llm\": {\"source\": \"model\", \"output_tokens\": 2}}'::jsonb end
        from generate_series(1, 200000) as n;
    analyze public.messages;";

#[tokio::test]
async fn counting_and_reading_the_history_use_their_indexes() {
    let project = Project::start().await;
    let mut transaction = project.supabase.pool().begin().await.expect("a transaction");
    transaction.execute(MANY_ANSWERS).await.expect("rows");

    let user_id = uuid!("11111111-1111-4111-8111-000000000003");
    let scans = "select coalesce(pg_stat_get_xact_numscans('public.messages_llm_idx'::regclass), 0),
        coalesce(pg_stat_get_xact_numscans('public.messages'::regclass), 0)";
    let before: (i64, i64) = sqlx::query_as(scans).fetch_one(&mut *transaction).await.expect("scans");
    let usage: String = sqlx::query_scalar("select public.llm_usage($1)::text")
        .bind(user_id)
        .fetch_one(&mut *transaction)
        .await
        .expect("the counts");
    let counts = json!({ "user_answers": 10, "answers": 500, "output_tokens": 1000, "limit_notices": 0 });
    assert_eq!(serde_json::from_str::<Value>(&usage).expect("JSON"), counts);
    let after: (i64, i64) = sqlx::query_as(scans).fetch_one(&mut *transaction).await.expect("scans");
    assert_eq!(after, (before.0 + 1, before.1), "the index once, and no sequential scan");

    let plan: Vec<String> = sqlx::query_scalar(
        "explain select id, role, content, payload from public.messages where user_id = $1
         order by created_at desc, id desc limit 30",
    )
    .bind(user_id)
    .fetch_all(&mut *transaction)
    .await
    .expect("a plan");
    let plan = plan.join("\n");
    assert!(plan.contains("Index Scan using messages_user_id_created_at_id_idx"), "{plan}");
    assert!(plan.contains("Index Cond: (user_id = ") && !plan.contains("Sort"), "{plan}");
    transaction.rollback().await.expect("rolled back");
    project.stop().await;
}
