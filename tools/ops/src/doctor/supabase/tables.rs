//! The tables of the migrations, and anonymous reads of them.

use shared::supabase::{Caller, Query, Supabase, SupabaseError};
use uuid::Uuid;

use crate::doctor::connection::TIMEOUT;
use crate::doctor::report::Report;

/// A table of the migrations.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// The name of its check.
    pub(super) check: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its columns, first the key, a UUID. A table older than the migrations may have other columns, too.
    pub columns: &'static [&'static str],
}

/// The tables and columns that the functions read and write.
pub const TABLES: [Table; 5] = [
    Table {
        check: "table_user_preferences",
        name: "user_preferences",
        columns: &[
            "user_id",
            "whatsapp_phone",
            "whatsapp_user_id",
            "whatsapp_waba_id",
            "whatsapp_identity_at",
            "whatsapp_number_at",
            "whatsapp_link_state",
        ],
    },
    Table {
        check: "table_messages",
        name: "messages",
        columns: &[
            "id",
            "user_id",
            "channel",
            "role",
            "content",
            "created_at",
            "unanswered_because",
            "type",
            "payload",
            "phone_number_id",
            "wamids",
            "refers_to",
            "status",
            "sent_at",
            "delivered_at",
            "read_at",
            "played_at",
            "failed_at",
            "error_code",
            "error_text",
            "edited_at",
            "revoked_at",
        ],
    },
    Table {
        check: "table_message_statuses",
        name: "message_statuses",
        columns: &[
            "id",
            "wamid",
            "status",
            "at",
            "error_code",
            "error_text",
            "phone_number_id",
            "message_id",
            "payload",
            "received_at",
            "answer_id",
            "answer_part",
        ],
    },
    Table {
        check: "table_stored_answers",
        name: "stored_answers",
        columns: &["message_id", "user_id", "messages", "text", "created_at", "details"],
    },
    Table {
        check: "table_account_events",
        name: "account_events",
        columns: &["id", "received_at", "waba_id", "phone_number_id", "field", "payload"],
    },
];

/// The remedy for a table that differs.
pub(super) const PUSH: &str = "apply the migrations with `supabase db push --remote`, before the functions";

/// The refusal of a request for columns of a table.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Refusal {
    NoTable,
    NoColumn,
    NotAllowed,
    /// The first column is not a UUID.
    OtherType,
    Other(String),
}

impl From<SupabaseError> for Refusal {
    fn from(error: SupabaseError) -> Self {
        let SupabaseError::Rejected { status, code } = &error else { return Self::Other(error.to_string()) };
        // Source: “Errors”, PostgREST's documentation, and “PostgreSQL Error Codes”.
        match (code.as_deref(), status) {
            (Some("42P01" | "PGRST205"), _) => Self::NoTable,
            (Some("42703" | "PGRST204"), _) => Self::NoColumn,
            (Some("42501"), _) => Self::NotAllowed,
            (Some("22P02" | "42883"), _) => Self::OtherType,
            (None, 404) => Self::NoTable,
            _ => Self::Other(error.to_string()),
        }
    }
}

pub(super) async fn run(client: &Supabase, request: postgrest::Builder) -> Result<Vec<u8>, SupabaseError> {
    client.run(Query { request, caller: Caller::Key, prefer: None, timeout: TIMEOUT }).await
}

/// Requests columns of a table, with an id that no row has.
pub(super) fn no_rows(client: &Supabase, table: &Table, columns: &str) -> postgrest::Builder {
    client.from(table.name).select(columns).eq(table.columns[0], Uuid::nil().to_string())
}

/// Requests every column of every table, without a row.
pub(super) async fn tables(client: &Supabase, report: &mut Report) {
    for table in TABLES {
        let Table { check, name, columns } = table;
        let refusal = |columns: &str| {
            let request = no_rows(client, &table, columns);
            async { run(client, request).await.err().map(Refusal::from) }
        };
        match refusal(&columns.join(",")).await {
            None => report
                .right(check, format!("has its {} columns, and the service role reads it", columns.len())),
            Some(Refusal::NoTable) => report.wrong(check, format!("there is no such table: {PUSH}")),
            Some(Refusal::NoColumn) => {
                let mut missing = Vec::new();
                for column in columns {
                    if refusal(column).await == Some(Refusal::NoColumn) {
                        missing.push(*column);
                    }
                }
                report.wrong(check, format!("has no column {}: {PUSH}", missing.join(", ")));
            }
            Some(Refusal::NotAllowed) => report.wrong(
                check,
                format!("the service role may not read it: grant all on table public.{name} to service_role"),
            ),
            Some(Refusal::OtherType) => {
                report.wrong(check, format!("its column {} is not of type uuid: {PUSH}", columns[0]));
            }
            Some(Refusal::Other(error)) => report.wrong(check, format!("{error}: see the project's logs")),
        }
    }
}

/// Requests a row of every table without a user's token, and only its key column.
pub(super) async fn anonymous(client: &Supabase, report: &mut Report) {
    let check = "anonymous_reads";
    let (mut seen, mut hidden, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    for Table { name, columns, .. } in TABLES {
        match run(client, client.from(name).select(columns[0]).limit(1)).await {
            Ok(body) if body.trim_ascii() == b"[]" => hidden.push(name),
            Ok(_) => seen.push(name),
            Err(error) => match Refusal::from(error) {
                Refusal::NotAllowed => {}
                // A missing table is reported by its own check.
                Refusal::NoTable | Refusal::NoColumn | Refusal::OtherType => {}
                Refusal::Other(error) => unknown.push(format!("{name}: {error}")),
            },
        }
    }
    if !seen.is_empty() {
        let names = seen.join(" and ");
        report.wrong(
            check,
            format!(
                "anyone with the publishable key can read {names}: in the SQL editor, `revoke all on table … from \
                 public, anon`, `alter table … enable row level security`, and drop policies for anon or public"
            ),
        );
    } else if !unknown.is_empty() {
        report.unchecked(check, unknown.join("; "));
    } else if !hidden.is_empty() {
        // The migrations revoke the privilege. An empty table looks the same as a policy that hides rows.
        let names = hidden.join(" and ");
        report.right(
            check,
            format!("the publishable key without a user sees no row now, but may query {names}: {PUSH}"),
        );
    } else {
        report.right(check, "the publishable key without a user may read none of the five tables");
    }
}
