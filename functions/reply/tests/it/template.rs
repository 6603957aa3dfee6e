//! The times in the template and in docs/RELIABILITY.md, compared with the timeouts in the code.

use std::time::Duration;

use reply::budget::{MESSAGE_BUDGET, RESPONSE, STEPS};

const TEMPLATE: &str = include_str!("../../../../template.yaml");
const RELIABILITY: &str = include_str!("../../../../docs/RELIABILITY.md");

/// Returns a property of a resource, in seconds.
fn seconds(resource: &str, property: &str) -> Duration {
    let (_, rest) = TEMPLATE.split_once(&format!("\n  {resource}:\n")).expect(resource);
    let property = format!("      {property}: ");
    let line = rest.lines().find_map(|line| line.strip_prefix(&property)).expect(resource);
    Duration::from_secs(line.parse().expect("a number"))
}

#[test]
fn the_timeouts_of_the_template_allow_for_one_message() {
    let timeout = seconds("ReplyFunction", "Timeout");
    assert!(timeout > MESSAGE_BUDGET + RESPONSE, "{timeout:?}");
    // AWS recommends this factor for event source mappings.
    for queue in ["InboundQueue", "RecordQueue"] {
        assert!(seconds(queue, "VisibilityTimeout") >= 6 * timeout, "{queue}");
    }
}

#[test]
fn every_step_of_a_message_is_documented_with_its_time() {
    assert!(TEMPLATE.contains(&format!("at most {} s", MESSAGE_BUDGET.as_secs())));
    let steps = STEPS.map(|(step, time)| format!("{step} {}", time.as_secs())).join(", ");
    let sum = format!("up to {} s: {steps}.", MESSAGE_BUDGET.as_secs());
    // The document is wrapped.
    let words: Vec<_> = RELIABILITY.split_whitespace().collect();
    assert!(words.join(" ").contains(&sum), "{sum}");
}
