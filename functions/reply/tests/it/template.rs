//! The times in the template and the README, compared with the timeouts in the code.

use std::time::Duration;

use reply::budget::{MESSAGE_BUDGET, RESPONSE, STEPS};

const TEMPLATE: &str = include_str!("../../../../template.yaml");
const README: &str = include_str!("../../../../README.md");

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
fn template_and_readme_list_every_step_with_its_time() {
    let total = format!("up to {} s", MESSAGE_BUDGET.as_secs());
    assert!(README.contains(&total) && TEMPLATE.contains(&format!("at most {} s", MESSAGE_BUDGET.as_secs())));
    // Both texts have wrapped lines.
    let words =
        |text: &str| text.split_whitespace().filter(|word| *word != "#").collect::<Vec<_>>().join(" ");
    let (readme, template) = (words(README), words(TEMPLATE));
    for (step, time) in STEPS {
        let seconds = time.as_secs();
        assert!(readme.contains(&format!("{step} {seconds}")), "{step} {seconds}");
        assert!(template.contains(&format!("{step} {seconds} s")), "{step} {seconds} s");
    }
}
