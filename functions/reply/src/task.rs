//! A record task: the rest of a long answer is sent, if there is one, and rows are written.

use shared::counter::Counter;
use shared::envelope::{RecordTask, Unsent};
use shared::logging::ShortWamid;
use tracing::{error, warn};

use crate::database::{Database, within};
use crate::delivery::Attempt;
use crate::failure::Failure;
use crate::graph::{Messenger, Recipient};
use crate::lookup::{Owner, is_recorded};
use crate::outcome::{Handled, Outcome, Report};
use crate::queues::QueueClient;
use crate::record::{Recorder, Stored, received};
use crate::refusal::OwnNumbers;
use crate::send::{HowFar, Outbox, Route, Sent, Stop};
use crate::users::{self, Author};

/// Sends what a record task has still to send, and writes its rows.
///
/// # Errors
/// When the task must be redelivered.
pub(crate) async fn run<D: Database, M: Messenger, Q: QueueClient>(
    task: &RecordTask,
    attempt: Attempt,
    recorder: Recorder<'_, D, Q>,
    outbox: Outbox<'_, M>,
    own_numbers: OwnNumbers<'_, D>,
) -> Result<Report, Failure> {
    if let Some(unsent) = &task.unsent {
        let stored = finish_answer(task, unsent, attempt, recorder, outbox, own_numbers).await?;
        return Ok(Report::handled(handled(stored, task), task.user_id));
    }
    let user_id = match task.user_id {
        Some(user_id) => Some(user_id),
        None => {
            // By the rules of a look-up at once: the number may have another owner by now.
            let author = author(task);
            let finding = recorder.database.find_user(&author);
            within(attempt.deadline, users::TIMEOUT, finding).await?.map(|linked| linked.user_id)
        }
    };
    let stored = match user_id {
        Some(user_id) => recorder.write(user_id, &task.exchange, attempt.deadline).await?,
        None => Stored::Dropped("nobody linked the sender"),
    };
    Ok(Report::handled(handled(stored, task), user_id))
}

/// Sends the rest of an answer. The rows are written after it: they are what says that all was sent.
async fn finish_answer<D: Database, M: Messenger, Q: QueueClient>(
    task: &RecordTask,
    unsent: &Unsent,
    attempt: Attempt,
    recorder: Recorder<'_, D, Q>,
    outbox: Outbox<'_, M>,
    own_numbers: OwnNumbers<'_, D>,
) -> Result<Stored, Failure> {
    let RecordTask { user_id, sender, exchange, .. } = task;
    let key = &exchange.key;
    if is_recorded(recorder.database, key, attempt).await {
        return Ok(Stored::Rows);
    }
    let (author, deadline) = (author(task), attempt.deadline);
    let from = unsent.from.parse().unwrap_or_else(|_| own_numbers.configured.clone());
    let to = unsent.group_id.as_deref().map_or(Recipient::Person(sender), Recipient::Group);
    let route = Route { from: &from, to, wamid: key.wamid() };
    let Sent { wamids, how_far } = outbox.send(route, &unsent.text, deadline).await;
    let mut exchange = exchange.clone();
    exchange.answer_wamids.extend(wamids);
    let wamid = ShortWamid::field(key.as_str());
    let refused = match how_far {
        HowFar::Whole => None,
        // The number has sent the parts before these.
        HowFar::Nothing(cause) if own_numbers.may_retry(&cause, &from, Owner::Unknown, attempt).await => {
            return Err(Failure::NotSent(cause));
        }
        HowFar::Nothing(cause) => Some((unsent.text.as_str(), Stop::Error(cause))),
        HowFar::Partly(rest, stop) if stop.is_final() => Some((rest, stop)),
        HowFar::Partly(rest, stop) => {
            warn!(counter = Counter::DeferredAnswers.name(), wamid, cause = %stop, "the rest of the answer is sent later");
            let unsent = Unsent { text: rest.to_owned(), ..unsent.clone() };
            recorder.record_later(*user_id, &author, exchange, Some(unsent), deadline).await?;
            return Ok(Stored::Later);
        }
    };
    if let Some((rest, cause)) = refused {
        error!(counter = Counter::UndeliverableAnswers.name(), wamid, %cause, "the rest of the answer is refused permanently");
        if let Some(answer) = &mut exchange.answer {
            answer.content = received(&answer.content, rest).to_owned();
        }
    }
    recorder.record(*user_id, &author, exchange, deadline).await
}

fn author(task: &RecordTask) -> Author {
    let RecordTask { sender, waba_id, written_at, .. } = task;
    Author { sender: sender.clone(), waba_id: waba_id.clone(), written_at: *written_at }
}

fn handled(stored: Stored, task: &RecordTask) -> Handled {
    match stored {
        Stored::Rows => Outcome::Recorded.into(),
        Stored::Later => Outcome::Deferred.into(),
        Stored::Dropped(reason) => Outcome::Dropped.because(format!("{reason}: {}", task.sender)),
    }
}
