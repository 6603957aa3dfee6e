//! `GetQueueAttributes`, `SetQueueAttributes`.

use serde::{Deserialize, Serialize};

use super::Context;
use crate::attributes::{AttributeMap, is_known};
use crate::error::{Result, SqsError};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetQueueAttributesRequest {
    queue_url: Option<String>,
    #[serde(default)]
    attribute_names: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Attributes {
    #[serde(skip_serializing_if = "AttributeMap::is_empty")]
    attributes: AttributeMap,
}

pub(super) fn get(context: &mut Context<'_>, request: &GetQueueAttributesRequest) -> Result<Attributes> {
    let name = context.queue_at(request.queue_url.as_ref())?;
    let names = &request.attribute_names;
    if let Some(unknown) = names.iter().find(|name| *name != "All" && !is_known(name)) {
        return Err(SqsError::InvalidAttributeName(unknown.clone()));
    }
    let mut attributes = context.broker.attributes(context.now, &name)?;
    attributes.retain(|name, _| names.iter().any(|wanted| wanted == "All" || wanted == name));
    Ok(Attributes { attributes })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SetQueueAttributesRequest {
    queue_url: Option<String>,
    #[serde(default)]
    attributes: AttributeMap,
}

pub(super) fn set(context: &mut Context<'_>, request: SetQueueAttributesRequest) -> Result<()> {
    let name = context.queue_at(request.queue_url.as_ref())?;
    context.broker.set_attributes(context.now, &name, &request.attributes)
}
