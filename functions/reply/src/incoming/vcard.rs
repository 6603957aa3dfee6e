//! The name on a vCard.
//!
//! Source: RFC 6350 (vCard 4.0) and RFC 2426 (3.0, which WhatsApp writes).

/// Returns the value of the first property `FN` that has one.
///
/// A quoted-printable value, as in version 2.1, counts as absent.
#[must_use]
pub(super) fn formatted_name(vcard: &str) -> Option<String> {
    unfolded(vcard).lines().find_map(|line| {
        let (property, value) = split_at_colon(line)?;
        let mut parts = property.split(';');
        // `item1.FN` is FN in a group.
        let name = parts.next()?.trim().rsplit('.').next()?;
        let is_encoded = parts.any(|parameter| parameter.to_ascii_uppercase().contains("QUOTED-PRINTABLE"));
        let value = unescaped(value.trim());
        (name.eq_ignore_ascii_case("FN") && !is_encoded && !value.trim().is_empty()).then_some(value)
    })
}

/// Unfolds lines: a line that begins with white space continues the previous one.
fn unfolded(vcard: &str) -> String {
    vcard.replace("\r\n", "\n").replace('\r', "\n").replace("\n ", "").replace("\n\t", "")
}

/// Splits a line into a property's name with its parameters, and its value. A colon in quotation marks belongs to a
/// parameter.
fn split_at_colon(line: &str) -> Option<(&str, &str)> {
    let mut is_quoted = false;
    let colon = line.find(|character| {
        is_quoted ^= character == '"';
        character == ':' && !is_quoted
    })?;
    Some((&line[..colon], &line[colon + 1..]))
}

/// Unescapes a value: `\n` is a line break; any other character after a backslash represents itself.
fn unescaped(value: &str) -> String {
    let mut characters = value.chars();
    std::iter::from_fn(|| match characters.next()? {
        '\\' => Some(match characters.next() {
            Some('n' | 'N') => '\n',
            other => other.unwrap_or('\\'),
        }),
        character => Some(character),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formatted_name_of_a_vcard_is_parsed() {
        for (lines, name) in [
            ("FN:Lee Sample\nTEL;TYPE=CELL:15550001111", "Lee Sample"),
            ("N:Sample;Lee;;;\r\nfn:Lee Sample\r\n", "Lee Sample"),
            ("FN;CHARSET=UTF-8:Lucía Gómez", "Lucía Gómez"),
            ("item1.FN;X-NOTE=\"a:b\":Lee", "Lee"),
            ("FN:Sample\\, Lee\\; Dr.\\nat home \\\\o/", "Sample, Lee; Dr.\nat home \\o/"),
            ("FN:A name that is fol\r\n ded\n\t twice", "A name that is folded twice"),
            ("FN: \nFN:Second", "Second"),
            ("FN:10:30 club", "10:30 club"),
        ] {
            let vcard = format!("BEGIN:VCARD\nVERSION:3.0\n{lines}\nEND:VCARD");
            assert_eq!(formatted_name(&vcard).as_deref(), Some(name), "{lines:?}");
        }
    }

    #[test]
    fn a_vcard_without_a_formatted_name_has_none() {
        for vcard in [
            "",
            "…",
            "FN",
            "FN:",
            "FN: \\n",
            "N:Gómez;Lucía",
            "NOTE:FN:Lee",
            "FN;ENCODING=QUOTED-PRINTABLE:=4C",
        ] {
            assert_eq!(formatted_name(vcard), None, "{vcard:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics(text: String, lines in "(FN|N|[;:\"\\\\\r\n \t.]){0,20}") {
            let _ = (formatted_name(&text), formatted_name(&lines));
        }
    }
}
