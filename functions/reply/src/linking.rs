//! Linking of a number or user id by the person who holds it.
//!
//! The app of a signed-in user creates a code. The person sends it from WhatsApp, is asked whether to link this WhatsApp
//! to that account, and taps on a button. The session proves the user, Meta's signature the phone, and the question
//! protects a person who was made to send another user's code. See `docs/LINKING.md`.

use shared::lambda::counter::Counter;
use shared::lambda::deadline::Deadline;
use tracing::{info, warn};
use uuid::Uuid;

use crate::budget::HANDOVER;
use crate::code::Code;
use crate::database::{Database, within};
use crate::delivery::Attempt;
use crate::failure::Failure;
use crate::graph::{Button, Messenger, PhoneNumberId};
use crate::incoming::{Content, Incoming};
use crate::links::{Claim, Claimed, Confirmed, TIMEOUT, Tap};
use crate::lookup::Owner;
use crate::notice::Notices;
use crate::outcome::{Handled, Outcome, Report};

/// The answer to a code that is wrong, used or too old.
const WRONG_CODE: &str = "This code is not valid, or no longer. Open the app and create a new one.";

/// The answer to a tap that links.
const LINKED: &str = "This WhatsApp is now linked to your account.";

/// The answer to a tap that discards the code.
const DISCARDED: &str = "This WhatsApp was not linked. The code is no longer valid.";

/// The answer to a tap on a question that is answered or too old.
const CLOSED: &str = "This question is already answered or too old. Open the app and create a new code to link this \
    WhatsApp.";

/// The prefix of the ids of the question's buttons. The id of the claimed code and [`LINK`] or [`DISCARD`] follow.
const BUTTON: &str = "whatsapp_link:";
const LINK: &str = "link";
const DISCARD: &str = "discard";

/// A message that is a step of linking.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// It contains a string in the form of a code.
    Code(Code),
    /// It is a tap on a button of the question.
    Tap {
        /// The id of the claimed code.
        link_id: Uuid,
        /// Whether the button is the one that links.
        accept: bool,
    },
}

impl Step {
    /// Returns the step that a message is, if it is ours to answer and not in a group.
    pub(crate) fn of(message: &Incoming) -> Option<Self> {
        if !message.is_ours || message.group_id.is_some() {
            return None;
        }
        match &message.content {
            Content::Text(text) => Code::find(text).map(Self::Code),
            Content::Choice(choice) => choice.id.as_deref().and_then(Self::of_button),
            _ => None,
        }
    }

    fn of_button(id: &str) -> Option<Self> {
        let (link_id, choice) = id.strip_prefix(BUTTON)?.split_once(':')?;
        let accept = match choice {
            LINK => true,
            DISCARD => false,
            _ => return None,
        };
        Some(Self::Tap { link_id: link_id.parse().ok()?, accept })
    }
}

/// Claims the code in a message, if it contains one.
pub(crate) async fn claim(
    database: &impl Database,
    code: Option<&Code>,
    from: &PhoneNumberId,
    message: &Incoming,
    deadline: Deadline,
) -> Result<Option<Claimed>, Failure> {
    let Some(code) = code else { return Ok(None) };
    let claim = Claim { code, from, message };
    let claimed = within(deadline.keeping(HANDOVER), TIMEOUT, database.claim_link(&claim)).await;
    claimed.map(Some).map_err(Failure::Link)
}

/// Answers a message whose code was claimed. Returns `None` if it is not a step of linking: its sender is or may be
/// linked, and what looks like a code is unknown.
pub(crate) async fn answer_code<D: Database, M: Messenger>(
    claimed: Claimed,
    owner: Owner,
    message: &Incoming,
    from: &PhoneNumberId,
    notices: &Notices<'_, D, M>,
    attempt: Attempt,
) -> Option<Report> {
    let result = match claimed {
        Claimed::Ask { link_id, account } => {
            let question = format!(
                "Link this WhatsApp to this account: {account}? Choose Link only if you have just asked for this in \
                the app."
            );
            let (link, discard) =
                (format!("{BUTTON}{link_id}:{LINK}"), format!("{BUTTON}{link_id}:{DISCARD}"));
            let buttons = [Button { id: &link, title: "Link" }, Button { id: &discard, title: "Not me" }];
            let asked = Outcome::LinkAsked.into();
            notices.send(message, from, &question, &buttons, asked, attempt).await
        }
        Claimed::Unknown { .. } if !matches!(owner, Owner::Unlinked) => return None,
        Claimed::Expired { answer: true } | Claimed::Unknown { answer: true } => {
            let refused = Outcome::LinkRefused.because("its code is unknown, used or expired");
            notices.send(message, from, WRONG_CODE, &[], refused, attempt).await
        }
        Claimed::Expired { answer: false } | Claimed::Unknown { answer: false } => Ok(too_many()),
        Claimed::Decided => {
            Ok(Outcome::Ignored.because("its code was claimed before, and its sender was asked"))
        }
    };
    Some(Report { user_id: owner.user_id(), result })
}

/// Links the sender of a tap, or discards the code.
pub(crate) async fn answer_tap<D: Database, M: Messenger>(
    database: &D,
    tap: Tap<'_>,
    notices: &Notices<'_, D, M>,
    attempt: Attempt,
) -> Report {
    let Tap { from, message, .. } = tap;
    let confirming = within(attempt.deadline.keeping(HANDOVER), TIMEOUT, database.confirm_link(&tap));
    let (user_id, text, outcome) = match confirming.await {
        Ok(Confirmed::Linked { user_id, moved }) => {
            let wamid = message.short_wamid();
            if moved {
                warn!(counter = Counter::MovedLinks.name(), wamid, %user_id, "number or user id moved to this user from another");
            }
            info!(wamid, %user_id, "number or user id linked by its holder");
            (Some(user_id), LINKED, Outcome::Linked.into())
        }
        Ok(Confirmed::Discarded { user_id }) => (Some(user_id), DISCARDED, Outcome::LinkDiscarded.into()),
        Ok(Confirmed::Expired { answer: false }) => return Report::handled(too_many(), None),
        Ok(Confirmed::Expired { answer: true }) => (
            None,
            CLOSED,
            Outcome::LinkRefused.because("its question is answered, too old or another sender's"),
        ),
        Err(cause) => return Failure::Link(cause).into(),
    };
    let result = notices.send(message, from, text, &[], outcome, attempt).await;
    Report { user_id, result }
}

/// Returns the outcome of a code or tap after too many wrong ones.
fn too_many() -> Handled {
    Outcome::LinkRefused.because("its sender has sent too many wrong codes and taps within an hour")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_button_of_the_question_is_a_tap() {
        let link_id = Uuid::from_u128(7);
        for (choice, accept) in [(LINK, true), (DISCARD, false)] {
            let step = Step::of_button(&format!("{BUTTON}{link_id}:{choice}"));
            assert_eq!(step, Some(Step::Tap { link_id, accept }));
        }
        for id in [
            "",
            "yes",
            "whatsapp_link:",
            "whatsapp_link:7:link",
            &format!("{BUTTON}{link_id}"),
            &format!("{BUTTON}{link_id}:Link"),
        ] {
            assert_eq!(Step::of_button(id), None, "{id}");
        }
    }
}
