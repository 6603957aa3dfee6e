use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use aws_lambda_events::event::sqs::SqsMessage;

use super::*;

fn delivery(id: &str, group: Option<&str>) -> Delivery {
    let mut record = SqsMessage::default();
    record.message_id = Some(id.to_owned());
    record.body = Some(id.to_owned());
    record.attributes =
        group.map(|group| ("MessageGroupId".to_owned(), group.to_owned())).into_iter().collect();
    record.into()
}

/// Fails the given messages, and records the calls.
#[derive(Default)]
struct Fake {
    fails: HashSet<String>,
    moves: HashSet<String>,
    turn: usize,
    panics: HashSet<String>,
    takes: Duration,
    barrier: Option<tokio::sync::Barrier>,
    handled: Mutex<Vec<String>>,
    hidden: Mutex<HashMap<String, Duration>>,
}

const DELAY: Duration = Duration::from_secs(4);

impl Handle for Fake {
    fn turn(&self, _: &[Delivery]) -> usize {
        self.turn
    }

    fn budget(&self) -> Duration {
        crate::budget::PURE_BUDGET
    }

    async fn handle_turn(&self, turn: &[Delivery], _: Deadline) -> Disposition {
        let delivery = &turn[0];
        tokio::time::sleep(self.takes).await;
        if let Some(barrier) = &self.barrier {
            barrier.wait().await;
        }
        assert!(!self.panics.contains(&delivery.message_id), "a panic on purpose");
        self.handled.lock().expect("a lock").push(delivery.message_id.clone());
        if self.fails.contains(&delivery.message_id) {
            Disposition::Return(DELAY)
        } else if self.moves.contains(&delivery.message_id) {
            if turn.len() > 1 { Disposition::DeleteFirst(1) } else { Disposition::Delete }
        } else {
            Disposition::Delete
        }
    }

    async fn panicked(&self, _: &[Delivery], _: Deadline) -> Disposition {
        Disposition::Return(DELAY)
    }

    async fn hide(&self, delivery: &Delivery, delay: Duration, _: Deadline) {
        self.hidden.lock().expect("a lock").insert(delivery.message_id.clone(), delay);
    }
}

impl Fake {
    fn failing(ids: &[&str]) -> Self {
        Self { fails: ids.iter().map(|id| (*id).to_owned()).collect(), ..Self::default() }
    }

    /// Runs a batch; returns the ids to be redelivered.
    async fn run(&self, deliveries: Vec<Delivery>, left: Option<Duration>) -> Vec<String> {
        let deadline = left.map_or(Deadline::NONE, Deadline::after);
        let response = process(deliveries, deadline, self).await;
        response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect()
    }

    fn handled(&self) -> Vec<String> {
        self.handled.lock().expect("a lock").clone()
    }

    fn delay(&self, id: &str) -> Option<Duration> {
        self.hidden.lock().expect("a lock").get(id).copied()
    }
}

#[tokio::test]
async fn the_others_of_a_turn_are_handled_after_its_first_message_was_moved() {
    let moves = HashSet::from(["a".to_owned()]);
    let fake = Fake { moves, turn: 3, ..Fake::failing(&["b"]) };
    let group = ["a", "b", "c"].map(|id| delivery(id, Some("sender")));
    assert_eq!(fake.run(group.into(), None).await, ["b", "c"]);
    assert_eq!(fake.handled(), ["a", "b"]);
}

#[tokio::test]
async fn a_failure_returns_the_rest_of_its_group_and_no_other() {
    let batch = [("a1", "a"), ("b1", "b"), ("a2", "a"), ("b2", "b"), ("a3", "a")];
    let fake = Fake::failing(&["a2"]);
    let returned = fake.run(batch.map(|(id, group)| delivery(id, Some(group))).to_vec(), None).await;
    let handled: HashSet<_> = fake.handled().into_iter().collect();
    assert_eq!(handled, ["a1", "a2", "b1", "b2"].map(str::to_owned).into());
    assert_eq!(returned, ["a2", "a3"]);
    // Only the first has a delay: the one behind it is locked and unlocked together with the first.
    assert_eq!(
        (fake.delay("a2"), fake.delay("a3"), fake.delay("b1")),
        (Some(DELAY), Some(Duration::ZERO), None)
    );
}

