//! Truncation of text between extended grapheme clusters, which a reader perceives as one character each. A family
//! emoji, a flag or a letter with its accent are several code points.
//!
//! Source: “Unicode Text Segmentation”, Unicode Standard Annex #29, in the version that `unicode-segmentation` has.

use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation};

/// Returns the beginning of `text`, of at most `characters` code points, that ends between two clusters.
///
/// A first cluster longer than that is split between two code points.
#[must_use]
pub fn head(text: &str, characters: usize) -> &str {
    match text.char_indices().nth(characters) {
        Some((limit, _)) => &text[..cut_before(text, limit)],
        None => text,
    }
}

/// Returns the last end of a cluster at or before byte `limit` of `text`; `limit` itself when the first cluster ends
/// after it.
///
/// `limit` must be between two code points.
#[must_use]
pub fn cut_before(text: &str, limit: usize) -> usize {
    if is_boundary(text, limit) {
        return limit;
    }
    // The text is complete: the call cannot require more of it.
    let before = GraphemeCursor::new(limit, text.len(), true).prev_boundary(text, 0);
    before.ok().flatten().filter(|before| *before > 0).unwrap_or(limit)
}

/// Whether a cluster ends at byte `at` of `text`.
#[must_use]
pub fn is_boundary(text: &str, at: usize) -> bool {
    GraphemeCursor::new(at, text.len(), true).is_boundary(text, 0).unwrap_or(true)
}

/// Returns `text` without leading and trailing clusters of white space. A space with a combining accent is preserved.
#[must_use]
pub fn trim(text: &str) -> &str {
    let text = &text[blank_bytes(text.graphemes(true))..];
    &text[..text.len() - blank_bytes(text.graphemes(true).rev())]
}

/// Returns the size in bytes of the leading clusters of white space.
fn blank_bytes<'a>(clusters: impl Iterator<Item = &'a str>) -> usize {
    clusters.take_while(|cluster| cluster.chars().all(char::is_whitespace)).map(str::len).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Single characters for a reader, of several code points each.
    const CLUSTERS: [&str; 6] = ["👨‍👩‍👧‍👦", "🇩🇪", "e\u{301}", "👍🏽", "각", "\r\n"];

    #[test]
    fn text_is_truncated_between_two_visible_characters() {
        for cluster in CLUSTERS {
            let length = cluster.chars().count();
            let text = format!("a{cluster}{cluster}");
            assert_eq!(head(&text, length), "a", "{cluster:?}");
            assert_eq!(head(&text, length + 1), format!("a{cluster}"));
            assert_eq!(head(&text, 2 * length), format!("a{cluster}"));
            assert_eq!(head(&text, 2 * length + 1), text);
        }
        assert_eq!((head("", 3), head("abc", 0)), ("", ""));
    }

    #[test]
    fn a_longer_cluster_is_split_between_code_points() {
        let long = format!("e{}", "\u{301}".repeat(9));
        assert_eq!(head(&long, 4).chars().count(), 4);
        assert_eq!(head(&format!("a{long}"), 4), "a");
    }

    #[test]
    fn white_space_is_trimmed_but_not_a_space_with_an_accent() {
        assert_eq!(trim(" \r\n a b\t "), "a b");
        assert_eq!(trim("  \u{301}a \u{301}"), " \u{301}a \u{301}");
        assert_eq!(trim(" \n"), "");
    }

    proptest::proptest! {
        #[test]
        fn a_head_ends_where_a_cluster_ends(
            text in "([a-z 🇩🇪👍\u{1f3fd}\u{200d}👩e\u{301}\r\n각]|\\PC){0,60}", characters in 0usize..60,
        ) {
            let head = head(&text, characters);
            proptest::prop_assert!(text.starts_with(head) && head.chars().count() <= characters);
            let ends: Vec<_> = text.grapheme_indices(true).map(|(start, cluster)| start + cluster.len()).collect();
            let longest = ends.iter().copied().take_while(|end| text[..*end].chars().count() <= characters).last();
            match longest {
                Some(end) => proptest::prop_assert_eq!(head.len(), end),
                None => proptest::prop_assert_eq!(head.chars().count(), characters.min(text.chars().count())),
            }
        }
    }
}
