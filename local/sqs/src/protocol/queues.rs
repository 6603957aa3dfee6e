//! `CreateQueue`, `DeleteQueue`, `GetQueueUrl`, `ListQueues`, `PurgeQueue`, `ListDeadLetterSourceQueues`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Context, QueueRequest, required};
use crate::attributes::AttributeMap;
use crate::error::{Result, SqsError};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateQueueRequest {
    queue_name: Option<String>,
    #[serde(default)]
    attributes: AttributeMap,
    #[serde(rename = "tags", default)]
    tags: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetQueueUrlRequest {
    queue_name: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct QueueUrl {
    queue_url: String,
}

pub(super) fn create(context: &mut Context<'_>, request: CreateQueueRequest) -> Result<QueueUrl> {
    let name = required(request.queue_name, "QueueName")?;
    let is_new = context.broker.queue(&name).is_err();
    context.broker.create_queue(context.now, &name, &request.attributes)?;
    if is_new {
        context.broker.queue_mut(&name)?.tags = request.tags;
    }
    Ok(QueueUrl { queue_url: context.queue_url(&name) })
}

pub(super) fn delete(context: &mut Context<'_>, request: &QueueRequest) -> Result<()> {
    let name = context.queue_at(request.queue_url.as_ref())?;
    context.broker.delete_queue(&name)
}

pub(super) fn purge(context: &mut Context<'_>, request: &QueueRequest) -> Result<()> {
    let name = context.queue_at(request.queue_url.as_ref())?;
    context.broker.purge(context.now, &name)
}

pub(super) fn url(context: &mut Context<'_>, request: GetQueueUrlRequest) -> Result<QueueUrl> {
    let name = required(request.queue_name, "QueueName")?;
    context.broker.queue(&name)?;
    Ok(QueueUrl { queue_url: context.queue_url(&name) })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListQueuesRequest {
    #[serde(default)]
    queue_name_prefix: String,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct QueueUrls {
    #[serde(skip_serializing_if = "Option::is_none")]
    queue_urls: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

pub(super) fn list(context: &mut Context<'_>, request: &ListQueuesRequest) -> Result<QueueUrls> {
    let names = context.broker.queues.keys().filter(|name| name.starts_with(&request.queue_name_prefix));
    let names = names.cloned().collect();
    let (urls, next_token) = page(context, names, request.max_results, request.next_token.as_deref())?;
    Ok(QueueUrls { queue_urls: (!urls.is_empty()).then_some(urls), next_token })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListDeadLetterSourceQueuesRequest {
    queue_url: Option<String>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Serialize)]
pub(super) struct SourceQueueUrls {
    // Lower-case in the SQS API model, here only.
    #[serde(rename = "queueUrls")]
    queue_urls: Vec<String>,
    #[serde(rename = "NextToken", skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

pub(super) fn dead_letter_sources(
    context: &mut Context<'_>,
    request: &ListDeadLetterSourceQueuesRequest,
) -> Result<SourceQueueUrls> {
    let name = context.queue_at(request.queue_url.as_ref())?;
    let arn = crate::broker::queue_arn(&name);
    let names = context.broker.dead_letter_sources(&arn).map(|queue| queue.name.clone()).collect();
    let (queue_urls, next_token) = page(context, names, request.max_results, request.next_token.as_deref())?;
    Ok(SourceQueueUrls { queue_urls, next_token })
}

/// A page of at most 1000 names. The token is the last name of the page before, and is returned only if the
/// request sets `MaxResults`.
fn page(
    context: &Context<'_>,
    names: Vec<String>,
    maximum: Option<usize>,
    after: Option<&str>,
) -> Result<(Vec<String>, Option<String>)> {
    if maximum.is_some_and(|maximum| !(1..=1000).contains(&maximum)) {
        return Err(SqsError::InvalidParameterValue(
            "MaxResults must be an integer between 1 and 1000.".to_owned(),
        ));
    }
    let mut rest = names.into_iter().filter(|name| after.is_none_or(|after| name.as_str() > after));
    let page: Vec<String> = rest.by_ref().take(maximum.unwrap_or(1000)).collect();
    let more = maximum.is_some() && rest.next().is_some();
    let next_token = page.last().filter(|_| more).cloned();
    Ok((page.iter().map(|name| context.queue_url(name)).collect(), next_token))
}
