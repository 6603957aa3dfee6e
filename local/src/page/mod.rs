//! The page that plays WhatsApp: phones to write with, and the way of every message, live.
//!
//! It watches the services and drives them; what becomes of a message is decided by the functions alone. It is served on
//! the gateway's address, beside their routes. The page itself, which draws all this, is in `local/page`.
//!
//! | module | what it does |
//! |---|---|
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
//! | `logs` | what the functions log |
//! | `counters` | how many messages are where |
//! | `follow` | follows what the services do |
//! | `trouble` | what goes wrong |

mod assets;
mod chat;
mod compose;
mod counters;
mod follow;
mod guard;
mod journey;
mod live;
mod logs;
mod meta;
mod phones;
mod posts;
mod problem;
mod queues;
mod trouble;

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use local_supabase::USER_A;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::stack::Stack;
use live::{Changed, Hub};
use meta::Meta;
use phones::{NewPhone, Phone};
use problem::Problem;
use trouble::{Trouble, Troubles};

/// The page of a stack, open until it is closed.
pub struct Page {
    app: Arc<App>,
    followers: JoinSet<()>,
}

/// What requests need.
struct App {
    hub: Arc<Hub>,
    meta: Meta,
    troubles: Troubles,
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
        stack.serve(router(&app, stack.routes()));
        Ok(Self { app, followers })
    }

    /// Ends what pages are told, and what was under way.
    pub async fn close(mut self) {
        self.app.hub.close();
        self.app.meta.stop();
        self.followers.shutdown().await;
    }
}

/// The page's routes, and the functions' routes, whose webhook is watched.
fn router(app: &Arc<App>, functions: Router) -> Router {
    let page = Router::new()
        .route("/", get(assets::index))
        .route("/page/assets/{*path}", get(assets::asset))
        .route("/page/live", get(live::live))
        .route("/page/phones", post(add_phone))
        .route("/page/phones/{id}/messages", post(send))
        .route("/page/phones/{id}/read", post(read))
        .route("/page/trouble/{id}", put(switch).post(act))
        .route("/page/dead-letters/redrive", post(redrive))
        .route_layer(from_fn(guard::guard))
        .with_state(Arc::clone(app));
    let functions = functions.layer(from_fn_with_state(Arc::clone(app), posts::observe));
    page.merge(functions)
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

impl App {
    fn phone(&self, id: &str) -> Result<Phone, Problem> {
        self.hub.look(|model| model.phones.get(id).cloned()).ok_or_else(|| Problem::unknown("phone"))
    }
}

/// Does something that takes its time, unless the page is closed: nobody may hold the services then.
async fn unless_closed<T>(app: &App, work: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
    tokio::select! {
        result = work => result,
        () = app.hub.is_closed() => Err(Problem::stopping()),
    }
}

type Body<T> = Result<Json<T>, JsonRejection>;

fn parsed<T>(body: Body<T>) -> Result<T, Problem> {
    body.map(|Json(body)| body).map_err(|rejection| Problem::bad(rejection.body_text()))
}

async fn add_phone(State(app): State<Arc<App>>, body: Body<NewPhone>) -> Result<Response, Problem> {
    let new = parsed(body)?;
    let added = app.hub.change(|model| {
        let phone = model.phones.add(new)?;
        model.tell(Changed::Phone(phone.id.clone()));
        Ok(phone)
    });
    Ok((StatusCode::CREATED, Json(added.map_err(|why: String| Problem::bad(why))?)).into_response())
}

/// What a person sends: one of the three.
#[derive(Deserialize)]
struct NewMessage {
    text: Option<String>,
    sample: Option<String>,
    refers_to: Option<String>,
    burst: Option<usize>,
}

async fn send(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    body: Body<NewMessage>,
) -> Result<Response, Problem> {
    let phone = app.phone(&id)?;
    let NewMessage { text, sample, refers_to, burst } = parsed(body)?;
    let composed = match (text, sample, burst) {
        (Some(text), None, None) if text.trim().is_empty() => Err("a text is not empty".to_owned()),
        (Some(text), None, None) => Ok(compose::text(&phone, &text)),
        (None, Some(sample), None) => compose::from_sample(&phone, &sample, refers_to.as_deref()),
        (None, None, Some(count)) => compose::burst(&phone, count),
        _ => Err("give one of text, sample and burst".to_owned()),
    };
    let composed = composed.map_err(Problem::bad)?;
    let status = app.meta.deliver(composed.body).await?;
    let answer = json!({"wamids": composed.wamids, "status": status});
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}

async fn read(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    let phone = app.phone(&id)?;
    for wamid in app.hub.look(|model| model.chats.unread(&id)) {
        app.meta.deliver(compose::status(&phone, &wamid, "read")).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
struct Switch {
    on: bool,
}

async fn switch(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    body: Body<Switch>,
) -> Result<Json<Trouble>, Problem> {
    let Switch { on } = parsed(body)?;
    unless_closed(&app, app.troubles.switch(&id, on)).await.map(Json)
}

async fn act(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let done = unless_closed(&app, app.troubles.act(&id)).await?;
    Ok(Json(json!({ "done": done })))
}

async fn redrive(State(app): State<Arc<App>>) -> Result<Json<Value>, Problem> {
    let redriven = unless_closed(&app, app.troubles.redrive()).await?;
    Ok(Json(json!({"moved": redriven.moved, "left": redriven.left})))
}
