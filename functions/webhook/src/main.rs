//! Wiring: settings, the queue, the runtime.

use lambda_http::Error;
use shared::lambda::api;
use shared::lambda::secrets::Rotating;
use webhook::Webhook;
use webhook::queue::Sqs;
use webhook::settings::Settings;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    shared::lambda::logging::init("webhook");
    let http = shared::http::client()?;
    let client = http.clone();
    let webhook = Rotating::start(&http, move |secrets| {
        let settings = Settings::read(secrets)?;
        Ok(Webhook::new(settings.app_secret, settings.verify_token, Sqs::new(&settings.queue, &client)))
    });
    let webhook = webhook.await.inspect_err(|error| tracing::error!(%error, "webhook cannot start"))?;
    let webhook = &webhook;
    api::run("webhook_ms", async |request| webhook.current().await.handle(request).await).await
}
