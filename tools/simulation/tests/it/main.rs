//! The fault simulation: the guarantees hold, runs are reproducible, and deliberate defects are detected.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a failed test panics")]

use std::process::Stdio;

use serde_json::Value;
use simulation::Defect;
use simulation::harness::many::{run_many, seed_of};
use simulation::harness::report::Summary;
use simulation::harness::run::run;
use tokio::process::Command;

/// First seed of the tests. `.ci/run` uses another seed each time.
const SEED: u64 = 20_261_124;

/// Every kind of fault in a run.
const FAULTS: [&str; 66] = [
    "Graph 131047 (final)",
    "Graph 131048",
    "Graph 131056",
    "Graph 131056 to one sender",
    "Graph 190 or 0 (account)",
    "Graph 429",
    "Graph 5xx",
    "Graph connection reset after effect",
    "Graph connection reset before effect",
    "Graph loses a read receipt",
    "Graph refuses a read receipt",
    "Graph timeout after effect",
    "Graph timeout before effect",
    "Graph unreachable",
    "SQS response lost",
    "SQS refuses a batch",
    "SQS refuses a call",
    "SQS refuses a status",
    "SQS refuses some entries",
    "automatic answer",
    "code guessed",
    "code sent again",
    "code sent by another person",
    "code sent late",
    "code superseded",
    "conversation too long for the model",
    "daily limit reached",
    "database down",
    "database fails after the commit",
    "database fails while it answers",
    "database refuses a status",
    "database silent",
    "database slow",
    "duplicate delivery",
    "fallback text",
    "handled message not deleted",
    "link removed",
    "model fails",
    "model refuses more requests",
    "model refuses the key",
    "model silent",
    "model slow",
    "model unreachable",
    "model's answer lost",
    "model's answer unusable",
    "number taken by another person",
    "panic",
    "process crashed",
    "process crashed after a hold",
    "process crashed after the answer",
    "process crashed after the answer was stored",
    "process crashed after the lookup",
    "process crashed after the record",
    "process crashed after the send",
    "question answered by another person",
    "question answered by both buttons",
    "question answered late",
    "question answered twice",
    "question declined",
    "question not answered",
    "redelivery",
    "repeated status",
    "responder fails",
    "short deadline",
    "webhook response lost",
    "webhook crashed",
];

#[test]
fn guarantees_hold_under_all_faults() {
    let (summary, failed) = run_many(SEED, 400, None, |_| {}).expect("runs");
    let violations: Vec<_> =
        failed.iter().map(|outcome| (outcome.seed, &outcome.findings.violations)).collect();
    assert!(summary.is_clean(), "{summary}\n{violations:#?}");
    assert_eq!(summary.runs, 400);
    assert!(summary.messages > 4000 && summary.dead_letters > 0, "{summary}");
    assert!(summary.statuses > 5_000 && summary.events > 200 && summary.links > 100, "{summary}");
    let missing: Vec<_> = FAULTS.iter().filter(|kind| !summary.faults.contains_key(**kind)).collect();
    assert!(missing.is_empty(), "faults that never happened: {missing:?}\n{summary}");
}

#[test]
fn same_seed_gives_the_same_run() {
    let mut digests = std::collections::BTreeSet::new();
    for index in 0..10 {
        let seed = seed_of(SEED, index);
        let (first, again) = (run(seed, None, false).expect("a run"), run(seed, None, false).expect("a run"));
        assert_eq!(first, again, "{seed}");
        // Storing the trace does not change it.
        let traced = run(seed, None, true).expect("a run");
        assert_eq!((traced.digest, traced.trace.len()), (first.digest, first.digest.length), "{seed}");
        digests.insert(first.digest.hash);
    }
    assert_eq!(digests.len(), 10, "different seeds are different runs");
}

/// Runs with a deliberate defect until the expected violation is detected.
fn is_detected(what: Defect, detected: impl Fn(&Summary) -> u64) {
    // Most defects show in the first runs.
    let steps = std::iter::once((SEED, 4)).chain((0..20).map(|start| (SEED + start, 20)));
    for (seed, runs) in steps {
        let (summary, failed) = run_many(seed, runs, Some(what), |_| {}).expect("runs");
        if detected(&summary) > 0 {
            assert!(!summary.is_clean() && !failed.is_empty());
            return;
        }
    }
    panic!("{what:?} is not detected in 400 runs");
}

#[test]
fn missing_answer_check_is_detected_as_duplicate_replies() {
    is_detected(Defect::SkipAnsweredCheck, |summary| summary.counts.duplicate_replies_outside);
}

#[test]
fn dropped_record_tasks_are_detected_as_lost_rows() {
    is_detected(Defect::DropRecordTasks, |summary| summary.counts.lost);
}

