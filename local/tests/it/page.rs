//! The page over HTTP, on a real stack: commands, and the stream of events.

use std::collections::BTreeMap;

use local_page::Page;
use local_stack::{Options, Stack};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use local_testing::{DEADLINE, PHONE_A, payload, rows, stack_with, text};

/// The state of a page: the newest version of each item.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown {
    pub(crate) things: BTreeMap<&'static str, BTreeMap<String, Value>>,
    pub(crate) counters: Value,
    pub(crate) responder: Value,
    history: Value,
    samples: Value,
}

/// The lists of the first event, and the events that change them.
const LISTS: [(&str, &str, &str); 5] = [
    ("phones", "phone", "id"),
    ("chats", "chat", "id"),
    ("messages", "message", "wamid"),
    ("logs", "log", "id"),
    ("faults", "fault", "id"),
];

impl Shown {
    fn read(&mut self, event: &str, data: &Value) {
        if event == "state" {
            *self = Self::default();
            for (list, _, id) in LISTS {
                for thing in data[list].as_array().expect("a list") {
                    self.put(list, id, thing);
                }
            }
            (self.counters, self.history) = (data["counters"].clone(), data["history"].clone());
            (self.samples, self.responder) = (data["samples"].clone(), data["responder"].clone());
        } else if event == "counters" {
            self.counters = data.clone();
        } else if event == "responder" {
            self.responder = data.clone();
        } else {
            let (list, _, id) = LISTS.into_iter().find(|(_, name, _)| *name == event).expect("a known event");
            self.put(list, id, data);
        }
    }

    fn put(&mut self, list: &'static str, id: &str, thing: &Value) {
        let id = thing[id].as_str().map_or_else(|| thing[id].to_string(), str::to_owned);
        self.things.entry(list).or_default().insert(id, thing.clone());
    }

    pub(crate) fn thing(&self, list: &str, id: &str) -> &Value {
        self.things.get(list).and_then(|things| things.get(id)).unwrap_or(&Value::Null)
    }

    pub(crate) fn message(&self, wamid: &str) -> &Value {
        self.thing("messages", wamid)
    }

    /// The replies to a message.
    pub(crate) fn replies(&self, wamid: &str) -> Vec<&Value> {
        let chats = self.things.get("chats").into_iter().flat_map(|chats| chats.values());
        chats.filter(|one| one["from"] == "business" && one["quotes"]["id"] == wamid).collect()
    }

    /// Whether `count` messages are recorded, and none has another state.
    fn all_recorded(&self, count: u64) -> bool {
        let settled = json!({"accepted": count, "recorded": count, "waiting": 0, "dead": 0, "difference": 0});
        let settled = settled.as_object().expect("an object");
        settled.iter().all(|(name, value)| self.counters[name] == *value) && self.counters["known"] == true
    }
}

/// A stack with an open page, and a client of its events.
pub(crate) struct Played {
    pub(crate) stack: Stack,
    page: Page,
    pub(crate) client: reqwest::Client,
    shown: watch::Receiver<Shown>,
    follower: JoinHandle<()>,
}

impl Played {
    pub(crate) async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    pub(crate) async fn start_with(options: Options) -> Self {
        let stack = stack_with(options).await;
        let page = Page::open(&stack).expect("a page");
        let client = shared::http::client().expect("a client");
        let (sender, mut shown) = watch::channel(Shown::default());
        let response = client.get(format!("{}/page/live", stack.url())).send().await.expect("an answer");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let follower = tokio::spawn(follow(response, sender));
        shown.wait_for(|shown| !shown.counters.is_null()).await.expect("the first event");
        Self { stack, page, client, shown, follower }
    }

