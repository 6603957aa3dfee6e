use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use super::*;

fn record(id: &str, group: Option<&str>) -> SqsMessage {
    let mut record = SqsMessage::default();
    record.message_id = Some(id.to_owned());
    record.body = Some(id.to_owned());
    record.attributes =
        group.map(|group| ("MessageGroupId".to_owned(), group.to_owned())).into_iter().collect();
    record
}

/// Runs a batch; `fails` fail. Returns what was handled, in order, and what was returned.
async fn run(records: Vec<SqsMessage>, fails: &[&str]) -> (Vec<String>, Vec<String>) {
    let handled = RefCell::new(Vec::new());
    let response = process(records, async |body: String| {
        tokio::task::yield_now().await;
        handled.borrow_mut().push(body.clone());
        if fails.contains(&body.as_str()) { Err("refused") } else { Ok(()) }
    })
    .await;
    let returned = response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect();
    (handled.into_inner(), returned)
}

#[tokio::test]
async fn after_a_failure_the_rest_of_the_group_is_returned_unhandled_and_other_groups_go_on() {
    let records = [("a1", "a"), ("b1", "b"), ("a2", "a"), ("b2", "b"), ("a3", "a")];
    let records = records.map(|(id, group)| record(id, Some(group))).to_vec();
    let (mut handled, returned) = run(records, &["a2"]).await;
    handled.sort();
    assert_eq!(handled, ["a1", "a2", "b1", "b2"]);
    assert_eq!(returned, ["a2", "a3"]);
}

#[tokio::test]
async fn messages_without_a_group_do_not_wait_for_each_other() {
    let records = vec![record("1", None), record("2", None), record("3", None)];
    let (handled, returned) = run(records, &["1"]).await;
    assert_eq!(handled.len(), 3);
    assert_eq!(returned, ["1"]);
}

#[tokio::test]
async fn an_empty_batch_is_no_failure() {
    assert_eq!(run(Vec::new(), &[]).await, (Vec::new(), Vec::new()));
}

#[tokio::test]
async fn a_panic_fails_its_message_alone() {
    let records = vec![record("a1", Some("a")), record("a2", Some("a")), record("b1", Some("b"))];
    let response = process(records, async |body: String| {
        assert_ne!(body, "a1", "a panic on purpose");
        Ok::<(), &str>(())
    })
    .await;
    let returned: Vec<_> =
        response.batch_item_failures.iter().map(|failure| &failure.item_identifier).collect();
    assert_eq!(returned, ["a1", "a2"]);
}

#[tokio::test]
async fn groups_run_in_parallel() {
    // Each waits for the other: one after the other, they would wait for ever.
    let barrier = tokio::sync::Barrier::new(2);
    let records = vec![record("a1", Some("a")), record("b1", Some("b"))];
    let running = process(records, async |_| {
        barrier.wait().await;
        Ok::<(), &str>(())
    });
    let response =
        tokio::time::timeout(std::time::Duration::from_secs(10), running).await.expect("in parallel");
    assert!(response.batch_item_failures.is_empty());
}

#[test]
fn the_answer_has_lambda_s_shape() {
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
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let ids: Vec<String> = (0..batch.len()).map(|n| n.to_string()).collect();
        let records = batch.iter().zip(&ids).map(|((group, _), id)| record(id, Some(&group.to_string()))).collect();
        let fails: Vec<&str> = batch.iter().zip(&ids).filter(|((_, fails), _)| *fails).map(|(_, id)| id.as_str()).collect();
        let (handled, returned) = runtime.block_on(run(records, &fails));

        let returned: HashSet<_> = returned.into_iter().collect();
        let mut failed_groups: HashMap<u8, ()> = HashMap::new();
        for ((group, fails), id) in batch.iter().zip(&ids) {
            let must_return = failed_groups.contains_key(group) || *fails;
            proptest::prop_assert_eq!(returned.contains(id), must_return);
            proptest::prop_assert_eq!(handled.contains(id), !failed_groups.contains_key(group));
            if *fails { failed_groups.insert(*group, ()); }
        }
        for group in 0u8..4 {
            let order: Vec<_> = handled.iter().filter(|id| batch[id.parse::<usize>().expect("a number")].0 == group).collect();
            proptest::prop_assert!(order.windows(2).all(|pair| pair[0].parse::<usize>().unwrap() < pair[1].parse::<usize>().unwrap()));
        }
    }
}
