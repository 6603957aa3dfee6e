//! Processes that crash.

use std::pin::{Pin, pin};
use std::task::{Context, Poll};

/// Runs a process that crashes before its `steps + 1`st step, losing all unfinished work.
pub async fn run_until_crash<F: Future>(process: F, steps: Option<u64>) -> Option<F::Output> {
    let mut process = pin!(process);
    let mut steps = steps;
    std::future::poll_fn(move |context: &mut Context<'_>| {
        if let Some(left) = &mut steps {
            match left.checked_sub(1) {
                Some(less) => *left = less,
                None => return Poll::Ready(None),
            }
        }
        Pin::as_mut(&mut process).poll(context).map(Some)
    })
    .await
}
