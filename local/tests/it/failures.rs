//! Faults on the real processes: a database outage, errors of the Graph API, a killed function, concurrent and
//! duplicate deliveries. The tests check the rows and the replies that phones received.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use local::load;
use local_graph::Fault;
use local_process::Signal;
use local_stack::logs::Entry;
use local_stack::queues::{INBOUND, RECORDS};
use local_stack::{Options, Stack};
use serde_json::Value;

use local_testing::*;

/// The timeout for work that takes long on a slow machine.
const LONG: Duration = Duration::from_secs(180);

/// Returns the wamids of the answered messages by sender, in the order of the replies.
fn answered(stack: &Stack) -> BTreeMap<String, Vec<String>> {
    let mut answered: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for reply in stack.services.graph.received() {
        answered
            .entry(reply.to.unwrap_or_default().trim_start_matches('+').to_owned())
            .or_default()
            .extend(reply.quotes);
    }
    answered
}

/// Waits for this number of rows, and checks that there are no duplicates.
async fn until_rows(stack: &Stack, expected: i64) {
    let pool = stack.services.supabase.pool();
    let count = async || {
        // The query fails while the database is starting.
        sqlx::query_scalar::<_, i64>("select count(*) from messages").fetch_one(pool).await.unwrap_or(-1)
    };
    until_within(LONG, &format!("{expected} rows"), async || count().await >= expected).await;
    let different: i64 = sqlx::query_scalar("select count(distinct (content, role)) from messages")
        .fetch_one(pool)
        .await
        .expect("counted");
    assert_eq!((count().await, different), (expected, expected));
}

/// Waits until both queues have no messages, in flight or not.
async fn until_queues_are_empty(stack: &Stack) {
    let server = stack.services.queues.server.as_ref().expect("the emulated queue");
    let is_empty = |name| server.view(name).is_some_and(|view| view.messages.is_empty());
    until_within(LONG, "the queues are empty", async || is_empty(INBOUND) && is_empty(RECORDS)).await;
}

