//! Services, functions, gateway and event source mapping, started and stopped together.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use local_lambda::{
    Cors, EventSourceConfig, EventSourceMapping, Function, FunctionConfig, Gateway, HttpServer, InvokeError,
};
use local_process::Guardian;
use uuid::Uuid;

use crate::compile::{self, Binaries};
use crate::fresh_ids::FreshIds;
use crate::logs::Logs;
use crate::options::Options;
use crate::services::Services;

/// The wait time of one poll of another endpoint. A waiting poll of moto does not notice that a message group has been
/// unlocked: with Lambda's 20 s, every message of a conversation would take as long.
const FOREIGN_WAIT_TIME: Duration = Duration::from_secs(1);

/// The CORS settings of `template.yaml`, with the origins of this machine in place of `CorsOrigins`.
pub const CORS: Cors = Cors {
    allows_origin: local_loopback::is_loopback_origin,
    allow_methods: "GET",
    allow_headers: "authorization",
    expose_headers: "link,retry-after",
    max_age: 3600,
};

/// The running services and functions.
pub struct Stack {
    /// Queue, database, Graph API and model.
    pub services: Arc<Services>,
    /// The functions' logs.
    pub logs: Logs,
    /// Receives Meta's webhook requests.
    pub webhook: Function,
    /// Replies and stores both messages.
    pub reply: Function,
    /// Serves the history.
    pub messages: Function,
    routes: Router,
    gateway: HttpServer,
    mappings: [EventSourceMapping; 2],
    // Last: it ends processes that the other fields have left.
    guardian: Guardian,
}

impl Stack {
    /// Builds the functions and starts everything; `progress` is called before each step.
    ///
    /// # Errors
    /// When something does not compile or cannot be started.
    pub async fn start(options: &Options, progress: fn(&str)) -> anyhow::Result<Self> {
        options.supabase.check()?;
        options.responder.read()?;
        let guardian = Guardian::start().context("/bin/sh cannot be started")?;
        progress("building the functions");
        let binaries = compile::functions(&guardian).await?;
        progress("starting the database, the queue and the fakes");
        let services = Services::start(options, &guardian, progress).await?;
        progress("starting the functions");
        Self::with(services, &binaries, options, guardian).await
    }

    /// Starts the functions on running services.
    ///
    /// # Errors
    /// When a function cannot be started.
    pub async fn with(
        services: Services,
        binaries: &Binaries,
        options: &Options,
        guardian: Guardian,
    ) -> anyhow::Result<Self> {
        let logs = Logs::default();
        let function =
            |name: &str, executable: &Path, timeout: u64, environment: BTreeMap<String, String>| {
                let mut config = FunctionConfig::new(name, executable);
                config.timeout = Duration::from_secs(timeout);
                config.memory_mb = 256;
                config.env = environment;
                // Outcomes are read from the logs.
                config.env.insert("RUST_LOG".to_owned(), "info".to_owned());
                Function::start(config, &guardian, logs.sink())
            };
        let webhook = function("webhook", &binaries.webhook, 10, services.webhook_environment())?;
        let reply = function("reply", &binaries.reply, 90, services.reply_environment())?;
        let messages = function("messages", &binaries.messages, 10, services.messages_environment())?;
        tokio::try_join!(warm(&webhook), warm(&reply), warm(&messages))?;

        // Any method: the functions decide on the method themselves.
        let routes = Gateway::new().route("/webhook", &webhook).route("/messages", &messages).cors(CORS);
        let routes = routes.into_router();
        let gateway = HttpServer::start(routes.clone(), options.port).await.with_context(|| {
            format!("port {} of 127.0.0.1 cannot be used: choose another with --port", options.port)
        })?;
        let queues = &services.queues;
        let mappings = [&queues.inbound_url, &queues.records_url].map(|url| {
            let mut mapping = EventSourceConfig::new(queues.client.clone(), url, reply.clone());
            mapping.maximum_concurrency = 4;
            if options.sqs_endpoint.is_some() {
                mapping.wait_time = FOREIGN_WAIT_TIME;
            }
            EventSourceMapping::start(mapping)
        });
        let services = Arc::new(services);
        Ok(Self { services, logs, webhook, reply, messages, routes, gateway, mappings, guardian })
    }

    /// Returns the gateway's URL, which Meta and apps would call.
    #[must_use]
    pub fn url(&self) -> String {
        self.gateway.url()
    }

    /// Returns the gateway's routes to the functions.
    pub fn routes(&self) -> Router {
        self.routes.clone()
    }

    /// Replaces the gateway's routes, initially [`Stack::routes`], with `router`.
    pub fn serve(&self, router: Router) {
        self.gateway.replace(router);
    }

    /// Returns the guardian, which ends the processes and removes the files that must not outlive this process.
    #[must_use]
    pub fn guardian(&self) -> &Guardian {
        &self.guardian
    }

    /// Returns the two users of the seed, each with a token.
    ///
    /// # Errors
    /// When a token cannot be signed.
    pub fn users(&self) -> anyhow::Result<[(Uuid, String); 2]> {
        self.services.supabase.users()
    }

    /// Returns fresh ids for the payloads of this run: see [`FreshIds::new`].
    #[must_use]
    pub fn fresh_ids(&self) -> FreshIds {
        FreshIds::new(self.services.queues.server.is_some() && self.services.supabase.own().is_ok())
    }

    /// Stops everything: first the gateway and the mappings, then the functions, then the services.
    ///
    /// # Errors
    /// When the database cannot be removed, or another owner still holds the services.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.gateway.stop().await;
        let [inbound, records] = self.mappings;
        tokio::join!(inbound.stop(), records.stop());
        tokio::join!(self.webhook.stop(), self.reply.stop(), self.messages.stop());
        Arc::into_inner(self.services).context("another owner still holds the services")?.stop().await
    }
}

async fn warm(function: &Function) -> anyhow::Result<()> {
    function
        .warm()
        .await
        .map_err(|error: InvokeError| anyhow::anyhow!("{} does not start: {error}", function.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cors_settings_match_the_template() {
        let template = include_str!("../../../template.yaml");
        let list = |list: &str| format!("[{}]", list.replace(',', ", "));
        for line in [
            format!("AllowMethods: {}\n", list(CORS.allow_methods)),
            format!("AllowHeaders: {}\n", list(CORS.allow_headers)),
            format!("ExposeHeaders: {}\n", list(CORS.expose_headers)),
            format!("MaxAge: {}\n", CORS.max_age),
        ] {
            assert!(template.contains(&line), "{line}");
        }
    }
}
