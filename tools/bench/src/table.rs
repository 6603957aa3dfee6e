//! The rows of the result, and their output.

use std::fmt;

use comfy_table::CellAlignment;
use serde::Serialize;

use crate::statistics::Statistics;

/// A figure and its goal.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The name of the figure: `cold_first_poll`, …
    pub name: &'static str,
    /// The measured function or case.
    pub of: String,
    /// The unit of `baseline` and `figure`.
    pub unit: &'static str,
    /// The baseline's figure, if there is one.
    pub baseline: Option<Statistics>,
    /// The measured figure.
    pub figure: Statistics,
    /// The median of `figure` divided by that of `baseline`.
    pub ratio: Option<f64>,
    /// The goal.
    pub goal: Goal,
    /// Whether the goal is reached; `None` without a goal.
    pub ok: Option<bool>,
    /// A remark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A goal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// A limit of the ratio to the baseline.
    RatioAtMost(f64),
    /// A limit of the median.
    AtMost(f64),
    /// A limit of the median.
    AtLeast(f64),
    /// No goal: the figure is only shown.
    None,
}

impl Row {
    /// Returns a row; the ratio and `ok` are derived from the other values.
    #[must_use]
    pub fn new(
        name: &'static str,
        of: impl Into<String>,
        unit: &'static str,
        baseline: Option<Statistics>,
        figure: Statistics,
        goal: Goal,
    ) -> Self {
        let ratio = baseline.map(|baseline| figure.median / baseline.median);
        let ok = match goal {
            Goal::RatioAtMost(goal) => ratio.map(|ratio| ratio <= goal),
            Goal::AtMost(goal) => Some(figure.median <= goal),
            Goal::AtLeast(goal) => Some(figure.median >= goal),
            Goal::None => None,
        };
        Self { name, of: of.into(), unit, baseline, figure, ratio, goal, ok, note: None }
    }

    /// Returns the row with a remark.
    #[must_use]
    pub fn noting(self, note: impl Into<String>) -> Self {
        Self { note: Some(note.into()), ..self }
    }

    /// Returns the used share of the goal: 1 is the goal, less is better. `None` without a goal.
    #[must_use]
    pub fn used(&self) -> Option<f64> {
        match self.goal {
            Goal::RatioAtMost(goal) => Some(self.ratio? / goal),
            Goal::AtMost(goal) => Some(self.figure.median / goal),
            Goal::AtLeast(goal) => Some(goal / self.figure.median),
            Goal::None => None,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RatioAtMost(goal) => write!(f, "≤ {goal} × baseline"),
            Self::AtMost(goal) => write!(f, "≤ {goal}"),
            Self::AtLeast(goal) => write!(f, "≥ {goal}"),
            Self::None => Ok(()),
        }
    }
}

/// Formats a number with three significant digits.
#[must_use]
pub fn number(value: f64) -> String {
    match value.abs() {
        0.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// Returns the rows as a table for a terminal.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let head = ["figure", "of", "unit", "baseline", "median", "quartiles", "range", "ratio", "goal", ""];
    let mut table = terminal::table(head);
    for row in rows {
        let Statistics { median, lower_quartile, upper_quartile, min, max, .. } = row.figure;
        table.add_row([
            row.name.to_owned(),
            row.of.clone(),
            row.unit.to_owned(),
            row.baseline.map(|baseline| number(baseline.median)).unwrap_or_default(),
            number(median),
            format!("{}–{}", number(lower_quartile), number(upper_quartile)),
            format!("{}–{}", number(min), number(max)),
            row.ratio.map(number).unwrap_or_default(),
            row.goal.to_string(),
            match row.ok {
                Some(true) => "ok".to_owned(),
                Some(false) => "MISSED".to_owned(),
                None => String::new(),
            },
        ]);
    }
    // Figures are aligned by their last digit.
    for column in table.column_iter_mut().skip(3).take(5) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let notes = std::iter::once(None).chain(rows.iter().map(|row| row.note.as_ref()));
    let mut text = String::new();
    for (line, note) in table.lines().zip(notes) {
        text += line.trim_end();
        if let Some(note) = note {
            text += &format!("\n    {note}");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statistics(median: f64) -> Statistics {
        Statistics::of([median]).expect("a sample")
    }

    fn row(baseline: Option<f64>, figure: f64, goal: Goal) -> Row {
        Row::new("cold", "webhook", "ms", baseline.map(statistics), statistics(figure), goal)
    }

    #[test]
    fn a_goal_is_of_the_ratio_or_of_the_figure() {
        let cases = [
            (row(Some(2.0), 4.0, Goal::RatioAtMost(2.0)), Some(true), Some(1.0)),
            (row(Some(2.0), 5.0, Goal::RatioAtMost(2.0)), Some(false), Some(1.25)),
            (row(None, 5.0, Goal::RatioAtMost(2.0)), None, None),
            (row(Some(2.0), 5.0, Goal::AtMost(5.0)), Some(true), Some(1.0)),
            (row(None, 4.0, Goal::AtLeast(8.0)), Some(false), Some(2.0)),
            (row(Some(1.0), 4.0, Goal::None), None, None),
        ];
        for (row, ok, used) in cases {
            assert_eq!((row.ok, row.used()), (ok, used), "{row:?}");
        }
    }

    #[test]
    fn the_table_marks_missed_goals_and_aligns_figures() {
        let rows = [
            row(Some(1.5), 12.0, Goal::RatioAtMost(2.0)).noting("roots are read from the system"),
            row(None, 3.25, Goal::AtMost(4.5)),
        ];
        let table = table(&rows);
        let lines: Vec<_> = table.lines().collect();
        assert!(lines[1].ends_with("8.00  ≤ 2 × baseline  MISSED"), "{table}");
        assert_eq!(lines[2], "    roots are read from the system");
        assert!(lines[3].ends_with("≤ 4.5           ok"), "{table}");
        let column =
            |line: &str, what: &str| line.find(what).map(|at| line[..at].chars().count() + what.len());
        assert_eq!(column(lines[1], "12.0"), column(lines[3], "3.25"), "{table}");
    }
}
