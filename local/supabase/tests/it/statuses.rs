//! Meta's statuses of an answer: the answer's row has the same outcome in every order of arrival.

use std::time::Duration;

use local_supabase::USER_A;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor as _, PgPool};
use uuid::Uuid;

use crate::common::statuses::{NAMES, Status, expected, outcome, service_role, write};
use crate::common::tables::{assert_applying_again_changes_nothing, detailed, insert};
use crate::common::{Project, answer};

/// Statuses of an answer in `parts` parts, and the order of their arrival: `None` is the answer's row itself.
#[derive(Clone, Debug)]
struct Case {
    wamids: Vec<String>,
    statuses: Vec<Status>,
    /// Items written together, step by step.
    steps: Vec<Vec<Option<usize>>>,
}

fn case() -> impl Strategy<Value = Case> {
    let name = prop_oneof![
        6 => prop::sample::select(NAMES.to_vec()),
        1 => Just("warned"),
    ];
    let status = (0..3_usize, name, 0..5_i64, prop::option::of(1..4_i32));
    (1..4_usize, prop::collection::vec(status, 0..9))
        .prop_flat_map(|(parts, statuses)| {
            let count = statuses.len();
            let repeated = prop::collection::vec(0..count.max(1), 0..4);
            (Just(parts), Just(statuses), repeated, prop::collection::vec(any::<bool>(), 16))
        })
        .prop_flat_map(|(parts, statuses, repeated, joined)| {
            let count = statuses.len();
            let mut deliveries: Vec<Option<usize>> = (0..count).map(Some).collect();
            deliveries.extend(repeated.into_iter().filter(|index| *index < count).map(Some));
            deliveries.push(None);
            (Just(parts), Just(statuses), Just(deliveries).prop_shuffle(), Just(joined))
        })
        .prop_map(|(parts, statuses, deliveries, joined)| {
            let run = Uuid::new_v4();
            let wamids: Vec<String> = (0..parts).map(|part| format!("wamid.{run}.{part}")).collect();
            let statuses = statuses
                .into_iter()
                .map(|(part, name, at, code)| Status {
                    id: Uuid::new_v4(),
                    wamid: wamids[part % parts].clone(),
                    name,
                    at: 1_800_000_000 + at,
                    error_code: code.filter(|_| name == "failed"),
                })
                .collect();
            let mut steps: Vec<Vec<Option<usize>>> = Vec::new();
            for (delivery, joined) in deliveries.into_iter().zip(joined) {
                match steps.last_mut() {
                    // Statuses may arrive together; the row belongs to another table.
                    Some(step) if joined && delivery.is_some() && step[0].is_some() => step.push(delivery),
                    _ => steps.push(vec![delivery]),
                }
            }
            Case { wamids, statuses, steps }
        })
}

/// Runs a case, and compares the row with the model after each step.
async fn run_case(pool: &PgPool, case: &Case) -> Result<(), TestCaseError> {
    let wamids: Vec<&str> = case.wamids.iter().map(String::as_str).collect();
    let rows = [
        detailed(USER_A, "user", &[&format!("{}.asked", wamids[0])]),
        detailed(USER_A, "assistant", &wamids),
    ];
    let id: Uuid = rows[1]["id"].as_str().and_then(|id| id.parse().ok()).expect("a UUID");
    let (mut known, mut is_there) = (Vec::new(), false);
    for step in &case.steps {
        let statuses: Vec<&Status> = step.iter().flatten().map(|index| &case.statuses[*index]).collect();
        if statuses.is_empty() {
            write(pool, "messages", &rows).await.expect("written");
            is_there = true;
        } else {
            let written: Vec<Value> = statuses.iter().map(|status| status.json()).collect();
            write(pool, "message_statuses", &written).await.expect("written");
            known.extend(statuses.into_iter().cloned());
        }
        if is_there {
            prop_assert_eq!(outcome(pool, id).await, expected(&case.wamids, &known));
        }
    }
    let (kept, of_the_row): (i64, i64) = sqlx::query_as(
        "select count(*), count(*) filter (where message_id = $2) from public.message_statuses where wamid = any ($1)",
    )
    .bind(&case.wamids)
    .bind(id)
    .fetch_one(pool)
    .await
    .expect("numbers");
    let count = i64::try_from(case.statuses.len()).expect("few");
    prop_assert_eq!((kept, of_the_row), (count, count), "each is stored once and belongs to the row");
    Ok(())
}

