//! What to start, and where.

use std::path::PathBuf;

use crate::supabase::SupabaseOptions;
use crate::{endpoint, queues};

/// What to start, and where.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The gateway's port on 127.0.0.1; a free one unless given.
    #[arg(long, global = true, default_value_t = 0, env = "LOCAL_PORT")]
    pub port: u16,
    /// Use the queues of another endpoint that speaks SQS (moto, LocalStack, AWS) instead of ours.
    #[arg(long, global = true, env = "LOCAL_SQS_ENDPOINT", value_name = "URL", value_parser = endpoint::parse)]
    pub sqs_endpoint: Option<String>,
    /// How long a message whose function died stays out of sight before it is tried again, in seconds.
    #[arg(long, global = true, default_value_t = queues::VISIBILITY_TIMEOUT, value_name = "SECONDS")]
    pub visibility_timeout: u32,
    /// Use Supabase's older keys, the JWTs `anon` and `service_role`, instead of the new ones. With `--supabase`, the
    /// keys that are given count.
    #[arg(long, global = true)]
    pub legacy_keys: bool,
    /// The functions' environment: written while `local` is up, for `cargo lambda watch` and for `ops` to read.
    #[arg(long, global = true, default_value = ENV_FILE, value_name = "FILE")]
    pub env_file: PathBuf,
    /// A project to use instead of ours.
    #[command(flatten)]
    pub supabase: SupabaseOptions,
}

/// The usual place of [`Options::env_file`].
const ENV_FILE: &str = "target/local.env";

impl Default for Options {
    fn default() -> Self {
        let visibility_timeout = queues::VISIBILITY_TIMEOUT;
        let env_file = PathBuf::from(ENV_FILE);
        let supabase = SupabaseOptions::default();
        Self { port: 0, sqs_endpoint: None, visibility_timeout, legacy_keys: false, env_file, supabase }
    }
}
