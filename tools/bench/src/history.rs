//! Pages of the history in a real PostgreSQL: the cost of reading one must not depend on the size of the table.
//!
//! The explained statement is the one that the REST API executes, with the role and the claims of the caller. It is
//! read from `pg_stat_activity` while the table is locked and the API's session waits.

use std::time::Duration;

use anyhow::{Context, bail};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use local_process::Guardian;
use local_supabase::{Options, Supabase, USER_A};
use serde_json::Value;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection, Executor, PgConnection, Row as _};

use crate::functions::PAGE;
use crate::statistics::Statistics;
use crate::table::{Goal, Row};

/// The timeout until the API waits for the lock.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Other users.
const OTHERS: usize = 10_000;

/// The sizes of the table.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Rows of the user at first.
    pub few: usize,
    /// Rows of the user in the second step.
    pub many: usize,
    /// Rows of other users in the last step.
    pub others: usize,
}

/// A page: its statement and parameters.
struct Page {
    name: &'static str,
    statement: String,
    parameters: Vec<String>,
}

/// Fills the table, and explains the first page and a middle page at each size, `runs` times.
///
/// # Errors
/// When the database cannot be started, or the statement cannot be determined.
pub async fn measure(guardian: &Guardian, sizes: Sizes, runs: usize) -> anyhow::Result<Vec<Row>> {
    eprintln!("  history: starting PostgreSQL");
    let supabase =
        Supabase::start(Options::default(), guardian).await.context("the database does not start")?;
    let result = with(&supabase, sizes, runs).await;
    supabase.stop().await?;
    result
}

async fn with(supabase: &Supabase, sizes: Sizes, runs: usize) -> anyhow::Result<Vec<Row>> {
    // Filling the table has no time limit.
    let options: PgConnectOptions = supabase.database_url().parse()?;
    let mut connection = options.disable_statement_logging().connect().await?;
    let Sizes { few, many, others } = sizes;
    let mut rows = Vec::new();
    let mut first: Vec<Statistics> = Vec::new();
    let mut newest = few;
    for (step, (of_user, of_others)) in [(few, 0), (many, 0), (many, others)].into_iter().enumerate() {
        progress(format_args!("{of_user} rows of one user, {of_others} of others"));
        match step {
            0 => fill(&mut connection, true, 0, few).await?,
            1 => fill(&mut connection, true, few, many).await?,
            _ => fill(&mut connection, false, many, many + others).await?,
        }
        newest = newest.max(of_user);
        for (which, (name, middle)) in
            [("first page", None), ("page in the middle", Some(newest / 2))].into_iter().enumerate()
        {
            let page = overhear(supabase, &mut connection, name, middle).await?;
            let (times, remark) = explain(&mut connection, &page, runs).await?;
            let figure = Statistics::of(times).context("no statement was explained")?;
            let of = format!("{}, {of_user} rows + {of_others} of others", page.name);
            let row = match first.get(which) {
                None => {
                    first.push(figure);
                    Row::new("history", of, "ms", None, figure, Goal::None)
                }
                Some(baseline) => {
                    Row::new("history", of, "ms", Some(*baseline), figure, Goal::RatioAtMost(1.3))
                }
            };
            rows.push(row.noting(remark));
        }
    }
    Ok(rows)
}

fn progress(what: std::fmt::Arguments<'_>) {
    eprintln!("  history: {what}");
}

/// Returns the time of a row, by its number.
fn time(number: usize) -> anyhow::Result<DateTime<Utc>> {
    let start = DateTime::from_timestamp(1_700_000_000, 0).context("a time")?;
    Ok(start + TimeDelta::seconds(i64::try_from(number)?))
}

/// Writes rows `from..to`, of the measured user or of others, as `reply` does.
async fn fill(connection: &mut PgConnection, ours: bool, from: usize, to: usize) -> anyhow::Result<()> {
    // As in a bulk load: without the triggers that look for edits of each row.
    connection.execute("set session_replication_role = replica").await?;
    let (first, last) = (i64::try_from(from)?, i64::try_from(to)? - 1);
    let user = "case when $3 then $4 else lpad(to_hex(n % $5), 32, '0')::uuid end";
    let insert = format!(
        "insert into public.messages (id, user_id, channel, role, content, created_at, type, phone_number_id, wamids,
            status, sent_at, delivered_at, read_at)
         select lpad(to_hex(n), 32, '0')::uuid, {user}, 'whatsapp', case when n % 2 = 0 then 'assistant' else 'user' end,
            'Does it come in another color? I have seen a green one in the window.',
            to_timestamp(1700000000 + n), 'text', '106540352242922',
            case when $3 then array['wamid.HQsLMTY1MDU1NTEyMzQVAgASGBQ' || n] end,
            case when n % 2 = 0 then 'read' end, to_timestamp(1700000001 + n), to_timestamp(1700000002 + n),
            to_timestamp(1700000003 + n)
         from generate_series($1::bigint, $2::bigint) as n"
    );
    let filled = sqlx::query(AssertSqlSafe(insert)).bind(first).bind(last).bind(ours).bind(USER_A);
    filled.bind(i64::try_from(OTHERS)?).execute(&mut *connection).await?;
    connection.execute("set session_replication_role = origin").await?;
    // As autovacuum does later.
    connection.execute("vacuum analyze public.messages").await?;
    Ok(())
}