    /// Sends a request with a JSON body.
    pub(crate) async fn request(&self, method: reqwest::Method, path: &str, body: &Value) -> (u16, Value) {
        let url = format!("{}{path}", self.stack.url());
        let response = self.client.request(method, url).json(body).send().await.expect("an answer");
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or_default())
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.request(reqwest::Method::POST, path, body).await
    }

    /// Sends from a phone. The wamids of the messages, and the webhook's status.
    pub(crate) async fn send(&self, phone: &str, message: &Value) -> (Vec<String>, u64) {
        let (status, answer) = self.post(&format!("/page/phones/{phone}/messages"), message).await;
        assert_eq!(status, 202, "{answer}");
        let wamids = answer["wamids"].as_array().expect("wamids").iter();
        let wamids = wamids.map(|wamid| wamid.as_str().expect("a string").to_owned()).collect();
        (wamids, answer["status"].as_u64().expect("a status"))
    }

    /// Sends a text that the webhook accepts.
    pub(crate) async fn text(&self, phone: &str, text: &str) -> String {
        let (wamids, status) = self.send(phone, &json!({ "text": text })).await;
        assert_eq!((wamids.len(), status), (1, 200));
        wamids.into_iter().next().expect("one")
    }

    pub(crate) async fn switch(&self, id: &str, on: bool) {
        let (status, answer) =
            self.request(reqwest::Method::PUT, &format!("/page/faults/{id}"), &json!({ "on": on })).await;
        assert_eq!((status, &answer["on"]), (200, &json!(on)), "{answer}");
    }

    /// Waits until the state of the page fulfils a condition.
    pub(crate) async fn until(&self, event: &str, condition: impl Fn(&Shown) -> bool) -> Shown {
        let mut shown = self.shown.clone();
        let seen = tokio::time::timeout(DEADLINE, shown.wait_for(|shown| condition(shown))).await;
        match seen {
            Ok(seen) => seen.expect("the page is open").clone(),
            Err(_) => {
                let shown = self.shown.borrow();
                panic!("timeout: {event}: {:#?}, {:#?}", shown.counters, shown.things.get("messages"))
            }
        }
    }

    pub(crate) async fn until_all_are_recorded(&self, count: u64) -> Shown {
        self.until(&format!("{count} messages are recorded"), |shown| shown.all_recorded(count)).await
    }

    /// Stops everything, which also ends the page's stream.
    pub(crate) async fn stop(self) {
        self.page.close().await;
        self.follower.await.expect("the stream ends");
        self.stack.stop().await.expect("stopped");
    }
}

/// Reads server-sent events until they end.
async fn follow(mut response: reqwest::Response, shown: watch::Sender<Shown>) {
    let mut buffer = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        buffer.extend_from_slice(&chunk);
        while let Some(end) = buffer.windows(2).position(|two| two == b"\n\n") {
            let block: Vec<u8> = buffer.drain(..end + 2).collect();
            let block = String::from_utf8(block).expect("UTF-8");
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
            // A comment keeps the connection alive.
            if let (Some(event), Some(data)) = (field("event: "), field("data: ")) {
                let data: Value = serde_json::from_str(data).expect("JSON");
                shown.send_modify(|shown| shown.read(event, &data));
            }
        }
    }
}

