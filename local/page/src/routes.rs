//! The page's routes and their handlers.

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use local_lambda::Function;
use local_stack::responder::Responder;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::faults::Fault;
use crate::injector::Injector;
use crate::linking::{self, Apps};
use crate::live::{Changed, Hub};
use crate::meta::Meta;
use crate::phones::{NewPhone, Phone, User};
use crate::posts::Post;
use crate::problem::Problem;
use crate::{assets, compose, guard, live};

/// The largest body that the gateway accepts, in bytes.
const MAX_BODY: usize = 10 * 1024 * 1024;

/// The state that handlers share.
pub(crate) struct App {
    pub(crate) hub: Arc<Hub>,
    pub(crate) meta: Meta,
    pub(crate) injector: Injector,
    pub(crate) apps: Apps,
    pub(crate) reply: Function,
}

impl App {
    pub(crate) fn phone(&self, id: &str) -> Result<Phone, Problem> {
        self.hub.look(|model| model.phones.get(id).cloned()).ok_or_else(|| Problem::unknown("phone"))
    }
}

/// The page's routes and the functions' routes, with every POST to the webhook observed.
pub(crate) fn router(app: &Arc<App>, functions: Router) -> Router {
    let page = Router::new()
        .route("/", get(assets::index))
        .route("/page/assets/{*path}", get(assets::asset))
        .route("/page/live", get(events))
        .route("/page/phones", post(add_phone))
        .route("/page/phones/{id}/messages", post(send))
        .route("/page/phones/{id}/read", post(read))
        .route("/page/phones/{id}/link", post(link).delete(unlink))
        .route("/page/qr.svg", get(qr_code))
        .route("/page/faults/{id}", put(switch).post(act))
        .route("/page/responder", put(select_responder))
        .route("/page/dead-letters/redrive", post(redrive))
        .route_layer(from_fn(guard::guard))
        .with_state(Arc::clone(app));
    let functions = functions.layer(from_fn_with_state(Arc::clone(app), observe));
    page.merge(functions)
}

/// Observes every POST to the webhook.
async fn observe(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if request.method() != Method::POST || request.uri().path() != "/webhook" {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let post = Post::read(&parts.headers, &body);
    app.hub.change(|model| model.post_arrived(&post));
    let start = Instant::now();
    let response = next.run(Request::from_parts(parts, axum::body::Body::from(body))).await;
    let (status, took) = (response.status().as_u16(), start.elapsed());
    app.hub.change(|model| model.post_answered(&post, status, took));
    app.hub.survey_soon();
    response
}

/// `GET /page/live`
async fn events(State(app): State<Arc<App>>) -> impl IntoResponse {
    live::events(&app.hub)
}

/// Runs slow work until the page is closed: after that the services must be released.
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
        model.mark(Changed::Phone(phone.id.clone()));
        Ok(phone)
    });
    Ok((StatusCode::CREATED, Json(added.map_err(|detail: String| Problem::bad(detail))?)).into_response())
}

/// A message to send: one of `text`, `sample`, `button` and `burst`.
#[derive(Deserialize)]
struct NewMessage {
    text: Option<String>,
    sample: Option<String>,
    /// The id of a button of the message `refers_to`, which is tapped.
    button: Option<String>,
    refers_to: Option<String>,
    burst: Option<usize>,
}

async fn send(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    body: Body<NewMessage>,
) -> Result<Response, Problem> {
    let phone = app.phone(&id)?;
    let NewMessage { text, sample, button, refers_to, burst } = parsed(body)?;
    let composed = match (text, sample, button, burst) {
        (Some(text), None, None, None) if text.trim().is_empty() => Err("text must not be empty".to_owned()),
        (Some(text), None, None, None) => Ok(compose::text(&phone, &text)),
        (None, Some(sample), None, None) => compose::from_sample(&phone, &sample, refers_to.as_deref()),
        (None, None, Some(button), None) => {
            let question = refers_to.unwrap_or_default();
            let button = app.hub.look(|model| model.chats.button(&id, &question, &button).cloned());
            let tap = button.map(|button| compose::tap(&phone, &question, &button));
            tap.ok_or_else(|| "this phone has no such button".to_owned())
        }
        (None, None, None, Some(count)) => compose::burst(&phone, count),
        _ => Err("exactly one of text, sample, button and burst is required".to_owned()),
    };
    let composed = composed.map_err(Problem::bad)?;
    let status = app.meta.deliver(composed.body).await?;
    let answer = json!({"wamids": composed.wamids, "status": status});
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}

async fn read(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    let phone = app.phone(&id)?;
    for (wamid, callback_data) in app.hub.look(|model| model.chats.unread(&id)) {
        let body = compose::status(&phone, &wamid, callback_data.as_deref(), "read");
        app.meta.deliver(body).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// The user with whom a phone is to be linked.
#[derive(Deserialize)]
struct NewLink {
    user: User,
}

/// Creates a code, as the user's app does. The phone is linked when its owner sends and confirms the code.
async fn link(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    body: Body<NewLink>,
) -> Result<Response, Problem> {
    app.phone(&id)?;
    let NewLink { user } = parsed(body)?;
    let link = unless_closed(&app, app.apps.create_link(user)).await?;
    Ok((StatusCode::CREATED, Json(link)).into_response())
}

/// Unlinks the phone's user, as the user's app does.
async fn unlink(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    let user = app.phone(&id)?.user.ok_or_else(|| Problem::conflict("this phone is not linked"))?;
    unless_closed(&app, app.apps.delete_link(user)).await?;
    app.hub.survey_soon();
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
struct Encoded {
    text: String,
}

async fn qr_code(Query(Encoded { text }): Query<Encoded>) -> Result<Response, Problem> {
    let image = linking::qr_code(&text)?;
    let headers = [(header::CONTENT_TYPE, "image/svg+xml"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    Ok((headers, image).into_response())
}

#[derive(Deserialize)]
struct Switch {
    on: bool,
}

async fn switch(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    body: Body<Switch>,
) -> Result<Json<Fault>, Problem> {
    let Switch { on } = parsed(body)?;
    unless_closed(&app, app.injector.switch(&id, on)).await.map(Json)
}

async fn act(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let done = unless_closed(&app, app.injector.act(&id)).await?;
    Ok(Json(json!({ "done": done })))
}

#[derive(Deserialize)]
struct NewResponder {
    responder: Responder,
}

/// Changes the environment of `reply`, as a deployment with another parameter does. Messages in progress are answered by
/// the earlier responder.
async fn select_responder(
    State(app): State<Arc<App>>,
    body: Body<NewResponder>,
) -> Result<StatusCode, Problem> {
    let NewResponder { responder } = parsed(body)?;
    app.reply.change_env(responder.environment());
    app.hub.change(|model| {
        model.responder.responder = responder;
        model.mark(Changed::Responder);
    });
    Ok(StatusCode::NO_CONTENT)
}

async fn redrive(State(app): State<Arc<App>>) -> Result<Json<Value>, Problem> {
    let redriven = unless_closed(&app, app.injector.redrive()).await?;
    Ok(Json(json!({"moved": redriven.moved, "left": redriven.left})))
}
