//! The queues: those of the emulator, or of another endpoint compatible with SQS.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::ProvideErrorMetadata;
use aws_sdk_sqs::types::QueueAttributeName;
use local_sqs::SqsServer;
use secrecy::{ExposeSecret, SecretString};
use shared::aws::{self, AwsSettings, Timeouts};

pub use local_sqs::deployed::{
    INBOUND, INBOUND_DEAD_LETTERS, MAX_INBOUND_RECEIVES, MAX_RECORD_RECEIVES, RECORD_DEAD_LETTERS, RECORDS,
};

/// The timeouts of this program's own calls, among them a receive that waits for messages.
const TIMEOUTS: Timeouts = Timeouts { call: Duration::from_secs(90), attempt: Duration::from_secs(30) };

/// The default visibility timeout in seconds. On AWS it is six times the timeout of `reply`; on one machine a user
/// waits for the retry, so it is just above that timeout: below it, a message would be redelivered while it is still
/// being answered.
pub const VISIBILITY_TIMEOUT: u32 = 100;
/// The retention period of messages in seconds: 14 days.
const RETENTION: u32 = 14 * 24 * 3600;

/// The queues of a stack.
#[derive(Debug)]
pub struct Queues {
    /// The emulator, unless an endpoint was given.
    pub server: Option<SqsServer>,
    /// A client for the endpoint.
    pub client: Client,
    /// Address of [`INBOUND`].
    pub inbound_url: String,
    /// Address of [`RECORDS`].
    pub records_url: String,
    settings: AwsSettings,
}

