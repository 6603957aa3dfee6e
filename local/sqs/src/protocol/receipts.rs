//! `DeleteMessage`, `ChangeMessageVisibility`, and both in batches.

use std::time::Duration;

use serde::Deserialize;

use super::batch::{self, BatchResult, Done, Entry};
use super::receive::number;
use super::{Context, required};
use crate::broker::Broker;
use crate::error::Result;
use crate::time::Timestamp;

/// A receipt handle with the parameters of the action; `Id` is set in a batch, `QueueUrl` otherwise.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ReceiptRequest {
    queue_url: Option<String>,
    id: Option<String>,
    receipt_handle: Option<String>,
    visibility_timeout: Option<i64>,
}

impl Entry for ReceiptRequest {
    fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }
}

impl ReceiptRequest {
    fn delete(&self, broker: &mut Broker, now: Timestamp, name: &str) -> Result<()> {
        broker.delete(now, name, required(self.receipt_handle.as_deref(), "ReceiptHandle")?)
    }

    fn change(&self, broker: &mut Broker, now: Timestamp, name: &str) -> Result<()> {
        let receipt_handle = required(self.receipt_handle.as_deref(), "ReceiptHandle")?;
        let timeout = required(self.visibility_timeout, "VisibilityTimeout")?;
        let timeout = number("VisibilityTimeout", timeout, 0, 43_200)?;
        broker.change_visibility(now, name, receipt_handle, Duration::from_secs(timeout.into()))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ReceiptBatchRequest {
    queue_url: Option<String>,
    #[serde(default)]
    entries: Vec<ReceiptRequest>,
}

pub(super) fn delete(context: &mut Context<'_>, request: ReceiptRequest) -> Result<()> {
    let name = context.queue_at(request.queue_url.as_ref())?;
    request.delete(context.broker, context.now, &name)
}

pub(super) fn change(context: &mut Context<'_>, request: ReceiptRequest) -> Result<()> {
    let name = context.queue_at(request.queue_url.as_ref())?;
    request.change(context.broker, context.now, &name)
}

pub(super) fn delete_batch(
    context: &mut Context<'_>,
    request: ReceiptBatchRequest,
) -> Result<BatchResult<Done>> {
    each(context, &request, ReceiptRequest::delete)
}

pub(super) fn change_batch(
    context: &mut Context<'_>,
    request: ReceiptBatchRequest,
) -> Result<BatchResult<Done>> {
    each(context, &request, ReceiptRequest::change)
}

fn each(
    context: &mut Context<'_>,
    request: &ReceiptBatchRequest,
    perform: impl Fn(&ReceiptRequest, &mut Broker, Timestamp, &str) -> Result<()>,
) -> Result<BatchResult<Done>> {
    let name = context.queue_at(request.queue_url.as_ref())?;
    batch::validate(&request.entries)?;
    let Context { broker, now, refuse, .. } = context;
    Ok(batch::each(&request.entries, *refuse, |id, entry| {
        perform(entry, broker, *now, &name).map(|()| Done::new(id))
    }))
}
