//! Automatic correspondents, which answer every reply, on the real binaries.

use local_stack::Stack;
use reply::memory::TURNS;
use shared::lambda::logging::ShortWamid;

use local_testing::*;

/// The maximum number of `reply` processes in `local`.
const PROCESSES: usize = 4;

/// Sends a message, and another one after each reply. Returns the number of replies until a message gets none.
async fn answers_to_an_automatic_sender(stack: &Stack, number: &str, name: &str) -> usize {
    for turn in 0..=PROCESSES * TURNS {
        let mark = stack.logs.mark();
        let wamid = format!("wamid.{name}.{turn:04}");
        let mut message = text(number, &wamid, "I am not here");
        message["timestamp"] = chrono::Utc::now().timestamp().to_string().into();
        let status = stack.post(&payload(&[message])).await.expect("answered");
        assert_eq!(status, 200);
        let short = ShortWamid::of(&wamid).to_string();
        let is_end = |entry: &local_stack::logs::Entry| {
            entry.field("wamid") == short
                && ["answered", "registration_sent", "silenced", "ignored"].contains(&entry.field("outcome"))
        };
        let entries = stack.logs.wait(mark, DEADLINE, |entries| entries.iter().any(is_end)).await;
        let end = entries.iter().find(|entry| is_end(entry)).expect("an outcome");
        if ["silenced", "ignored"].contains(&end.field("outcome")) {
            return turn;
        }
    }
    panic!("{name}: answered without end");
}

#[tokio::test]
async fn an_automatic_correspondent_is_silenced() {
    let stack = stack().await;
    let (linked, unlinked) = tokio::join!(
        answers_to_an_automatic_sender(&stack, PHONE_A, "linked"),
        answers_to_an_automatic_sender(&stack, "491701234567", "unlinked")
    );
    assert!((TURNS..=PROCESSES * TURNS).contains(&linked), "{linked}");
    assert_eq!(unlinked, 1, "the registration text is sent once");
    assert_eq!(stack.services.graph.received().len(), linked + unlinked);
    // Two rows for each answered message, and one for the unanswered message.
    assert_eq!(rows(&stack).await.len(), 2 * linked + 1);
    stack.stop().await.expect("stopped");
}
