//! The fault simulation: the promises are kept, a run is its seed, and a promise that is broken is noticed.

use std::process::Stdio;

use serde_json::Value;
use simulation::Break;
use simulation::many::{run_many, seed_of};
use simulation::report::Summary;
use simulation::run::run;
use tokio::process::Command;

/// Where the tests' runs begin. `.ci/run` begins somewhere else each time.
const SEED: u64 = 20_261_124;

/// Every kind of fault that a run may meet.
const FAULTS: [&str; 36] = [
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
    "SQS answer lost",
    "SQS refuses a batch",
    "SQS refuses a call",
    "SQS refuses a status",
    "SQS refuses some entries",
    "automatic answer",
    "database down",
    "database fails after the commit",
    "database fails while it answers",
    "database refuses a status",
    "database silent",
    "database slow",
    "duplicate delivery",
    "handled message not deleted",
    "panic",
    "process died",
    "redelivery",
    "repeated status",
    "responder fails",
    "short deadline",
    "webhook answer lost",
    "webhook died",
];

#[test]
fn every_promise_is_kept_whatever_goes_wrong() {
    let (summary, failed) = run_many(SEED, 400, None, |_| {}).expect("runs");
    let violations: Vec<_> =
        failed.iter().map(|outcome| (outcome.seed, &outcome.findings.violations)).collect();
    assert!(summary.is_clean(), "{summary}\n{violations:#?}");
    assert_eq!(summary.runs, 400);
    assert!(summary.messages > 4000 && summary.dead_letters > 0, "{summary}");
    assert!(summary.statuses > 5_000 && summary.events > 200, "{summary}");
    let missing: Vec<_> = FAULTS.iter().filter(|kind| !summary.faults.contains_key(**kind)).collect();
    assert!(missing.is_empty(), "faults that never happened: {missing:?}\n{summary}");
}

#[test]
fn the_same_seed_is_the_same_run() {
    let mut digests = std::collections::BTreeSet::new();
    for index in 0..10 {
        let seed = seed_of(SEED, index);
        let (first, again) = (run(seed, None, false).expect("a run"), run(seed, None, false).expect("a run"));
        assert_eq!(first, again, "{seed}");
        // Keeping the story changes nothing in it.
        let told = run(seed, None, true).expect("a run");
        assert_eq!((told.digest, told.trace.len()), (first.digest, first.digest.length), "{seed}");
        digests.insert(first.digest.hash);
    }
    assert_eq!(digests.len(), 10, "different seeds are different runs");
}

/// Breaks a promise on purpose, and runs until that is noticed in the way that it must be.
fn is_noticed(what: Break, noticed: impl Fn(&Summary) -> u64) {
    for start in 0..20 {
        let seed = SEED + start;
        let (summary, failed) = run_many(seed, 20, Some(what), |_| {}).expect("runs");
        if noticed(&summary) > 0 {
            assert!(!summary.is_clean() && !failed.is_empty());
            return;
        }
    }
    panic!("{what:?} is not noticed in 400 runs");
}

#[test]
fn nobody_asks_whether_it_was_answered_before_is_noticed_as_second_echoes() {
    is_noticed(Break::SkipAnsweredCheck, |summary| summary.second_echoes_outside);
}

#[test]
fn record_tasks_that_are_dropped_are_noticed_as_lost_rows() {
    is_noticed(Break::DropRecordTasks, |summary| summary.lost);
}

#[test]
fn a_queue_without_groups_is_noticed_as_disorder() {
    is_noticed(Break::NoGroups, |summary| summary.order_violations);
}

#[test]
fn senders_in_one_group_are_noticed_to_wait_for_each_other() {
    is_noticed(Break::OneGroup, |summary| summary.delayed_senders);
}

#[test]
fn messages_that_are_punished_for_the_one_before_them_are_noticed_to_wait() {
    is_noticed(Break::PunishFollowers, |summary| summary.delayed_senders);
}

#[test]
fn errors_that_are_acknowledged_are_noticed_as_lost_messages() {
    is_noticed(Break::AcknowledgeErrors, |summary| summary.lost);
}

