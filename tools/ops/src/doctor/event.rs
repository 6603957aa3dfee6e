//! The test event: through the webhook, the queue and `reply` into the database, and its removal.

use std::time::{Duration, Instant};

use chrono::Utc;
use serde_json::json;
use shared::supabase::{Caller, Query, Supabase, SupabaseError};
use uuid::Uuid;

use super::connection::TIMEOUT;
use super::report::Report;

/// The name of the event, in the column `field`.
const NAME: &str = "doctor";
/// The timeout: `reply` may need a cold start, and its batch may wait for other messages.
const PATIENCE: Duration = Duration::from_secs(20);
/// The polling interval of the row.
const INTERVAL: Duration = Duration::from_millis(250);

/// An event that is unique to this run.
#[derive(Debug)]
pub struct TestEvent {
    id: String,
}

impl Default for TestEvent {
    fn default() -> Self {
        Self::new()
    }
}

impl TestEvent {
    /// Returns a new event; the queue would discard a repeated one.
    #[must_use]
    pub fn new() -> Self {
        Self { id: format!("{NAME}-{}", Uuid::new_v4()) }
    }

    /// Returns the body: no message, no status, no phone number.
    #[must_use]
    pub fn payload(&self) -> String {
        let changes = json!([{ "field": NAME, "value": { "sent_by": "ops doctor" } }]);
        let entry = json!([{ "id": self.id, "time": Utc::now().timestamp(), "changes": changes }]);
        json!({ "object": "whatsapp_business_account", "entry": entry }).to_string()
    }

    /// Waits for the row, if the event was accepted and the database is known, and removes it.
    pub async fn check(&self, report: &mut Report, database: Option<&Supabase>) {
        let check = "test_event";
        if !report.is_right("signature") {
            return report.unchecked(check, "no signed POST was accepted");
        }
        let Some(database) = database.filter(|_| report.is_right("table_account_events")) else {
            let why = "the secret key cannot read account_events. The row named doctor remains there";
            return report.unchecked(check, why);
        };
        let begin = Instant::now();
        let mut look = tokio::time::interval(INTERVAL);
        while begin.elapsed() < PATIENCE {
            look.tick().await;
            if self.is_there(database).await == Ok(true) {
                let took = begin.elapsed().as_millis();
                return match self.remove(database).await {
                    Ok(()) => report.right(
                        check,
                        format!("was stored in account_events by way of the queue and reply ({took} ms), and was removed"),
                    ),
                    Err(error) => report.wrong(
                        check,
                        format!(
                            "was stored in account_events, and cannot be removed ({error}): grant all on table \
                             public.account_events to service_role"
                        ),
                    ),
                };
            }
        }
        report.wrong(
            check,
            format!(
                "was accepted, but has no row in account_events after {} s: the log of reply has the cause, and \
                 `dead-letters` lists messages that cannot be processed. Does reply have the same SUPABASE_URL?",
                PATIENCE.as_secs()
            ),
        );
    }

    /// Returns whether the row exists. An error counts as no, because the query is repeated.
    async fn is_there(&self, database: &Supabase) -> Result<bool, ()> {
        let request = database.from("account_events").select("id").eq("waba_id", &self.id).limit(1);
        let query = Query { request, caller: Caller::Key, prefer: None, timeout: TIMEOUT };
        let body = database.run(query).await.map_err(|_| ())?;
        let rows: Vec<serde_json::Value> = serde_json::from_slice(&body).map_err(|_| ())?;
        Ok(!rows.is_empty())
    }

    async fn remove(&self, database: &Supabase) -> Result<(), SupabaseError> {
        let request = database.from("account_events").delete().eq("waba_id", &self.id).eq("field", NAME);
        let prefer = Some("return=minimal");
        database.run(Query { request, caller: Caller::Key, prefer, timeout: TIMEOUT }).await.map(drop)
    }
}