#[test]
fn status_outcome_is_independent_of_order_and_repetition() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (project, pool) = runtime.block_on(async {
        let project = Project::start().await;
        let pool = service_role(&project, 1).await;
        (project, pool)
    });
    let config = ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new(config).run(&case(), |case| runtime.block_on(run_case(&pool, &case))).expect("it holds");
    runtime.block_on(async {
        pool.close().await;
        assert_applying_again_changes_nothing(&project).await;
        project.stop().await;
    });
}

/// A status of this wamid, `seconds` after a fixed time.
fn status(wamid: &str, name: &'static str, seconds: i64) -> Status {
    let error_code = (name == "failed").then_some(131_026);
    Status { id: Uuid::new_v4(), wamid: wamid.to_owned(), name, at: 1_800_000_000 + seconds, error_code }
}

#[tokio::test]
async fn concurrent_statuses_are_not_lost_and_do_not_deadlock() {
    const ROUNDS: usize = 25;
    const ANSWERS: usize = 6;
    let project = Project::start().await;
    let pool = service_role(&project, 24).await;
    for round in 0..ROUNDS {
        let mut writes: Vec<(&str, Vec<Value>)> = Vec::new();
        let mut answers = Vec::new();
        let mut all = Vec::new();
        for n in 0..ANSWERS {
            let wamid = |rest: &str| format!("wamid.{round}.{n}.{rest}");
            let parts: Vec<String> = (0..=n % 3).map(|part| wamid(&part.to_string())).collect();
            let names: Vec<&str> = parts.iter().map(String::as_str).collect();
            let (asked, answered) =
                (detailed(USER_A, "user", &[&wamid("asked")]), detailed(USER_A, "assistant", &names));
            let mut edit = detailed(USER_A, "user", &[&wamid("edit")]);
            edit["type"] = json!("edit");
            edit["refers_to"] = json!(wamid("asked"));
            let id = |row: &Value| row["id"].as_str().and_then(|id| id.parse::<Uuid>().ok()).expect("a UUID");
            answers.push((id(&asked), id(&answered), parts.clone()));
            for part in &parts {
                all.extend([status(part, "sent", 1), status(part, "delivered", 2), status(part, "read", 3)]);
                all.push(status(part, "failed", i64::try_from(n).expect("few")));
            }
            writes.push(("messages", vec![asked.clone(), answered.clone()]));
            writes.push(("messages", vec![asked, answered]));
            writes.push(("messages", vec![edit]));
        }
        // Twice, in two random partitions; within one statement sorted by id, as the program must.
        for size in [1, 5] {
            all.sort_by_cached_key(|_| Uuid::new_v4());
            for together in all.chunks(size) {
                let mut together = together.to_vec();
                together.sort_by_key(|status| status.id);
                writes.push(("message_statuses", together.iter().map(Status::json).collect()));
            }
        }
        writes.sort_by_cached_key(|_| Uuid::new_v4());
        let tasks: Vec<_> = writes
            .into_iter()
            .map(|(table, rows)| {
                let pool = pool.clone();
                tokio::spawn(async move { write(&pool, table, &rows).await })
            })
            .collect();
        for task in tasks {
            let done = tokio::time::timeout(Duration::from_secs(60), task).await.expect("in time");
            done.expect("no panic").expect("no deadlock");
        }
        for (asked, answered, parts) in answers {
            assert_eq!(outcome(&pool, answered).await, expected(&parts, &all), "round {round}");
            let edited: bool =
                sqlx::query_scalar("select edited_at is not null from public.messages where id = $1")
                    .bind(asked)
                    .fetch_one(&pool)
                    .await
                    .expect("a row");
            assert!(edited, "round {round}");
        }
    }
    pool.close().await;
    project.stop().await;
}

/// Writes statuses like the reply function, and returns the response.
async fn write_statuses(project: &Project, path: &str, statuses: &[Status]) -> (u16, Value) {
    let rows: Vec<Value> = statuses.iter().map(Status::json).collect();
    let request = project
        .post(path)
        .header("apikey", project.supabase.secret_key())
        .header("prefer", "resolution=ignore-duplicates,return=representation");
    answer(request.json(&rows)).await
}

