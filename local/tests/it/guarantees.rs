//! The tests that `docs/RELIABILITY.md` names for its guarantees exist.

/// Each test file by its name in the document.
const FILES: [(&str, &str); 18] = [
    ("simulation", include_str!("../../../tools/simulation/tests/it/main.rs")),
    ("failures", include_str!("failures.rs")),
    ("pipeline", include_str!("pipeline.rs")),
    ("dead_letters", include_str!("../../../tools/ops/tests/it/dead_letters.rs")),
    ("updates", include_str!("updates.rs")),
    ("loops", include_str!("loops.rs")),
    ("one_answer", include_str!("one_answer.rs")),
    ("messages", include_str!("../../../functions/reply/tests/it/messages.rs")),
    ("people", include_str!("../../../functions/reply/tests/it/people.rs")),
    ("turns", include_str!("../../../functions/reply/tests/it/turns.rs")),
    ("sending", include_str!("../../../functions/reply/tests/it/sending.rs")),
    ("business", include_str!("../../../functions/reply/tests/it/business.rs")),
    ("kinds", include_str!("../../../functions/reply/tests/it/kinds.rs")),
    ("sqs", include_str!("../../../functions/webhook/tests/it/sqs.rs")),
    ("secrets", include_str!("../../../shared/tests/it/secrets.rs")),
    ("statuses", include_str!("../../supabase/tests/it/statuses.rs")),
    ("identity", include_str!("../../supabase/tests/it/identity.rs")),
    ("batch::tests", include_str!("../../../functions/reply/src/batch_tests.rs")),
];

#[test]
fn every_test_named_by_a_guarantee_exists() {
    let page = include_str!("../../../docs/RELIABILITY.md");
    let mut found = 0;
    for code in page.split('`').skip(1).step_by(2) {
        let Some((file, test)) = code.rsplit_once("::") else { continue };
        let Some((_, source)) = FILES.iter().find(|(name, _)| *name == file) else { continue };
        // A name that ends in `…` is a prefix.
        let function = match test.strip_suffix('…') {
            Some(beginning) => format!("fn {beginning}"),
            None => format!("fn {test}("),
        };
        assert!(source.contains(&function), "{code} is not in its file");
        found += 1;
    }
    assert!(found > 20, "only {found} tests are named");
}
