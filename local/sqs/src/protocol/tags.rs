//! `TagQueue`, `UntagQueue`, `ListQueueTags`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Context, QueueRequest};
use crate::error::Result;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TagQueueRequest {
    queue_url: Option<String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

pub(super) fn add(context: &mut Context<'_>, request: TagQueueRequest) -> Result<()> {
    let name = context.queue_at(request.queue_url.as_ref())?;
    context.broker.queue_mut(&name)?.tags.extend(request.tags);
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UntagQueueRequest {
    queue_url: Option<String>,
    #[serde(default)]
    tag_keys: Vec<String>,
}

pub(super) fn remove(context: &mut Context<'_>, request: UntagQueueRequest) -> Result<()> {
    let name = context.queue_at(request.queue_url.as_ref())?;
    context.broker.queue_mut(&name)?.tags.retain(|key, _| !request.tag_keys.contains(key));
    Ok(())
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tags {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
}

pub(super) fn list(context: &mut Context<'_>, request: &QueueRequest) -> Result<Tags> {
    let name = context.queue_at(request.queue_url.as_ref())?;
    Ok(Tags { tags: context.broker.queue(&name)?.tags.clone() })
}