/// Requests a page from the REST API as `messages` does, and determines the executed statement.
async fn overhear(
    supabase: &Supabase,
    connection: &mut PgConnection,
    name: &'static str,
    before: Option<usize>,
) -> anyhow::Result<Page> {
    let columns = shared::supabase::rows::MessageResponse::COLUMNS;
    let mut query = vec![("select", columns.to_owned()), ("order", "created_at.desc,id.desc".to_owned())];
    let mut parameters = Vec::new();
    if let Some(number) = before {
        let (at, id) = (time(number)?.to_rfc3339_opts(SecondsFormat::Micros, true), format!("{number:032x}"));
        let id = uuid::Uuid::parse_str(&id)?.to_string();
        query.push(("created_at", format!("lte.{at}")));
        query.push(("or", format!("(created_at.lt.{at},id.lt.{id})")));
        parameters = vec![at.clone(), at, id];
    }
    let mut url = reqwest::Url::parse(&format!("{}/rest/v1/messages", supabase.url()))?;
    url.query_pairs_mut().extend_pairs(query);
    let request = shared::http::client()?
        .get(url)
        // The form in which the crate `postgrest` sends the limit.
        .header("range-unit", "items")
        .header("range", format!("0-{PAGE}"))
        .header("apikey", supabase.publishable_key())
        .bearer_auth(supabase.user_token(USER_A, Duration::from_secs(3600))?);

    let mut lock = connection.begin().await?;
    lock.execute("lock table public.messages in access exclusive mode").await?;
    let answer = tokio::spawn(request.send());
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let statement = loop {
        let waiting: Option<String> = sqlx::query_scalar(
            "select query from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()
             and query like '%messages%'",
        )
        // Within one transaction the view would not change.
        .fetch_optional(supabase.pool())
        .await?;
        match waiting {
            Some(statement) => break statement,
            None if tokio::time::Instant::now() > deadline => bail!("the REST API does not read the table"),
            None => tokio::time::sleep(LOOK_EVERY).await,
        }
    };
    lock.rollback().await?;
    let answer = answer.await??.error_for_status()?;
    let rows: Vec<Value> = answer.json().await?;
    anyhow::ensure!(rows.len() == PAGE + 1, "a page of {} rows", rows.len());
    Ok(Page { name, statement, parameters })
}

/// Returns the milliseconds of each execution, and the plan.
async fn explain(
    connection: &mut PgConnection,
    page: &Page,
    runs: usize,
) -> anyhow::Result<(Vec<f64>, String)> {
    let mut transaction = connection.begin().await?;
    let claims = serde_json::json!({"sub": USER_A, "role": "authenticated"}).to_string();
    transaction.execute("set local role authenticated").await?;
    let set = sqlx::query("select set_config('request.jwt.claims', $1, true)").bind(claims);
    set.execute(&mut *transaction).await?;
    let statement = format!("prepare page as {}", page.statement);
    transaction.execute(AssertSqlSafe(statement)).await?;
    // The parameters are own strings: a time or an id.
    let values: Vec<String> = page.parameters.iter().map(|value| format!("'{value}'")).collect();
    let values = if values.is_empty() { String::new() } else { format!("({})", values.join(", ")) };
    let explain = format!("explain (analyze, buffers, format json) execute page {values}");
    let (mut times, mut remark) = (Vec::new(), String::new());
    // The first execution reads from disk.
    for run in 0..=runs {
        let row = transaction.fetch_one(AssertSqlSafe(explain.clone())).await?;
        let plan: Value = row.try_get(0)?;
        let time = plan[0]["Execution Time"].as_f64().context("no execution time")?;
        if run > 0 {
            times.push(time);
        }
        let (hit, read) = (&plan[0]["Plan"]["Shared Hit Blocks"], &plan[0]["Plan"]["Shared Read Blocks"]);
        remark = format!("{}; {hit} buffers, {read} of them read", nodes(&plan[0]["Plan"]).join(" ← "));
    }
    transaction.execute("deallocate page").await?;
    transaction.rollback().await?;
    Ok((times, remark))
}

/// Returns the nodes of a plan from the top down, with their indexes.
fn nodes(plan: &Value) -> Vec<String> {
    let kind = plan["Node Type"].as_str().unwrap_or_default();
    let node = match plan["Index Name"].as_str() {
        Some(index) => format!("{kind} ({index})"),
        None => kind.to_owned(),
    };
    let below = plan["Plans"].as_array().into_iter().flatten().flat_map(nodes);
    std::iter::once(node).chain(below).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plan_nodes_are_listed_from_the_top_with_indexes() {
        let plan = json!({"Node Type": "Limit", "Plans": [
            {"Node Type": "Result"}, {"Node Type": "Index Scan", "Index Name": "messages_idx"}]});
        assert_eq!(nodes(&plan), ["Limit", "Result", "Index Scan (messages_idx)"]);
    }
}