#[test]
fn missing_groups_are_detected_as_order_violations() {
    is_detected(Defect::NoGroups, |summary| summary.counts.order_violations);
}

#[test]
fn shared_group_is_detected_as_delayed_senders() {
    is_detected(Defect::OneGroup, |summary| summary.counts.delayed_senders);
}

#[test]
fn hidden_followers_are_detected_as_delayed_senders() {
    is_detected(Defect::HideFollowers, |summary| summary.counts.delayed_senders);
}

#[test]
fn acknowledged_errors_are_detected_as_lost_messages() {
    is_detected(Defect::AcknowledgeErrors, |summary| summary.counts.lost);
}

#[test]
fn random_row_ids_are_detected_as_duplicate_rows() {
    is_detected(Defect::RandomRowIds, |summary| summary.counts.duplicate_rows);
}

#[test]
fn waiting_for_the_database_is_detected() {
    is_detected(Defect::WaitForDatabase, |summary| summary.counts.delayed_answers);
}

#[test]
fn missing_dead_lettering_is_detected_as_untried_letters() {
    is_detected(Defect::NeverDeadLetter, |summary| summary.counts.untried);
}

#[test]
fn deleted_dead_letters_are_detected_as_lost() {
    is_detected(Defect::LoseDeadLetters, |summary| summary.counts.lost);
}

#[test]
fn too_long_messages_are_detected() {
    is_detected(Defect::ShorterMessages, |summary| summary.counts.wrong_texts);
}

#[test]
fn ignored_cursor_is_detected_in_the_history() {
    is_detected(Defect::IgnoreCursor, |summary| summary.counts.history_errors);
}

#[test]
fn dropped_statuses_are_detected_as_lost() {
    is_detected(Defect::DropRefusedStatuses, |summary| summary.counts.lost_statuses);
}

#[test]
fn random_status_ids_are_detected_as_duplicates() {
    is_detected(Defect::RandomRowIds, |summary| summary.counts.duplicate_statuses);
}

#[test]
fn stale_status_overwrite_is_detected() {
    is_detected(Defect::LastStatusWins, |summary| summary.counts.wrong_statuses);
}

#[test]
fn statuses_in_the_sender_group_are_detected_as_delays() {
    is_detected(Defect::StatusesInSenderGroup, |summary| summary.counts.delayed_by_statuses);
}

#[test]
fn dropped_events_are_detected_as_lost() {
    is_detected(Defect::DropRefusedEvents, |summary| summary.counts.lost_events);
}

#[test]
fn incomplete_links_are_detected() {
    is_detected(Defect::NeverCompleteLinks, |summary| summary.counts.incomplete_links);
}

#[test]
fn ignored_deadline_is_detected() {
    is_detected(Defect::IgnoreDeadline, |summary| summary.counts.cut_invocations);
}

#[test]
fn forgotten_turns_are_detected_as_endless_loops() {
    is_detected(Defect::ForgetTurns, |summary| summary.counts.endless_loops);
}

#[test]
fn completed_identity_outliving_its_source_is_detected() {
    is_detected(Defect::KeepCompletedIdentity, |summary| summary.counts.misfiled + summary.counts.relinked);
}

#[test]
fn trusted_numbers_are_detected() {
    is_detected(Defect::TrustNumbers, |summary| summary.counts.misfiled);
}

#[test]
fn lookups_ignoring_the_written_time_are_detected() {
    is_detected(Defect::IgnoreWrittenAt, |summary| summary.counts.misfiled);
}

#[test]
fn unguarded_completion_is_detected() {
    is_detected(Defect::CompleteLinksUnguarded, |summary| summary.counts.relinked);
}

#[test]
fn reapplied_changes_are_detected() {
    is_detected(Defect::ApplyAgain, |summary| summary.counts.wrong_links);
}

#[test]
fn stale_changes_are_detected() {
    is_detected(Defect::ApplyStale, |summary| summary.counts.wrong_links);
}

#[test]
fn changes_applied_from_every_field_are_detected() {
    is_detected(Defect::ApplyFromEveryField, |summary| summary.counts.wrong_links);
}

#[test]
fn changes_in_their_own_group_are_detected() {
    is_detected(Defect::ChangesInOwnGroup, |summary| summary.counts.lost);
}

#[test]
fn links_without_a_tap_are_detected() {
    is_detected(Defect::LinkWithoutTap, |summary| summary.counts.unproven_links);
}

#[test]
fn links_by_any_tap_are_detected() {
    is_detected(Defect::LinkAnyTap, |summary| summary.counts.unproven_links);
}

#[test]
fn codes_used_twice_are_detected() {
    is_detected(Defect::UseCodesTwice, |summary| summary.counts.unproven_links);
}

