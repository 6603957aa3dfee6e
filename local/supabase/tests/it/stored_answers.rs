//! Replies that are stored before they are sent, and statuses with the id of their reply.

use local_supabase::USER_A;
use serde_json::{Value, json};
use sqlx::Executor as _;
use uuid::Uuid;

use crate::common::{Project, answer};

async fn get(project: &Project, path: &str) -> Value {
    let (status, rows) = answer(project.get(path).header("apikey", project.supabase.secret_key())).await;
    assert_eq!(status, 200, "{rows}");
    rows
}

async fn insert(project: &Project, path: &str, rows: &Value) {
    let request = project.post(path).header("apikey", project.supabase.secret_key());
    let request = request.header("prefer", "resolution=merge-duplicates,return=minimal");
    // 200 if all rows are merged with existing ones.
    assert!(matches!(answer(request.json(rows)).await.0, 200 | 201));
}

fn stored(message_id: Uuid, user_id: Option<Uuid>, text: &str) -> Value {
    json!([{ "message_id": message_id, "user_id": user_id, "text": text }])
}

#[tokio::test]
async fn a_stored_answer_is_deleted_with_the_insert_of_its_messages_row() {
    let project = Project::start().await;
    let (message_id, other) = (Uuid::new_v4(), Uuid::new_v4());
    for text in ["first", "second"] {
        insert(&project, "stored_answers?on_conflict=message_id", &stored(message_id, Some(USER_A), text))
            .await;
    }
    insert(&project, "stored_answers", &stored(other, None, "of another message")).await;
    let query = format!("stored_answers?select=text&message_id=in.({message_id})");
    assert_eq!(get(&project, &query).await, json!([{"text": "second"}]));
    let row = |id: Uuid, role: &str| json!({ "id": id, "user_id": USER_A, "channel": "whatsapp", "role": role, "content": "hi" });
    insert(&project, "messages", &json!([row(Uuid::new_v4(), "user"), row(Uuid::new_v4(), "assistant")]))
        .await;
    assert_eq!(get(&project, "stored_answers?select=message_id").await.as_array().map(Vec::len), Some(2));
    insert(&project, "messages", &json!([row(message_id, "user"), row(Uuid::new_v4(), "assistant")])).await;
    assert_eq!(get(&project, "stored_answers?select=message_id").await, json!([{"message_id": other}]));
    project.stop().await;
}

#[tokio::test]
async fn stored_answers_expire_and_are_deleted_with_their_user() {
    let project = Project::start().await;
    for (user_id, age) in [(None, 13), (None, 15), (Some(USER_A), 1)] {
        let id = Uuid::new_v4();
        insert(&project, "stored_answers", &stored(id, user_id, &age.to_string())).await;
        let sql = sqlx::query(
            "update public.stored_answers set created_at = now() - make_interval(days => $1) where message_id = $2",
        );
        sql.bind(age).bind(id).execute(project.supabase.pool()).await.expect("updated");
    }
    insert(&project, "stored_answers", &stored(Uuid::new_v4(), None, "new")).await;
    let texts = get(&project, "stored_answers?select=text&order=created_at").await;
    assert_eq!(texts, json!([{"text": "13"}, {"text": "1"}, {"text": "new"}]));
    let delete = sqlx::query("delete from auth.users where id = $1").bind(USER_A);
    delete.execute(project.supabase.pool()).await.expect("deleted");
    let texts = get(&project, "stored_answers?select=text&order=created_at").await;
    assert_eq!(texts, json!([{"text": "13"}, {"text": "new"}]));
    project.stop().await;
}

#[tokio::test]
async fn a_status_is_found_by_the_id_of_its_reply_through_the_index() {
    let project = Project::start().await;
    let (answer_id, other) = (Uuid::new_v4(), Uuid::new_v4());
    let status = |wamid: &str, answer_id: Option<Uuid>, part: Option<u32>| {
        json!({ "id": Uuid::new_v4(), "wamid": wamid, "status": "sent", "at": "2026-11-28T00:00:00Z",
                "answer_id": answer_id, "answer_part": part })
    };
    let statuses = [
        status("wamid.1", Some(answer_id), Some(1)),
        status("wamid.2", Some(answer_id), Some(2)),
        status("wamid.3", Some(other), Some(1)),
        status("wamid.4", None, None),
    ];
    insert(&project, "message_statuses", &json!(statuses)).await;
    let query =
        format!("message_statuses?select=answer_id,answer_part,wamid&answer_id=eq.{answer_id}&order=wamid");
    let part =
        |wamid: &str, part: u32| json!({ "answer_id": answer_id, "answer_part": part, "wamid": wamid });
    assert_eq!(get(&project, &query).await, json!([part("wamid.1", 1), part("wamid.2", 2)]));
    let mut connection = project.supabase.pool().acquire().await.expect("a connection");
    connection.execute("set enable_seqscan = off").await.expect("set");
    let plan: Vec<String> =
        sqlx::query_scalar("explain select wamid from public.message_statuses where answer_id in ($1, $2)")
            .bind(answer_id)
            .bind(other)
            .fetch_all(&mut *connection)
            .await
            .expect("a plan");
    assert!(plan.join("\n").contains("message_statuses_answer_id_idx"), "{plan:?}");
    drop(connection);
    project.stop().await;
}
