//! The figures as bars with their goals, as an SVG for light and dark pages.

use std::fmt::Write as _;

use crate::table::{Goal, Row, number};

const WIDTH: f64 = 950.0;
const ROW: f64 = 22.0;
const TOP: f64 = 40.0;
/// The start of bars, and the length of a bar that just reaches its goal.
const LEFT: f64 = 420.0;
const GOAL: f64 = 300.0;
/// The maximum end of a bar.
const LONGEST: f64 = 420.0;

/// Draws a bar for each row with a goal; its length is the used share of the goal.
#[must_use]
pub fn svg(rows: &[Row]) -> String {
    let rows: Vec<(&Row, f64)> = rows.iter().filter_map(|row| Some((row, row.used()?))).collect();
    let height = TOP + ROW * rows.len() as f64 + 12.0;
    let goal = LEFT + GOAL;
    let mut svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" font-family="sans-serif" font-size="12">
<title>Figures of the functions beside their goals: a bar that ends left of the line is within its goal</title>
<style>text{{fill:#1f2328}}.ok{{fill:#2da44e}}.missed{{fill:#d1242f}}.goal{{stroke:#57606a;stroke-dasharray:4 3}}
@media (prefers-color-scheme:dark){{text{{fill:#e6edf3}}.ok{{fill:#3fb950}}.missed{{fill:#f85149}}.goal{{stroke:#9198a1}}}}</style>
<text x="{goal}" y="18" text-anchor="middle">goal</text>
<line class="goal" x1="{goal}" x2="{goal}" y1="26" y2="{}"/>
"#,
        height - 8.0
    );
    for (position, (row, used)) in rows.iter().enumerate() {
        let top = TOP + ROW * position as f64;
        let (text, length) = (top + 12.0, (used * GOAL).clamp(1.0, LONGEST));
        let class = if row.ok == Some(true) { "ok" } else { "missed" };
        let figure = match (row.goal, row.ratio) {
            (Goal::RatioAtMost(_), Some(ratio)) => {
                format!("{} × baseline ({} {})", number(ratio), number(row.figure.median), row.unit)
            }
            _ => format!("{} {}", number(row.figure.median), row.unit),
        };
        let (name, after) = (escape(&format!("{}: {}", row.of, row.name)), LEFT + length + 6.0);
        // Writing to a string cannot fail.
        let _ = writeln!(
            svg,
            r#"<text x="{}" y="{text}" text-anchor="end">{name}</text><rect class="{class}" x="{LEFT}" y="{top}" width="{length:.1}" height="16" rx="2"/><text x="{after:.1}" y="{text}">{}</text>"#,
            LEFT - 8.0,
            escape(&figure)
        );
    }
    svg + "</svg>\n"
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::Statistics;

    #[test]
    fn a_bar_ends_at_the_goal_and_rows_without_a_goal_have_none() {
        let row = |of: &str, figure, goal| {
            Row::new("memory", of, "MB", None, Statistics::of([figure]).expect("a sample"), goal)
        };
        let svg = svg(&[
            row("half", 8.0, Goal::AtMost(16.0)),
            row("over & out", 400.0, Goal::AtMost(16.0)),
            row("shown nowhere", 1.0, Goal::None),
        ]);
        assert!(svg.contains(r#"class="ok" x="420" y="40" width="150.0""#), "{svg}");
        assert!(svg.contains(r#"class="missed" x="420" y="62" width="420.0""#), "{svg}");
        assert!(svg.contains("over &amp; out") && !svg.contains("nowhere"), "{svg}");
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    }
}