#[tokio::test]
async fn a_text_is_replied_to_recorded_and_shown_at_every_stage() {
    let played = Played::start().await;
    let first = played.shown.borrow().clone();
    let phones: Vec<&str> =
        first.things["phones"].values().map(|phone| phone["id"].as_str().expect("an id")).collect();
    assert_eq!(phones, ["a", "b", "unlinked", "username"]);
    assert!(first.samples.as_array().is_some_and(|samples| samples.len() >= 14));
    assert_eq!(first.history.as_array().map(Vec::len), Some(4));

    let wamid = played.text("a", "Hello").await;
    let reply = |shown: &Shown, ticks: &str| matches!(shown.replies(&wamid).as_slice(), [one] if one["text"] == "Hello" && one["ticks"] == ticks);
    played.until("the reply is delivered", |shown| reply(shown, "delivered")).await;
    assert_eq!(played.post("/page/phones/a/read", &json!({})).await.0, 204);
    played.until("the reply is read", |shown| reply(shown, "read")).await;
    assert_eq!(played.shown.borrow().thing("chats", &wamid)["ticks"], "sent");

    let statuses = |shown: &Shown| {
        let statuses = shown.message(&wamid)["statuses"].as_array().cloned().unwrap_or_default();
        statuses.len() == 3 && statuses.iter().all(|status| !status["outcome"].is_null())
    };
    let is_read = |shown: &Shown| shown.message(&wamid)["database"]["rows"][1]["status"] == "read";
    let shown = played.until("the row has the status", |shown| statuses(shown) && is_read(shown)).await;
    let message = shown.message(&wamid);
    assert_eq!(
        (&message["state"], &message["phone"], &message["label"]),
        (&json!("done"), &json!("a"), &json!("text: Hello"))
    );
    let webhook = &message["webhook"];
    assert_eq!(
        (&webhook["status"], &webhook["signature"], &webhook["posts"]),
        (&json!(200), &json!("valid"), &json!(1))
    );
    assert_eq!((&message["queue"]["state"], &message["queue"]["receives"]), (&json!("gone"), &json!(1)));
    assert_eq!(
        (&message["reply"]["outcome"], &message["reply"]["attempts"]),
        (&json!("answered"), &json!(1))
    );
    assert_eq!(
        (&message["graph"][0]["status"], &message["graph"][0]["request"]["text"]["body"]),
        (&json!(200), &json!("Hello"))
    );
    assert_eq!((&message["dead"], &message["database"]["deferred"]), (&Value::Null, &json!(false)));
    let logs = shown.things["logs"].values().filter(|log| log["wamid"] == wamid.as_str());
    let functions: std::collections::BTreeSet<_> = logs.filter_map(|log| log["function"].as_str()).collect();
    assert!(functions.contains("webhook") && functions.contains("reply"), "{functions:?}");
    let shown = played.until_all_are_recorded(1).await;
    assert_eq!(shown.counters["answered"], 1);
    played.stop().await;
}

#[tokio::test]
async fn the_counters_reconcile_for_every_kind_of_sender_and_message() {
    let played = Played::start().await;
    let registers = |shown: &Shown, wamid: &str| matches!(shown.replies(wamid).as_slice(), [one] if one["text"] != "Hello" && one["ticks"] == "delivered");
    for phone in ["unlinked", "username"] {
        let wamid = played.text(phone, "Hello").await;
        let shown =
            played.until("the registration reply is delivered", |shown| registers(shown, &wamid)).await;
        assert_eq!(shown.message(&wamid)["database"], Value::Null);
    }
    let (status, phone) =
        played.post("/page/phones", &json!({"name": "Grace", "number": "+49 170 1234567"})).await;
    assert_eq!((status, &phone["user"]), (201, &Value::Null));
    let id = phone["id"].as_str().expect("an id");
    played.until("the phone exists", |shown| !shown.thing("phones", id).is_null()).await;
    let (status, problem) = played.post("/page/phones", &json!({"name": "Grace", "number": "call me"})).await;
    assert!(
        status == 400 && problem["detail"].as_str().is_some_and(|text| text.contains("digits")),
        "{problem}"
    );

    let question = played.text("a", "See you on Satruday").await;
    let shown = played.until("the reply exists", |shown| shown.replies(&question).len() == 1).await;
    let reply = shown.replies(&question)[0]["id"].as_str().expect("an id").to_owned();
    let mut count = 3;
    for sample in shown.samples.as_array().expect("samples") {
        let refers_to = match sample["refers_to"].as_str() {
            Some("own") => json!(question),
            Some(_) => json!(reply),
            None => Value::Null,
        };
        let message = json!({"sample": sample["id"], "refers_to": refers_to});
        assert_eq!(played.send("a", &message).await.1, 200, "{sample}");
        count += 1;
    }
    let shown =
        played.until("it is deleted", |shown| shown.thing("chats", &question)["revoked"] == true).await;
    assert_eq!(shown.thing("chats", &question)["edited"], true);
    let (status, problem) = played.post("/page/phones/a/messages", &json!({"sample": "edit"})).await;
    assert!(status == 400 && problem["detail"].is_string(), "{problem}");

    let (wamids, _) = played.send("b", &json!({"burst": 20})).await;
    count += 20;
    played
        .until("all have replies", |shown| wamids.iter().all(|wamid| shown.replies(wamid).len() == 1))
        .await;
    // A POST from outside the page is shown as well; an unsigned one does not count as Meta's.
    let body = payload(&[text("4915112345678", "wamid.outside", "from outside")]);
    assert_eq!(played.stack.post(&body).await.expect("answered"), 200);
    count += 1;
    let shown = played
        .until("the outside sender gets a registration reply", |shown| registers(shown, "wamid.outside"))
        .await;
    assert_eq!(shown.message("wamid.outside")["phone"], shown.thing("chats", "wamid.outside")["phone"]);
    let forged = payload(&[text(PHONE_A, "wamid.forged", "forged")]);
    let url = played.stack.webhook_url();
    let answer = played.client.post(url).body(forged).send().await.expect("an answer");
    assert_eq!(answer.status(), 401);
    let is_refused = |shown: &Shown| shown.message("wamid.forged")["state"] == "refused";
    let shown = played.until("the forged message is refused", is_refused).await;
    assert_eq!(shown.message("wamid.forged")["webhook"]["signature"], "missing");
    assert!(shown.thing("chats", "wamid.forged").is_null());
    played.until_all_are_recorded(count).await;
    played.stop().await;
}

