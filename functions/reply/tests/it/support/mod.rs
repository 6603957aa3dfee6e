//! A `Reply` with fakes of Meta and Supabase over real HTTP.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use reply::Reply;
use reply::batch::{Disposition, Handle};
use reply::database::Project;
use reply::delivery::{Delivery, Source, Work};
use reply::graph::{Graph, GraphSettings};
use reply::queues::{QueueClient, QueueError};
use reply::read_receipts::ReadReceipts;
use reply::responder::Echo;
use reply::turns::Window;
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::lambda::deadline::Deadline;
use shared::supabase::Supabase;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

pub(crate) const USER: &str = "11111111-1111-4111-8111-111111111111";

pub(crate) const LINK_ID: &str = "33333333-3333-4333-8333-333333333333";

/// Fakes of Meta and Supabase, one server each, and of the queues.
pub(crate) struct World {
    pub graph: MockServer,
    pub supabase: MockServer,
    pub queues: FakeQueues,
}

/// Stores messages, or refuses them.
#[derive(Clone, Default)]
pub(crate) struct FakeQueues {
    pub records: Arc<Mutex<Vec<String>>>,
    pub dead_letters: Arc<Mutex<Vec<(Source, String)>>>,
    pub refuses: bool,
}

impl QueueClient for FakeQueues {
    async fn change_visibility(&self, _: Source, _: &str, _: Duration) -> Result<(), QueueError> {
        Ok(())
    }

    async fn record_later(&self, body: String, _: Duration) -> Result<(), QueueError> {
        if self.refuses {
            return Err(QueueError("no connection".to_owned()));
        }
        self.records.lock().expect("a lock").push(body);
        Ok(())
    }

    async fn check_records(&self) -> Result<(), QueueError> {
        if self.refuses { Err(QueueError("no connection".to_owned())) } else { Ok(()) }
    }

    async fn dead_letter(&self, delivery: &Delivery, cause: &str) -> Result<(), QueueError> {
        if self.refuses {
            return Err(QueueError("no connection".to_owned()));
        }
        self.dead_letters.lock().expect("a lock").push((delivery.source, cause.to_owned()));
        Ok(())
    }
}

impl FakeQueues {
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.records.lock().expect("a lock"))
    }
}

/// Handles one delivery.
pub(crate) trait HandleOne {
    async fn handle(&self, delivery: &Delivery, deadline: Deadline) -> Disposition;
}

impl<T: Handle> HandleOne for T {
    async fn handle(&self, delivery: &Delivery, deadline: Deadline) -> Disposition {
        self.handle_turn(std::slice::from_ref(delivery), deadline).await
    }
}

/// The responses of Meta and Supabase.
pub(crate) struct Answers {
    pub send: ResponseTemplate,
    pub lookup: ResponseTemplate,
    pub recorded: ResponseTemplate,
    pub insert: ResponseTemplate,
    /// To a status or an event.
    pub stored: ResponseTemplate,
    /// To the completion of a link.
    pub link: ResponseTemplate,
    /// To an identity change.
    pub identity_change: ResponseTemplate,
    /// To the claim of a code.
    pub claim: ResponseTemplate,
    /// To a tap.
    pub confirm: ResponseTemplate,
    /// To the claim of the registration text.
    pub registration: ResponseTemplate,
    /// To the lookup of statuses of a reply.
    pub sent_parts: ResponseTemplate,
    /// To the lookup of a stored reply.
    pub stored_answers: ResponseTemplate,
    /// To the storing of a reply.
    pub store: ResponseTemplate,
}

pub(crate) fn all_well() -> Answers {
    Answers {
        send: ResponseTemplate::new(200).set_body_json(json!({"messages": [{"id": "wamid.answer"}]})),
        lookup: ResponseTemplate::new(200).set_body_json(json!([linked(json!(USER))])),
        recorded: ResponseTemplate::new(200).set_body_json(json!([])),
        insert: ResponseTemplate::new(201),
        stored: ResponseTemplate::new(201).set_body_json(json!([{"message_id": null}])),
        link: ResponseTemplate::new(200).set_body_json(json!([{"user_id": USER}])),
        identity_change: ResponseTemplate::new(200)
            .set_body_json(json!([{"outcome": "applied", "user_id": USER}])),
        claim: ResponseTemplate::new(200)
            .set_body_json(json!({"outcome": "ask", "link_id": LINK_ID, "account": "a•••@example.com"})),
        confirm: ResponseTemplate::new(200)
            .set_body_json(json!({"outcome": "linked", "user_id": USER, "moved": false})),
        registration: ResponseTemplate::new(200).set_body_json(json!(true)),
        sent_parts: ResponseTemplate::new(200).set_body_json(json!([])),
        stored_answers: ResponseTemplate::new(200).set_body_json(json!([])),
        store: ResponseTemplate::new(201),
    }
}

/// A row of `user_preferences` that links the number of [`text`].
pub(crate) fn linked(user_id: Value) -> Value {
    json!({"user_id": user_id, "whatsapp_phone": "+16505551234", "whatsapp_user_id": null})
}

pub(crate) fn graph_error(status: u16, code: i64) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(json!({"error": {"message": "…", "code": code}}))
}

