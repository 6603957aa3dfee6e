//! What was found, and how it reads.

use serde::Serialize;

/// How a check ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As it should be.
    Right,
    /// Not as it should be.
    Wrong,
    /// Nobody knows: a setting is missing, or what it builds on is wrong.
    Unchecked,
}

/// A check and how it ended.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Which check, the same in every version: `verify_token`.
    pub check: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// For a person: what is right; what is wrong, and what to do about it; or why it was not checked. Holds no
    /// secret, and of a phone number its last digits.
    pub message: String,
}

/// The findings, in the order in which they are read.
#[derive(Clone, Debug, Default)]
pub struct Report(Vec<Finding>);

impl Report {
    /// Adds a check that found all as it should be.
    pub fn right(&mut self, check: &'static str, message: impl Into<String>) {
        self.add(check, Outcome::Right, message.into());
    }

    /// Adds a check that found something wrong; `message` says what to do about it.
    pub fn wrong(&mut self, check: &'static str, message: impl Into<String>) {
        self.add(check, Outcome::Wrong, message.into());
    }

    /// Adds a check that was not made, because of `why`.
    pub fn unchecked(&mut self, check: &'static str, why: impl Into<String>) {
        self.add(check, Outcome::Unchecked, format!("not checked: {}", why.into()));
    }

    /// Adds checks that were not made, all for the same reason.
    pub fn all_unchecked(&mut self, checks: &[&'static str], why: &str) {
        for check in checks {
            self.unchecked(check, why);
        }
    }

    /// Adds what another report says.
    pub fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    fn add(&mut self, check: &'static str, outcome: Outcome, message: String) {
        self.0.push(Finding { check, outcome, message });
    }

    /// The findings.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.0
    }

    /// Whether this check was made and found nothing wrong.
    #[must_use]
    pub fn is_right(&self, check: &str) -> bool {
        self.0.iter().any(|finding| finding.check == check && finding.outcome == Outcome::Right)
    }

    /// How many ended so.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> usize {
        self.0.iter().filter(|finding| finding.outcome == outcome).count()
    }

    /// Prints a line for each and their sum.
    pub fn print(&self) {
        let width = self.0.iter().map(|finding| finding.check.len()).max().unwrap_or_default();
        for Finding { check, outcome, message } in &self.0 {
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

    /// Prints one JSON object a line.
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
