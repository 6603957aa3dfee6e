//! What every part of the measurement uses.

use std::fmt;

use anyhow::Context;
use local_process::Guardian;

use crate::binaries::{self, Built};
use crate::functions::Function;
use crate::process::Process;
use crate::statistics::Statistics;
use crate::stubs::Stubs;
use crate::table::{Goal, Row};

/// The programs, the services that they call, and who ends what is left.
pub struct Bench {
    /// The programs.
    pub built: Built,
    /// The services.
    pub stubs: Stubs,
    /// Ends what is left.
    pub guardian: Guardian,
}

impl Bench {
    /// Starts a function on the stubs.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn start(&self, function: Function) -> anyhow::Result<Process> {
        let environment = function.environment(self.stubs.url());
        Process::start(&self.guardian, function.binary(&self.built), &environment).await
    }

    /// Says what is being done.
    pub fn progress(&self, what: fmt::Arguments<'_>) {
        eprintln!("  {what}");
    }

    /// How large the programs are.
    ///
    /// # Errors
    /// When one is not there.
    pub fn sizes(&self) -> anyhow::Result<Vec<Row>> {
        let size = |function: Function| {
            let bytes = binaries::size(function.binary(&self.built))?;
            Statistics::of([bytes as f64 / 1e6]).context("no size")
        };
        let row = |function: Function| {
            let baseline = Some(size(Function::Baseline)?);
            Ok(Row::new("binary", function.name(), "MB", baseline, size(function)?, Goal::AtMost(5.0)))
        };
        Function::OURS.into_iter().map(row).collect()
    }
}
