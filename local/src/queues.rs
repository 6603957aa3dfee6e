//! The queues: ours, or those of another endpoint that speaks SQS.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;
use local_sqs::SqsServer;
use secrecy::{ExposeSecret, SecretString};
use shared::sqs::{self, SqsSettings, Timeouts};

/// What webhook sends to and reply receives from.
pub const INBOUND: &str = "inbound.fifo";
/// Where messages go that were received too often.
pub const DEAD_LETTERS: &str = "inbound-dead-letters.fifo";

/// How long our own calls may take: a receive that waits for messages among them.
const TIMEOUTS: Timeouts = Timeouts {
    call: Duration::from_secs(90),
    attempt: Duration::from_secs(30),
    connect: Duration::from_secs(3),
};

/// Receives before a message is a dead letter.
const MAX_RECEIVES: u32 = 5;
/// How long a received message stays out of sight unless told otherwise, in seconds. On AWS it is six times the function's
/// timeout; here a person waits for the retry.
pub const VISIBILITY_TIMEOUT: u32 = 30;
/// How long a dead letter is kept, in seconds: 14 days.
const RETENTION: u32 = 14 * 24 * 3600;

/// The queues of a stack.
#[derive(Debug)]
pub struct Queues {
    /// Ours, unless an endpoint was given.
    pub server: Option<SqsServer>,
    /// A client for either.
    pub client: Client,
    /// Address of [`INBOUND`].
    pub inbound_url: String,
    settings: SqsSettings,
}

impl Queues {
    /// Starts our server, or goes to `endpoint`, and creates the queues where they do not exist.
    ///
    /// Another endpoint is reached with the usual `AWS_REGION`, `AWS_ACCESS_KEY_ID`,
    /// `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`, where they are set.
    ///
    /// # Errors
    /// When the endpoint cannot be reached or refuses to create the queues.
    pub async fn start(endpoint: Option<&str>, visibility_timeout: u32) -> anyhow::Result<Self> {
        let (server, settings) = match endpoint {
            None => {
                let server = SqsServer::start(0).await.context("the queue cannot be started")?;
                let settings = settings(server.endpoint_url(), |_| None);
                (Some(server), settings)
            }
            Some(url) => {
                (None, settings(url, |name| std::env::var(name).ok().filter(|value| !value.is_empty())))
            }
        };
        let client = sqs::client(&settings, TIMEOUTS);
        let dead_letters = create(&client, DEAD_LETTERS, &[]).await?;
        let arn = client
            .get_queue_attributes()
            .queue_url(dead_letters)
            .attribute_names(QueueAttributeName::QueueArn)
            .send()
            .await?
            .attributes()
            .and_then(|attributes| attributes.get(&QueueAttributeName::QueueArn).cloned())
            .context("the dead-letter queue has no ARN")?;
        let redrive =
            serde_json::json!({"deadLetterTargetArn": arn, "maxReceiveCount": MAX_RECEIVES}).to_string();
        let inbound = [
            (QueueAttributeName::RedrivePolicy, redrive),
            (QueueAttributeName::VisibilityTimeout, visibility_timeout.to_string()),
        ];
        let inbound_url = create(&client, INBOUND, &inbound).await?;
        Ok(Self { server, client, inbound_url, settings })
    }

    /// The variables that lead a function to the inbound queue.
    #[must_use]
    pub fn environment(&self) -> BTreeMap<String, String> {
        let settings = &self.settings;
        let session_token = settings.session_token.as_ref().map(|token| token.expose_secret().to_owned());
        [
            ("INBOUND_QUEUE_URL", Some(self.inbound_url.clone())),
            ("AWS_ENDPOINT_URL_SQS", settings.endpoint_url.clone()),
            ("AWS_REGION", Some(settings.region.clone())),
            ("AWS_ACCESS_KEY_ID", Some(settings.access_key_id.clone())),
            ("AWS_SECRET_ACCESS_KEY", Some(settings.secret_access_key.expose_secret().to_owned())),
            ("AWS_SESSION_TOKEN", session_token),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
    }

    /// The endpoint.
    #[must_use]
    pub fn endpoint_url(&self) -> &str {
        self.settings.endpoint_url.as_deref().unwrap_or_default()
    }
}

fn settings(endpoint: &str, variable: impl Fn(&str) -> Option<String>) -> SqsSettings {
    SqsSettings {
        endpoint_url: Some(endpoint.to_owned()),
        region: variable("AWS_REGION").unwrap_or_else(|| local_sqs::REGION.to_owned()),
        access_key_id: variable("AWS_ACCESS_KEY_ID").unwrap_or_else(|| "local".to_owned()),
        secret_access_key: variable("AWS_SECRET_ACCESS_KEY").unwrap_or_else(|| "local".to_owned()).into(),
        session_token: variable("AWS_SESSION_TOKEN").map(SecretString::from),
    }
}

async fn create(
    client: &Client,
    name: &str,
    more: &[(QueueAttributeName, String)],
) -> anyhow::Result<String> {
    let fifo = [
        (QueueAttributeName::FifoQueue, "true".to_owned()),
        (QueueAttributeName::DeduplicationScope, "messageGroup".to_owned()),
        (QueueAttributeName::FifoThroughputLimit, "perMessageGroupId".to_owned()),
        (QueueAttributeName::MessageRetentionPeriod, RETENTION.to_string()),
    ];
    let mut call = client.create_queue().queue_name(name);
    for (attribute, value) in fifo.iter().chain(more) {
        call = call.attributes(attribute.clone(), value);
    }
    let created = call.send().await.with_context(|| format!("queue {name} cannot be created"))?;
    created.queue_url.with_context(|| format!("queue {name} has no URL"))
}
