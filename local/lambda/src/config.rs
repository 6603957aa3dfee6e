//! Configuration of a function, and the environment of its processes.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::StartError;

/// Inherited variables: those that a process needs to run, and those of debugging and coverage tools. All
/// others (the developer's `AWS_*`, tokens, proxies) must not reach the process.
const INHERITED: [&str; 10] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "DYLD_FALLBACK_LIBRARY_PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "RUST_BACKTRACE",
    "LLVM_PROFILE_FILE",
];

/// A Lambda function.
#[derive(Clone)]
pub struct FunctionConfig {
    /// Letters, digits, hyphens and underscores, at most 64.
    pub name: String,
    /// Path of the binary (`bootstrap` on AWS).
    pub executable: PathBuf,
    /// Environment variables; they override those of Lambda. `Debug` omits the values.
    pub env: BTreeMap<String, String>,
    /// Timeout of an invocation; 3 s by default, as on AWS. Process startup is not counted.
    pub timeout: Duration,
    /// Timeout from the process start to its first poll; 10 s, as on AWS.
    pub init_timeout: Duration,
    /// Value of `AWS_LAMBDA_FUNCTION_MEMORY_SIZE` in MB; not enforced.
    pub memory_mb: u32,
    /// Maximum number of concurrent processes.
    pub max_instances: usize,
    /// Region in the function's ARN and in `AWS_REGION`.
    pub region: String,
    /// Account in the function's ARN.
    pub account_id: String,
}

impl FunctionConfig {
    /// A function with the AWS defaults (3 s, 128 MB) and up to 10 instances.
    pub fn new(name: impl Into<String>, executable: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            executable: executable.into(),
            env: BTreeMap::new(),
            timeout: Duration::from_secs(3),
            init_timeout: Duration::from_secs(10),
            memory_mb: 128,
            max_instances: 10,
            region: "us-east-1".to_owned(),
            account_id: "000000000000".to_owned(),
        }
    }

    /// Adds one environment variable.
    #[must_use]
    pub fn with_env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    pub(crate) fn arn(&self) -> String {
        format!("arn:aws:lambda:{}:{}:function:{}", self.region, self.account_id, self.name)
    }

    pub(crate) fn check(&self) -> Result<(), StartError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.name.is_empty() || self.name.len() > 64 || !self.name.chars().all(allowed) {
            return Err(StartError::Name(self.name.clone()));
        }
        if self.max_instances == 0 || self.timeout.is_zero() || self.init_timeout.is_zero() {
            return Err(StartError::Limits(self.name.clone()));
        }
        if !self.executable.is_file() {
            let path = self.executable.display().to_string();
            return Err(StartError::Executable { name: self.name.clone(), path });
        }
        Ok(())
    }

    /// The complete environment of a process with its runtime API at `runtime_api`.
    ///
    /// Names of the variables: <https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html>.
    pub(crate) fn environment(&self, runtime_api: SocketAddr, log_stream: &str) -> BTreeMap<String, String> {
        let mut env: BTreeMap<String, String> = INHERITED
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
            .collect();
        let task_root = self.executable.parent().map(|root| root.display().to_string()).unwrap_or_default();
        for (name, value) in [
            ("AWS_LAMBDA_RUNTIME_API", runtime_api.to_string()),
            ("AWS_LAMBDA_FUNCTION_NAME", self.name.clone()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", self.memory_mb.to_string()),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
            ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", self.name)),
            ("AWS_LAMBDA_LOG_STREAM_NAME", log_stream.to_owned()),
            ("AWS_REGION", self.region.clone()),
            ("AWS_DEFAULT_REGION", self.region.clone()),
            ("LAMBDA_TASK_ROOT", task_root),
            ("_HANDLER", "bootstrap".to_owned()),
            ("LANG", "en_US.UTF-8".to_owned()),
            ("TZ", ":UTC".to_owned()),
        ] {
            env.insert(name.to_owned(), value);
        }
        env.extend(self.env.iter().map(|(name, value)| (name.clone(), value.clone())));
        env
    }
}

impl fmt::Debug for FunctionConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionConfig")
            .field("name", &self.name)
            .field("executable", &self.executable)
            .field("env", &self.env.keys().collect::<Vec<_>>())
            .field("timeout", &self.timeout)
            .field("max_instances", &self.max_instances)
            .finish_non_exhaustive()
    }
}
