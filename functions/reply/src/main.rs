//! Wiring: settings, clients, the runtime.

use aws_lambda_events::event::sqs::SqsEvent;
use chrono::Utc;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use reply::graph::Graph;
use reply::history::History;
use reply::responder::Echo;
use reply::settings::Settings;
use reply::users::Users;
use reply::{Reply, batch};
use shared::supabase::Supabase;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    shared::logging::init();
    let reply = start().inspect_err(|error| tracing::error!(%error, "reply cannot start"))?;
    let reply = &reply;
    let handle = async |event: LambdaEvent<SqsEvent>| {
        Ok::<_, Error>(batch::process(event.payload.records, |body| reply.handle(body)).await)
    };
    lambda_runtime::run(service_fn(handle)).await
}

fn start() -> Result<Reply<Echo>, Error> {
    let settings = Settings::from_env()?;
    settings.graph.version.warn_if_retired(Utc::now().date_naive());
    let http = shared::http::client()?;
    let supabase = Supabase::new(&settings.supabase_url, settings.supabase_key, http.clone());
    Ok(Reply {
        users: Users::new(supabase.clone()),
        history: History::new(supabase),
        graph: Graph::new(settings.graph, http),
        responder: Echo,
        registration_text: settings.registration_text,
        phone_number_id: settings.phone_number_id,
    })
}