#[test]
fn row_ids_by_chance_are_noticed_as_duplicate_rows() {
    is_noticed(Break::RandomRowIds, |summary| summary.duplicate_rows);
}

#[test]
fn answers_that_wait_for_the_database_are_noticed() {
    is_noticed(Break::WaitForDatabase, |summary| summary.delayed_answers);
}

#[test]
fn a_count_that_is_left_to_the_queue_is_noticed_as_dead_letters_that_were_never_tried() {
    is_noticed(Break::NeverGiveUp, |summary| summary.untried);
}

#[test]
fn dead_letters_that_are_deleted_are_noticed_as_lost() {
    is_noticed(Break::LoseDeadLetters, |summary| summary.lost);
}

#[test]
fn texts_that_are_too_long_are_noticed() {
    is_noticed(Break::ShorterTexts, |summary| summary.wrong_texts);
}

#[test]
fn pages_that_do_not_go_on_are_noticed_in_the_history() {
    is_noticed(Break::IgnoreCursor, |summary| summary.history_errors);
}

#[test]
fn statuses_that_are_dropped_are_noticed_as_lost() {
    is_noticed(Break::DropRefusedStatuses, |summary| summary.lost_statuses);
}

#[test]
fn status_ids_by_chance_are_noticed_as_duplicate_statuses() {
    is_noticed(Break::RandomRowIds, |summary| summary.duplicate_statuses);
}

#[test]
fn a_status_that_is_applied_after_a_later_one_is_noticed() {
    is_noticed(Break::LastStatusWins, |summary| summary.wrong_statuses);
}

#[test]
fn statuses_in_the_sender_s_group_are_noticed_as_answers_that_wait_for_them() {
    is_noticed(Break::StatusesInSenderGroup, |summary| summary.delayed_by_statuses);
}

#[test]
fn events_that_are_dropped_are_noticed_as_lost() {
    is_noticed(Break::DropRefusedEvents, |summary| summary.lost_events);
}

#[test]
fn links_that_stay_as_they_were_are_noticed() {
    is_noticed(Break::LearnNothing, |summary| summary.unlearned);
}

#[test]
fn invocations_that_ignore_their_end_are_noticed() {
    is_noticed(Break::IgnoreDeadline, |summary| summary.cut_invocations);
}

#[test]
fn turns_that_are_forgotten_are_noticed_as_endless_loops() {
    is_noticed(Break::ForgetTurns, |summary| summary.endless_loops);
}

#[test]
fn what_is_learned_and_outlives_its_link_is_noticed() {
    is_noticed(Break::KeepLearned, |summary| summary.misfiled + summary.relinked);
}

#[test]
fn numbers_that_are_trusted_whoever_writes_are_noticed() {
    is_noticed(Break::TrustNumbers, |summary| summary.misfiled);
}

#[test]
fn look_ups_that_ignore_when_it_was_written_are_noticed() {
    is_noticed(Break::IgnoreWrittenAt, |summary| summary.misfiled);
}

#[test]
fn learning_without_a_guard_is_noticed() {
    is_noticed(Break::LearnUnguarded, |summary| summary.relinked);
}

#[test]
fn changes_that_are_applied_again_are_noticed() {
    is_noticed(Break::ApplyAgain, |summary| summary.wrong_links);
}

#[test]
fn changes_older_than_the_link_are_noticed() {
    is_noticed(Break::ApplyStale, |summary| summary.wrong_links);
}

#[test]
fn changes_followed_in_every_field_are_noticed() {
    is_noticed(Break::FollowEverywhere, |summary| summary.wrong_links);
}

#[test]
fn changes_in_a_group_of_their_own_are_noticed() {
    is_noticed(Break::ChangesAlone, |summary| summary.lost);
}

async fn simulation(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_simulation"));
    let output = command.args(arguments).stdin(Stdio::null()).output().await.expect("it starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn the_command_says_what_the_runs_came_to() {
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
        "second_echoes_outside",
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
    ] {
        assert_eq!(summary[nothing], 0, "{nothing}");
    }
    for by_kind in ["faults", "second_echoes_by_cause"] {
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
