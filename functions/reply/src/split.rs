//! Splitting of texts that exceed the Graph API's limit.

use shared::text::{cut_before, is_boundary, trim};

/// The maximum length of a text message, in code points. Source: “Text messages”, WhatsApp Business Platform
/// documentation.
pub const MAX_CHARACTERS: usize = 4096;

/// Returns the first part of a text, of at most [`MAX_CHARACTERS`], and the rest. Both are empty only if the text
/// consists of white space.
///
/// The part ends after the last paragraph that ends in its second half; without one, after a line, a sentence or a
/// word; else within a word, but not within a visible character (see [`shared::text`]) unless that exceeds the limit.
/// Only white space around the part is dropped.
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

/// Returns the byte at which to split `text`: at most `limit`, and in the second half if possible.
fn boundary(text: &str, limit: usize) -> usize {
    let half = text.char_indices().nth(MAX_CHARACTERS / 2).map_or(0, |(half, _)| half);
    let window = &text[half..limit];
    // The white space after the limit ends a word, too.
    if text[limit..].starts_with(char::is_whitespace) && is_boundary(text, limit) {
        return limit;
    }
    // White space with a combining mark is not a boundary.
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

    /// Returns the range of each part in `text`, and asserts that only white space separates them.
    fn places(text: &str, parts: &[&str]) -> Vec<std::ops::Range<usize>> {
        let mut end = 0;
        let place = |part: &&str| {
            let start = end + text[end..].find(*part).expect("a part of the text");
            assert!(text[end..start].chars().all(char::is_whitespace), "{:?}", &text[end..start]);
            end = start + part.len();
            start..end
        };
        let places: Vec<_> = parts.iter().map(place).collect();
        assert!(text[end..].chars().all(char::is_whitespace), "{:?}", &text[end..]);
        places
    }

    #[test]
    fn a_short_text_is_one_part_and_an_empty_one_none() {
        assert_eq!(split("hello"), ["hello"]);
        assert_eq!(split(&"é".repeat(MAX_CHARACTERS)).len(), 1);
        assert!(split("").is_empty() && split(" \n\t ").is_empty());
    }

    #[test]
    fn a_long_text_is_split_after_paragraphs_sentences_or_words() {
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

    /// Modelled on a public bug report: emoji of several code points without white space between them.
    #[test]
    fn a_text_without_spaces_is_split_between_characters() {
        for character in ["👨‍👩‍👧‍👦", "🇦🇷", "e\u{301}\u{323}", "👍🏽"] {
            let text = long(character);
            let parts = split(&text);
            assert_eq!(parts.concat(), text);
            assert!(parts.iter().all(|part| part.replace(character, "").is_empty()), "{character}");
        }
    }

    #[test]
    fn a_character_longer_than_a_part_is_split() {
        let text = format!("a{}", "\u{301}".repeat(2 * MAX_CHARACTERS));
        let lengths: Vec<_> = split(&text).iter().map(|part| part.chars().count()).collect();
        assert_eq!(lengths, [MAX_CHARACTERS, MAX_CHARACTERS, 1]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn parts_fit_and_make_up_the_text(
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
