//! The services around the functions: the queue, Supabase, Meta's Graph API and a language model.

use std::collections::BTreeMap;

use anyhow::Context;
use local_graph::{GraphApi, GraphSettings};
use local_model::ModelApi;
use local_process::Guardian;

use crate::options::Options;
use crate::queues::Queues;
use crate::responder::{ModelServer, Responder};
use crate::supabase::Supabase;

/// The access token that the fake Graph API accepts.
pub const ACCESS_TOKEN: &str = "local-access-token";
/// The app secret that signs webhooks.
pub const APP_SECRET: &str = "local-app-secret";
/// The verify token of the handshake.
pub const VERIFY_TOKEN: &str = "local-verify-token";
/// The business number of Meta's samples.
pub const PHONE_NUMBER_ID: &str = "106540352242922";
/// The version of the Graph API that docs/CONFIGURATION.md#graph-api-version recommends; the default is retired.
pub const GRAPH_API_VERSION: &str = "v26.0";

/// The services of a stack.
pub struct Services {
    /// Amazon SQS.
    pub queues: Queues,
    /// Supabase.
    pub supabase: Supabase,
    /// Meta.
    pub graph: GraphApi,
    /// The fake language model, unless there is a real one.
    pub fake_model: Option<ModelApi>,
    /// The language model of the responder `llm`, fake or real.
    pub model_server: ModelServer,
    /// The responder to begin with.
    pub responder: Responder,
    /// `REPLY_WINDOW`, in milliseconds.
    pub reply_window: u32,
    reply_env: Vec<(String, String)>,
    legacy_keys: bool,
}

impl Services {
    /// Starts all services in parallel; `progress` is called before each step that takes long.
    ///
    /// # Errors
    /// When one cannot be started.
    pub async fn start(options: &Options, guardian: &Guardian, progress: fn(&str)) -> anyhow::Result<Self> {
        let (responder, real_model) = options.responder.read()?;
        let settings = GraphSettings {
            access_token: ACCESS_TOKEN.to_owned(),
            phone_numbers: vec![PHONE_NUMBER_ID.to_owned()],
        };
        let (queues, supabase, graph, model) = tokio::join!(
            Queues::start(options.sqs_endpoint.as_deref(), options.visibility_timeout),
            Supabase::start(&options.supabase, guardian, progress),
            GraphApi::start(settings, 0),
            ModelApi::start(0),
        );
        let fake = model.context("the fake model cannot be started")?;
        let fake_server = ModelServer::fake(fake.url());
        let fake_model = real_model.is_none().then_some(fake);
        Ok(Self {
            queues: queues?,
            supabase: supabase?,
            graph: graph.context("the fake Graph API cannot be started")?,
            fake_model,
            model_server: real_model.unwrap_or(fake_server),
            responder,
            reply_window: options.reply_window,
            reply_env: options.reply_env.clone(),
            legacy_keys: options.legacy_keys,
        })
    }

    /// Returns the environment of `webhook`.
    #[must_use]
    pub fn webhook_environment(&self) -> BTreeMap<String, String> {
        let mut environment = self.queues.environment();
        environment
            .extend(pairs(&[("WHATSAPP_APP_SECRET", APP_SECRET), ("WHATSAPP_VERIFY_TOKEN", VERIFY_TOKEN)]));
        environment
    }

    /// Returns the environment of `reply`.
    #[must_use]
    pub fn reply_environment(&self) -> BTreeMap<String, String> {
        let supabase = &self.supabase;
        let key = match supabase {
            Supabase::Ours(ours) if self.legacy_keys => ours.service_role_key(),
            _ => supabase.secret_key(),
        };
        let mut environment = self.queues.environment();
        environment.extend(pairs(&[
            ("WHATSAPP_ACCESS_TOKEN", ACCESS_TOKEN),
            ("WHATSAPP_PHONE_NUMBER_ID", PHONE_NUMBER_ID),
            ("GRAPH_API_VERSION", GRAPH_API_VERSION),
            ("GRAPH_API_URL", &self.graph.url()),
            ("REPLY_WINDOW", &self.reply_window.to_string()),
            ("SUPABASE_URL", supabase.url()),
            ("SUPABASE_SECRET_KEY", key),
        ]));
        environment.extend(self.responder.environment());
        environment.extend(self.model_server.environment());
        environment.extend(self.reply_env.iter().cloned());
        environment
    }

    /// Returns the environment of `messages`.
    #[must_use]
    pub fn messages_environment(&self) -> BTreeMap<String, String> {
        let supabase = &self.supabase;
        let key = match supabase {
            Supabase::Ours(ours) if self.legacy_keys => ours.anon_key(),
            _ => supabase.publishable_key(),
        };
        pairs(&[("SUPABASE_URL", supabase.url()), ("SUPABASE_PUBLISHABLE_KEY", key)])
    }

    /// Stops all services.
    ///
    /// # Errors
    /// When the database cannot be removed.
    pub async fn stop(self) -> anyhow::Result<()> {
        let Self { queues, supabase, graph, fake_model, .. } = self;
        graph.stop().await;
        if let Some(model) = fake_model {
            model.stop().await;
        }
        if let Some(server) = queues.server {
            server.stop().await;
        }
        supabase.stop().await
    }
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
