//! The programs that are measured, built as they are deployed.

use std::path::{Path, PathBuf};

use local_process::Guardian;

use local_stack::compile::{self, Binaries};

/// All four.
pub struct Built {
    /// The baseline.
    pub baseline: PathBuf,
    /// The functions.
    pub functions: Binaries,
}

impl Built {
    /// Builds each of them alone; with another profile than `release` together, which is quicker and only good to
    /// see that measuring works.
    ///
    /// # Errors
    /// When one does not compile.
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

/// Bytes of a program.
///
/// # Errors
/// When it is not there.
pub fn size(path: &Path) -> anyhow::Result<u64> {
    Ok(std::fs::metadata(path)?.len())
}
