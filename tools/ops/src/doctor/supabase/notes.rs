//! The migrations' notes about an older program's tables, which the Supabase CLI does not show.

use serde::Deserialize;
use shared::supabase::{Supabase, SupabaseError};

use super::tables::{PUSH, run};
use crate::doctor::report::Report;

/// The name of the check.
pub(super) const CHECK: &str = "adoption_notes";

/// A row of `adoption.notes`.
#[derive(Debug, Deserialize)]
struct Note {
    about: String,
    note: String,
    remedy: Option<String>,
}

/// Shows the notes, each on a line of its own.
pub(super) async fn notes(client: &Supabase, report: &mut Report) {
    match run(client, client.from("rpc/adoption_notes").rpc("{}")).await {
        Ok(body) => match serde_json::from_slice::<Vec<Note>>(&body) {
            Ok(notes) if notes.is_empty() => {
                report.right(CHECK, "the migrations have no notes about older tables")
            }
            Ok(notes) => report.right(CHECK, text(&notes)),
            Err(_) => report.wrong(CHECK, format!("public.adoption_notes() is another function: {PUSH}")),
        },
        Err(SupabaseError::Rejected { status: 404, .. }) => {
            report.wrong(CHECK, format!("there is no function public.adoption_notes(): {PUSH}"));
        }
        Err(error) => report.wrong(
            CHECK,
            format!("{error}: grant execute on function public.adoption_notes() to service_role"),
        ),
    }
}

fn text(notes: &[Note]) -> String {
    let mut text =
        "the migrations changed older tables, or could not correct something. After reading the notes, \
                    `delete from adoption.notes` in the SQL editor"
            .to_owned();
    for Note { about, note, remedy } in notes {
        text.push_str(&format!("\n    {about}: {note}"));
        if let Some(remedy) = remedy {
            text.push_str(&format!(". {remedy}"));
        }
    }
    text
}
