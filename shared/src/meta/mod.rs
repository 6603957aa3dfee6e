//! Meta's data: messages, statuses and events of the WhatsApp Business Platform, and the identities in them.
//!
//! | module | used by | purpose |
//! |---|---|---|
//! | [`contacts`] | `webhook`, `reply` | matches the sender or recipient of a message with a contact |
//! | [`envelope`] | `webhook`, `reply` | the bodies of queue messages |
//! | [`identity`] | `webhook`, `reply` | changes of a user's phone number or user id |
//! | [`lenient`] | `webhook`, `reply` | reading of JSON that never fails |
//! | [`phone`] | `webhook`, `reply` | phone numbers, and those with two spellings |
//! | [`sender`] | `webhook`, `reply` | the sender of a message: a phone number, a user id, or both |
//! | [`wamid`] | all | Meta's id of a message, and the key of a message without one |

pub mod contacts;
pub mod envelope;
pub mod identity;
pub mod lenient;
pub mod phone;
pub mod sender;
pub mod wamid;
