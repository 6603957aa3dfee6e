//! The causes of failed messages, from the log of `reply`.
//!
//! Two formats are read, mixed with other lines: JSON, as on Lambda, with or without a prefix (`aws logs tail` writes
//! the time and the stream), and the lines that `local` prints.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::Context;
use serde::Deserialize;
use shared::lambda::logging::ShortWamid;

/// The latest reason for returning each message to its queue, by shortened wamid.
#[derive(Debug, Default)]
pub struct Reasons {
    by_wamid: HashMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Line {
    wamid: String,
    outcome: String,
    reason: String,
}

impl Reasons {
    /// Reads a log; `-` is standard input.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        if path == Path::new("-") {
            return Self::from_lines(std::io::stdin().lock());
        }
        let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
        Self::from_lines(BufReader::new(file)).with_context(|| path.display().to_string())
    }

    /// Reads lines, the oldest first.
    ///
    /// # Errors
    /// When the lines cannot be read.
    pub fn from_lines(lines: impl BufRead) -> anyhow::Result<Self> {
        let mut by_wamid = HashMap::new();
        for line in lines.split(b'\n') {
            let line = line?;
            let line = Line::parse(&String::from_utf8_lossy(&line));
            if let Some(line) = line.filter(|line| line.outcome == "returned" && !line.wamid.is_empty()) {
                by_wamid.insert(line.wamid, line.reason);
            }
        }
        Ok(Self { by_wamid })
    }

    /// Returns the latest reason for returning the message.
    #[must_use]
    pub fn of(&self, wamid: &str) -> Option<&str> {
        self.by_wamid.get(ShortWamid::of(wamid).as_str()).map(String::as_str)
    }
}

impl Line {
    fn parse(line: &str) -> Option<Self> {
        let json = line.find('{').and_then(|start| serde_json::from_str(&line[start..]).ok());
        json.or_else(|| {
            let field = |name: &str| {
                let (_, value) = line.split_once(&format!(" {name}="))?;
                serde_json::Deserializer::from_str(value).into_iter::<String>().next()?.ok()
            };
            Some(Self { wamid: field("wamid")?, outcome: field("outcome")?, reason: field("reason")? })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_reason_is_found_in_either_form() {
        let log = concat!(
            r#"2026-11-24T03:05:00Z 2026/11/24/[$LATEST]0a1b {"level":"ERROR","wamid":"wamid.1","outcome":"returned","reason":"first"}"#,
            "\n",
            r#"{"wamid":"wamid.1","outcome":"returned","reason":"last"}"#,
            "\n",
            r#"   reply | ERROR message returned outcome="returned" reason="a \"quoted\" word" wamid="wamid.2""#,
            "\nREPORT RequestId: {not JSON\n",
            r#"{"wamid":"wamid.3","outcome":"answered"}"#,
            "\n",
            r#"{"wamid":"RTAzODEwMTQ0RgA=","outcome":"returned","reason":"short"}"#,
        );
        let reasons = Reasons::from_lines(log.as_bytes()).expect("readable");
        assert_eq!(reasons.of("wamid.1"), Some("last"));
        assert_eq!(reasons.of("wamid.2"), Some(r#"a "quoted" word"#));
        assert_eq!(reasons.of("wamid.3"), None);
        let whole = "wamid.HBgLMTY1MDM4Nzk0MzkVAgASGBQzQTRBNjU5OUFFRTAzODEwMTQ0RgA=";
        assert_eq!(reasons.of(whole), Some("short"));
    }
}
