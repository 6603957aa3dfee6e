//! Limits of a day's answers.

use serde::Deserialize;

/// The limits of a day, in UTC; `None` for none.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Limits {
    /// Answers to one user: `LLM_USER_DAILY_ANSWERS`.
    pub user_answers: Option<u64>,
    /// Answers to all users: `LLM_DAILY_ANSWERS`.
    pub answers: Option<u64>,
    /// Tokens written for all users: `LLM_DAILY_TOKENS`.
    pub output_tokens: Option<u64>,
}

/// What a day's answers come to so far, counted from the rows that are written: the database's function `llm_usage`.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct DayUsage {
    /// Answers to the user, of the model or with the fallback text.
    pub user_answers: u64,
    /// The same, to all users.
    pub answers: u64,
    /// Tokens written for all users.
    pub output_tokens: f64,
    /// Replies to the user that told of a limit.
    pub limit_notices: u64,
}

impl Limits {
    /// Returns whether there is a limit.
    #[must_use]
    pub fn any(self) -> bool {
        self != Self::default()
    }

    /// Returns the first one that is reached, by its variable.
    #[must_use]
    pub fn reached(self, usage: &DayUsage) -> Option<&'static str> {
        let is_reached = |limit: Option<u64>, used: u64| limit.is_some_and(|limit| used >= limit);
        let tokens = self.output_tokens.is_some_and(|limit| usage.output_tokens >= limit as f64);
        [
            ("LLM_USER_DAILY_ANSWERS", is_reached(self.user_answers, usage.user_answers)),
            ("LLM_DAILY_ANSWERS", is_reached(self.answers, usage.answers)),
            ("LLM_DAILY_TOKENS", tokens),
        ]
        .into_iter()
        .find_map(|(name, is_reached)| is_reached.then_some(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_reached_when_as_much_is_used() {
        let usage = DayUsage { user_answers: 3, answers: 10, output_tokens: 500.0, limit_notices: 0 };
        let none = Limits::default();
        assert!(!none.any() && none.reached(&usage).is_none());
        for (limits, reached) in [
            (Limits { user_answers: Some(3), ..none }, Some("LLM_USER_DAILY_ANSWERS")),
            (Limits { user_answers: Some(4), ..none }, None),
            (Limits { answers: Some(10), ..none }, Some("LLM_DAILY_ANSWERS")),
            (Limits { answers: Some(11), ..none }, None),
            (Limits { output_tokens: Some(500), ..none }, Some("LLM_DAILY_TOKENS")),
            (Limits { output_tokens: Some(501), ..none }, None),
            (
                Limits { user_answers: Some(4), answers: Some(11), output_tokens: Some(1) },
                Some("LLM_DAILY_TOKENS"),
            ),
        ] {
            assert!(limits.any());
            assert_eq!(limits.reached(&usage), reached, "{limits:?}");
        }
    }
}
