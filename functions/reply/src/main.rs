//! Wiring: settings, clients, the runtime.

use std::sync::Arc;

use aws_lambda_events::event::sqs::SqsEvent;
use chrono::Utc;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use reply::database::Project;
use reply::graph::Graph;
use reply::llm::Llm;
use reply::llm::client::ChatCompletions;
use reply::llm::conversation::StoredConversations;
use reply::llm::settings::LlmSettings;
use reply::memory::Memory;
use reply::queues::Sqs;
use reply::responders::AnyResponder;
use reply::settings::{ResponderSettings, Settings};
use reply::{Clock, Reply, batch};
use shared::lambda::deadline::Deadline;
use shared::lambda::metrics::flush;
use shared::lambda::secrets::{Rotating, Secrets};
use shared::supabase::Supabase;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    shared::lambda::logging::init("reply");
    let http = shared::http::client()?;
    // Shared by all builds, so that it outlives a rotation of the secrets.
    let memory = Arc::new(Memory::default());
    let client = http.clone();
    let build = move |secrets: &Secrets| Ok(build(Settings::read(secrets)?, client.clone(), memory.clone()));
    let reply = Rotating::start(&http, build).await;
    let reply = reply.inspect_err(|error| tracing::error!(%error, "reply cannot start"))?;
    let reply = &reply;
    let handle = async |event: LambdaEvent<SqsEvent>| {
        let deadline = Deadline::at(event.context.deadline());
        let deliveries = event.payload.records.into_iter().map(Into::into).collect();
        let answer = batch::process(deliveries, deadline, &*reply.current().await).await;
        flush();
        Ok::<_, Error>(answer)
    };
    lambda_runtime::run(service_fn(handle)).await
}

fn build(
    settings: Settings,
    http: reqwest::Client,
    memory: Arc<Memory>,
) -> Reply<Project, Graph, Sqs, AnyResponder> {
    settings.graph.version.warn_if_retired(Utc::now().date_naive());
    let supabase = Supabase::new(&settings.supabase_url, settings.supabase_key, http.clone());
    let clock: Clock = Arc::new(Utc::now);
    let responder = match settings.responder {
        ResponderSettings::Echo => AnyResponder::Echo,
        ResponderSettings::Silent => AnyResponder::Silent,
        ResponderSettings::Llm(llm) => {
            let LlmSettings { api, rules } = *llm;
            let model = ChatCompletions::new(api, http.clone());
            let conversations = StoredConversations::new(supabase.clone());
            AnyResponder::Llm(Box::new(Llm { model, conversations, rules, clock: clock.clone() }))
        }
    };
    let read_receipts = match responder {
        // No reply would end the typing indicator.
        AnyResponder::Silent => settings.read_receipts.without_typing(),
        AnyResponder::Echo | AnyResponder::Llm(_) => settings.read_receipts,
    };
    Reply {
        database: Project::new(supabase),
        queues: Sqs::new(settings.queues, &http),
        messenger: Graph::new(settings.graph, http),
        responder,
        registration_text: settings.registration_text,
        read_receipts,
        answers_groups: settings.answers_groups,
        phone_number_id: settings.phone_number_id,
        window: settings.window,
        clock,
        memory,
    }
}