async fn until_within(within: Duration, what: &str, condition: impl AsyncFn() -> bool) {
    let waiting = async {
        let mut look = tokio::time::interval(Duration::from_millis(50));
        while !condition().await {
            look.tick().await;
        }
    };
    tokio::time::timeout(within, waiting).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

async fn until_answered(stack: &Stack, replies: usize) {
    stack.services.graph.wait_for(replies, LONG).await.expect("all are answered");
}

/// Returns `count` messages of each of the two linked senders, all with different texts.
fn questions(name: &str, count: usize) -> Vec<Value> {
    let of =
        |sender: &'static str| (0..count).map(move |n| (sender, format!("wamid.{sender}.{name}.{n:02}")));
    of(PHONE_A)
        .zip(of(PHONE_B))
        .flat_map(|(a, b)| [a, b])
        .map(|(from, wamid)| text(from, &wamid, &wamid))
        .collect()
}

async fn post(stack: &Stack, messages: &[Value]) {
    assert_eq!(stack.post(&payload(messages)).await.expect("answered"), 200);
}

fn assert_each_once_and_in_order(stack: &Stack, expected: &[Value]) {
    let answered = answered(stack);
    for (sender, wamids) in &answered {
        let questions = expected.iter().filter(|message| message["from"] == sender.as_str());
        let questions: Vec<&str> = questions.filter_map(|message| message["id"].as_str()).collect();
        assert_eq!(*wamids, questions, "{sender}");
    }
    assert_eq!(answered.values().map(Vec::len).sum::<usize>(), expected.len());
}

#[tokio::test]
async fn a_database_outage_delays_rows_but_no_answer() {
    let stack = stack().await;
    let mut all = Vec::new();
    let mut send = async |name: &str| {
        let messages = questions(name, 3);
        post(&stack, &messages).await;
        all.extend(messages);
        all.len()
    };
    let before = send("1-before").await;
    until_answered(&stack, before).await;
    // These messages are in flight when the database stops.
    send("2-under-way").await;
    stack.services.supabase.own().expect("ours").database().stop().await.expect("stopped");
    let during = send("3-during").await;
    until_answered(&stack, during).await;
    stack.services.supabase.own().expect("ours").database().start().await.expect("started");
    let after = send("4-after").await;
    until_answered(&stack, after).await;

    until_rows(&stack, 2 * i64::try_from(after).expect("few")).await;
    until_queues_are_empty(&stack).await;
    assert_each_once_and_in_order(&stack, &all);
    stack.stop().await.expect("stopped");
}

#[tokio::test]
async fn each_message_is_answered_once_in_order_after_graph_errors() {
    let stack = stack().await;
    // Every send fails until the faults are cleared.
    stack.services.graph.fail_recipient(PHONE_A, None, Fault::error(500, 131_000));
    stack.services.graph.fail_recipient(PHONE_B, None, Fault::error(500, 131_000));
    let mark = stack.logs.mark();
    let messages = questions("1", 4);
    post(&stack, &messages).await;
    let returned = |entries: &[local_stack::logs::Entry]| {
        let failed = |sender: &str| {
            entries.iter().any(|e| e.field("outcome") == "returned" && e.field("wamid").contains(sender))
        };
        failed(PHONE_A) && failed(PHONE_B)
    };
    let seen = stack.logs.wait(mark, DEADLINE, returned).await;
    assert!(returned(&seen), "both senders' first messages failed");
    assert!(stack.services.graph.received().is_empty());
    stack.services.graph.clear_faults();

    until_answered(&stack, messages.len()).await;
    until_rows(&stack, 16).await;
    until_queues_are_empty(&stack).await;
    assert_each_once_and_in_order(&stack, &messages);
    stack.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_kill_while_sending_duplicates_at_most_one_reply_and_no_row() {
    // Long enough for the test to kill the function, and short enough for the wait after that.
    let stack = stack_with(Options { visibility_timeout: 10, ..Options::default() }).await;
    // The reply is sent; the function is killed while it waits for Meta's response.
    stack.services.graph.fail_recipient(PHONE_A, Some(1), Fault::late_response(Duration::from_secs(300)));
    let mark = stack.logs.mark();
    let messages = [text(PHONE_A, "wamid.1", "first"), text(PHONE_A, "wamid.2", "second")];
    post(&stack, &messages).await;
    until_answered(&stack, 1).await;
    let killed = stack.reply.instance_pids();
    assert!(!killed.is_empty());
    for pid in &killed {
        local_process::signal(*pid, Signal::SIGKILL).expect("ours");
    }

    outcome(&stack, mark, "wamid.1", "answered").await;
    outcome(&stack, mark, "wamid.2", "answered").await;
    until_rows(&stack, 4).await;
    until_queues_are_empty(&stack).await;
    // The unavoidable window: the reply is sent, and the function is killed before it stores that. It is counted.
    assert_eq!(answered(&stack)[PHONE_A], ["wamid.1", "wamid.1", "wamid.2"]);
    let counted = stack.logs.since(mark);
    let of_first = |entry: &&local_stack::logs::Entry| {
        entry.field("counter") == "repeated_attempts" && entry.field("wamid") == "wamid.1"
    };
    assert_eq!(counted.iter().filter(of_first).count(), 1);
    assert!(stack.reply.instance_pids().iter().all(|pid| !killed.contains(pid)));
    stack.stop().await.expect("stopped");
}

/// Returns the wamids of the rows that `reply` has logged as written.
fn written(entries: &[Entry]) -> BTreeSet<String> {
    let wamids = |name: &str, value: &str| {
        entries
            .iter()
            .filter(|entry| entry.field(name) == value)
            .map(|entry| entry.field("wamid").to_owned())
            .collect::<BTreeSet<_>>()
    };
    &wamids("outcome", "answered") - &wamids("counter", "deferred_records")
}

#[tokio::test]
async fn rows_logged_as_written_survive_a_killed_postgresql() {
    let stack = stack().await;
    let numbers: Vec<String> = (0..20).map(|n| format!("4915112345{n:03}")).collect();
    load::link(&stack, &numbers).await.expect("linked");
    // Short enough to be logged completely.
    let messages = numbers.iter().enumerate().flat_map(|(sender, number)| {
        (0..10).map(move |n| format!("wamid.{sender}.{n}")).map(move |wamid| text(number, &wamid, &wamid))
    });
    let messages: Vec<Value> = messages.collect();
    let mark = stack.logs.mark();
    post(&stack, &messages).await;
    let some = stack.logs.wait(mark, DEADLINE, |entries| written(entries).len() >= 50).await;
    assert!(written(&some).len() >= 50, "traffic");
    let database = stack.services.supabase.own().expect("ours").database();
    database.kill().await.expect("killed");
    let logged = Vec::from_iter(written(&stack.logs.since(mark)));
    assert!(logged.len() < messages.len(), "killed in the middle");
    database.start().await.expect("started");

    let missing = OnceCell::new();
    // What waited for the database takes all connections of the pool for a while.
    until("the rows are read", async || {
        let lost: Result<Vec<String>, _> = sqlx::query_scalar(
            "select wamid from unnest($1::text[]) as wamid
              where (select count(*) from messages where content = wamid) <> 2",
        )
        .bind(&logged)
        .fetch_all(stack.services.supabase.pool())
        .await;
        lost.is_ok_and(|lost| missing.set(lost).is_ok())
    })
    .await;
    let missing = missing.into_inner().unwrap_or_default();
    assert!(missing.is_empty(), "{} of {} are lost: {missing:?}", missing.len(), logged.len());
    until_rows(&stack, 2 * i64::try_from(messages.len()).expect("few")).await;
    stack.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_thousand_concurrent_duplicates_are_answered_once() {
    let stack = stack().await;
    let numbers: Vec<String> = (0..50).map(|n| format!("4915112345{n:03}")).collect();
    load::link(&stack, &numbers).await.expect("linked");
    let posts = numbers.iter().map(|number| {
        let wamid = |n: usize| format!("wamid.{number}.{n:02}");
        payload(&(0..20).map(|n| text(number, &wamid(n), &wamid(n))).collect::<Vec<_>>())
    });
    let posts: Vec<Vec<u8>> = posts.collect();
    let url = stack.webhook_url();
    let client = shared::http::client().expect("a client");
    let mut requests = tokio::task::JoinSet::new();
    for body in posts.iter().flat_map(|body| [body, body]) {
        let (client, url, body) = (client.clone(), url.clone(), body.clone());
        requests.spawn(async move { local_stack::play::post(&client, &url, body).await });
    }
    for status in requests.join_all().await {
        assert_eq!(status.expect("answered"), 200);
    }

    until_rows(&stack, 2000).await;
    until_queues_are_empty(&stack).await;
    let answered = answered(&stack);
    assert_eq!(answered.len(), 50);
    assert!(answered.values().all(|wamids| wamids.len() == 20 && wamids.is_sorted()), "{answered:#?}");
    stack.stop().await.expect("stopped");
}
