//! Wiring: settings, the queue, the runtime.

use std::convert::Infallible;

use lambda_http::{Error, Request, RequestExt, service_fn};
use shared::metrics::{flush, timed};
use shared::secrets::Rotating;
use shared::trace;
use webhook::Webhook;
use webhook::queue::Sqs;
use webhook::settings::Settings;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    shared::logging::init("webhook");
    let webhook = Rotating::start(|secrets| {
        let settings = Settings::read(secrets)?;
        Ok(Webhook::new(settings.app_secret, settings.verify_token, Sqs::new(&settings.queue)))
    });
    let webhook = webhook.await.inspect_err(|error| tracing::error!(%error, "webhook cannot start"))?;
    let webhook = &webhook;
    lambda_http::run(service_fn(async |request: Request| {
        let trace = request.lambda_context_ref().and_then(|context| context.xray_trace_id.clone());
        let answer = async { webhook.current().await.handle(request).await };
        let answer = timed("webhook_ms", trace::within(trace, answer)).await;
        flush();
        Ok::<_, Infallible>(answer)
    }))
    .await
}