#[test]
fn forgotten_codes_are_detected_as_recorded_steps() {
    is_detected(Defect::ForgetUsedCodes, |summary| summary.counts.recorded_steps);
}

#[test]
fn codes_expiring_on_arrival_are_detected_as_unfinished_links() {
    is_detected(Defect::ExpireOnArrival, |summary| summary.counts.unfinished_links);
}

#[test]
fn hidden_codes_are_detected_as_registration_texts() {
    is_detected(Defect::HideCodes, |summary| summary.counts.extra_registrations);
}

#[test]
fn forgotten_registration_texts_are_detected() {
    is_detected(Defect::ForgetRegistrationTexts, |summary| summary.counts.extra_registrations);
}

#[test]
fn missing_status_check_is_detected_as_second_answers() {
    is_detected(Defect::SkipStatusCheck, |summary| summary.counts.duplicate_replies_outside);
}

#[test]
fn dropped_callback_data_is_detected_as_second_answers() {
    is_detected(Defect::DropCallbackData, |summary| summary.counts.duplicate_replies_outside);
}

#[test]
fn forgotten_stored_answers_are_detected_as_changed_words() {
    is_detected(Defect::ForgetStoredAnswers, |summary| summary.counts.changed_words);
}

#[test]
fn changed_words_are_detected() {
    is_detected(Defect::ChangeWords, |summary| summary.counts.changed_words);
}

#[test]
fn kept_stored_answers_are_detected() {
    is_detected(Defect::KeepStoredAnswers, |summary| summary.counts.stored_answers_left);
}

#[test]
fn counted_holds_are_detected_as_early_dead_letters() {
    is_detected(Defect::CountHolds, |summary| summary.counts.early_letters);
}

#[test]
fn endless_holds_are_detected() {
    is_detected(Defect::HoldForever, |summary| summary.counts.overheld);
}

#[test]
fn forgotten_joined_messages_are_detected() {
    is_detected(Defect::ForgetJoined, |summary| {
        summary.counts.split_turns + summary.counts.duplicate_replies_outside
    });
}

#[test]
fn new_messages_in_a_retry_are_detected_as_changed_turns() {
    is_detected(Defect::CountFirstTwice, |summary| summary.counts.changed_turns);
}

#[test]
fn a_model_that_is_asked_again_is_detected() {
    is_detected(Defect::ForgetStoredAnswers, |summary| summary.counts.needless_calls);
}

#[test]
fn endless_retries_of_the_model_are_detected() {
    is_detected(Defect::RetryForever, |summary| summary.counts.late_fallbacks);
}

#[test]
fn ignored_limits_are_detected() {
    is_detected(Defect::IgnoreLimits, |summary| summary.counts.exceeded_limits);
}

async fn simulation(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_simulation"));
    let output = command.args(arguments).stdin(Stdio::null()).output().await.expect("it starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn command_prints_the_summary() {
    let (code, json, said) = simulation(&["--runs", "20", "--seed", "7", "--json"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("20 runs from seed 7"), "{said}");
    let summary: Value = serde_json::from_str(&json).expect("one JSON object");
    assert_eq!((&summary["runs"], &summary["seed"]), (&20.into(), &7.into()));
    assert!(summary["messages"].as_u64() > Some(100), "{json}");
    assert!(summary["statuses"].as_u64() > Some(200) && summary["events"].as_u64() > Some(5), "{json}");
    for nothing in [
        "lost",
        "duplicate_rows",
        "duplicate_replies_outside",
        "order_violations",
        "lost_statuses",
        "duplicate_statuses",
        "wrong_statuses",
        "lost_events",
        "cut_invocations",
        "endless_loops",
        "misfiled",
        "relinked",
        "wrong_links",
        "unproven_links",
        "unfinished_links",
        "recorded_steps",
        "extra_registrations",
        "split_turns",
        "changed_turns",
        "changed_words",
        "overheld",
        "early_letters",
        "stored_answers_left",
        "needless_calls",
        "late_fallbacks",
        "exceeded_limits",
    ] {
        assert_eq!(summary[nothing], 0, "{nothing}");
    }
    for by_kind in ["faults", "duplicate_replies_by_cause", "second_answers"] {
        assert!(summary[by_kind].as_object().is_some_and(|kinds| !kinds.is_empty()), "{by_kind}");
    }
    let (code, text, _) = simulation(&["--runs", "1", "--seed", "7"]).await;
    assert_eq!(code, Some(0));
    let last = text.trim_end().lines().last().expect("a line");
    assert!(
        last.starts_with("seed 7: runs 1, messages ") && last.contains("lost 0, duplicate rows 0"),
        "{last}"
    );
}
