//! The page that plays WhatsApp: phones to write with, and the way of every message, live.
//!
//! It watches the services and drives them; what becomes of a message is decided by the functions alone. It is served on
//! the gateway's address, beside their routes. What draws all this in a browser is in `web`.
//!
//! | module | what it does |
//! |---|---|
//! | `routes` | the page's requests |
//! | `assets` | the page's files |
//! | `guard` | nobody but the page uses it |
//! | `problem` | why something was not done |
//! | `live` | everything that is shown, and telling pages what has changed |
//! | `phones` | whose phones are there |
//! | `compose` | what people and Meta say, as webhook payloads |
//! | `meta` | posts it, and posts it again |
//! | `posts` | sees what is posted, by whomever |
//! | `chat` | what phones show |
//! | `journey` | the way of each message |
//! | `queues` | where the queues have each message |
//! | `line` | a line of a function's log |
//! | `logs` | what the functions' log says of each message |
//! | `counters` | how many messages are where |
//! | `follow` | follows what the services do |
//! | `trouble` | what can go wrong |
//! | `faults` | makes it happen |

mod assets;
mod chat;
mod compose;
mod counters;
mod faults;
mod follow;
mod guard;
mod journey;
mod line;
mod live;
mod logs;
mod meta;
mod phones;
mod posts;
mod problem;
mod queues;
mod routes;
mod trouble;

use std::sync::Arc;

use local_stack::Stack;
use local_supabase::USER_A;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::faults::Troubles;
use crate::live::Hub;
use crate::meta::Meta;
use crate::routes::App;

/// The page of a stack, open until it is closed.
pub struct Page {
    app: Arc<App>,
    followers: JoinSet<()>,
}

impl Page {
    /// Opens the page on the gateway's address. From now on the Graph API's stand-in says what becomes of answers, as
    /// Meta does.
    ///
    /// # Errors
    /// When a token cannot be signed, or there is no HTTP client.
    pub fn open(stack: &Stack) -> anyhow::Result<Self> {
        let services = &stack.services;
        let hub = Arc::new(Hub::new(trouble::all(), history(stack)?));
        let meta = Meta::new(stack.webhook_url())?;
        let reply = stack.reply.clone();
        let troubles = Troubles::new(Arc::downgrade(services), reply, Arc::clone(&hub), meta.clone());
        let app = Arc::new(App { hub: Arc::clone(&hub), meta: meta.clone(), troubles });

        let mut followers = JoinSet::new();
        followers.spawn(follow::graph(services.graph.subscribe(), Arc::clone(&hub), meta));
        followers.spawn(follow::journal(stack.journal.subscribe(), Arc::clone(&hub)));
        followers.spawn(follow::queues(Arc::clone(services), Arc::clone(&hub)));
        followers.spawn(follow::survey(Arc::clone(services), hub));
        stack.serve(routes::router(&app, stack.routes()));
        Ok(Self { app, followers })
    }

    /// Ends what pages are told, and what was under way.
    pub async fn close(mut self) {
        self.app.hub.close();
        self.app.meta.stop();
        self.followers.shutdown().await;
    }
}

/// Whose history the page can look at.
fn history(stack: &Stack) -> anyhow::Result<Value> {
    let [(_, token_a), (_, token_b)] = stack.users()?;
    let mut tokens = vec![
        json!({"id": "A", "label": "User A", "token": token_a}),
        json!({"id": "B", "label": "User B", "token": token_b}),
        json!({"id": "none", "label": "No token", "token": null}),
    ];
    // Nobody else's project signs one.
    if let Ok(ours) = stack.services.supabase.own() {
        tokens.push(json!({"id": "expired", "label": "Expired token", "token": ours.expired_token(USER_A)?}));
    }
    Ok(Value::Array(tokens))
}
