//! Phone numbers, and the two spellings of the numbers of some countries.
//!
//! WhatsApp uses the spelling in which an account was registered, a database the spelling that was entered: one user,
//! two numbers. The table below lists these numbers, as of November 2026. It is maintained by hand, because
//! libphonenumber knows only the newer spelling and would add half a megabyte to each function; the tests compare the
//! table with it. Sources:
//!
//! | country | two spellings | source |
//! |---|---|---|
//! | Brazil | mobile numbers, with and without 9 after the area code | Anatel's resolution 553 of 2010; all areas since 2016-11-06 |
//! | Mexico | all numbers, with and without 1 after the country code: the prefix of mobile numbers until 2019-08-03 | IFT's numbering plan of 2018 |
//! | Argentina | mobile numbers, with 9 after the country code in calls from abroad and without it in messages | Resolution SC 46/97, national numbering plan |
//! | Benin | all numbers, with and without 01 after the country code | ARCEP Bénin: ten digits since 2024-11-30 |
//! | Ivory Coast | mobile numbers, with and without the operator's 01, 05 or 07 | ARTCI: ten digits since 2021-01-31; which operator's a number is, carrier data of libphonenumber 8.12.10 |
//!
//! The other spelling of a landline is never the mobile number of another user. In Brazil and Ivory Coast the digits
//! distinguish the two; in Argentina a block of numbers is either mobile or fixed, with any prefix; in Mexico mobile
//! and fixed numbers have the same form; in Benin the prefix is added to both.

use std::borrow::Cow;
use std::fmt;

use crate::lambda::logging::Masked;

/// Maximum number of digits of a phone number. E.164 allows 15; a few more are accepted.
const MAX_DIGITS: usize = 20;

/// A phone number: digits, with country code, without `+`, as Meta writes it.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct PhoneNumber(String);

/// The numbers of a country with a longer and a shorter spelling.
struct Spellings {
    /// The country code.
    country: &'static str,
    /// The number of digits of the national number before the added ones.
    before: usize,
    /// The number of digits after the added ones.
    after: usize,
    /// The digits added to a shorter national number; `None` when it has no other spelling.
    added: fn(&[u8]) -> Option<&'static str>,
}

const TABLE: [Spellings; 5] = [
    // The part after the area code begins with 2 to 5 on landlines.
    Spellings {
        country: "55",
        before: 2,
        after: 8,
        added: |national| matches!(national, [_, _, b'6'..=b'9', ..]).then_some("9"),
    },
    Spellings {
        country: "52",
        before: 0,
        after: 10,
        added: |national| matches!(national, [b'2'..=b'9', ..]).then_some("1"),
    },
    // Area codes are 11, 2… and 3….
    Spellings {
        country: "54",
        before: 0,
        after: 10,
        added: |national| matches!(national, [b'1', b'1', ..] | [b'2' | b'3', ..]).then_some("9"),
    },
    Spellings {
        country: "229",
        before: 0,
        after: 8,
        added: |national| matches!(national, [b'2' | b'4'..=b'6' | b'9', ..]).then_some("01"),
    },
    // Moov, MTN and Orange by the second digit. Landlines begin with 2 and 3.
    Spellings {
        country: "225",
        before: 0,
        after: 8,
        added: |national| match national {
            [b'0', b'1'..=b'3', ..] | [b'4' | b'5' | b'7', b'0'..=b'3', ..] => Some("01"),
            [b'0' | b'4'..=b'9', b'4'..=b'6', ..] => Some("05"),
            [b'0' | b'4'..=b'9', b'7'..=b'9', ..] => Some("07"),
            _ => None,
        },
    },
];

impl PhoneNumber {
    /// Reads digits, with or without `+`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('+').unwrap_or(text);
        let is_number =
            (1..=MAX_DIGITS).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| Self(digits.to_owned()))
    }

    /// Returns the digits. Personal data: not for logs.
    #[must_use]
    pub fn digits(&self) -> &str {
        &self.0
    }

    /// Returns E.164, the usual form in databases and of a recipient: `+16505551234`. Personal data: not for logs.
    #[must_use]
    pub fn e164(&self) -> String {
        format!("+{}", self.0)
    }

    /// Returns the other spelling of the number, if it has two: see the table of this module.
    #[must_use]
    pub fn variant(&self) -> Option<Self> {
        TABLE.iter().find_map(|spellings| spellings.other(&self.0)).map(Self)
    }

    /// Returns the shorter spelling, which is equal for both spellings of one number.
    #[must_use]
    pub fn comparable(&self) -> Cow<'_, str> {
        match self.variant() {
            Some(Self(shorter)) if shorter.len() < self.0.len() => Cow::Owned(shorter),
            _ => Cow::Borrowed(&self.0),
        }
    }
}

