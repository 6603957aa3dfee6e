//! Texts longer than the Graph API takes, in parts.

use shared::text::{cut_before, is_boundary, trim};

/// Characters of a text message at most, in code points. Source: “Text messages”, WhatsApp Business Platform
/// documentation.
pub const MAX_CHARACTERS: usize = 4096;

/// The first part of a text, which is not longer than [`MAX_CHARACTERS`], and what follows it. Both are empty
/// only when there is nothing but white space.
///
/// The part ends after a paragraph where one ends in its second half, else after a line, a sentence or a word,
/// else in the middle of a word, but never inside a visible character (see [`shared::text`]). White space around it is
/// dropped, nothing else.
#[must_use]
pub fn first(text: &str) -> (&str, &str) {
    let text = trim(text);
    match text.char_indices().nth(MAX_CHARACTERS) {
        None => (text, ""),
        Some((limit, _)) => {
            let (part, rest) = text.split_at(boundary(text, limit));
            (trim(part), trim(rest))
        }
    }
}

/// Where to cut: at most at byte `limit` of `text`, and beyond the half where there is such a place.
fn boundary(text: &str, limit: usize) -> usize {
    let half = text.char_indices().nth(MAX_CHARACTERS / 2).map_or(0, |(half, _)| half);
    let window = &text[half..limit];
    // The space after the limit ends a word, too.
    if text[limit..].starts_with(char::is_whitespace) && is_boundary(text, limit) {
        return limit;
    }
    // A blank with an accent on it ends nothing.
    let last = |ends: &mut dyn Iterator<Item = usize>| {
        ends.map(|end| half + end).find(|end| is_boundary(text, *end))
    };
    let after = |pattern: &str| last(&mut window.rmatch_indices(pattern).map(|(at, end)| at + end.len()));
    let sentence = || [". ", "! ", "? ", "。", "！", "？"].into_iter().filter_map(after).max();
    let blanks = || window.char_indices().rev().filter(|(_, character)| character.is_whitespace());
    let word = || last(&mut blanks().map(|(at, blank)| at + blank.len_utf8()));
    after("\n\n")
        .or_else(|| after("\n"))
        .or_else(sentence)
        .or_else(word)
        .unwrap_or_else(|| cut_before(text, limit))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(text: &str) -> Vec<&str> {
        let mut parts = Vec::new();
        let mut next = first(text);
        while !next.0.is_empty() {
            parts.push(next.0);
            next = first(next.1);
        }
        parts
    }

    fn long(unit: &str) -> String {
        unit.repeat(3 * MAX_CHARACTERS / unit.chars().count())
    }

    /// Where each part stands in `text`; only white space stands between them.
    fn places(text: &str, parts: &[&str]) -> Vec<std::ops::Range<usize>> {
        let mut end = 0;
        let place = |part: &&str| {
            let start = end + text[end..].find(*part).expect("a part is of the text");
            assert!(text[end..start].chars().all(char::is_whitespace), "{:?}", &text[end..start]);
            end = start + part.len();
            start..end
        };
        let places: Vec<_> = parts.iter().map(place).collect();
        assert!(text[end..].chars().all(char::is_whitespace), "{:?}", &text[end..]);
        places
    }

    #[test]
    fn a_text_that_fits_is_one_part_and_an_empty_one_none() {
        assert_eq!(split("hello"), ["hello"]);
        assert_eq!(split(&"é".repeat(MAX_CHARACTERS)).len(), 1);
        assert!(split("").is_empty() && split(" \n\t ").is_empty());
    }

    #[test]
    fn a_long_text_is_cut_where_a_reader_would() {
        for (unit, end) in
            [("One paragraph\nof two lines.\n\n", "lines."), ("A sentence here. ", "."), ("word ", "d")]
        {
            let text = long(unit);
            let parts = split(&text);
            assert!(parts.len() > 2);
            assert!(parts.iter().all(|part| part.ends_with(end)), "{unit:?}");
        }
        assert_eq!(split(&"x".repeat(MAX_CHARACTERS + 1)), ["x".repeat(MAX_CHARACTERS).as_str(), "x"]);
    }

    /// Made after a public bug report: emoji of several code points and no blank among them.
    #[test]
    fn a_text_without_blanks_is_cut_between_characters() {
        for character in ["👨‍👩‍👧‍👦", "🇦🇷", "e\u{301}\u{323}", "👍🏽"] {
            let text = long(character);
            let parts = split(&text);
            assert_eq!(parts.concat(), text);
            assert!(parts.iter().all(|part| part.replace(character, "").is_empty()), "{character}");
        }
    }

    #[test]
    fn a_character_that_is_longer_than_a_part_is_cut() {
        let text = format!("a{}", "\u{301}".repeat(2 * MAX_CHARACTERS));
        let lengths: Vec<_> = split(&text).iter().map(|part| part.chars().count()).collect();
        assert_eq!(lengths, [MAX_CHARACTERS, MAX_CHARACTERS, 1]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn parts_fit_and_are_the_text(
            text in "(([a-zé👍。.!?]{0,40}|[🇦🇷\u{301}\u{200d}👩\u{1f3fd}]{0,40})[ \n]{0,3}){0,900}",
        ) {
            let parts = split(&text);
            prop_assert!(parts.iter().all(|part| !part.is_empty() && part.chars().count() <= MAX_CHARACTERS));
            let text = trim(&text);
            for place in places(text, &parts) {
                // No character here is longer than a part.
                prop_assert!(is_boundary(text, place.start) && is_boundary(text, place.end), "{place:?}");
            }
        }
    }
}
