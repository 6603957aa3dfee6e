//! The dead-letter queue: reading without removing.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context, bail};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, Message, MessageSystemAttributeName, QueueAttributeName,
};
use chrono::{DateTime, Utc};
use reply::queues::CAUSE;
use shared::aws::{self, AwsSettings, Timeouts};
use shared::lambda::env;
use shared::lambda::logging::ShortWamid;

use super::cause::Finding;

/// The visibility timeout of a read message, in seconds. All messages are made visible again after reading; the timeout
/// only matters if the process is killed before.
const HIDDEN: i32 = 120;
/// The region of a queue on this machine, required to sign calls.
const LOCAL_REGION: &str = "us-east-1";
/// The maximum number of messages in one call of SQS.
const BATCH: usize = 10;

const TIMEOUTS: Timeouts = Timeouts { call: Duration::from_secs(60), attempt: Duration::from_secs(30) };

/// Returns a client for the queue at `queue_url`. Region: from a URL of AWS, otherwise `AWS_REGION`. Credentials: the
/// usual variables; a queue on this machine needs none.
///
/// # Errors
/// Names the missing variable.
pub fn client(queue_url: &str, endpoint_url: Option<&str>) -> anyhow::Result<Client> {
    let url = reqwest::Url::parse(queue_url).context("--queue-url is not a URL")?;
    let host = url.host_str().context("--queue-url has no host")?;
    let region_of_url = aws_region(host).map(str::to_owned);
    let origin = url.origin().ascii_serialization();
    let endpoint_url = endpoint_url
        .map(str::to_owned)
        .filter(|url| !url.is_empty())
        .or_else(|| region_of_url.is_none().then_some(origin));
    let here = endpoint_url.as_deref().is_some_and(is_loopback);
    let settings = if here {
        AwsSettings {
            endpoint_url,
            region: env::optional("AWS_REGION")?.unwrap_or_else(|| LOCAL_REGION.to_owned()),
            access_key_id: "local".to_owned(),
            secret_access_key: "local".into(),
            session_token: None,
        }
    } else {
        AwsSettings {
            endpoint_url,
            region: region_of_url.map_or_else(|| env::required("AWS_REGION"), Ok)?,
            access_key_id: env::required("AWS_ACCESS_KEY_ID")?,
            secret_access_key: env::secret("AWS_SECRET_ACCESS_KEY")?,
            session_token: env::optional("AWS_SESSION_TOKEN")?.map(Into::into),
        }
    };
    Ok(aws::sqs(&settings, TIMEOUTS, &shared::http::client()?))
}

/// Returns the region in a host name of AWS. Source: “Amazon Simple Queue Service endpoints and quotas”, AWS General
/// Reference: `sqs.REGION.amazonaws.com`, `sqs-fips.…`, and `.cn` at the end in China.
fn aws_region(host: &str) -> Option<&str> {
    let rest = host.strip_suffix(".cn").unwrap_or(host);
    let rest = rest.strip_suffix(".amazonaws.com").or_else(|| rest.strip_suffix(".api.aws"))?;
    let (service, region) = rest.split_once('.')?;
    (service.starts_with("sqs") && !region.contains('.')).then_some(region)
}

fn is_loopback(url: &str) -> bool {
    let host = reqwest::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    host.is_some_and(|host| ["127.0.0.1", "localhost", "[::1]"].contains(&host.as_str()))
}

/// A dead-letter queue.
#[derive(Debug)]
pub struct DeadLetters {
    pub(super) client: Client,
    pub(super) url: String,
    pub(super) arn: String,
    /// URLs of the source queues.
    pub(super) sources: Vec<String>,
}