impl Spellings {
    /// Returns the longer spelling of a shorter number, or the shorter of a longer one.
    fn other(&self, digits: &str) -> Option<String> {
        let national = digits.strip_prefix(self.country)?;
        let (before, rest) = national.split_at_checked(self.before)?;
        // The digits beyond those of the shorter spelling.
        let (extra, after) = rest.split_at_checked(rest.len().checked_sub(self.after)?)?;
        let shorter = format!("{before}{after}");
        let added = (self.added)(shorter.as_bytes())?;
        match extra {
            "" => Some(format!("{}{before}{added}{after}", self.country)),
            extra => (extra == added).then(|| format!("{}{shorter}", self.country)),
        }
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Masked(&self.0).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variant(digits: &str) -> Option<String> {
        PhoneNumber::parse(digits).and_then(|number| number.variant()).map(|number| number.0)
    }

    #[test]
    fn numbers_of_some_countries_have_two_spellings() {
        for (longer, shorter) in [
            ("5511987654321", "551187654321"),
            ("5215512345678", "525512345678"),
            // From a public bug report: one spelling in the database, the other from Meta.
            ("5491155501234", "541155501234"),
            ("5492966412345", "542966412345"),
            ("5493514567890", "543514567890"),
            ("2290197123456", "22997123456"),
            ("2290120211234", "22920211234"),
            ("2250140123456", "22540123456"),
            ("2250505123456", "22505123456"),
            ("2250594123456", "22594123456"),
            ("2250707123456", "22507123456"),
            ("2250797123456", "22597123456"),
        ] {
            assert_eq!(variant(longer).as_deref(), Some(shorter));
            assert_eq!(variant(shorter).as_deref(), Some(longer));
            let [longer, shorter] =
                [longer, shorter].map(|digits| PhoneNumber::parse(digits).expect("a number"));
            assert_eq!(longer.comparable(), shorter.comparable());
        }
    }

    #[test]
    fn the_table_agrees_with_libphonenumber() {
        for mobile in ["5511987654321", "5491155501234", "2290197123456", "2250140123456", "2250707123456"] {
            assert!(kinds(mobile).0, "{mobile}");
        }
        for (landline, other) in [("551132654321", "5511932654321"), ("2252720212345", "22520212345")] {
            assert!(
                kinds(landline).1 && variant(landline).is_none() && variant(other).is_none(),
                "{landline}"
            );
        }
        // The newest plan has ten digits alone in Benin and Ivory Coast, and no 1 in Mexico.
        for old in ["22997123456", "22507123456", "5215512345678"] {
            assert_eq!(kinds(old), (false, false), "{old}");
            assert!(variant(old).is_some_and(|new| kinds(&new).0), "{old}");
        }
    }

    #[test]
    fn landlines_and_other_numbers_have_one_spelling() {
        for one in [
            "16505551234",
            "15511987654",
            "5215512",
            // Brazil: landlines, and a mobile number without its area.
            "551132654321",
            "5511932654321",
            "55118765432",
            // Mexico and Argentina: no such area.
            "5211234567890",
            "521234567890",
            "5491234567890",
            "549115550123",
            // Benin: no such number before 2024.
            "22901234567",
            "2290171234567",
            // Ivory Coast: landlines before and after 2021; numbers assigned since; the prefix of another operator.
            "22520212345",
            "2250120212345",
            "2252720212345",
            "22530212345",
            "2250718139912",
            "2250507123456",
            "22560123456",
            "225",
        ] {
            assert_eq!(variant(one), None, "{one}");
        }
    }

    /// Whether a number is a mobile one, and whether it is a fixed one, in libphonenumber's newest metadata.
    fn kinds(digits: &str) -> (bool, bool) {
        let country =
            TABLE.iter().find(|spellings| digits.starts_with(spellings.country)).expect("a country");
        let code: u16 = country.country.parse().expect("a country code");
        let metadata = phonenumber::metadata::DATABASE.by_code(&code).expect("metadata");
        let descriptors = metadata[0].descriptors();
        let national = &digits[country.country.len()..];
        let is = |kind: Option<&phonenumber::metadata::Descriptor>| {
            kind.is_some_and(|kind| kind.is_match(national))
        };
        (is(descriptors.mobile()), is(descriptors.fixed_line()))
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(1024))]
        #[test]
        fn the_variant_of_a_variant_is_the_number(
            digits in "(55|52|521|54|549|229|22901|225|2250[157]|1)[0-9]{8,12}",
        ) {
            let number = PhoneNumber::parse(&digits).expect("a number");
            if let Some(variant) = number.variant() {
                proptest::prop_assert_eq!(variant.variant(), Some(number.clone()));
                proptest::prop_assert_eq!(variant.comparable(), number.comparable());
            }
        }

        /// Without Benin and Mexico, where landlines have two spellings too.
        #[test]
        fn a_longer_spelling_is_never_a_landline(
            digits in "55[1-9][1-9][2-9][0-9]{7}|54(11|2[0-9]{2}|3[0-9]{2})[2-8][0-9]{6,7}|225[0-9]{8}",
        ) {
            if let Some(longer) = variant(&digits).filter(|other| other.len() > digits.len()) {
                let (is_mobile, is_fixed) = kinds(&longer);
                proptest::prop_assert!(is_mobile || !is_fixed, "{}", longer);
                proptest::prop_assert!(is_mobile || !longer.starts_with("225"), "{}", longer);
            }
        }
    }
}
