//! Statuses of answers, and a model of their outcome.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Executor as _};
use uuid::Uuid;

use super::Project;

/// Meta's names, in rank order; "failed" has no rank.
pub(crate) const NAMES: [&str; 5] = ["sent", "delivered", "read", "played", "failed"];

/// One status of one part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub id: Uuid,
    pub wamid: String,
    pub name: &'static str,
    /// Seconds since 1970.
    pub at: i64,
    pub error_code: Option<i32>,
}

impl Status {
    /// The JSON that the reply function writes.
    pub(crate) fn json(&self) -> Value {
        let at = chrono::DateTime::from_timestamp(self.at, 0).expect("a time").to_rfc3339();
        let text = self.error_code.map(|code| format!("error {code}"));
        json!({ "id": self.id, "wamid": self.wamid, "status": self.name, "at": at, "error_code": self.error_code,
                "error_text": text, "phone_number_id": "106540352242922", "payload": { "id": self.wamid } })
    }
}

/// Outcome in the row of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub status: Option<String>,
    /// In the order of [`NAMES`], seconds since 1970.
    pub times: [Option<i64>; 5],
    pub error: Option<(Option<i32>, Option<String>)>,
}

/// Expected outcome of statuses of an answer with these parts, independent of order and repetition.
pub(crate) fn expected(parts: &[String], statuses: &[Status]) -> Outcome {
    let of = |wamid: &str, name: &str| -> BTreeSet<i64> {
        statuses
            .iter()
            .filter(|status| status.wamid == wamid && status.name == name)
            .map(|status| status.at)
            .collect()
    };
    // 0 is "sent" and 3 "played"; `None` is no status. "failed" is separate.
    let rank = |wamid: &str| (0..4).rev().find(|rank| !of(wamid, NAMES[*rank]).is_empty());
    let failed = |wamid: &str| {
        let arrived = (1..4).filter_map(|rank| of(wamid, NAMES[rank]).last().copied()).max();
        of(wamid, "failed").last().is_some_and(|failed| arrived.is_none_or(|arrived| *failed >= arrived))
    };
    let status = if parts.iter().any(|part| failed(part)) {
        Some("failed")
    } else {
        // No status sorts below every status.
        parts.iter().map(|part| rank(part)).min().flatten().map(|rank| NAMES[rank])
    };
    let mut times = [None; 5];
    for (name, time) in NAMES.iter().zip(&mut times) {
        let firsts = || parts.iter().map(|part| of(part, name).first().copied());
        *time = if *name == "failed" {
            firsts().flatten().min()
        } else {
            firsts().collect::<Option<Vec<i64>>>().and_then(|all| all.into_iter().max())
        };
    }
    let error = statuses
        .iter()
        .filter(|status| status.name == "failed" && parts.contains(&status.wamid))
        .min_by_key(|status| (-status.at, status.id))
        .map(|status| (status.error_code, status.error_code.map(|code| format!("error {code}"))));
    Outcome { status: status.map(str::to_owned), times, error }
}

/// Outcome in the row; without an error code if the row never failed.
pub(crate) async fn outcome(pool: &PgPool, id: Uuid) -> Outcome {
    type Row = (Option<String>, Vec<Option<i64>>, Option<i32>, Option<String>);
    let (status, times, code, text): Row = sqlx::query_as(
        "select status, array(select extract(epoch from at)::bigint
             from unnest(array[sent_at, delivered_at, read_at, played_at, failed_at]) with ordinality as t (at, n)
             order by n), error_code, error_text
         from public.messages where id = $1",
    )
    .bind(id)
    .fetch_one(pool)
    .await
    .expect("a row");
    let times: [Option<i64>; 5] = times.try_into().expect("five");
    let error = (times[4].is_some() || code.is_some() || text.is_some()).then_some((code, text));
    Outcome { status, times, error }
}

/// A pool of connections as the service role.
pub(crate) async fn service_role(project: &Project, connections: u32) -> PgPool {
    let options: PgConnectOptions = project.supabase.database_url().parse().expect("a URL");
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(30))
        .after_connect(|connection, _| {
            Box::pin(async move { connection.execute("set role service_role").await.map(|_| ()) })
        })
        .connect_with(options)
        .await
        .expect("it connects")
}

/// Writes rows in one statement, like PostgREST for an array with `resolution=ignore-duplicates`.
///
/// # Errors
/// PostgreSQL's error.
pub(crate) async fn write(pool: &PgPool, table: &str, rows: &[Value]) -> sqlx::Result<()> {
    let names: Vec<&str> = rows[0].as_object().expect("an object").keys().map(String::as_str).collect();
    let names = names.join(", ");
    let statement = format!(
        "insert into public.{table} ({names}) select {names}
         from jsonb_populate_recordset(null::public.{table}, $1::text::jsonb) on conflict (id) do nothing"
    );
    sqlx::query(AssertSqlSafe(statement)).bind(json!(rows).to_string()).execute(pool).await.map(|_| ())
}
