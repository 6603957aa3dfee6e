//! `StartMessageMoveTask`, `ListMessageMoveTasks`, `CancelMessageMoveTask`.

use serde::{Deserialize, Serialize};

use super::receive::number;
use super::{Context, required};
use crate::error::Result;
use crate::moves::{MoveStatus, MoveTask};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct StartMessageMoveTaskRequest {
    source_arn: Option<String>,
    destination_arn: Option<String>,
    max_number_of_messages_per_second: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Started {
    task_handle: String,
}

pub(super) fn start(context: &mut Context<'_>, request: StartMessageMoveTaskRequest) -> Result<Started> {
    let source_arn = required(request.source_arn, "SourceArn")?;
    let destination_arn = request.destination_arn.as_deref();
    let rate = request.max_number_of_messages_per_second;
    let task_handle = context.broker.start_move(context.now, &source_arn, destination_arn, rate)?;
    Ok(Started { task_handle })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListMessageMoveTasksRequest {
    source_arn: Option<String>,
    max_results: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tasks {
    results: Vec<Task>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Task {
    /// SQS returns it for running tasks only: its only use is cancelling.
    #[serde(skip_serializing_if = "Option::is_none")]
    task_handle: Option<String>,
    status: &'static str,
    source_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_number_of_messages_per_second: Option<u32>,
    approximate_number_of_messages_moved: usize,
    approximate_number_of_messages_to_move: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_reason: Option<&'static str>,
    started_timestamp: u64,
}

impl From<MoveTask> for Task {
    fn from(task: MoveTask) -> Self {
        Self {
            task_handle: (task.status == MoveStatus::Running).then(|| task.handle()),
            status: task.status.name(),
            source_arn: task.source_arn,
            destination_arn: task.destination_arn,
            max_number_of_messages_per_second: task.rate,
            approximate_number_of_messages_moved: task.moved,
            approximate_number_of_messages_to_move: task.to_move,
            failure_reason: match task.status {
                MoveStatus::Failed(reason) => Some(reason),
                _ => None,
            },
            started_timestamp: task.started_at.as_millis(),
        }
    }
}

pub(super) fn list(context: &mut Context<'_>, request: ListMessageMoveTasksRequest) -> Result<Tasks> {
    let source_arn = required(request.source_arn, "SourceArn")?;
    let maximum = number("MaxResults", request.max_results.unwrap_or(1), 1, 10)?;
    let tasks = context.broker.list_moves(context.now, &source_arn)?;
    Ok(Tasks { results: tasks.into_iter().take(maximum as usize).map(Task::from).collect() })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CancelMessageMoveTaskRequest {
    task_handle: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Cancelled {
    approximate_number_of_messages_moved: usize,
}

pub(super) fn cancel(context: &mut Context<'_>, request: CancelMessageMoveTaskRequest) -> Result<Cancelled> {
    let handle = required(request.task_handle, "TaskHandle")?;
    let approximate_number_of_messages_moved = context.broker.cancel_move(context.now, &handle)?;
    Ok(Cancelled { approximate_number_of_messages_moved })
}
