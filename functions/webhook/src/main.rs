//! Wiring: settings, the queue, the runtime.

use std::convert::Infallible;

use lambda_http::{Error, Request, service_fn};
use webhook::Webhook;
use webhook::queue::Sqs;
use webhook::settings::Settings;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    shared::logging::init();
    let webhook = start().inspect_err(|error| tracing::error!(%error, "webhook cannot start"))?;
    let webhook = &webhook;
    lambda_http::run(service_fn(async |request: Request| Ok::<_, Infallible>(webhook.handle(request).await)))
        .await
}

fn start() -> Result<Webhook<Sqs>, Error> {
    let settings = Settings::from_env()?;
    let queue = Sqs::new(&settings.queue);
    Ok(Webhook::new(settings.app_secret, settings.verify_token, queue))
}
