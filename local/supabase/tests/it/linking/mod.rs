//! Linking: the functions that an app and reply call, as they call them, through the API.

mod abuse;
mod attacks;
mod claims;
mod codes;
mod confirmations;
mod older_rows;
mod registration;

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use local_supabase::{Options, USER_A};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor as _};
use uuid::Uuid;

use crate::common::{Project, answer};

/// The business number that links refer to.
const BUSINESS_NUMBER: &str = "15550783881";

/// A project in which no user has a link.
struct Linking {
    project: Project,
}

/// A person on WhatsApp.
struct Person {
    /// In every spelling, first the one to be stored; empty for a person who hides the number.
    numbers: &'static [&'static str],
    user_id: Option<&'static str>,
}

/// The holder of a phone.
const HOLDER: Person = Person { numbers: &["+16505550100", "16505550100"], user_id: Some("US.100") };
/// The holder of another phone.
const OTHER: Person = Person { numbers: &["+16505550200", "16505550200"], user_id: Some("US.200") };

impl Person {
    fn sender(&self) -> String {
        pseudonym(self.user_id.unwrap_or_else(|| self.numbers[0]))
    }
}

/// A pseudonym, which is a keyed hash in reply, and any bytes for the database.
fn pseudonym(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// The time of a message that was sent so many minutes from now.
fn sent(minutes: i64) -> String {
    (Utc::now() + TimeDelta::minutes(minutes)).to_rfc3339()
}

/// Number and user id of a user's row.
type Row = (Uuid, Option<String>, Option<String>);

fn row(user_id: Uuid, number: &str, id: &str) -> Row {
    let filled = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    (user_id, filled(number), filled(id))
}

impl Linking {
    async fn start() -> Self {
        let linking = Self::of(Project::start_with(Options::default()).await).await;
        linking.run("delete from public.user_preferences").await;
        linking
    }

    /// Linking in a project with tables of its own.
    async fn of(project: Project) -> Self {
        let linking = Self { project };
        linking.register(&OTHER, "wamid.first").await;
        linking
    }

    async fn stop(self) {
        self.project.stop().await;
    }

    /// Runs statements as the superuser.
    async fn run(&self, sql: &str) {
        self.project.supabase.pool().execute(AssertSqlSafe(sql)).await.expect(sql);
    }

    /// A number that a query returns.
    async fn count(&self, sql: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(self.project.supabase.pool()).await.expect(sql)
    }

    /// Moves everything that is stored into the past.
    async fn pass(&self, minutes: u32) {
        self.run(&format!(
            "update whatsapp.link_codes set created_at = created_at - interval '{minutes} minutes',
               expires_at = expires_at - interval '{minutes} minutes';
             update whatsapp.sender_messages set at = at - interval '{minutes} minutes'"
        ))
        .await;
    }

    /// Calls a function as a signed-in user.
    async fn as_user(&self, user_id: Uuid, function: &str, arguments: &Value) -> (u16, Value) {
        let supabase = &self.project.supabase;
        let token = supabase.user_token(user_id, Duration::from_secs(600)).expect("a token");
        let request = self.project.post(&format!("rpc/{function}"));
        let request = request.header("apikey", supabase.publishable_key()).bearer_auth(token);
        answer(request.json(arguments)).await
    }

    /// Calls a function as reply does.
    async fn as_service(&self, function: &str, arguments: &Value) -> (u16, Value) {
        let request = self.project.post(&format!("rpc/{function}"));
        answer(request.header("apikey", self.project.supabase.secret_key()).json(arguments)).await
    }

    async fn create(&self, user_id: Uuid) -> (u16, Value) {
        self.as_user(user_id, "create_whatsapp_link", &json!({})).await
    }

    /// A new code of a user, without its hyphen.
    async fn code(&self, user_id: Uuid) -> String {
        let (status, body) = self.create(user_id).await;
        assert_eq!(status, 200, "{body}");
        body["code"].as_str().expect("a code").replace('-', "")
    }

    async fn unlink(&self, user_id: Uuid) {
        let (status, body) = self.as_user(user_id, "delete_whatsapp_link", &json!({})).await;
        assert!(matches!(status, 200 | 204), "{status} {body}");
    }

    async fn hash(&self, code: &str) -> String {
        sqlx::query_scalar("select encode(sha256(convert_to($1, 'UTF8')), 'hex')")
            .bind(code)
            .fetch_one(self.project.supabase.pool())
            .await
            .expect("a hash")
    }

    /// Sends a code from a person's phone.
    async fn claim(&self, code: &str, by: &Person, message: &str) -> Value {
        self.claim_sent(code, by, message, 0).await
    }

    /// Sends a code so many minutes from now.
    async fn claim_sent(&self, code: &str, by: &Person, message: &str, minutes: i64) -> Value {
        let arguments = json!({ "code_hash": self.hash(code).await, "sender": by.sender(),
            "message": pseudonym(message), "sent_at": sent(minutes) });
        let (status, body) = self.as_service("claim_whatsapp_link", &arguments).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    /// Sends a new code of a user from a person's phone. Returns the link that the person is asked about.
    async fn asked(&self, user_id: Uuid, by: &Person) -> Uuid {
        let code = self.code(user_id).await;
        let question = self.claim(&code, by, &code).await;
        assert_eq!(question["outcome"], "ask", "{question}");
        question["link_id"].as_str().expect("an id").parse().expect("a UUID")
    }

    /// Taps a button of the question.
    async fn tap(&self, link: Uuid, by: &Person, message: &str, accept: bool) -> Value {
        self.tap_sent(link, by, message, accept, 0).await
    }

    /// Taps a button so many minutes from now. Returns the outcome, without `answer`.
    async fn tap_sent(&self, link: Uuid, by: &Person, message: &str, accept: bool, minutes: i64) -> Value {
        let (status, mut body) = self.try_tap(link, by, message, accept, &sent(minutes)).await;
        assert_eq!(status, 200, "{body}");
        body.as_object_mut().expect("an object").remove("answer");
        body
    }

    async fn try_tap(
        &self,
        link: Uuid,
        by: &Person,
        message: &str,
        accept: bool,
        sent: &str,
    ) -> (u16, Value) {
        let arguments = json!({ "link_id": link, "sender": by.sender(), "message": pseudonym(message),
            "sent_at": sent, "numbers": by.numbers, "whatsapp_user_id": by.user_id, "waba_id": "W",
            "accept": accept });
        self.as_service("confirm_whatsapp_link", &arguments).await
    }

    /// Links a user with a person, and returns whether the identity was another user's.
    async fn link(&self, user_id: Uuid, with: &Person) -> bool {
        let link = self.asked(user_id, with).await;
        let linked = self.tap(link, with, &link.to_string(), true).await;
        assert_eq!((&linked["outcome"], &linked["user_id"]), (&json!("linked"), &json!(user_id)), "{linked}");
        linked["moved"].as_bool().expect("whether it moved")
    }

    /// Whether a person gets the registration text for a message.
    async fn register(&self, sender: &Person, message: &str) -> bool {
        let arguments = json!({ "sender": sender.sender(), "message": pseudonym(message),
            "phone_number_id": "106540352242922", "business_number": BUSINESS_NUMBER });
        let (status, body) = self.as_service("claim_registration_text", &arguments).await;
        assert_eq!(status, 200, "{body}");
        body.as_bool().expect("yes or no")
    }

    /// Stores that a person was sent the registration text.
    async fn registered(&self, sender: &Person, message: &str) {
        let arguments = json!({ "sender": sender.sender(), "message": pseudonym(message) });
        let (status, body) = self.as_service("registration_text_sent", &arguments).await;
        assert_eq!(status / 100, 2, "{body}");
    }

    /// The rows of users with a number or user id.
    async fn links(&self) -> Vec<Row> {
        let linked = "select user_id, nullif(whatsapp_phone, ''), whatsapp_user_id from public.user_preferences
            where user_id is not null and (whatsapp_phone <> '' or whatsapp_user_id is not null) order by user_id";
        sqlx::query_as(linked).fetch_all(self.project.supabase.pool()).await.expect("rows")
    }

    /// The end of an attack: no user is linked.
    async fn assert_no_link(self) {
        assert_eq!(self.links().await, []);
        self.stop().await;
    }

    /// The end of an attack: only user A is linked, with the holder's number and user id.
    async fn assert_only_the_holder_is_linked(self) {
        assert_eq!(self.links().await, [row(USER_A, HOLDER.numbers[0], "US.100")]);
        self.stop().await;
    }
}

fn expired() -> Value {
    json!({ "outcome": "expired" })
}

/// The outcome of a code that cannot be used.
fn refused(outcome: &str, is_answered: bool) -> Value {
    json!({ "outcome": outcome, "answer": is_answered })
}
