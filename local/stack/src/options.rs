//! The services to start, and their addresses.

use std::path::PathBuf;

use crate::responder::ResponderOptions;
use crate::supabase::SupabaseOptions;
use crate::{endpoint, queues};

/// The services to start, and their addresses.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The gateway's port on 127.0.0.1; by default a free one.
    #[arg(long, global = true, default_value_t = 0, env = "LOCAL_PORT")]
    pub port: u16,
    /// Use the queues of another endpoint compatible with SQS (moto, LocalStack, AWS) instead of the emulator.
    #[arg(long, global = true, env = "LOCAL_SQS_ENDPOINT", value_name = "URL", value_parser = endpoint::parse)]
    pub sqs_endpoint: Option<String>,
    /// The visibility timeout in seconds: the time until a message is retried after its function died.
    #[arg(long, global = true, default_value_t = queues::VISIBILITY_TIMEOUT, value_name = "SECONDS")]
    pub visibility_timeout: u32,
    /// The time in milliseconds after a message in which later ones of its sender join it and are answered with it;
    /// with 0 each message is answered by itself.
    #[arg(long, global = true, default_value_t = 0, value_name = "MS")]
    pub reply_window: u32,
    /// What answers.
    #[command(flatten)]
    pub responder: ResponderOptions,
    /// A variable of `reply`'s environment, such as `LLM_INSTRUCTIONS="You sell shoes."`. May be repeated.
    #[arg(long, global = true, value_name = "NAME=VALUE", value_parser = variable)]
    pub reply_env: Vec<(String, String)>,
    /// Use Supabase's older keys, the JWTs `anon` and `service_role`, instead of the new ones. With `--supabase`, the
    /// given keys are used.
    #[arg(long, global = true)]
    pub legacy_keys: bool,
    /// The file for the functions' environment: it exists while `local` runs, for `cargo lambda watch` and `ops`.
    #[arg(long, global = true, default_value = ENV_FILE, value_name = "FILE")]
    pub env_file: PathBuf,
    /// A project to use instead of the emulator.
    #[command(flatten)]
    pub supabase: SupabaseOptions,
}

/// Splits a variable into its name and its value.
fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("not like NAME=VALUE".to_owned()),
    }
}

/// The default of [`Options::env_file`].
const ENV_FILE: &str = "target/local.env";

impl Default for Options {
    fn default() -> Self {
        let visibility_timeout = queues::VISIBILITY_TIMEOUT;
        let env_file = PathBuf::from(ENV_FILE);
        let supabase = SupabaseOptions::default();
        Self {
            port: 0,
            sqs_endpoint: None,
            visibility_timeout,
            reply_window: 0,
            responder: ResponderOptions::default(),
            reply_env: Vec::new(),
            legacy_keys: false,
            env_file,
            supabase,
        }
    }
}
