//! Wiring: settings, the client, the runtime.

use std::convert::Infallible;

use lambda_http::{Error, Request, service_fn};
use messages::Messages;
use messages::history::History;
use messages::settings::Settings;
use shared::supabase::Supabase;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    shared::logging::init();
    let messages = start().inspect_err(|error| tracing::error!(%error, "messages cannot start"))?;
    let messages = &messages;
    lambda_http::run(service_fn(async |request: Request| Ok::<_, Infallible>(messages.handle(request).await)))
        .await
}

fn start() -> Result<Messages<History>, Error> {
    let settings = Settings::from_env()?;
    let supabase = Supabase::new(&settings.supabase_url, settings.supabase_key, shared::http::client()?);
    Ok(Messages::new(History::new(supabase)))
}
