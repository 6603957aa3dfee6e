//! Texts longer than the Graph API takes, in parts.

/// Characters of a text message at most. Source: “Text messages”, WhatsApp Business Platform documentation.
pub const MAX_CHARACTERS: usize = 4096;

/// The first part of a text, which is not longer than [`MAX_CHARACTERS`], and what follows it. Both are empty
/// only when there is nothing but white space.
///
/// The part ends after a paragraph where one ends in its second half, else after a line, a sentence or a word,
/// else in the middle of a word. White space around it is dropped, nothing else.
#[must_use]
pub fn first(text: &str) -> (&str, &str) {
    let text = text.trim();
    match text.char_indices().nth(MAX_CHARACTERS) {
        None => (text, ""),
        Some((limit, _)) => {
            let (part, rest) = text.split_at(boundary(text, limit));
            (part.trim_end(), rest.trim_start())
        }
    }
}

/// Where to cut: at most at byte `limit` of `text`, and beyond the half.
fn boundary(text: &str, limit: usize) -> usize {
    let half = text.char_indices().nth(MAX_CHARACTERS / 2).map_or(0, |(half, _)| half);
    let window = &text[half..limit];
    // The space after the limit ends a word, too.
    if text[limit..].starts_with(char::is_whitespace) {
        return limit;
    }
    let after = |pattern: &str| window.rfind(pattern).map(|at| half + at + pattern.len());
    let sentence = [". ", "! ", "? ", "。", "！", "？"].into_iter().filter_map(after).max();
    let word =
        window.char_indices().rev().find(|(_, c)| c.is_whitespace()).map(|(at, c)| half + at + c.len_utf8());
    after("\n\n").or_else(|| after("\n")).or(sentence).or(word).unwrap_or(limit)
}

#[cfg(test)]
mod tests {
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

    proptest::proptest! {
        #[test]
        fn parts_fit_and_hold_everything_but_white_space(text in "([a-zé👍。.!?]{0,40}[ \n]{0,3}){0,900}") {
            let parts = split(&text);
            let bare = |text: &str| text.split_whitespace().collect::<String>();
            proptest::prop_assert!(parts.iter().all(|part| !part.is_empty() && part.chars().count() <= MAX_CHARACTERS));
            proptest::prop_assert_eq!(parts.iter().map(|part| bare(part)).collect::<String>(), bare(&text));
        }
    }
}