impl World {
    pub(crate) async fn new(answers: Answers) -> Self {
        let (graph, supabase) = (MockServer::start().await, MockServer::start().await);
        Mock::given(method("POST")).respond_with(answers.send).mount(&graph).await;
        let lookup = Mock::given(method("GET")).and(path("/rest/v1/user_preferences"));
        lookup.respond_with(answers.lookup).mount(&supabase).await;
        for table in ["message_statuses", "account_events"] {
            let insert = Mock::given(method("POST")).and(path(format!("/rest/v1/{table}")));
            insert.respond_with(answers.stored.clone()).mount(&supabase).await;
        }
        for (table, answer) in
            [("message_statuses", answers.sent_parts), ("stored_answers", answers.stored_answers)]
        {
            let found = Mock::given(method("GET")).and(path(format!("/rest/v1/{table}")));
            found.respond_with(answer).mount(&supabase).await;
        }
        let store = Mock::given(method("POST")).and(path("/rest/v1/stored_answers"));
        store.respond_with(answers.store).mount(&supabase).await;
        let link = Mock::given(method("PATCH")).and(path("/rest/v1/user_preferences"));
        link.respond_with(answers.link).mount(&supabase).await;
        let identity_change = Mock::given(method("POST")).and(path("/rest/v1/rpc/keep_identity_event"));
        identity_change.respond_with(answers.identity_change).mount(&supabase).await;
        for (function, answer) in [
            ("claim_whatsapp_link", answers.claim),
            ("confirm_whatsapp_link", answers.confirm),
            ("claim_registration_text", answers.registration),
            ("registration_text_sent", ResponseTemplate::new(204)),
        ] {
            let call = Mock::given(method("POST")).and(path(format!("/rest/v1/rpc/{function}")));
            call.respond_with(answer).mount(&supabase).await;
        }
        let recorded = Mock::given(method("GET")).and(path("/rest/v1/messages"));
        recorded.respond_with(answers.recorded).mount(&supabase).await;
        let insert = Mock::given(method("POST")).and(path("/rest/v1/messages"));
        insert.respond_with(answers.insert).mount(&supabase).await;
        Self { graph, supabase, queues: FakeQueues::default() }
    }

    pub(crate) fn reply<R>(&self, responder: R) -> Reply<Project, Graph, FakeQueues, R> {
        let http = shared::http::client().expect("a client");
        let url = self.supabase.uri().parse().expect("a URL");
        let supabase = Supabase::new(&url, "sb_secret_k".parse().expect("a key"), http.clone());
        let settings = GraphSettings {
            url: self.graph.uri().parse().expect("a URL"),
            version: "v25.0".parse().expect("a version"),
            access_token: SecretString::from("token"),
        };
        Reply {
            database: Project::new(supabase),
            messenger: Graph::new(settings, http),
            queues: self.queues.clone(),
            responder,
            registration_text: "Please register.".to_owned(),
            read_receipts: ReadReceipts::Off,
            answers_groups: false,
            phone_number_id: "999".parse().expect("an id"),
            window: Window::OFF,
            clock: Arc::new(chrono::Utc::now),
            memory: Arc::default(),
        }
    }

    /// Handles an envelope with the responder `Echo`, on its first delivery.
    pub(crate) async fn handle(&self, body: String) -> Disposition {
        self.reply(Echo).handle(&delivery(body, 1), Deadline::NONE).await
    }

    pub(crate) async fn sends(&self) -> Vec<Request> {
        self.graph.received_requests().await.expect("recorded")
    }

    /// The rows of each insert into the history.
    pub(crate) async fn inserts(&self) -> Vec<Value> {
        self.writes("POST", "messages").await.iter().map(json_of).collect()
    }

    /// The requests with a method for a table or function.
    pub(crate) async fn writes(&self, method: &str, table: &str) -> Vec<Request> {
        let requests = self.supabase.received_requests().await.expect("recorded");
        let is_one = |request: &Request| {
            request.method.as_str() == method && request.url.path() == format!("/rest/v1/{table}")
        };
        requests.into_iter().filter(is_one).collect()
    }
}

pub(crate) fn json_of(request: &Request) -> Value {
    serde_json::from_slice(&request.body).expect("JSON")
}

pub(crate) fn envelope(message: &Value) -> String {
    let metadata = json!({"phone_number_id": "106540352242922"});
    let received_at = "2025-06-08T20:59:43.500Z";
    json!({"v1": {"message": {"received_at": received_at, "metadata": metadata, "message": message}}})
        .to_string()
}

/// A delivery of the inbound queue.
pub(crate) fn delivery(body: String, receive_count: u32) -> Delivery {
    let group = Some("group".to_owned());
    let (message_id, receipt_handle) = ("m1".to_owned(), "r1".to_owned());
    let work = Work::read(&body);
    Delivery {
        message_id,
        receipt_handle,
        source: Source::Inbound,
        group,
        receive_count,
        sent_at: None,
        first_received_at: None,
        trace: None,
        work,
        body,
    }
}

/// Whether the message is redelivered after a delay.
pub(crate) fn is_returned(outcome: Disposition) -> bool {
    matches!(outcome, Disposition::Return(delay) if delay >= Duration::from_secs(2))
}

pub(crate) fn text() -> Value {
    json!({"from": "16505551234", "id": "wamid.Q", "timestamp": "1749416383", "type": "text", "text": {"body": "Hello"}})
}

/// A delivery of the record queue.
pub(crate) fn record_delivery(body: &str) -> Delivery {
    Delivery { source: Source::Records, group: Some("wamid.Q".to_owned()), ..delivery(body.to_owned(), 1) }
}