impl Queues {
    /// Starts the emulator, or connects to `endpoint`, and creates the queues that do not exist. Existing queues get
    /// the redrive policy, the visibility timeout and the retention period of this module.
    ///
    /// Another endpoint is called with the usual `AWS_REGION`, `AWS_ACCESS_KEY_ID`,
    /// `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`, if they are set.
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
        let client = aws::sqs(&settings, TIMEOUTS, &shared::http::client()?);
        let inbound_url =
            create_pair(&client, INBOUND, INBOUND_DEAD_LETTERS, MAX_INBOUND_RECEIVES, visibility_timeout)
                .await?;
        let records_url =
            create_pair(&client, RECORDS, RECORD_DEAD_LETTERS, MAX_RECORD_RECEIVES, visibility_timeout)
                .await?;
        Ok(Self { server, client, inbound_url, records_url, settings })
    }

    /// Returns a function's variables for the queues.
    #[must_use]
    pub fn environment(&self) -> BTreeMap<String, String> {
        let settings = &self.settings;
        let session_token = settings.session_token.as_ref().map(|token| token.expose_secret().to_owned());
        let [inbound_dead_letters, record_dead_letters] = self.dead_letter_urls();
        [
            ("INBOUND_QUEUE_URL", Some(self.inbound_url.clone())),
            ("INBOUND_DEAD_LETTERS_URL", Some(inbound_dead_letters)),
            ("RECORD_QUEUE_URL", Some(self.records_url.clone())),
            ("RECORD_DEAD_LETTERS_URL", Some(record_dead_letters)),
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

    /// Returns the addresses of [`INBOUND_DEAD_LETTERS`] and [`RECORD_DEAD_LETTERS`].
    #[must_use]
    pub fn dead_letter_urls(&self) -> [String; 2] {
        // The URLs of an endpoint's queues differ only in the queue's name.
        [
            self.inbound_url.replace(INBOUND, INBOUND_DEAD_LETTERS),
            format!("{}{RECORD_DEAD_LETTERS}", self.records_url.strip_suffix(RECORDS).unwrap_or_default()),
        ]
    }

    /// Returns the endpoint's URL.
    #[must_use]
    pub fn endpoint_url(&self) -> &str {
        self.settings.endpoint_url.as_deref().unwrap_or_default()
    }
}

fn settings(endpoint: &str, variable: impl Fn(&str) -> Option<String>) -> AwsSettings {
    AwsSettings {
        endpoint_url: Some(endpoint.to_owned()),
        region: variable("AWS_REGION").unwrap_or_else(|| local_sqs::REGION.to_owned()),
        access_key_id: variable("AWS_ACCESS_KEY_ID").unwrap_or_else(|| "local".to_owned()),
        secret_access_key: variable("AWS_SECRET_ACCESS_KEY").unwrap_or_else(|| "local".to_owned()).into(),
        session_token: variable("AWS_SESSION_TOKEN").map(SecretString::from),
    }
}

/// Creates a queue with its dead-letter queue and returns its address.
async fn create_pair(
    client: &Client,
    name: &str,
    dead_letters: &str,
    max_receives: u32,
    visibility_timeout: u32,
) -> anyhow::Result<String> {
    let dead_letters = create(client, dead_letters, &[]).await?;
    let attributes = client
        .get_queue_attributes()
        .queue_url(dead_letters)
        .attribute_names(QueueAttributeName::QueueArn)
        .send()
        .await?;
    let arn = attributes.attributes().and_then(|attributes| attributes.get(&QueueAttributeName::QueueArn));
    let arn = arn.context("the dead-letter queue has no ARN")?;
    let redrive =
        serde_json::json!({"deadLetterTargetArn": arn, "maxReceiveCount": max_receives}).to_string();
    let attributes = [
        (QueueAttributeName::RedrivePolicy, redrive),
        (QueueAttributeName::VisibilityTimeout, visibility_timeout.to_string()),
    ];
    create(client, name, &attributes).await
}

async fn create(
    client: &Client,
    name: &str,
    more: &[(QueueAttributeName, String)],
) -> anyhow::Result<String> {
    let retention = (QueueAttributeName::MessageRetentionPeriod, RETENTION.to_string());
    let fifo = [
        (QueueAttributeName::FifoQueue, "true".to_owned()),
        (QueueAttributeName::DeduplicationScope, "messageGroup".to_owned()),
        (QueueAttributeName::FifoThroughputLimit, "perMessageGroupId".to_owned()),
    ];
    let fifo = fifo.iter().filter(|_| name.ends_with(".fifo"));
    let mut call = client.create_queue().queue_name(name);
    for (attribute, value) in fifo.chain([&retention]).chain(more) {
        call = call.attributes(attribute.clone(), value);
    }
    let url = match call.send().await {
        Ok(created) => created.queue_url,
        Err(error) if exists(&error) => {
            let existing = client.get_queue_url().queue_name(name).send().await;
            let url = existing.with_context(|| format!("queue {name} cannot be found"))?.queue_url;
            let mut call = client.set_queue_attributes().set_queue_url(url.clone());
            // The other attributes cannot be changed after creation.
            for (attribute, value) in [&retention].into_iter().chain(more) {
                call = call.attributes(attribute.clone(), value);
            }
            call.send().await.with_context(|| format!("queue {name} cannot be changed"))?;
            url
        }
        Err(error) => return Err(error).with_context(|| format!("queue {name} cannot be created")),
    };
    url.with_context(|| format!("queue {name} has no URL"))
}

/// Returns whether a queue of that name exists with other attributes, by the error code of the JSON protocol or of the
/// older query protocol.
fn exists(error: &impl ProvideErrorMetadata) -> bool {
    matches!(error.code(), Some("QueueNameExists" | "QueueAlreadyExists"))
}

#[cfg(test)]
mod tests {
    use reply::delivery::Source;
    use reply::turns::HOLDS;

    use super::*;

    #[test]
    fn the_template_allows_more_receives_than_reply_uses() {
        let template = include_str!("../../../template.yaml");
        let counts = template.lines().filter_map(|line| line.trim().strip_prefix("maxReceiveCount: "));
        let counts: Vec<u32> = counts.map(|count| count.parse().expect("a number")).collect();
        assert_eq!(counts, [MAX_INBOUND_RECEIVES, MAX_RECORD_RECEIVES]);
        // As many messages as a batch contains may be retried behind the dead-lettered one.
        assert!(MAX_INBOUND_RECEIVES >= Source::Inbound.max_receives() + HOLDS + 10);
        assert!(MAX_RECORD_RECEIVES > Source::Records.max_receives());
    }

    #[tokio::test]
    async fn queues_that_exist_with_other_attributes_are_used_and_changed() {
        let server = SqsServer::start(0).await.expect("a server");
        let first = Queues::start(Some(server.endpoint_url()), 7).await.expect("queues");
        let again = Queues::start(Some(server.endpoint_url()), 9).await.expect("the same queues");
        for url in [&again.inbound_url, &again.records_url] {
            let attributes = again.client.get_queue_attributes().queue_url(url);
            let attributes =
                attributes.attribute_names(QueueAttributeName::All).send().await.expect("attributes");
            let attributes = attributes.attributes.expect("attributes");
            assert_eq!(attributes[&QueueAttributeName::VisibilityTimeout], "9");
            assert!(attributes[&QueueAttributeName::RedrivePolicy].contains("dead-letters"));
        }
        assert_eq!(first.inbound_url, again.inbound_url);
        server.stop().await;
    }
}