#[tokio::test]
async fn with_the_database_down_the_reply_is_sent_and_the_row_waits() {
    let played = Played::start().await;
    played.switch("database-down", true).await;
    let wamid = played.text("a", "Are you there?").await;
    let waits = |shown: &Shown| {
        let message = shown.message(&wamid);
        shown.replies(&wamid).len() == 1
            && message["database"]["deferred"] == true
            && message["state"] == "waiting"
            && message["queue"]["name"] == "records"
            && shown.counters["waiting"] == 1
            && shown.counters["known"] == false
    };
    played.until("the reply exists and the row waits", waits).await;
    played.switch("database-down", false).await;
    let shown = played.until("the row exists", |shown| shown.message(&wamid)["state"] == "done").await;
    assert_eq!(shown.message(&wamid)["database"]["rows"].as_array().map(Vec::len), Some(2));
    assert_eq!(shown.message(&wamid)["database"]["deferred"], false);
    let shown = played.until_all_are_recorded(1).await;
    assert_eq!(shown.replies(&wamid).len(), 1);
    assert_eq!(rows(&played.stack).await.len(), 2);
    played.stop().await;
}

#[tokio::test]
async fn a_duplicate_delivery_gets_one_reply() {
    let played = Played::start().await;
    played.switch("duplicate-delivery", true).await;
    let wamid = played.text("a", "Once").await;
    let unlinked = played.text("unlinked", "Once").await;
    let delivered = |shown: &Shown, wamid: &str| matches!(shown.replies(wamid).as_slice(), [one] if one["ticks"] == "delivered");
    played.until("both have replies", |shown| delivered(shown, &wamid) && delivered(shown, &unlinked)).await;
    let shown = played.until_all_are_recorded(2).await;
    assert_eq!(shown.message(&wamid)["webhook"]["posts"], 2);
    assert_eq!((shown.replies(&wamid).len(), shown.replies(&unlinked).len()), (1, 1));
    assert_eq!(played.stack.services.graph.received().len(), 2);
    played.stop().await;
}

