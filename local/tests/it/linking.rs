//! A number is linked by its holder: `demo --link`, and the page.

use std::collections::BTreeSet;

use local_supabase::{USER_A, USER_B};
use serde_json::{Value, json};

use crate::commands::output;
use crate::page::{Played, Shown};

#[tokio::test]
async fn demo_links_a_number_and_succeeds() {
    let output = output(&["demo", "--link", "--json"]).await;
    assert!(output.status.success());
    let demo: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    let keys: BTreeSet<_> = demo.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(keys, BTreeSet::from(["history", "link", "steps"]));
    let steps = demo["steps"].as_array().expect("steps");
    let of = |field: &str| steps.iter().map(|step| step[field].clone()).collect::<Vec<_>>();
    let outcomes = ["registration_sent", "ignored", "link_asked", "linked", "answered"];
    assert_eq!(of("outcome"), outcomes.map(Value::from));
    let lengths =
        |field: &str| of(field).iter().filter_map(|all| Some(all.as_array()?.len())).collect::<Vec<_>>();
    assert_eq!((lengths("echoes"), lengths("rows")), (vec![1, 0, 1, 1, 1], vec![0, 0, 0, 0, 2]), "{demo}");
    let question = &steps[2]["echoes"][0];
    let titles = question["buttons"].as_array().expect("buttons").iter().map(|button| &button["title"]);
    assert!(titles.eq(["Link", "Not me"]), "{question}");
    let (sent, code) = (&steps[2]["sent"], demo["link"]["code"].as_str().expect("a code"));
    assert!(sent.as_str().is_some_and(|sent| sent.contains(code)), "{sent}");
    assert_eq!(demo["history"][USER_A.to_string()].as_array().map(Vec::len), Some(2));
    assert_eq!(demo["history"][USER_B.to_string()], json!([]));
}

/// The message with buttons that a phone received last.
fn question<'a>(shown: &'a Shown, phone: &str) -> Option<&'a Value> {
    let chats = shown.things.get("chats")?.values();
    let questions = chats
        .filter(|one| one["phone"] == phone && one["buttons"].as_array().is_some_and(|all| !all.is_empty()));
    questions.max_by_key(|one| one["order"].as_u64())
}

/// Creates a code, sends it, and waits for a question other than `before`. The question and its buttons' ids.
async fn ask(played: &Played, phone: &str, user: &str, before: Option<&str>) -> (String, [String; 2]) {
    let (status, link) = played.post(&format!("/page/phones/{phone}/link"), &json!({"user": user})).await;
    assert_eq!(status, 201, "{link}");
    played.text(phone, &format!("link me: {}", link["code"].as_str().expect("a code"))).await;
    let is_new = |one: &Value| before != one["id"].as_str();
    let shown =
        played.until("the question arrives", |shown| question(shown, phone).is_some_and(is_new)).await;
    let asked = question(&shown, phone).expect("a question");
    let id = |button: usize| asked["buttons"][button]["id"].as_str().expect("an id").to_owned();
    (asked["id"].as_str().expect("an id").to_owned(), [id(0), id(1)])
}

async fn tap(played: &Played, phone: &str, question: &str, button: &str) -> String {
    let (wamids, status) = played.send(phone, &json!({"button": button, "refers_to": question})).await;
    assert_eq!(status, 200);
    wamids.into_iter().next().expect("one")
}

#[tokio::test]
async fn a_phone_of_the_page_is_linked_moved_and_unlinked() {
    let played = Played::start().await;
    let user = |shown: &Shown, phone: &str| shown.thing("phones", phone)["user"].clone();
    let (status, problem) = played.post("/page/phones/unlinked/link", &json!({"user": "A"})).await;
    assert_eq!(status, 503, "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|text| text.contains("Send a message")), "{problem}");
    let hello = played.text("unlinked", "Hello").await;
    played.until("the registration text arrives", |shown| shown.replies(&hello).len() == 1).await;

    // The other button: nothing is linked.
    let (first, [_, discard]) = ask(&played, "unlinked", "A", None).await;
    let wamid = tap(&played, "unlinked", &first, &discard).await;
    let shown = played.until("the code is discarded", |shown| shown.message(&wamid)["state"] == "done").await;
    assert_eq!(shown.message(&wamid)["reply"]["outcome"], "link_discarded");
    assert_eq!((user(&shown, "a"), user(&shown, "unlinked")), (json!("A"), Value::Null));
    // A button of another phone's message cannot be tapped.
    let (status, _) =
        played.post("/page/phones/b/messages", &json!({"button": discard, "refers_to": first})).await;
    assert_eq!(status, 400);

    let (second, [link, _]) = ask(&played, "unlinked", "A", Some(&first)).await;
    tap(&played, "unlinked", &second, &link).await;
    let shown = played.until("it is linked", |shown| user(shown, "unlinked") == "A").await;
    assert_eq!(user(&shown, "a"), Value::Null, "a user has one number");
    let text = played.text("unlinked", "Who am I?").await;
    let rows = |shown: &Shown| shown.message(&text)["database"]["rows"].as_array().map(Vec::len);
    played.until("it has rows", |shown| rows(shown) == Some(2)).await;

    // A username without a number takes the user over, then gives it back.
    let (third, [link, _]) = ask(&played, "username", "A", None).await;
    tap(&played, "username", &third, &link).await;
    played
        .until("it has moved", |shown| user(shown, "username") == "A" && user(shown, "unlinked").is_null())
        .await;
    let unlink = async |phone: &str| {
        let path = format!("/page/phones/{phone}/link");
        played.request(reqwest::Method::DELETE, &path, &json!({})).await.0
    };
    assert_eq!(unlink("username").await, 204);
    let shown = played.until("it is unlinked", |shown| user(shown, "username").is_null()).await;
    assert_eq!(user(&shown, "b"), "B");
    assert_eq!(unlink("username").await, 409);
    // Hello, three codes, three taps and a text: all without a difference.
    played.until_all_are_recorded(8).await;

    let image = played.client.get(format!("{}/page/qr.svg?text=https%3A%2F%2Fwa.me%2F1", played.stack.url()));
    let image = image.send().await.expect("an answer");
    assert_eq!(
        (image.status().as_u16(), &image.headers()["content-type"]),
        (200, &"image/svg+xml".parse().expect("ASCII"))
    );
    assert!(image.text().await.expect("text").contains("<svg"));
    played.stop().await;
}
