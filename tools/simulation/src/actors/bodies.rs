//! The bodies of queue messages, as far as the actors need them.

use reply::delivery::Work;
use reply::incoming::MessageEvent;
use shared::meta::envelope::Exchange;

use crate::model::events;

/// Subject of a queue message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum About {
    /// A user's message.
    Message(String),
    /// A message sent by the business itself.
    Echo(String),
    /// The rows of a message.
    Record(String),
    /// A status of the message with this wamid.
    Status(String, String),
    /// An event, by its mark.
    Event(String),
    /// Not parseable.
    Unreadable,
}

/// Parses a body.
#[must_use]
pub fn about(body: &str) -> About {
    match Work::read(body) {
        Ok(Work::Answer(message)) => About::Message(message.key.into()),
        Ok(Work::Echo(echo)) => About::Echo(echo.key.into()),
        Ok(Work::Status(status)) => About::Status(status.wamid.into(), status.name),
        Ok(Work::Event(event) | Work::MessageEvent(MessageEvent { event, .. })) => {
            About::Event(events::mark(&event))
        }
        Ok(Work::Record(task)) => About::Record(task.exchange.key.into()),
        Err(_) => About::Unreadable,
    }
}

/// Wamids of the messages of a turn.
#[must_use]
pub fn turn(exchange: &Exchange) -> Vec<String> {
    let earlier = exchange.earlier.iter().map(|asked| &asked.key);
    earlier.chain([&exchange.key]).map(|key| key.as_str().to_owned()).collect()
}

/// Wamids of the turn whose rows are in a record task.
#[must_use]
pub fn turn_of_task(body: &str) -> Vec<String> {
    match Work::read(body) {
        Ok(Work::Record(task)) => turn(&task.exchange),
        _ => Vec::new(),
    }
}