#[tokio::test]
async fn writing_a_status_returns_the_row_of_the_answer() {
    let project = Project::start().await;
    let rows =
        [detailed(USER_A, "user", &["wamid.asked"]), detailed(USER_A, "assistant", &["wamid.answered"])];
    assert_eq!(insert(&project, &rows).await.0, 201);
    for path in ["message_statuses?select=message_id", "message_statuses?on_conflict=id&select=message_id"] {
        // A user's message has no statuses.
        for (wamid, id) in
            [("wamid.answered", &rows[1]["id"]), ("wamid.asked", &Value::Null), ("wamid.other", &Value::Null)]
        {
            let once = [status(wamid, "sent", 1)];
            let (code, shown) = write_statuses(&project, path, &once).await;
            assert_eq!((code, shown), (201, json!([{ "message_id": id }])), "{path} {wamid}");
            let (code, shown) = write_statuses(&project, path, &once).await;
            assert!(matches!(code, 200 | 201), "{code}");
            assert_eq!(shown, json!([]), "a repetition adds no row");
        }
    }
    project.stop().await;
}

#[tokio::test]
async fn deleting_a_user_deletes_only_their_statuses() {
    let project = Project::start().await;
    let rows = [detailed(USER_A, "assistant", &["wamid.one", "wamid.two"])];
    let statuses =
        [status("wamid.one", "sent", 1), status("wamid.two", "read", 2), status("wamid.other", "sent", 3)];
    assert_eq!(write_statuses(&project, "message_statuses", &statuses[..1]).await.0, 201);
    assert_eq!(insert(&project, &rows).await.0, 201);
    assert_eq!(write_statuses(&project, "message_statuses", &statuses[1..]).await.0, 201);
    let pool = project.supabase.pool();
    sqlx::query("delete from auth.users where id = $1").bind(USER_A).execute(pool).await.expect("deleted");
    let left: Vec<String> =
        sqlx::query_scalar("select wamid from public.message_statuses").fetch_all(pool).await.expect("rows");
    assert_eq!(left, ["wamid.other"]);
    // A later status of the deleted user's message is stored without a user.
    let late = [status("wamid.one", "read", 4)];
    let (code, shown) = write_statuses(&project, "message_statuses?select=message_id", &late).await;
    assert_eq!((code, shown), (201, json!([{ "message_id": null }])));
    project.stop().await;
}

#[tokio::test]
async fn failure_holds_until_a_later_status_and_its_error_stays() {
    let project = Project::start().await;
    let pool = project.supabase.pool();
    let row = detailed(USER_A, "assistant", &["wamid.one"]);
    let id: Uuid = row["id"].as_str().and_then(|id| id.parse().ok()).expect("a UUID");
    assert_eq!(insert(&project, &[row]).await.0, 201);
    for (name, seconds, says) in [
        ("sent", 9, "sent"),
        ("failed", 2, "failed"),
        ("delivered", 2, "failed"),
        ("delivered", 3, "delivered"),
        ("deleted", 4, "delivered"),
        ("played", 1, "played"),
    ] {
        let new = [status("wamid.one", name, seconds)];
        assert_eq!(write_statuses(&project, "message_statuses", &new).await.0, 201);
        assert_eq!(outcome(pool, id).await.status.as_deref(), Some(says), "after {name}");
    }
    let row = outcome(pool, id).await;
    assert_eq!(row.error, Some((Some(131_026), Some("error 131026".to_owned()))));
    let times = [Some(9), Some(2), None, Some(1), Some(2)];
    assert_eq!(row.times, times.map(|time: Option<i64>| time.map(|time| 1_800_000_000 + time)));
    project.stop().await;
}

#[tokio::test]
async fn older_program_can_write_messages_without_statuses() {
    let project = Project::start().await;
    let early = [status("wamid.one", "sent", 1)];
    assert_eq!(write_statuses(&project, "message_statuses", &early).await.0, 201);
    let mut transaction = project.supabase.pool().begin().await.expect("a transaction");
    // Rolled back, because roles belong to the whole server.
    let older = format!(
        "create role older_program; grant usage on schema public to older_program;
        grant insert on public.messages to older_program;
        create policy older on public.messages for insert to older_program with check (true);
        set local role older_program;
        insert into public.messages (user_id, channel, role, content, wamids)
            values ('{USER_A}', 'whatsapp', 'assistant', 'text', array['wamid.one']);
        reset role;"
    );
    transaction.execute(sqlx::raw_sql(AssertSqlSafe(older))).await.expect("it may");
    let status: String = sqlx::query_scalar("select status from public.messages")
        .fetch_one(&mut *transaction)
        .await
        .expect("a row");
    assert_eq!(status, "sent");
    transaction.rollback().await.expect("rolled back");
    project.stop().await;
}