#[tokio::test]
async fn a_dead_letter_has_a_cause_and_gets_a_reply_after_a_redrive() {
    let played = Played::start().await;
    let (status, answer) = played.post("/page/faults/dead-letter", &json!({})).await;
    assert!(status == 200 && answer["done"].is_string(), "{answer}");
    let shown = played.until("it is counted", |shown| shown.counters["dead"] == 1).await;
    let wamid = shown.things["messages"].keys().next().expect("a message").clone();
    let shown = played.until("it is shown", |shown| shown.message(&wamid)["state"] == "dead").await;
    let dead = &shown.message(&wamid)["dead"];
    assert_eq!(dead["queue"], "inbound-dead-letters.fifo");
    assert!(dead["cause"].as_str().is_some_and(|cause| cause.contains("code 190")), "{dead}");
    assert_eq!((&shown.counters["difference"], shown.replies(&wamid).len()), (&json!(0), 0));

    let (status, redriven) = played.post("/page/dead-letters/redrive", &json!({})).await;
    assert_eq!((status, redriven), (200, json!({"moved": 1, "left": null})));
    played.until("it has a reply", |shown| shown.replies(&wamid).len() == 1).await;
    played.until("it is done", |shown| shown.message(&wamid)["state"] == "done").await;
    let shown = played.until_all_are_recorded(1).await;
    assert_eq!(shown.message(&wamid)["dead"], Value::Null);
    played.stop().await;
}

#[tokio::test]
async fn backoff_can_be_skipped_and_the_last_failure_dead_letters() {
    let played = Played::start().await;
    played.switch("graph-token-expired", true).await;
    let wamid = played.text("a", "Hello").await;
    let waits = |shown: &Shown| {
        let queue = &shown.message(&wamid)["queue"];
        queue["state"] == "waiting" && !queue["visible_at"].is_null() && shown.counters["waiting"] == 1
    };
    let shown = played.until("it is postponed", waits).await;
    let error = shown.message(&wamid)["reply"]["error"].as_str().expect("an error").to_owned();
    assert!(error.starts_with("account: "), "{error}");
    assert_eq!(shown.message(&wamid)["graph"][0]["status"], 401);
    let (_, answer) = played.post("/page/faults/skip-backoff", &json!({})).await;
    assert_eq!(answer["done"], "1 message is retried now.");
    let again = |shown: &Shown| {
        let message = shown.message(&wamid);
        message["reply"]["attempts"] == 2 && message["queue"]["receives"] == 2 && waits(shown)
    };
    played.until("it has failed again", again).await;
    let (_, answer) = played.post("/page/faults/last-attempt", &json!({})).await;
    assert_eq!(answer["done"], "1 message is retried now, for the last time.");
    played.until("it is a dead letter", |shown| shown.counters["dead"] == 1).await;

    // A second message is retried at once when the token is replaced.
    let second = played.text("b", "Hello?").await;
    let waits = |shown: &Shown| {
        !shown.message(&second)["queue"]["visible_at"].is_null()
            && shown.message(&second)["queue"]["state"] == "waiting"
    };
    played.until("the second waits", waits).await;
    played.switch("graph-token-expired", false).await;
    played.until("the second has a reply", |shown| shown.replies(&second).len() == 1).await;
    assert_eq!(played.post("/page/dead-letters/redrive", &json!({})).await.1["moved"], 1);
    played.until_all_are_recorded(2).await;
    played.stop().await;
}

#[tokio::test]
async fn meta_retries_a_message_while_sqs_is_unavailable() {
    let played = Played::start().await;
    played.switch("sqs-unavailable", true).await;
    let (wamids, status) = played.send("a", &json!({"text": "Hello"})).await;
    assert_eq!(status, 500);
    let wamid = &wamids[0];
    let shown = played.until("it is refused", |shown| shown.message(wamid)["state"] == "refused").await;
    assert_eq!(shown.thing("chats", wamid)["ticks"], "clock");
    assert_eq!(shown.counters["accepted"], 0);
    played.switch("sqs-unavailable", false).await;
    let shown = played.until("it has a reply", |shown| shown.replies(wamid).len() == 1).await;
    assert_eq!(shown.thing("chats", wamid)["ticks"], "sent");
    assert!(shown.message(wamid)["webhook"]["posts"].as_u64() >= Some(2));
    played.until_all_are_recorded(1).await;
    played.stop().await;
}

