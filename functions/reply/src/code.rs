//! The one-time code by which a person links a WhatsApp number or user id, as recognized in a message.

use std::fmt;

use ring::digest::{SHA256, digest};

/// The letters of a code: without I and O, which are mistaken for digits.
const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZ";

/// The digits of a code: without 0 and 1, which are mistaken for letters.
const DIGITS: &[u8] = b"23456789";

/// The places of a code: `true` for a digit. The digits at fixed places distinguish a code from words.
const PLACES: [bool; 10] = [false, false, true, false, false, false, false, true, false, false];

/// The place before which a written code is divided.
const MIDDLE: usize = 5;

/// A string in the form of a code, `AB4CD-EF7GH`, in capital letters and without its hyphen. The database tells whether
/// it exists.
#[derive(Clone, Eq, PartialEq)]
pub struct Code([u8; PLACES.len()]);

impl Code {
    /// Finds a code in a text: in any case, with any spaces, hyphens and other marks in it, and with words around it. One
    /// in its two groups is preferred; of others, the first.
    ///
    /// Words and numbers in the form of a code (`at 8, then 9 pm`) are not codes: a code that is not written as one word
    /// is divided in its middle.
    #[must_use]
    pub fn find(text: &str) -> Option<Self> {
        let mut is_divided = false;
        let mut characters = Vec::new();
        for character in text.chars() {
            if character.is_alphanumeric() {
                // A letter or digit outside the alphabet is in no code.
                let byte = u8::try_from(character).unwrap_or_default().to_ascii_uppercase();
                characters.push((byte, std::mem::take(&mut is_divided)));
            } else {
                is_divided = true;
            }
        }
        let codes = || characters.windows(PLACES.len()).filter(|window| has_form(window));
        let is_in_groups = |window: &&[(u8, bool)]| (1..PLACES.len()).all(|n| n == MIDDLE || !window[n].1);
        let found = codes().find(is_in_groups).or_else(|| codes().find(|window| window[MIDDLE].1))?;
        Some(Self(std::array::from_fn(|n| found[n].0)))
    }

    /// Returns the SHA-256 hash in hexadecimal digits, by which the database finds the code.
    #[must_use]
    pub fn hash(&self) -> String {
        digest(&SHA256, &self.0).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Returns whether characters are letters and digits at the places of a code.
fn has_form(characters: &[(u8, bool)]) -> bool {
    let fits =
        |((byte, _), is_digit): (&(u8, bool), &bool)| if *is_digit { DIGITS } else { LETTERS }.contains(byte);
    characters.iter().zip(&PLACES).all(fits)
}

impl fmt::Debug for Code {
    /// Omits the code, which is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(…)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_code_is_found_in_any_case_with_spaces_and_words_around() {
        let code = Code::find("AB4CD-EF7GH").expect("a code");
        for text in [
            "Link my account: AB4CD-EF7GH",
            "ab4cdef7gh",
            "a b 4 c d e f 7 g h",
            "My code: *Ab4cd – eF7gh*. Thanks!",
            "ignoreAB4CD\n\u{200e}EF7GHothers",
            "007 AB4CD_EF7GH 42",
            "AB4 CD-EF7 GH",
            "my 2nd AB4CD-EF7GH",
            "try 2nd: AB4CD EF7GH",
            "at 8 then 9 pm: ab4cdef7gh",
        ] {
            assert_eq!(Code::find(text).as_ref(), Some(&code), "{text}");
        }
        assert_eq!(format!("{code:?}"), "Code(…)");
    }

    #[test]
    fn other_texts_are_not_codes() {
        for text in [
            "",
            "hello",
            "AB4CD",
            "AB4CD-EF7G",
            "AB4CDxEF7GH",
            "AB4CDéEF7GH",
            "AB4CD-EF1GH",
            "AI4CD-EF7GH",
            "+1 650 555 1234",
            "my order 4711 of 2026-11-28",
            "there where those",
            "see you at 5 pm or 6 pm",
            "at 8 then 9 pm",
            "be 4 then 5 pm",
            "We meet at 7, then 8 pm",
            "last 2 days, 3 men",
        ] {
            assert_eq!(Code::find(text), None, "{text}");
        }
    }

    #[test]
    fn the_hash_is_sha_256_of_the_ten_characters() {
        let hash = Code::find("ab4cd ef7gh").expect("a code").hash();
        assert_eq!(hash, "175f03ad4a49aee0d7b421f1b791d2b28e9a076787945b739c59ff3ef021576c");
    }

    proptest! {
        #[test]
        fn any_code_is_found_between_any_words(
            code in "[A-HJ-NP-Z]{2}[2-9][A-HJ-NP-Z]{4}[2-9][A-HJ-NP-Z]{2}", before in "[^2-9]*", after: String,
        ) {
            let text = format!("{before}{}-{}{after}", &code[..5], code[5..].to_lowercase());
            prop_assert_eq!(Code::find(&text).map(|found| found.0.to_vec()), Some(code.into_bytes()));
        }

        #[test]
        fn finding_never_panics(text: String) {
            let _ = Code::find(&text);
        }
    }
}
