//! A record task: the rest of a long reply, if there is one, is sent, and the rows are written.

use shared::lambda::counter::Counter;
use shared::lambda::logging::ShortWamid;
use shared::meta::envelope::{RecordTask, Unsent};
use shared::supabase::rows::Role;
use tracing::{error, warn};

use crate::database::{Database, within};
use crate::delivery::Attempt;
use crate::failure::Failure;
use crate::graph::{Messenger, Recipient};
use crate::history::row_id;
use crate::lookup::{Owner, lookup_task};
use crate::outcome::{Handled, Outcome, Report};
use crate::queues::QueueClient;
use crate::record::{Recorder, WriteOutcome, received};
use crate::refusal::OwnNumbers;
use crate::send::{Outbox, Progress, Route, Sent, Stop};
use crate::users::{self, Author};

/// Sends the unsent rest in a record task, if there is one, and writes its rows.
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
        let written = finish_answer(task, unsent, attempt, recorder, outbox, own_numbers).await?;
        return Ok(Report::handled(handled(written, task), task.user_id));
    }
    let user_id = match task.user_id {
        Some(user_id) => Some(user_id),
        None => {
            // Under the same rules as the lookup of a new message: the number may have another owner by now.
            let author = author(task);
            let finding = recorder.database.find_user(&author);
            within(attempt.deadline, users::TIMEOUT, finding).await?.map(|linked| linked.user_id)
        }
    };
    let written = match user_id {
        Some(user_id) => recorder.write(user_id, &task.exchange, attempt.deadline).await?,
        None => WriteOutcome::Dropped("the sender is unlinked"),
    };
    Ok(Report::handled(handled(written, task), user_id))
}

/// Sends the rest of a reply and then writes the rows, which proves that no part is left to be sent.
async fn finish_answer<D: Database, M: Messenger, Q: QueueClient>(
    task: &RecordTask,
    unsent: &Unsent,
    attempt: Attempt,
    recorder: Recorder<'_, D, Q>,
    outbox: Outbox<'_, M>,
    own_numbers: OwnNumbers<'_, D>,
) -> Result<WriteOutcome, Failure> {
    let RecordTask { user_id, sender, exchange, .. } = task;
    let key = &exchange.key;
    let (is_recorded, sent_before) = lookup_task(recorder.database, key, unsent.part > 0, attempt).await;
    if is_recorded {
        return Ok(WriteOutcome::Written);
    }
    let (author, deadline) = (author(task), attempt.deadline);
    let from = unsent.from.parse().unwrap_or_else(|_| own_numbers.configured.clone());
    let to = unsent.group_id.as_deref().map_or(Recipient::Person(sender), Recipient::Group);
    let answer_id = row_id(key, &Role::Assistant);
    let (wamid, part, sent) = (key.wamid(), unsent.part, &sent_before);
    let route = Route { from: &from, to, wamid, buttons: &[], answer_id, part, sent };
    let Sent { wamids, parts, progress } = outbox.send(route, &unsent.text, deadline).await;
    let mut exchange = exchange.clone();
    exchange.answer_wamids.extend(wamids);
    let wamid = ShortWamid::field(key.as_str());
    let refused = match progress {
        Progress::Complete => None,
        // `Owner::Unknown`: the number counts as this account's, because it has sent the earlier parts.
        Progress::Failed(cause) if own_numbers.may_retry(&cause, &from, Owner::Unknown, attempt).await => {
            return Err(Failure::NotSent(cause));
        }
        Progress::Failed(cause) => Some((unsent.text.as_str(), Stop::Error(cause))),
        Progress::Partial(rest, stop) if stop.is_permanent() => Some((rest, stop)),
        Progress::Partial(rest, stop) => {
            warn!(counter = Counter::DeferredAnswers.name(), wamid, cause = %stop, "reply sent in part: its rest is sent later");
            let unsent = Unsent { text: rest.to_owned(), part: part + parts, ..unsent.clone() };
            recorder.record_later(*user_id, &author, exchange, Some((unsent, &stop)), deadline).await?;
            return Ok(WriteOutcome::Deferred);
        }
    };
    if let Some((rest, cause)) = refused {
        error!(counter = Counter::UndeliverableAnswers.name(), wamid, %cause, "Meta refused the rest of the reply permanently");
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

fn handled(written: WriteOutcome, task: &RecordTask) -> Handled {
    match written {
        WriteOutcome::Written => Outcome::Recorded.into(),
        WriteOutcome::Deferred => Outcome::Deferred.into(),
        WriteOutcome::Dropped(reason) => Outcome::Dropped.because(format!("{reason}: {}", task.sender)),
    }
}