#[tokio::test]
async fn messages_without_a_group_are_independent() {
    let fake = Fake::failing(&["1"]);
    let returned = fake.run(["1", "2", "3"].map(|id| delivery(id, None)).to_vec(), None).await;
    assert_eq!((fake.handled().len(), returned), (3, vec!["1".to_owned()]));
}

#[tokio::test]
async fn an_empty_batch_returns_no_failures() {
    assert!(Fake::default().run(Vec::new(), None).await.is_empty());
}

#[tokio::test]
async fn a_panic_fails_only_its_message_and_group() {
    let fake = Fake { panics: ["a1".to_owned()].into(), ..Fake::default() };
    let batch = [("a1", "a"), ("a2", "a"), ("b1", "b")].map(|(id, group)| delivery(id, Some(group)));
    assert_eq!(fake.run(batch.to_vec(), None).await, ["a1", "a2"]);
    assert_eq!((fake.handled(), fake.delay("a1")), (vec!["b1".to_owned()], Some(DELAY)));
}

#[tokio::test]
async fn groups_run_in_parallel() {
    // Each waits for the other: handled one after the other, they would wait indefinitely.
    let fake = Fake { barrier: Some(tokio::sync::Barrier::new(2)), ..Fake::default() };
    let batch = vec![delivery("a1", Some("a")), delivery("b1", Some("b"))];
    let running = tokio::time::timeout(Duration::from_secs(10), fake.run(batch, None));
    assert!(running.await.expect("in parallel").is_empty());
}

#[tokio::test(start_paused = true)]
async fn messages_without_enough_time_left_are_returned_at_once() {
    let fake = Fake { takes: Duration::from_secs(15), ..Fake::default() };
    let batch: Vec<_> = (0..5).map(|n| delivery(&n.to_string(), Some("a"))).collect();
    let returned = fake.run(batch.clone(), Some(Duration::from_secs(60))).await;
    // At 0, 15 and 30 s more than a message's budget is left, at 45 s it is not.
    assert_eq!((fake.handled().len(), returned), (3, vec!["3".to_owned(), "4".to_owned()]));
    assert_eq!((fake.delay("3"), fake.delay("4")), (Some(Duration::ZERO), Some(Duration::ZERO)));
    assert!(fake.run(batch.clone(), None).await.is_empty(), "without a deadline there is time for all");
    // A function with too short a timeout must not return all messages indefinitely.
    assert_eq!(fake.run(batch, Some(Duration::from_secs(1))).await, ["1", "2", "3", "4"]);
}

#[test]
fn the_response_has_the_shape_that_lambda_expects() {
    let mut response = SqsBatchResponse::default();
    response.batch_item_failures = vec![failure("m1".to_owned())];
    let json = serde_json::to_string(&response).expect("JSON");
    assert_eq!(json, r#"{"batchItemFailures":[{"itemIdentifier":"m1"}]}"#);
}

proptest::proptest! {
    #[test]
    fn every_message_is_handled_in_order_or_returned(
        batch in proptest::collection::vec((0u8..4, proptest::bool::weighted(0.2)), 0..10)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let ids: Vec<String> = (0..batch.len()).map(|n| n.to_string()).collect();
        let deliveries =
            batch.iter().zip(&ids).map(|((group, _), id)| delivery(id, Some(&group.to_string()))).collect();
        let failing: Vec<&str> =
            batch.iter().zip(&ids).filter(|((_, fails), _)| *fails).map(|(_, id)| id.as_str()).collect();
        let fake = Fake::failing(&failing);
        let returned: HashSet<_> = runtime.block_on(fake.run(deliveries, None)).into_iter().collect();
        let handled = fake.handled();

        let mut failed_groups = HashSet::new();
        for ((group, fails), id) in batch.iter().zip(&ids) {
            let behind = failed_groups.contains(group);
            proptest::prop_assert_eq!(returned.contains(id), behind || *fails);
            proptest::prop_assert_eq!(handled.contains(id), !behind);
            proptest::prop_assert_eq!(fake.delay(id).is_some(), behind || *fails);
            if *fails {
                failed_groups.insert(*group);
            }
        }
        let number = |id: &String| id.parse::<usize>().expect("a number");
        for group in 0u8..4 {
            proptest::prop_assert!(handled.iter().map(number).filter(|n| batch[*n].0 == group).is_sorted());
        }
    }
}
