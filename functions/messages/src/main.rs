//! Wiring: settings, the client, the runtime.

use std::convert::Infallible;

use lambda_http::{Error, Request, RequestExt, service_fn};
use messages::Messages;
use messages::history::History;
use messages::settings::Settings;
use shared::metrics::{flush, timed};
use shared::supabase::Supabase;
use shared::trace;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    shared::logging::init("messages");
    let messages = start().inspect_err(|error| tracing::error!(%error, "messages cannot start"))?;
    let messages = &messages;
    lambda_http::run(service_fn(async |request: Request| {
        let trace = request.lambda_context_ref().and_then(|context| context.xray_trace_id.clone());
        let answer = timed("history_ms", trace::within(trace, messages.handle(request))).await;
        flush();
        Ok::<_, Infallible>(answer)
    }))
    .await
}

fn start() -> Result<Messages<History>, Error> {
    let settings = Settings::from_env()?;
    let supabase = Supabase::new(&settings.supabase_url, settings.supabase_key, shared::http::client()?);
    Ok(Messages::new(History::new(supabase)))
}
