//! The shared setting of all measurements.

use std::fmt;

use anyhow::Context;
use local_process::Guardian;

use crate::binaries::{self, Built};
use crate::functions::Function;
use crate::process::Process;
use crate::statistics::Statistics;
use crate::stubs::Stubs;
use crate::table::{Goal, Row};

/// The programs, the stubs of their services, and the guardian.
pub struct Bench {
    /// The programs.
    pub built: Built,
    /// The services.
    pub stubs: Stubs,
    /// Ends leftover processes.
    pub guardian: Guardian,
}

impl Bench {
    /// Starts a function on the stubs.
    ///
    /// # Errors
    /// When the function cannot be started.
    pub async fn start(&self, function: Function) -> anyhow::Result<Process> {
        let environment = function.environment(self.stubs.url());
        Process::start(&self.guardian, function.binary(&self.built), &environment).await
    }

    /// Prints the current step.
    pub fn progress(&self, what: fmt::Arguments<'_>) {
        eprintln!("  {what}");
    }

    /// Returns the sizes of the programs.
    ///
    /// # Errors
    /// When a program does not exist.
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
