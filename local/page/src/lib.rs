//! A web page for the pipeline on one machine: simulated phones, and each message in the pipeline, live.
//!
//! It observes and controls the services; only the functions decide on the outcome of a message. It is served at the
//! gateway's address, beside their routes. The browser's part is in `web`.
//!
//! | module | content |
//! |---|---|
//! | `routes` | the page's requests |
//! | `assets` | the page's files |
//! | `guard` | refuses requests of other sites |
//! | `problem` | errors of requests |
//! | `live` | the page's state, and the stream of its changes |
//! | `phones` | the simulated phones |
//! | `linking` | links phones with users, as the users' apps do it |
//! | `compose` | webhook payloads of users and of Meta |
//! | `meta` | posts payloads, with retries |
//! | `posts` | reads every POST to the webhook |
//! | `responder` | the responder of `reply`, and what a language model has answered |
//! | `chat` | the chats of the phones |
//! | `pipeline` | each message in the pipeline |
//! | `queues` | the position of each message on the queues |
//! | `line` | a line of a function's log |
//! | `logs` | applies log lines to messages |
//! | `counters` | counts messages, each number from its own source |
//! | `follow` | follows the services |
//! | `faults` | the faults that can be injected |
//! | `injector` | injects them |

mod assets;
mod chat;
mod compose;
mod counters;
mod faults;
mod follow;
mod guard;
mod injector;
mod line;
mod linking;
mod live;
mod logs;
mod meta;
mod phones;
mod pipeline;
mod posts;
mod problem;
mod queues;
mod responder;
mod routes;

use std::sync::Arc;

use local_stack::Stack;
use local_supabase::USER_A;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::injector::Injector;
use crate::linking::Apps;
use crate::live::Hub;
use crate::meta::Meta;
use crate::responder::Selected;
use crate::routes::App;

/// The page of a stack, open until it is closed.
pub struct Page {
    app: Arc<App>,
    followers: JoinSet<()>,
}

impl Page {
    /// Opens the page at the gateway's address. From then on statuses of replies are posted to the webhook, as Meta
    /// does.
    ///
    /// # Errors
    /// When a token cannot be signed, or the HTTP client cannot be built.
    pub fn open(stack: &Stack) -> anyhow::Result<Self> {
        let services = &stack.services;
        let faults = faults::all(services.fake_model.is_some());
        let hub = Arc::new(Hub::new(faults, history(stack)?, Selected::of(services)));
        let meta = Meta::new(stack.webhook_url())?;
        let reply = stack.reply.clone();
        let injector = Injector::new(Arc::downgrade(services), reply.clone(), Arc::clone(&hub), meta.clone());
        let apps = Apps::new(stack)?;
        let app = Arc::new(App { hub: Arc::clone(&hub), meta: meta.clone(), injector, apps, reply });

        let mut followers = JoinSet::new();
        followers.spawn(follow::graph(services.graph.subscribe(), Arc::clone(&hub), meta));
        followers.spawn(follow::logs(stack.logs.subscribe(), Arc::clone(&hub)));
        followers.spawn(follow::queues(Arc::clone(services), Arc::clone(&hub)));
        followers.spawn(follow::survey(Arc::clone(services), hub));
        stack.serve(routes::router(&app, stack.routes()));
        Ok(Self { app, followers })
    }

    /// Ends the streams of events, and pending posts.
    pub async fn close(mut self) {
        self.app.hub.close();
        self.app.meta.stop();
        self.followers.shutdown().await;
    }
}

/// The viewers of the history, with their tokens.
fn history(stack: &Stack) -> anyhow::Result<Value> {
    let [(_, token_a), (_, token_b)] = stack.users()?;
    let mut tokens = vec![
        json!({"id": "A", "label": "User A", "token": token_a}),
        json!({"id": "B", "label": "User B", "token": token_b}),
        json!({"id": "none", "label": "No token", "token": null}),
    ];
    // Only the emulator's project signs one.
    if let Ok(ours) = stack.services.supabase.own() {
        tokens.push(json!({"id": "expired", "label": "Expired token", "token": ours.expired_token(USER_A)?}));
    }
    Ok(Value::Array(tokens))
}