#[tokio::test]
async fn graph_api_errors_are_retried_and_a_killed_reply_recovers() {
    let played = Played::start().await;
    played.switch("graph-500", true).await;
    let wamid = played.text("a", "Hello").await;
    let failed = |shown: &Shown| {
        shown.message(&wamid)["state"] == "waiting" && shown.message(&wamid)["graph"][0]["status"] == 500
    };
    played.until("it has failed", failed).await;
    played.switch("graph-500", false).await;
    played.until_all_are_recorded(1).await;

    played.switch("graph-slow", true).await;
    let second = played.text("a", "Slowly").await;
    let in_flight = |shown: &Shown| shown.message(&second)["queue"]["state"] == "in flight";
    played.until("it is in flight", in_flight).await;
    let (_, answer) = played.post("/page/faults/kill-reply", &json!({})).await;
    assert!(answer["done"].as_str().is_some_and(|done| done.contains("killed")), "{answer}");
    played.switch("graph-slow", false).await;
    played.until("it has a reply anyway", |shown| !shown.replies(&second).is_empty()).await;
    played.until_all_are_recorded(2).await;
    assert_eq!(rows(&played.stack).await.len(), 4);
    played.stop().await;
}

#[tokio::test]
async fn requests_of_other_sites_and_invalid_requests_are_refused() {
    let played = Played::start().await;
    let url = played.stack.url();
    let get = async |path: &str| played.client.get(format!("{url}{path}")).send().await.expect("an answer");
    let index = get("/").await;
    let header = |name: &str| index.headers()[name].to_str().expect("ASCII").to_owned();
    assert_eq!(
        (index.status().as_u16(), header("content-type")),
        (200, "text/html; charset=utf-8".to_owned())
    );
    assert!(header("content-security-policy").starts_with("default-src 'self'"));
    assert_eq!(header("cache-control"), "no-cache");
    assert_eq!(get("/page/assets/index.html").await.status(), 200);
    assert_eq!(get("/page/assets/..%2fCargo.toml").await.status(), 404);
    assert_eq!(get("/page/elsewhere").await.status(), 404);

    for path in ["/", "/page/live", "/page/assets/index.html"] {
        for (name, value) in [("host", "example.com"), ("origin", "https://example.com")] {
            let foreign = played.client.get(format!("{url}{path}")).header(name, value);
            assert_eq!(foreign.send().await.expect("an answer").status(), 403, "{path} {name}");
        }
    }
    let messages = format!("{url}/page/phones/a/messages");
    let form = played.client.post(&messages).header("content-type", "application/x-www-form-urlencoded");
    let refused = form.body(r#"{"text":"x"}"#).send().await.expect("an answer");
    assert_eq!(refused.status(), 415);
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
    let read = played.client.post(format!("{url}/page/phones/a/read")).send().await.expect("an answer");
    assert_eq!(read.status(), 415);
    for (path, body, status) in [
        ("/page/phones/unknown/messages", json!({"text": "x"}), 404),
        ("/page/phones/a/messages", json!({"text": " "}), 400),
        ("/page/phones/a/messages", json!({"text": "x", "burst": 2}), 400),
        ("/page/phones/a/messages", json!({"text": 1}), 400),
        ("/page/phones/a/messages", json!({"sample": "nonsense"}), 400),
        ("/page/phones/a/messages", json!({"button": "x", "refers_to": "wamid.x"}), 400),
        ("/page/phones/unknown/link", json!({"user": "A"}), 404),
        ("/page/phones/a/link", json!({"user": "C"}), 400),
        ("/page/faults/nonsense", json!({}), 404),
        ("/page/faults/database-down", json!({}), 404),
    ] {
        let (answered, problem) = played.post(path, &body).await;
        assert_eq!((answered, &problem["status"]), (status, &json!(status)), "{path} {problem}");
    }
    // The functions' own routes are unchanged.
    assert_eq!(played.client.get(format!("{url}/messages")).send().await.expect("an answer").status(), 401);
    assert!(played.stack.services.graph.received().is_empty());
    played.stop().await;
}
