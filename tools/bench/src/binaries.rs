//! The measured programs, built as for deployment.

use std::path::{Path, PathBuf};

use local_process::Guardian;

use local_stack::compile::{self, Binaries};

/// The four programs.
pub struct Built {
    /// The baseline.
    pub baseline: PathBuf,
    /// The functions.
    pub functions: Binaries,
}

impl Built {
    /// Builds each program separately; with a profile other than `release` together, which is faster and only suited to
    /// test the measurement.
    ///
    /// # Errors
    /// When a program does not compile.
    pub async fn build(guardian: &Guardian, profile: &str) -> anyhow::Result<Self> {
        let baseline = ["-p", "baseline", "--example", "baseline"];
        let baseline = compile::alone(guardian, profile, &baseline, "baseline").await?;
        if profile != "release" {
            return Ok(Self { baseline, functions: compile::together(guardian, profile).await? });
        }
        let alone = async |name| compile::alone(guardian, profile, &["-p", name, "--bins"], name).await;
        let functions = Binaries {
            webhook: alone("webhook").await?,
            reply: alone("reply").await?,
            messages: alone("messages").await?,
        };
        Ok(Self { baseline, functions })
    }
}

/// Returns the size of a program in bytes.
///
/// # Errors
/// When the file does not exist.
pub fn size(path: &Path) -> anyhow::Result<u64> {
    Ok(std::fs::metadata(path)?.len())
}
