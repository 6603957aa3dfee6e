//! The X-Ray trace that a request belongs to, handed on from API Gateway through SQS to the Graph API and Supabase.
//!
//! Source: “X-Ray tracing header”, AWS X-Ray Developer Guide; `AWSTraceHeader` in the Amazon SQS Developer Guide.

use std::future::Future;

/// The header of a request, and of a response, that names the trace.
pub const HEADER: &str = "x-amzn-trace-id";

/// SQS's name for the same.
pub const SQS_ATTRIBUTE: &str = "AWSTraceHeader";

tokio::task_local! {
    static TRACE: Option<String>;
}

/// Runs `work` as a part of `trace`.
pub async fn within<T>(trace: Option<String>, work: impl Future<Output = T>) -> T {
    TRACE.scope(trace.filter(|trace| is_usable(trace)), work).await
}

/// The trace of the work under way.
#[must_use]
pub fn current() -> Option<String> {
    TRACE.try_with(Clone::clone).ok().flatten()
}

/// A header's value, and one that SQS takes.
fn is_usable(trace: &str) -> bool {
    (1..=256).contains(&trace.len()) && trace.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_knows_its_own_trace_and_nothing_else_does() {
        let trace = || Some("Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1".to_owned());
        assert_eq!(current(), None);
        let outer = within(trace(), async {
            let inner = within(None, async { current() }).await;
            (inner, current())
        });
        assert_eq!(outer.await, (None, trace()));
        let unusable = Some("Root=1\r\nx: y".to_owned());
        assert_eq!(within(unusable, async { current() }).await, None);
    }
}
