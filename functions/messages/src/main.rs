//! Wiring: settings, the client, the runtime.

use lambda_http::Error;
use messages::Messages;
use messages::history::History;
use messages::settings::Settings;
use shared::lambda::api;
use shared::supabase::Supabase;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    shared::lambda::logging::init("messages");
    let messages = start().inspect_err(|error| tracing::error!(%error, "messages cannot start"))?;
    let messages = &messages;
    api::run("history_ms", async |request| messages.handle(request).await).await
}

fn start() -> Result<Messages<History>, Error> {
    let settings = Settings::from_env()?;
    let supabase = Supabase::new(&settings.supabase_url, settings.supabase_key, shared::http::client()?);
    Ok(Messages::new(History::new(supabase)))
}
