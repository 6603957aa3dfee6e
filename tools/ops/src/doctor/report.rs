//! The findings and their output.

use serde::Serialize;

/// The outcome of a check.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The check passed.
    Right,
    /// The check failed.
    Wrong,
    /// Not checked: a setting is missing, or an earlier check failed.
    Unchecked,
}

/// A check and its outcome.
#[derive(Clone, Debug, Serialize)]
pub struct CheckResult {
    /// The name of the check, stable across versions: `verify_token`.
    pub check: &'static str,
    /// The outcome.
    pub outcome: Outcome,
    /// For display: the result; the error and its remedy; or the reason for skipping the check. Contains no secret, and
    /// of a phone number only the last digits.
    pub message: String,
}

/// The findings, in the order of output.
#[derive(Clone, Debug, Default)]
pub struct Report(Vec<CheckResult>);

impl Report {
    /// Adds a passed check.
    pub fn right(&mut self, check: &'static str, message: impl Into<String>) {
        self.add(check, Outcome::Right, message.into());
    }

    /// Adds a failed check; `message` includes the remedy.
    pub fn wrong(&mut self, check: &'static str, message: impl Into<String>) {
        self.add(check, Outcome::Wrong, message.into());
    }

    /// Adds a check that was not made, because of `why`.
    pub fn unchecked(&mut self, check: &'static str, why: impl Into<String>) {
        self.add(check, Outcome::Unchecked, format!("not checked: {}", why.into()));
    }

    /// Adds skipped checks, all for the same reason.
    pub fn all_unchecked(&mut self, checks: &[&'static str], why: &str) {
        for check in checks {
            self.unchecked(check, why);
        }
    }

    /// Adds the findings of another report.
    pub fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    fn add(&mut self, check: &'static str, outcome: Outcome, message: String) {
        self.0.push(CheckResult { check, outcome, message });
    }

    /// Returns the findings.
    #[must_use]
    pub fn findings(&self) -> &[CheckResult] {
        &self.0
    }

    /// Returns whether this check passed.
    #[must_use]
    pub fn is_right(&self, check: &str) -> bool {
        self.0.iter().any(|finding| finding.check == check && finding.outcome == Outcome::Right)
    }

    /// Returns the number of checks with this outcome.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> usize {
        self.0.iter().filter(|finding| finding.outcome == outcome).count()
    }

    /// Prints a line for each check, and the totals.
    pub fn print(&self) {
        let width = self.0.iter().map(|finding| finding.check.len()).max().unwrap_or_default();
        for CheckResult { check, outcome, message } in &self.0 {
            let mark = match outcome {
                Outcome::Right => '✓',
                Outcome::Wrong => '✗',
                Outcome::Unchecked => '–',
            };
            println!("{mark} {:<width$}  {message}", check.replace('_', " "));
        }
        let [right, wrong, unchecked] =
            [Outcome::Right, Outcome::Wrong, Outcome::Unchecked].map(|outcome| self.count(outcome));
        println!("\n{right} right, {wrong} wrong, {unchecked} not checked");
    }

    /// Prints one JSON object per line.
    ///
    /// # Errors
    /// Never in practice.
    pub fn print_json(&self) -> serde_json::Result<()> {
        for finding in &self.0 {
            println!("{}", serde_json::to_string(finding)?);
        }
        Ok(())
    }
}
