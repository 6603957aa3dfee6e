//! Answers of the model.

use serde_json::json;

use crate::common::{Test, conversation};

#[tokio::test]
async fn answer_repeats_the_last_words_and_counts_the_messages_before() {
    let test = Test::start().await;
    for (said, expected) in [
        (&["Hello"][..], "You said “Hello” after 0 messages."),
        (&["Hello", "Hi", "In size 42?"], "You said “In size 42?” after 2 messages."),
        (&["Hello", "Hi"], "You said “Hello” after 0 messages."),
    ] {
        let choice = test.choice(&conversation(said)).await;
        let message = json!({"role": "assistant", "content": expected, "refusal": null});
        assert_eq!((&choice["message"], &choice["finish_reason"]), (&message, &json!("stop")));
    }
}

#[tokio::test]
async fn answer_has_the_shape_and_the_usage_of_the_api() {
    let test = Test::start().await;
    let (status, mut answer) = test.call(&conversation(&["Hello"])).await;
    assert_eq!(status, 200);
    assert!(answer["created"].take().is_i64());
    // A token is four characters.
    let usage = json!({"prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 14});
    assert_eq!(
        (&answer["id"], &answer["object"], &answer["model"], &answer["usage"]),
        (&json!("chatcmpl-1"), &json!("chat.completion"), &json!("fake"), &usage)
    );
}

#[tokio::test]
async fn answer_is_cut_off_at_the_limit() {
    let test = Test::start().await;
    for name in ["max_completion_tokens", "max_tokens"] {
        let mut body = conversation(&["Hello"]);
        body[name] = json!(2);
        let choice = test.choice(&body).await;
        assert_eq!(
            (&choice["message"]["content"], &choice["finish_reason"]),
            (&json!("You said"), &json!("length"))
        );
    }
}
