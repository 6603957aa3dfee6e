//! Output for a terminal.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use uuid::Uuid;

use local_stack::Stack;
use local_stack::logs::{Entry, Logs, Mark};
use local_stack::responder::{ModelServer, Responder};
use local_stack::services::{APP_SECRET, Services, VERIFY_TOKEN};

/// Prints addresses, tokens, and commands to try.
///
/// # Errors
/// When a token cannot be signed.
pub fn next_steps(stack: &Stack) -> anyhow::Result<()> {
    let url = stack.url();
    let services = &stack.services;
    let graph = services.graph.url();
    let [(_, token_a), (_, token_b)] = stack.users()?;
    println!("\nOpen {url}/ for the page: phones, pipeline, history and faults.");
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
    println!("  model     {}", model(services));
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
    println!("  cargo run -p ops -- dead-letters");
    println!("  cargo run -p ops -- doctor\n");
    Ok(())
}

/// The address of the language model, its name, and whether it is asked.
fn model(services: &Services) -> String {
    let ModelServer { url, model, .. } = &services.model_server;
    let hint = if services.responder == Responder::Llm { "" } else { ", not asked without --responder llm" };
    format!("{url}  ({model}{hint})")
}

/// Prints the services' addresses, without functions.
pub fn services(services: &Services, env_file: &Path) {
    println!("Running, until Ctrl-C:");
    println!("  queue     {}", services.queues.inbound_url);
    println!("  Supabase  {}/rest/v1", services.supabase.url());
    println!("  Graph API {}/received  (what phones received)", services.graph.url());
    println!("  model     {}", model(services));
    println!("\nThe functions' environment is in {}. In other terminals:", env_file.display());
    println!("  cargo lambda watch --invoke-address 127.0.0.1 --env-file {}", env_file.display());
    println!(
        "  cargo lambda invoke --invoke-address 127.0.0.1 webhook --data-file events/webhook/text-message.json"
    );
}

/// Prints a line of a function's log.
pub fn log(entry: &Entry) {
    // Metrics for CloudWatch: the counted events have lines of their own.
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

/// Prints the functions' log lines from `since` on.
pub fn log_since(logs: &Logs, since: Mark) {
    logs.since(since).iter().for_each(log);
}

/// Prints the differences from the expected outcome, and the log lines from `since` on if there are any.
pub fn differences(logs: &Logs, since: Mark, differences: &[String]) {
    for difference in differences {
        eprintln!("not as expected: {difference}");
    }
    if !differences.is_empty() {
        log_since(logs, since);
    }
}

/// Prints the history of each user.
///
/// # Errors
/// When a token cannot be signed.
pub fn histories(stack: &Stack, histories: &BTreeMap<Uuid, Vec<Value>>) -> anyhow::Result<()> {
    for (name, (user, _)) in ["A", "B"].iter().zip(stack.users()?) {
        let history = histories.get(&user).map_or(&[][..], Vec::as_slice);
        println!("  history   as user {name} sees it: {} messages", history.len());
        for message in history {
            let text =
                |field: &str| message.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
            println!("            {}  {:<9} “{}”", text("created_at"), text("role"), text("content"));
        }
    }
    Ok(())
}
