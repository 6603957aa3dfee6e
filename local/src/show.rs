//! How results read on a terminal. Results go to standard output, progress to standard error.

use std::path::Path;

use serde_json::Value;

use crate::demo::Demo;
use crate::journal::{Entry, Journal, Mark};
use crate::replay::Report;
use crate::services::{APP_SECRET, Services, VERIFY_TOKEN};
use crate::stack::Stack;
use crate::story::Became;

/// A step has begun.
pub fn progress(step: &str) {
    eprintln!("… {step}");
}

/// The sample's way through the pipeline.
///
/// # Errors
/// When a token cannot be signed.
pub fn demo(stack: &Stack, demo: &Demo) -> anyhow::Result<()> {
    let (question, wamid) = &demo.question;
    println!("\nA person writes “{question}”. Meta posts it to the webhook:");
    println!(
        "  webhook   {} {}",
        demo.played.status,
        if demo.accepted { "accepted" } else { "not accepted" }
    );
    println!("  queue     {} message, taken by reply", demo.played.queued);
    for echo in &demo.echoes {
        let body = echo.body.as_deref().unwrap_or_default();
        println!("  phone     {} receives “{body}”", echo.to);
        println!("            in answer to {}", echo.quotes.as_deref().unwrap_or("nothing"));
    }
    for row in &demo.rows {
        println!("  database  {:<9} “{}”  (user {})", row.role, row.content, row.user_id);
    }
    for (name, (user, _)) in ["A", "B"].iter().zip(stack.users()?) {
        let history = demo.history.get(&user).map_or(&[][..], Vec::as_slice);
        println!("  history   as user {name} sees it: {} messages", history.len());
        for message in history {
            let text =
                |field: &str| message.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
            println!("            {}  {:<9} “{}”", text("created_at"), text("role"), text("content"));
        }
    }
    for ignored in &demo.played.ignored {
        println!("  ignored   {}: {}", ignored.what, ignored.why);
    }
    println!("  ({wamid})");
    Ok(())
}

/// Addresses, tokens, and what to try.
///
/// # Errors
/// When a token cannot be signed.
pub fn next_steps(stack: &Stack) -> anyhow::Result<()> {
    let url = stack.url();
    let services = &stack.services;
    let graph = services.graph.url();
    let [(_, token_a), (_, token_b)] = stack.users()?;
    println!("\nOpen {url}/ to play: phones, every message's way, and trouble.");
    println!("\nRunning, until Ctrl-C:");
    println!("  webhook   {url}/webhook");
    println!("  history   {url}/messages");
    println!("  queue     {}", services.queues.inbound_url);
    for url in services.queues.dead_letter_urls() {
        println!("  dead      {url}");
    }
    println!("  Supabase  {}/rest/v1", services.supabase.url());
    println!("  database  {}", services.supabase.database_url());
    println!("  Graph API {graph}/received  (what phones received)");
    let lifetime = match services.supabase.token_lifetime().as_secs() / 60 {
        minutes if minutes < 60 => format!("{minutes} min"),
        minutes => format!("{} h", minutes / 60),
    };
    println!("\nA token for each user, valid for {lifetime}:");
    println!("  A={token_a}\n  B={token_b}");
    println!("\nTry next, in another terminal:");
    println!("  curl -i -H \"Authorization: Bearer {token_a}\" {url}/messages");
    println!(
        "  curl '{url}/webhook?hub.mode=subscribe&hub.verify_token={VERIFY_TOKEN}&hub.challenge=1158201444'"
    );
    let body = r#"{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"messages","value":{"metadata":{"phone_number_id":"106540352242922"},"messages":[{"from":"16505551234","id":"wamid.'$(openssl rand -hex 8)'","timestamp":"'$(date +%s)'","type":"text","text":{"body":"Hello again"}}]}}]}]}"#;
    println!("  BODY='{body}'");
    println!(
        "  curl -d \"$BODY\" -H \"X-Hub-Signature-256: sha256=$(printf %s \"$BODY\" | openssl dgst -sha256 -hmac {APP_SECRET} | sed 's/.* //')\" {url}/webhook"
    );
    println!("  curl {graph}/received");
    println!("  cargo run -p local -- dead-letters");
    println!("  cargo run -p local -- doctor\n");
    Ok(())
}

/// Where the services are, without functions.
pub fn services(services: &Services, env_file: &Path) {
    println!("Running, until Ctrl-C:");
    println!("  queue     {}", services.queues.inbound_url);
    println!("  Supabase  {}/rest/v1", services.supabase.url());
    println!("  Graph API {}/received  (what phones received)", services.graph.url());
    println!("\nThe functions' environment is in {}. In other terminals:", env_file.display());
    println!("  cargo lambda watch --invoke-address 127.0.0.1 --env-file {}", env_file.display());
    println!(
        "  cargo lambda invoke --invoke-address 127.0.0.1 webhook --data-file events/webhook/text-message.json"
    );
}

/// A line of a function's log.
pub fn log(entry: &Entry) {
    // Metrics, which are for CloudWatch: what they count has lines of its own.
    if entry.fields.get("_aws").is_some() {
        return;
    }
    if entry.fields.is_null() {
        eprintln!("{:>8} | {}", entry.function, entry.text);
        return;
    }
    let hidden = ["timestamp", "level", "message", "target", "counter", "spans", "span"];
    let fields = entry.fields.as_object().into_iter().flatten();
    let fields = fields.filter(|(name, _)| !hidden.contains(&name.as_str()));
    let fields: Vec<String> = fields.map(|(name, value)| format!("{name}={value}")).collect();
    eprintln!(
        "{:>8} | {} {} {}",
        entry.function,
        entry.field("level"),
        entry.field("message"),
        fields.join(" ")
    );
}

/// What the functions logged from `since` on, where it says more than the result.
pub fn log_since(journal: &Journal, since: Mark) {
    journal.since(since).iter().for_each(log);
}

/// What became of one payload.
pub fn report(report: &Report, renewed: usize, reason: &str) {
    let played = &report.played;
    let name = if report.name.is_empty() { report.file.display().to_string() } else { report.name.clone() };
    let mark = if played.status == 200 { '✓' } else { '✗' };
    println!(
        "{mark} {name}\n    {}  queued {}  echoes {}  rows {}  statuses {}  events {}",
        played.status,
        played.queued,
        played.echoes.len(),
        played.rows.len(),
        played.statuses.len(),
        played.events.len()
    );
    for (what, Became { outcome, reason }) in &played.updates {
        let became = outcome.replace('_', " ");
        match (became.as_str(), reason.as_str()) {
            ("", reason) => println!("    {what}: {reason}"),
            (became, "") => println!("    {what}: {became}"),
            (became, reason) => println!("    {what}: {became} ({reason})"),
        }
    }
    for echo in &played.echoes {
        println!("    phone {}: “{}”", echo.to, echo.body.as_deref().unwrap_or_default());
    }
    for row in &played.rows {
        println!("    row {} of {}: “{}”", row.role, row.user_id, row.content);
    }
    // What did not get as far as an outcome.
    let told: Vec<_> = played.updates.iter().map(|(what, _)| what).collect();
    for ignored in played.ignored.iter().filter(|ignored| !told.contains(&&ignored.what)) {
        println!("    ignored {}: {}", ignored.what, ignored.why);
    }
    if renewed > 0 {
        println!("    ({renewed} wamid renewed: {reason})");
    }
}

/// The last line of a replay.
pub fn total(accepted: usize, total: usize) {
    println!("{accepted} of {total} payloads were answered with 200");
}