/// A message of a dead-letter queue.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// The message id of SQS.
    pub message_id: String,
    /// The time of sending to the source queue (for FIFO queues, on AWS: to this queue).
    pub sent_at: Option<DateTime<Utc>>,
    /// The receive count, including this read.
    pub receives: u32,
    /// Name of the source queue, if SQS has moved the message.
    pub source: Option<String>,
    /// The message group; a standard queue has none.
    pub group: Option<String>,
    /// The body. Personal data.
    pub body: String,
    /// The cause, if `reply` has dead-lettered the message; `None` if SQS has moved it.
    pub cause: Option<String>,
    /// Kind and cause, derived from the body.
    pub finding: Finding,
}

impl DeadLetters {
    /// Opens a queue, and checks that it is a dead-letter queue: reading any other queue would count as deliveries of
    /// its messages, and hide them from their consumer.
    ///
    /// # Errors
    /// When it is another queue, or cannot be reached.
    pub async fn open(client: Client, url: &str) -> anyhow::Result<Self> {
        let attributes = client
            .get_queue_attributes()
            .queue_url(url)
            .attribute_names(QueueAttributeName::QueueArn)
            .send()
            .await;
        let attributes =
            attributes.with_context(|| format!("cannot open {url}: is the endpoint running?"))?;
        let arn =
            attributes.attributes().and_then(|attributes| attributes.get(&QueueAttributeName::QueueArn));
        let arn = arn.context("the queue has no ARN")?.clone();
        let sources = client.list_dead_letter_source_queues().queue_url(url).send().await;
        let sources = sources.context("cannot list the source queues of the queue")?.queue_urls;
        if sources.is_empty() {
            bail!("{url} is not a dead-letter queue: no queue's redrive policy names it");
        }
        Ok(Self { client, url: url.to_owned(), arn, sources })
    }

    /// Returns the approximate number of messages, including those in flight.
    ///
    /// # Errors
    /// When the queue cannot be queried.
    pub async fn count(&self) -> anyhow::Result<usize> {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let call = self.client.get_queue_attributes().queue_url(&self.url);
        let answer = call.set_attribute_names(Some(names.to_vec())).send().await?;
        let attributes = answer.attributes.unwrap_or_default();
        Ok(attributes.values().filter_map(|count| count.parse::<usize>().ok()).sum())
    }

    /// Reads up to `limit` messages, which stay in the queue. Of a message group of a FIFO queue only the first ten can
    /// be read: receiving locks the group.
    ///
    /// # Errors
    /// When the queue cannot be reached.
    pub async fn look(&self, limit: usize) -> anyhow::Result<Vec<DeadLetter>> {
        self.look_until(limit, |_| false).await
    }

    /// Returns the message with this message id or wamid, complete or shortened.
    ///
    /// # Errors
    /// When the queue cannot be reached.
    pub async fn find(&self, id: &str) -> anyhow::Result<Option<DeadLetter>> {
        let is_named = |wamid: &str| wamid == id || ShortWamid::of(wamid).as_str() == id;
        let is_it = |letter: &DeadLetter| {
            letter.message_id == id || letter.finding.wamid.as_deref().is_some_and(is_named)
        };
        let looked = self.look_until(usize::MAX, is_it).await?;
        Ok(looked.into_iter().find(is_it))
    }

    async fn look_until(
        &self,
        limit: usize,
        found: impl Fn(&DeadLetter) -> bool,
    ) -> anyhow::Result<Vec<DeadLetter>> {
        let mut hidden = Vec::new();
        let mut letters: Vec<DeadLetter> = Vec::new();
        let mut seen = HashSet::new();
        let looked = async {
            while letters.len() < limit && !letters.last().is_some_and(&found) {
                let received = self.receive(BATCH.min(limit - letters.len())).await?;
                if received.is_empty() {
                    break;
                }
                // Before any is examined: the messages after the requested one are hidden too.
                hidden.extend(received.iter().filter_map(|message| message.receipt_handle.clone()));
                for message in received {
                    let letter = DeadLetter::read(message, self.is_fifo());
                    // A standard queue may deliver a message twice.
                    let is_found = found(&letter);
                    if seen.insert(letter.message_id.clone()) {
                        letters.push(letter);
                    }
                    if is_found {
                        return Ok(());
                    }
                }
            }
            anyhow::Ok(())
        }
        .await;
        self.show_again(&hidden).await;
        looked.map(|()| letters)
    }

