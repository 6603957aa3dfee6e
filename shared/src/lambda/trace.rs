//! The X-Ray trace of a request, propagated from API Gateway through SQS to the Graph API and Supabase.
//!
//! Source: “X-Ray tracing header”, AWS X-Ray Developer Guide; `AWSTraceHeader` in the Amazon SQS Developer Guide.

use std::future::Future;

/// The header of a request or response with the trace.
pub const HEADER: &str = "x-amzn-trace-id";

/// The system attribute of an SQS message with the trace.
pub const SQS_ATTRIBUTE: &str = "AWSTraceHeader";

tokio::task_local! {
    static TRACE: Option<String>;
}

/// Runs `work` within `trace`.
pub async fn within<T>(trace: Option<String>, work: impl Future<Output = T>) -> T {
    TRACE.scope(trace.filter(|trace| is_usable(trace)), work).await
}

/// Returns the trace of the current work.
#[must_use]
pub fn current() -> Option<String> {
    TRACE.try_with(Clone::clone).ok().flatten()
}

/// Whether the trace is valid as the value of a header and of an SQS attribute.
fn is_usable(trace: &str) -> bool {
    (1..=256).contains(&trace.len()) && trace.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_trace_is_visible_only_to_its_own_work() {
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
