//! The functions of linking, and who may execute them. Each call is refused or fails, so none leaves a row.

use shared::supabase::{Supabase, SupabaseError};

use super::tables::{PUSH, Refusal, run};
use crate::doctor::report::Report;

/// The name of the check with the secret key.
pub(super) const FUNCTIONS: &str = "linking_functions";

/// The name of the check with the publishable key.
pub(super) const RIGHTS: &str = "linking_rights";

/// A function, and arguments with which it fails before it writes: the sender is not hexadecimal.
type Function = (&'static str, &'static str);

/// The functions of reply, which only the service role may execute.
const OF_REPLY: [Function; 4] = [
    ("claim_whatsapp_link", r#"{"code_hash": "", "sender": "-", "message": "", "sent_at": "2026-01-01"}"#),
    (
        "confirm_whatsapp_link",
        r#"{"link_id": "00000000-0000-0000-0000-000000000000", "sender": "-", "message": "", "sent_at": "2026-01-01",
            "numbers": [], "whatsapp_user_id": "", "waba_id": "", "accept": false}"#,
    ),
    (
        "claim_registration_text",
        r#"{"sender": "-", "message": "", "phone_number_id": "", "business_number": ""}"#,
    ),
    ("registration_text_sent", r#"{"sender": "-", "message": ""}"#),
];

/// The functions of a signed-in user, which a key without a user may not execute.
const OF_USERS: [Function; 2] = [("create_whatsapp_link", "{}"), ("delete_whatsapp_link", "{}")];

/// The result of a call.
#[derive(Debug, Eq, PartialEq)]
enum Call {
    Executed,
    Missing,
    NotAllowed,
    Other(String),
}

async fn call(client: &Supabase, (name, arguments): Function) -> Call {
    let Err(error) = run(client, client.from(&format!("rpc/{name}")).rpc(arguments)).await else {
        return Call::Executed;
    };
    // Source: “Errors”, PostgREST's documentation, and “PostgreSQL Error Codes”.
    match &error {
        SupabaseError::Rejected { code: Some(code), .. } if code == "22023" => Call::Executed,
        SupabaseError::Rejected { status: 404, .. } => Call::Missing,
        _ => match Refusal::from(error) {
            Refusal::NotAllowed => Call::NotAllowed,
            refusal => Call::Other(format!("{name}: {refusal:?}")),
        },
    }
}

/// Calls every function with the secret key.
pub(super) async fn functions(client: &Supabase, report: &mut Report) {
    let (mut missing, mut refused, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    for function in OF_REPLY.into_iter().chain(OF_USERS) {
        match call(client, function).await {
            Call::Missing => missing.push(function.0),
            Call::NotAllowed if OF_REPLY.contains(&function) => refused.push(function.0),
            Call::Other(error) => unknown.push(error),
            Call::Executed | Call::NotAllowed => {}
        }
    }
    if !missing.is_empty() {
        let names = missing.join(" and ");
        report.wrong(FUNCTIONS, format!("there is no function {names} with these arguments: {PUSH}"));
    } else if !refused.is_empty() {
        let names = refused.join(", ");
        report.wrong(
            FUNCTIONS,
            format!(
                "the service role may not execute {names}: grant execute on function public.… to service_role"
            ),
        );
    } else if !unknown.is_empty() {
        report.wrong(FUNCTIONS, format!("{}: see the project's logs", unknown.join("; ")));
    } else {
        report.right(FUNCTIONS, "all six are there, and the service role may execute those of reply");
    }
}

/// Calls every function with the publishable key, without a user's token.
pub(super) async fn rights(client: &Supabase, report: &mut Report) {
    let (mut open, mut unknown) = (Vec::new(), Vec::new());
    for function in OF_REPLY.into_iter().chain(OF_USERS) {
        match call(client, function).await {
            Call::Executed => open.push(function.0),
            Call::Other(error) => unknown.push(error),
            // A missing function is reported by the other check.
            Call::Missing | Call::NotAllowed => {}
        }
    }
    if !open.is_empty() {
        let names = open.join(" and ");
        report.wrong(
            RIGHTS,
            format!(
                "anyone with the publishable key may execute {names}, and could link the number of another person: \
                 in the SQL editor, `revoke all on function public.… from public, anon`"
            ),
        );
    } else if !unknown.is_empty() {
        report.unchecked(RIGHTS, unknown.join("; "));
    } else {
        report.right(RIGHTS, "the publishable key without a user may execute none of them");
    }
}
