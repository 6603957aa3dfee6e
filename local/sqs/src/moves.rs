//! Message move tasks: the redrive of dead letters (API reference, StartMessageMoveTask).

use std::collections::VecDeque;
use std::time::Duration;

use uuid::Uuid;

use crate::time::Timestamp;

/// SQS lists at most the 10 latest tasks of a queue.
const MAXIMUM_TASKS: usize = 10;

/// One task.
#[derive(Clone, Debug)]
pub struct MoveTask {
    pub(crate) id: Uuid,
    /// ARN of the dead-letter queue.
    pub source_arn: String,
    /// ARN of the destination queue; without it each message moves to its source queue.
    pub destination_arn: Option<String>,
    /// Messages per second; without it all at once.
    pub rate: Option<u32>,
    /// Start time.
    pub started_at: Timestamp,
    /// Number of messages in the queue at the start.
    pub to_move: usize,
    /// Number of messages moved so far.
    pub moved: usize,
    /// Current status.
    pub status: MoveStatus,
}

/// Status of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveStatus {
    /// Messages are being moved.
    Running,
    /// All receivable messages were moved.
    Completed,
    /// Cancelled through the API.
    Cancelled,
    /// Ended by this error.
    Failed(&'static str),
}

impl MoveStatus {
    /// The name in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Completed => "COMPLETED",
            Self::Cancelled => "CANCELLED",
            Self::Failed(_) => "FAILED",
        }
    }
}

impl MoveTask {
    /// The task handle, for cancelling.
    #[must_use]
    pub fn handle(&self) -> String {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode(format!("{} {}", self.id, self.source_arn))
    }

    /// When the next message may be moved.
    pub(crate) fn next_move(&self) -> Timestamp {
        let waited =
            self.rate.map_or(Duration::ZERO, |rate| Duration::from_secs(self.moved as u64) / rate.max(1));
        self.started_at.plus(waited)
    }
}

/// All tasks, the latest first.
#[derive(Debug, Default)]
pub(crate) struct MoveTasks {
    tasks: VecDeque<MoveTask>,
}

impl MoveTasks {
    pub(crate) fn add(&mut self, task: MoveTask) {
        let source_arn = task.source_arn.clone();
        self.tasks.push_front(task);
        let mut kept = 0;
        self.tasks.retain(|task| {
            kept += usize::from(task.source_arn == source_arn);
            task.source_arn != source_arn || kept <= MAXIMUM_TASKS
        });
    }

    pub(crate) fn of<'a>(&'a self, source_arn: &'a str) -> impl Iterator<Item = &'a MoveTask> {
        self.tasks.iter().filter(move |task| task.source_arn == source_arn)
    }

    pub(crate) fn running(&mut self) -> impl Iterator<Item = &mut MoveTask> {
        self.tasks.iter_mut().filter(|task| task.status == MoveStatus::Running)
    }

    pub(crate) fn next_event(&self) -> Option<Timestamp> {
        self.tasks.iter().filter(|task| task.status == MoveStatus::Running).map(MoveTask::next_move).min()
    }
}
