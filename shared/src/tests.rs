//! Tests of several modules: masking of personal data, counters and durations, environment variables.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, SharedString, Unit,
};
use serde_json::json;
use tracing_subscriber::layer::SubscriberExt;

use crate::lambda::env::{self, EnvError};
use crate::lambda::logging::plain;
use crate::lambda::metrics::{Counts, milliseconds_since, record, timed};
use crate::meta::envelope::{Exchange, RecordTask};
use crate::meta::lenient::storable;
use crate::meta::sender::{PhoneNumber, Sender, UserId};
use crate::supabase::rows::{MessageResponse, Role};

#[test]
fn debug_output_shows_ids_and_no_personal_data() {
    let id = "9b2f0c1e-8a55-5c1e-9d3e-0a1b2c3d4e5f";
    let row = json!({"id": id, "user_id": id, "channel": "whatsapp", "role": "user", "content": "private",
        "created_at": "2026-11-24T03:05:00Z"});
    let line = json!({"content": "private", "at": "2026-11-24T03:05:00Z"});
    let task = json!({"user_id": id, "sender": "16505551234", "wamid": "wamid.1", "question": line, "answer": line,
        "unsent": {"from": "1", "text": "private"}});
    let row: MessageResponse = serde_json::from_value(row).expect("a row");
    let task: RecordTask = serde_json::from_value(task).expect("a task");
    let Exchange { key, .. } = &task.exchange;
    let wamid = key.as_str();
    for (shown, name) in [
        (format!("{row:?}"), id),
        (format!("{task:?}"), id),
        (format!("{task:?}"), wamid),
        (format!("{:?}", task.exchange), wamid),
    ] {
        assert!(shown.contains(name), "{shown}");
        assert!(!shown.contains("private") && !shown.contains("16505551234"), "{shown}");
    }
}

#[test]
fn a_sender_is_shown_by_its_last_three_characters() {
    for (sender, shown) in [("16505551234", "…234"), ("US.13491208655302741918", "…918"), ("1234567", "…")]
    {
        assert_eq!(Sender::parse(sender).expect("a sender").to_string(), shown);
    }
    assert_eq!(format!("{:?}", PhoneNumber::parse("+16505551234")), "Some(…234)");
    assert_eq!(format!("{:?}", UserId::parse("US.13491208655302741918")), "Some(…918)");
}

#[test]
fn a_name_is_logged_only_if_it_is_safe() {
    let long = "a".repeat(65);
    for (name, shown) in [
        ("user_id-update.2", "user_id-update.2"),
        (&long[1..], &long[1..]),
        (&long, "strange-name"),
        ("", "strange-name"),
        ("a name", "strange-name"),
        ("größe", "strange-name"),
    ] {
        assert_eq!(plain(name), shown);
    }
}

#[test]
fn roles_round_trip_through_the_table() {
    for role in [Role::User, Role::Assistant, Role::Other("system".to_owned())] {
        assert_eq!(Role::from(role.as_str().to_owned()), role);
    }
    assert_eq!((Role::User.as_str(), Role::Assistant.as_str()), ("user", "assistant"));
}

#[test]
fn a_number_too_small_for_postgresql_is_found_after_any_string() {
    let stored = |json: &str| storable(serde_json::from_str(json).expect("JSON")).into_owned();
    for found in
        [r#"["\\",1e-20000]"#, r#"["\"",1e-20000]"#, r#"["a\\\"b\\",1e-20000]"#, r#"{"a\\":1e-20000}"#]
    {
        assert_eq!(stored(found), json!(found).to_string());
    }
    for text in [r#"["\" 1e-20000 \""]"#, r#"["\\\" 1e-20000"]"#, r#"["1e-20000"]"#] {
        assert_eq!(stored(text), text);
    }
}

#[test]
fn a_variable_that_is_set_is_read() {
    // The tests only read the environment: changing it is not safe in a process with threads.
    let path = std::env::var("PATH").expect("PATH");
    assert_eq!(env::optional("PATH"), Ok(Some(path.clone())));
    assert_eq!(env::required("PATH"), Ok(path.clone()));
    assert_eq!(env::parsed("PATH"), Ok(path.clone()));
    assert_eq!(env::optional_parsed("PATH"), Ok(Some(path.clone())));
    assert!(matches!(env::optional_parsed::<u8>("PATH"), Err(EnvError::Unusable { name: "PATH", .. })));
    let secret = env::secret("PATH").expect("a secret");
    assert_eq!(secrecy::ExposeSecret::expose_secret(&secret), path);
}

/// Records counts and durations.
#[derive(Default)]
struct Recorded(Arc<Mutex<Vec<(String, f64)>>>);

struct One(Arc<Mutex<Vec<(String, f64)>>>, String);

impl CounterFn for One {
    fn increment(&self, by: u64) {
        self.0.lock().expect("a lock").push((self.1.clone(), f64::from(u32::try_from(by).expect("few"))));
    }

    fn absolute(&self, _: u64) {}
}

impl HistogramFn for One {
    fn record(&self, value: f64) {
        self.0.lock().expect("a lock").push((self.1.clone(), value));
    }
}

impl metrics::Recorder for Recorded {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Arc::new(One(self.0.clone(), key.name().to_owned())))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::new(One(self.0.clone(), key.name().to_owned())))
    }
}

#[tokio::test(start_paused = true)]
async fn durations_are_milliseconds_and_a_counter_counts_once() {
    let start = tokio::time::Instant::now();
    tokio::time::advance(Duration::from_millis(1500)).await;
    assert_eq!(milliseconds_since(start), 1500);

    let recorded = Recorded::default();
    metrics::with_local_recorder(&recorded, || {
        record("send_ms", Duration::from_micros(2500));
        ready(timed("insert_ms", async {}));
        let counting = tracing_subscriber::registry().with(Counts::of_this_version());
        tracing::subscriber::with_default(counting, || {
            tracing::info!(
                counter = crate::lambda::counter::Counter::AnsweredMessages.name(),
                outcome = "answered",
                "message handled"
            );
            tracing::info!(outcome = "answered", "a line that does not count");
        });
    });
    let expected = [("send_ms", 2.5), ("insert_ms", 0.0), ("answered_messages", 1.0)]
        .map(|(name, value)| (name.to_owned(), value));
    assert_eq!(*recorded.0.lock().expect("a lock"), expected);
}

/// Runs a future that completes without waiting.
fn ready<T>(work: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(work).poll(&mut context) {
        std::task::Poll::Ready(done) => done,
        std::task::Poll::Pending => panic!("it waits"),
    }
}
