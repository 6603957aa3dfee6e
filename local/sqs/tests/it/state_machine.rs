//! The queues on virtual time: invariants of every sequence of operations.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use local_sqs::{
    AttributeMap, Broker, Counts, MessageView, NewMessage, Receive, Received, SqsError, State, Timestamp,
    queue_arn,
};
use proptest::prelude::*;

const START: Timestamp = Timestamp::from_millis(1_795_489_500_000);

fn attributes(pairs: &[(&str, &str)]) -> AttributeMap {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn receive(broker: &mut Broker, now: Timestamp, queue: &str, maximum: usize) -> Vec<Received> {
    broker.receive(now, queue, &Receive { maximum, visibility_timeout: None }).expect("receive")
}

fn bodies(received: &[Received]) -> Vec<&str> {
    received.iter().map(|message| message.body.as_str()).collect()
}

/// A FIFO queue with a visibility timeout of 30 s.
fn fifo(pairs: &[(&str, &str)]) -> Broker {
    let mut broker = Broker::new(1);
    let mut wanted = attributes(&[("FifoQueue", "true")]);
    wanted.extend(attributes(pairs));
    broker.create_queue(START, "q.fifo", &wanted).expect("create");
    broker
}

fn send(broker: &mut Broker, now: Timestamp, queue: &str, group: &str, body: &str) {
    broker.send(now, queue, &NewMessage::fifo(body, group, body)).expect("send");
}

#[test]
fn group_with_messages_in_flight_blocks_only_itself() {
    let mut broker = fifo(&[]);
    for (group, body) in [("a", "a1"), ("a", "a2"), ("b", "b1"), ("a", "a3")] {
        send(&mut broker, START, "q.fifo", group, body);
    }
    let first = receive(&mut broker, START, "q.fifo", 2);
    assert_eq!(bodies(&first), ["a1", "a2"]);
    assert_eq!(bodies(&receive(&mut broker, START, "q.fifo", 10)), ["b1"]);
    broker.delete(START, "q.fifo", &first[0].receipt_handle).expect("delete");
    assert!(receive(&mut broker, START, "q.fifo", 10).is_empty(), "a2 is still in flight");
    broker.change_visibility(START, "q.fifo", &first[1].receipt_handle, Duration::ZERO).expect("return");
    let again = receive(&mut broker, START, "q.fifo", 10);
    assert_eq!(bodies(&again), ["a2", "a3"]);
    assert_eq!(again[0].receive_count, 2);
}

#[test]
fn later_messages_wait_for_the_first_with_a_longer_timeout() {
    let mut broker = fifo(&[]);
    for body in ["1", "2", "3"] {
        send(&mut broker, START, "q.fifo", "g", body);
    }
    let received = receive(&mut broker, START, "q.fifo", 10);
    broker.change_visibility(START, "q.fifo", &received[0].receipt_handle, seconds(45)).expect("extend");
    assert!(receive(&mut broker, START.plus(seconds(40)), "q.fifo", 10).is_empty());
    assert_eq!(bodies(&receive(&mut broker, START.plus(seconds(45)), "q.fifo", 10)), ["1", "2", "3"]);
}

#[test]
fn duplicate_of_a_deleted_message_is_dropped_for_5_minutes() {
    let mut broker = fifo(&[]);
    let message = NewMessage::fifo("x", "g", "id");
    let sent = broker.send(START, "q.fifo", &message).expect("send");
    let received = receive(&mut broker, START, "q.fifo", 1);
    broker.delete(START, "q.fifo", &received[0].receipt_handle).expect("delete");
    let just_before = START.plus(Duration::from_millis(299_999));
    assert_eq!(broker.send(just_before, "q.fifo", &message).expect("duplicate"), sent);
    assert_eq!(broker.queue("q.fifo").expect("queue").counts(), Counts::default());
    let after = broker.send(START.plus(seconds(300)), "q.fifo", &message).expect("new");
    assert_ne!(after.message_id, sent.message_id);
    assert!(after.sequence_number > sent.sequence_number);
}

#[test]
fn group_scoped_deduplication_allows_the_same_id_elsewhere() {
    let mut broker = fifo(&[("DeduplicationScope", "messageGroup"), ("ContentBasedDeduplication", "true")]);
    for group in ["a", "b", "a"] {
        let message = NewMessage { group_id: Some(group.to_owned()), ..NewMessage::new("same") };
        broker.send(START, "q.fifo", &message).expect("send");
    }
    assert_eq!(broker.queue("q.fifo").expect("queue").counts().visible, 2);
}

#[test]
fn fifo_delay_change_applies_to_already_delayed_messages() {
    let mut broker = fifo(&[("DelaySeconds", "100")]);
    send(&mut broker, START, "q.fifo", "g", "1");
    assert_eq!(broker.next_event(), Some(START.plus(seconds(100))));
    broker.set_attributes(START, "q.fifo", &attributes(&[("DelaySeconds", "10")])).expect("set");
    assert!(receive(&mut broker, START.plus(seconds(9)), "q.fifo", 1).is_empty());
    assert_eq!(bodies(&receive(&mut broker, START.plus(seconds(10)), "q.fifo", 1)), ["1"]);
}

#[test]
fn retention_period_expires_messages_in_flight_too() {
    let mut broker = fifo(&[("MessageRetentionPeriod", "60")]);
    send(&mut broker, START, "q.fifo", "g", "1");
    receive(&mut broker, START.plus(seconds(50)), "q.fifo", 1);
    send(&mut broker, START.plus(seconds(55)), "q.fifo", "g", "2");
    assert_eq!(broker.next_event(), Some(START.plus(seconds(60))));
    assert_eq!(bodies(&receive(&mut broker, START.plus(seconds(60)), "q.fifo", 10)), ["2"]);
}

#[test]
fn visibility_is_limited_to_12_hours_after_the_receive() {
    let mut broker = fifo(&[]);
    send(&mut broker, START, "q.fifo", "g", "1");
    let received = receive(&mut broker, START, "q.fifo", 1);
    let later = START.plus(seconds(10));
    let handle = &received[0].receipt_handle;
    let error = broker.change_visibility(later, "q.fifo", handle, seconds(43_191)).expect_err("too long");
    assert_eq!(error.code(), "InvalidParameterValue");
    broker.change_visibility(later, "q.fifo", handle, seconds(43_190)).expect("just right");
}

#[test]
fn standard_queue_changes_in_flight_and_deletes_by_any_handle() {
    let mut broker = Broker::new(1);
    broker.create_queue(START, "q", &AttributeMap::new()).expect("create");
    broker.send(START, "q", &NewMessage::new("x")).expect("send");
    let received = receive(&mut broker, START, "q", 1);
    let handle = &received[0].receipt_handle;
    let later = START.plus(seconds(30));
    assert_eq!(broker.change_visibility(later, "q", handle, seconds(5)), Err(SqsError::MessageNotInflight));
    broker.delete(later, "q", handle).expect("delete");
    assert_eq!(broker.queue("q").expect("queue").counts(), Counts::default());
    broker.delete(later, "q", handle).expect("again");
}

#[test]
fn fifo_queue_accepts_only_the_latest_receipt_handle() {
    let mut broker = fifo(&[]);
    send(&mut broker, START, "q.fifo", "g", "x");
    let first = receive(&mut broker, START, "q.fifo", 1);
    let later = START.plus(seconds(30));
    let visible = broker.delete(later, "q.fifo", &first[0].receipt_handle).expect_err("visible again");
    assert_eq!(visible.code(), "InvalidParameterValue");
    let second = receive(&mut broker, later, "q.fifo", 1);
    let old = &first[0].receipt_handle;
    assert!(broker.delete(later, "q.fifo", old).is_err());
    assert!(broker.change_visibility(later, "q.fifo", old, Duration::ZERO).is_err());
    broker.delete(later, "q.fifo", &second[0].receipt_handle).expect("the latest");
}

fn with_dead_letters() -> Broker {
    let mut broker = Broker::new(1);
    broker.create_queue(START, "dead.fifo", &attributes(&[("FifoQueue", "true")])).expect("create");
    let policy = format!(r#"{{"deadLetterTargetArn":"{}","maxReceiveCount":2}}"#, queue_arn("dead.fifo"));
    let wanted = attributes(&[("FifoQueue", "true"), ("RedrivePolicy", &policy)]);
    broker.create_queue(START, "q.fifo", &wanted).expect("create");
    broker
}

#[test]
fn third_receive_dead_letters_and_unlocks_the_group() {
    let mut broker = with_dead_letters();
    send(&mut broker, START, "q.fifo", "g", "bad");
    let mut now = START;
    for _ in 0..2 {
        assert_eq!(bodies(&receive(&mut broker, now, "q.fifo", 1)), ["bad"]);
        now = now.plus(seconds(30));
    }
    send(&mut broker, now, "q.fifo", "g", "good");
    assert_eq!(bodies(&receive(&mut broker, now, "q.fifo", 1)), ["good"]);
    let dead = receive(&mut broker, now, "dead.fifo", 10);
    assert_eq!(bodies(&dead), ["bad"]);
    assert_eq!(dead[0].group_id.as_deref(), Some("g"));
    assert_eq!(dead[0].deduplication_id.as_deref(), Some("bad"));
    assert_eq!(dead[0].dead_letter_source.as_deref(), Some(queue_arn("q.fifo").as_str()));
}

#[test]
fn move_task_honours_its_rate_and_can_be_cancelled() {
    let mut broker = with_dead_letters();
    for number in 0..4 {
        send(&mut broker, START, "q.fifo", "g", &number.to_string());
    }
    let mut now = START;
    for _ in 0..3 {
        receive(&mut broker, now, "q.fifo", 10);
        now = now.plus(seconds(30));
    }
    assert_eq!(broker.queue("dead.fifo").expect("queue").counts().visible, 4);
    let source = queue_arn("dead.fifo");
    let task = broker.start_move(now, &source, None, Some(1)).expect("start");
    assert_eq!(broker.next_event(), Some(now.plus(seconds(1))));
    broker.advance(now.plus(seconds(2)));
    assert_eq!(broker.cancel_move(now.plus(seconds(2)), &task), Ok(3));
    let moved = receive(&mut broker, now.plus(seconds(60)), "q.fifo", 10);
    assert_eq!(bodies(&moved), ["0", "1", "2"]);
    assert_eq!(moved[0].receive_count, 1);
    broker.start_move(now.plus(seconds(60)), &source, None, None).expect("the rest");
    let tasks = broker.list_moves(now.plus(seconds(60)), &source).expect("list");
    let statuses: Vec<_> = tasks.iter().map(|task| (task.status.name(), task.moved)).collect();
    assert_eq!(statuses, [("COMPLETED", 1), ("CANCELLED", 3)]);
}

/// One step of a random history.
#[derive(Clone, Debug)]
enum Step {
    Send { group: u8, duplicate: bool },
    Receive { maximum: usize, timeout: u64 },
    Delete { which: usize },
    Change { which: usize, timeout: u64 },
    Wait { millis: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4_u8, prop::bool::weighted(0.1)).prop_map(|(group, duplicate)| Step::Send { group, duplicate }),
        3 => (1..=10_usize, 0..5_u64).prop_map(|(maximum, timeout)| Step::Receive { maximum, timeout }),
        3 => any::<usize>().prop_map(|which| Step::Delete { which }),
        1 => (any::<usize>(), 0..5_u64).prop_map(|(which, timeout)| Step::Change { which, timeout }),
        2 => (0..4_000_u64).prop_map(|millis| Step::Wait { millis }),
    ]
}

/// Expected state of the history; bodies are numbers in sending order.
#[derive(Default)]
struct Model {
    sent: BTreeSet<u32>,
    group_of: HashMap<u32, u8>,
    deleted: BTreeSet<u32>,
    handles: Vec<(u32, String)>,
    receives: BTreeMap<u32, u32>,
}

impl Model {
    fn pick(&self, which: usize) -> Option<(u32, String)> {
        (!self.handles.is_empty()).then(|| self.handles[which % self.handles.len()].clone())
    }
}

fn number(message: &MessageView) -> u32 {
    message.body.as_str().parse().expect("a number")
}

/// Runs a history; `max_receive_count` 0 means no dead-letter queue.
fn run(is_fifo: bool, max_receive_count: u32, steps: &[Step]) -> Result<(), TestCaseError> {
    let suffix = if is_fifo { ".fifo" } else { "" };
    let (name, dead) = (format!("q{suffix}"), format!("dead{suffix}"));
    let mut broker = Broker::new(7);
    let base = if is_fifo { attributes(&[("FifoQueue", "true")]) } else { AttributeMap::new() };
    broker.create_queue(START, &dead, &base).expect("create");
    let mut wanted = base;
    if max_receive_count > 0 {
        let policy = format!(
            r#"{{"deadLetterTargetArn":"{}","maxReceiveCount":{max_receive_count}}}"#,
            queue_arn(&dead)
        );
        wanted.insert("RedrivePolicy".to_owned(), policy);
    }
    broker.create_queue(START, &name, &wanted).expect("create");
    let mut model = Model::default();
    let mut now = START;
    for step in steps {
        match *step {
            Step::Wait { millis } => now = now.plus(Duration::from_millis(millis)),
            Step::Send { group, duplicate } => {
                let next = model.sent.last().map_or(0, |last| last + 1);
                let last = model.sent.last().copied().filter(|_| duplicate && is_fifo);
                let value = last.unwrap_or(next);
                let group = model.group_of.get(&value).copied().unwrap_or(group);
                let mut message = NewMessage::fifo(value.to_string(), &group.to_string(), &value.to_string());
                if !is_fifo {
                    message.deduplication_id = None;
                }
                broker.send(now, &name, &message).expect("send");
                model.sent.insert(value);
                model.group_of.insert(value, group);
            }
            Step::Receive { maximum, timeout } => {
                let timeout = Some(seconds(timeout));
                let before = broker.queue(&name).expect("queue").view();
                let request = Receive { maximum, visibility_timeout: timeout };
                let received = broker.receive(now, &name, &request).expect("receive");
                prop_assert!(received.len() <= maximum);
                let mut last_of_group: HashMap<u8, u32> = HashMap::new();
                for message in received {
                    let value: u32 = message.body.as_str().parse().expect("a number");
                    prop_assert!(!model.deleted.contains(&value), "{value} was deleted");
                    let count = model.receives.entry(value).or_default();
                    *count += 1;
                    prop_assert_eq!(message.receive_count, *count);
                    if max_receive_count > 0 {
                        prop_assert!(*count <= max_receive_count);
                    }
                    let group = model.group_of[&value];
                    if is_fifo {
                        let previous = last_of_group.insert(group, value);
                        prop_assert!(previous < Some(value), "order within the receive");
                        let locked = before.messages.iter().any(|other| {
                            number(other) < value
                                && model.group_of[&number(other)] == group
                                && matches!(other.state, State::InFlight { until, .. } if until > now)
                        });
                        prop_assert!(!locked, "an earlier message of group {group} was in flight");
                    }
                    model.handles.push((value, message.receipt_handle));
                }
                if is_fifo {
                    // The received messages are a prefix of the group's remaining messages.
                    let after = broker.queue(&name).expect("queue").view();
                    for (group, last) in last_of_group {
                        let skipped = after.messages.iter().map(number).zip(&after.messages).any(|(n, m)| {
                            n < last
                                && model.group_of[&n] == group
                                && !matches!(m.state, State::InFlight { .. })
                        });
                        prop_assert!(!skipped, "an earlier message of group {group} was left behind");
                    }
                }
            }
            Step::Delete { which } => {
                let Some((value, handle)) = model.pick(which) else { continue };
                let there = |broker: &Broker| {
                    broker.queue(&name).expect("queue").view().messages.iter().any(|m| number(m) == value)
                };
                let was_there = there(&broker);
                let result = broker.delete(now, &name, &handle);
                prop_assert_eq!(there(&broker), was_there && result.is_err());
                prop_assert!(is_fifo || result.is_ok());
                if was_there && result.is_ok() {
                    model.deleted.insert(value);
                }
            }
            Step::Change { which, timeout } => {
                if let Some((_, handle)) = model.pick(which) {
                    let _ = broker.change_visibility(now, &name, &handle, seconds(timeout));
                }
            }
        }
        check(&mut broker, now, &name, &dead, &model)?;
    }
    Ok(())
}

/// No message is lost or duplicated, and the counts match the messages.
fn check(
    broker: &mut Broker,
    now: Timestamp,
    name: &str,
    dead: &str,
    model: &Model,
) -> Result<(), TestCaseError> {
    broker.advance(now);
    let mut all = model.deleted.clone();
    let mut total = model.deleted.len();
    for queue in [name, dead] {
        let view = broker.queue(queue).expect("queue").view();
        let mut counts = Counts::default();
        for message in &view.messages {
            all.insert(number(message));
            match message.state {
                State::Visible => counts.visible += 1,
                State::Delayed { until } => {
                    prop_assert!(until > now);
                    counts.delayed += 1;
                }
                State::InFlight { until, .. } => {
                    prop_assert!(until > now);
                    counts.in_flight += 1;
                }
            }
        }
        prop_assert_eq!(view.counts, counts);
        total += view.messages.len();
    }
    prop_assert_eq!(total, all.len(), "a message is duplicated");
    prop_assert_eq!(&all, &model.sent, "a message is lost");
    prop_assert!(broker.next_event().is_none_or(|at| at > now));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn fifo_queues_lose_no_message_and_preserve_group_order(
        steps in prop::collection::vec(step(), 1..120),
        max_receive_count in 0..4_u32,
    ) {
        run(true, max_receive_count, &steps)?;
    }

    #[test]
    fn standard_queues_lose_no_message(
        steps in prop::collection::vec(step(), 1..120),
        max_receive_count in 0..4_u32,
    ) {
        run(false, max_receive_count, &steps)?;
    }

    #[test]
    fn consumer_that_always_deletes_drains_groups_in_order(
        groups in prop::collection::vec(0..5_u8, 1..200),
        maximum in 1..=10_usize,
    ) {
        let mut broker = fifo(&[]);
        for (value, group) in groups.iter().enumerate() {
            send(&mut broker, START, "q.fifo", &group.to_string(), &value.to_string());
        }
        let mut seen: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        loop {
            let received = receive(&mut broker, START, "q.fifo", maximum);
            if received.is_empty() {
                break;
            }
            for message in received {
                let group = message.group_id.as_deref().unwrap_or_default().to_owned();
                seen.entry(group).or_default().push(message.body.as_str().parse().expect("a number"));
                broker.delete(START, "q.fifo", &message.receipt_handle).expect("delete");
            }
        }
        prop_assert_eq!(seen.values().map(Vec::len).sum::<usize>(), groups.len());
        prop_assert!(seen.values().all(|values| values.is_sorted()));
    }
}