    /// Returns the queue's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.url.rsplit('/').next().unwrap_or_default()
    }

    pub(super) fn is_fifo(&self) -> bool {
        self.url.ends_with(".fifo")
    }

    /// Receives up to `count` available messages.
    pub(super) async fn receive(&self, count: usize) -> anyhow::Result<Vec<Message>> {
        let call = self.client.receive_message().queue_url(&self.url).visibility_timeout(HIDDEN);
        // Long polling queries all of SQS's servers; short polling may miss messages.
        let call = call.max_number_of_messages(i32::try_from(count).unwrap_or(1)).wait_time_seconds(1);
        let call = call
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .message_attribute_names("All");
        Ok(call.send().await.context("cannot receive from the queue")?.messages.unwrap_or_default())
    }

    /// Makes messages visible again. On an error a message becomes visible after [`HIDDEN`] seconds.
    pub(super) async fn show_again(&self, receipt_handles: &[String]) {
        for handles in receipt_handles.chunks(BATCH) {
            let entries: Result<Vec<_>, _> = handles
                .iter()
                .enumerate()
                .map(|(position, handle)| {
                    let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(position.to_string());
                    entry.receipt_handle(handle).visibility_timeout(0).build()
                })
                .collect();
            let Ok(entries) = entries else { continue };
            let call = self.client.change_message_visibility_batch().queue_url(&self.url);
            if let Err(error) = call.set_entries(Some(entries)).send().await {
                let reason = aws::reason(&error);
                eprintln!("some messages become visible again only in {HIDDEN} s: {reason}");
            }
        }
    }
}

impl DeadLetter {
    fn read(message: Message, fifo: bool) -> Self {
        let attributes = message.attributes.unwrap_or_default();
        let attribute = |name: MessageSystemAttributeName| attributes.get(&name).cloned();
        let source = attribute(MessageSystemAttributeName::DeadLetterQueueSourceArn);
        let body = message.body.unwrap_or_default();
        let cause = message
            .message_attributes
            .as_ref()
            .and_then(|attributes| attributes.get(CAUSE)?.string_value.clone());
        Self {
            message_id: message.message_id.unwrap_or_default(),
            sent_at: attribute(MessageSystemAttributeName::SentTimestamp)
                .and_then(|at| DateTime::from_timestamp_millis(at.parse().ok()?)),
            receives: attribute(MessageSystemAttributeName::ApproximateReceiveCount)
                .and_then(|count| count.parse().ok())
                .unwrap_or_default(),
            // One that SQS has moved may have a cause from before its redrive.
            cause: cause.filter(|_| source.is_none()),
            source: source.and_then(|arn| Some(arn.rsplit_once(':')?.1.to_owned())),
            group: attribute(MessageSystemAttributeName::MessageGroupId),
            finding: Finding::of(&body, fifo),
            body,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_is_read_only_from_aws_host_names() {
        assert_eq!(aws_region("sqs.eu-west-1.amazonaws.com"), Some("eu-west-1"));
        assert_eq!(aws_region("sqs.cn-north-1.amazonaws.com.cn"), Some("cn-north-1"));
        assert_eq!(aws_region("sqs-fips.us-gov-west-1.amazonaws.com"), Some("us-gov-west-1"));
        assert_eq!(aws_region("sqs.eu-west-1.api.aws"), Some("eu-west-1"));
        for host in ["127.0.0.1", "localhost", "sqs.eu-west-1.example.com", "a.b.amazonaws.com"] {
            assert_eq!(aws_region(host), None, "{host}");
        }
    }

    #[test]
    fn credentials_are_needed_except_on_this_machine() {
        assert!(client("http://127.0.0.1:4566/000000000000/dead", None).is_ok());
        assert!(client("not a URL", None).is_err());
        assert!(is_loopback("http://localhost:1") && !is_loopback("http://10.0.0.1"));
    }
}
