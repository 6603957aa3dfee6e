//! The registration text: once in 24 hours for a sender, and what is remembered of a stranger.

use local_supabase::USER_A;

use super::{HOLDER, Linking, OTHER, refused};

#[tokio::test]
async fn registration_text_is_sent_once_in_24_hours() {
    let linking = Linking::start().await;
    assert!(linking.register(&HOLDER, "m1").await);
    assert!(linking.register(&HOLDER, "m1").await, "a retry of a message whose text was not sent");
    linking.registered(&HOLDER, "m2").await;
    assert!(linking.register(&HOLDER, "m1").await, "the text for another message was sent");
    linking.registered(&HOLDER, "m1").await;
    assert!(!linking.register(&HOLDER, "m1").await, "a redelivery of the message after its text was sent");
    assert!(!linking.register(&HOLDER, "m2").await);
    assert!(!linking.register(&OTHER, "m3").await, "the first message of the other sender");
    linking.pass(24 * 60 - 1).await;
    assert!(!linking.register(&HOLDER, "m4").await);
    linking.pass(2).await;
    assert!(linking.register(&HOLDER, "m4").await);
    assert!(!linking.register(&HOLDER, "m1").await, "of the day before");
    linking.pass(6 * 24 * 60).await;
    assert!(!linking.register(&HOLDER, "m1").await, "a copy that Meta sends for a week");
    assert!(linking.register(&HOLDER, "m5").await);
    linking.stop().await;
}

#[tokio::test]
async fn message_of_the_day_before_is_claimed_anew() {
    let linking = Linking::start().await;
    assert!(linking.register(&HOLDER, "m1").await);
    linking.pass(24 * 60 + 1).await;
    for _ in 0..2 {
        assert!(linking.register(&HOLDER, "m1").await);
        assert!(!linking.register(&HOLDER, "m2").await);
    }
    linking.stop().await;
}

/// Two functions process the messages of one sender only one after the other, but a stopped one may still run.
#[tokio::test]
async fn concurrent_messages_get_one_text() {
    let linking = Linking::start().await;
    let (one, two, three) = tokio::join!(
        linking.register(&HOLDER, "m1"),
        linking.register(&HOLDER, "m2"),
        linking.register(&HOLDER, "m3")
    );
    assert_eq!([one, two, three].into_iter().filter(|is_sent| *is_sent).count(), 1);
    linking.stop().await;
}

#[tokio::test]
async fn memory_of_strangers_is_deleted_after_a_day_or_eight() {
    let linking = Linking::start().await;
    let fill = "insert into whatsapp.sender_messages (sender, kind, message, answered)
        select int4send(n), 'wrong_code', int4send(n), true from generate_series(1, 450) as n";
    linking.run(fill).await;
    linking.pass(24 * 60 + 1).await;
    let old = "select count(*) from whatsapp.sender_messages where at < now() - interval '1 day'";
    assert_eq!(linking.count(old).await, 451, "with the first message of the other sender");
    assert!(linking.register(&HOLDER, "m1").await);
    assert_eq!(linking.count(old).await, 251);
    assert_eq!(linking.claim("AA2AAAA2AA", &HOLDER, "m2").await, refused("unknown", true));
    assert_eq!(linking.count(old).await, 51);
    linking.code(USER_A).await;
    assert_eq!(linking.count(old).await, 1, "the registration text of the other sender");
    assert_eq!(linking.count("select count(*) from whatsapp.sender_messages").await, 3);
    linking.pass(7 * 24 * 60).await;
    linking.code(USER_A).await;
    let texts = "select count(*) from whatsapp.sender_messages where kind = 'registration'";
    assert_eq!(
        linking.count(texts).await,
        1,
        "of those, the one that is more than eight days old is deleted"
    );
    linking.stop().await;
}

/// Rows that another transaction has locked are left to a later call.
#[tokio::test]
async fn deleting_old_rows_waits_for_no_lock() {
    let linking = Linking::start().await;
    linking.code(USER_A).await;
    linking.pass(24 * 60 + 1).await;
    let mut other = linking.project.supabase.pool().begin().await.expect("a transaction");
    for locked in ["whatsapp.sender_messages", "whatsapp.link_codes"] {
        let lock = format!("select 1 from {locked} for update");
        sqlx::query(sqlx::AssertSqlSafe(lock)).execute(&mut *other).await.expect("locked");
    }
    assert!(linking.register(&HOLDER, "m1").await);
    other.rollback().await.expect("unlocked");
    let all = "select (select count(*) from whatsapp.sender_messages) + count(*) from whatsapp.link_codes";
    assert_eq!(linking.count(all).await, 3);
    linking.stop().await;
}

#[tokio::test]
async fn only_pseudonyms_and_a_time_are_stored_of_a_stranger() {
    let linking = Linking::start().await;
    linking.register(&HOLDER, "m1").await;
    let columns: Vec<String> = sqlx::query_scalar(
        "select column_name::text from information_schema.columns
         where table_schema = 'whatsapp' and table_name = 'sender_messages' order by ordinal_position",
    )
    .fetch_all(linking.project.supabase.pool())
    .await
    .expect("columns");
    assert_eq!(columns, ["sender", "kind", "message", "outcome", "answered", "at"]);
    linking.stop().await;
}
