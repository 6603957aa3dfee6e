//! From the bytes of a signed body to JSON, as far as there is any.
//!
//! A body that is JSON is taken as it is. One with a fault (a byte order mark, bytes that are not UTF-8, a character
//! that JSON does not allow in a string, NUL characters around it, a missing end, several documents one after the
//! other) loses only what cannot be read for it. The rest is kept as text.

use std::borrow::Cow;
use std::fmt::Write;

use serde_json::value::RawValue;
use serde_json::{Deserializer, Error};
use shared::lenient::Object;

/// Bytes of unreadable text that are kept at most.
pub const MAX_KEPT: usize = 64 * 1024;

/// Documents of one body at most. Meta sends one; what follows the last is unreadable.
const MAX_DOCUMENTS: usize = 1000;

/// The brackets that stand open around a message: of the body, `entry`, an entry, `changes`, a change, its value and
/// `messages`.
const AROUND_MESSAGE: &str = "{[{[{{[";

/// What can be read of a body.
#[derive(Debug)]
pub struct Readable<'a> {
    /// JSON, in the body's order. Usually one document.
    pub documents: Vec<Cow<'a, RawValue>>,
    /// Whether the body was not JSON as it arrived.
    pub is_repaired: bool,
    /// What cannot be read.
    pub unreadable: Option<Unreadable>,
}

/// The unreadable part of a body.
#[derive(Debug, Eq, PartialEq)]
pub struct Unreadable {
    /// Its first [`MAX_KEPT`] bytes, in UTF-8.
    pub text: String,
    /// Bytes that it has, in UTF-8.
    pub bytes: usize,
}

impl<'a> Readable<'a> {
    /// Reads a body, in time linear in its length.
    #[must_use]
    pub fn of(body: &'a [u8]) -> Self {
        match serde_json::from_slice::<&RawValue>(body) {
            // `null` holds nothing, and no row of an event can hold it.
            Ok(document) if document.get() != "null" => {
                Self { documents: vec![Cow::Borrowed(document)], is_repaired: false, unreadable: None }
            }
            _ => Self::repaired(&with_valid_strings(&decoded(body))),
        }
    }

    fn repaired(text: &str) -> Self {
        let mut documents = Vec::new();
        let mut unreadable = Vec::new();
        let mut rest = text;
        while let Some((before, document)) =
            rest.find(['{', '[']).and_then(|start| rest.split_at_checked(start))
            && documents.len() < MAX_DOCUMENTS
        {
            unreadable.push(before);
            let mut reader = Deserializer::from_str(document).into_iter::<Box<RawValue>>();
            match reader.next() {
                Some(Ok(read)) => {
                    documents.push(Cow::Owned(read));
                    rest = document.get(reader.byte_offset()..).unwrap_or_default();
                }
                Some(Err(error)) => {
                    let (read, damaged) = before_damage(document, &error);
                    documents.extend(read.map(Cow::Owned));
                    rest = damaged;
                    break;
                }
                None => break,
            }
        }
        unreadable.push(rest);
        unreadable.retain(|part| !part.trim().is_empty());
        let is_repaired = !documents.is_empty();
        let unreadable =
            (!unreadable.is_empty() || !is_repaired).then(|| Unreadable::new(&unreadable.concat()));
        Self { documents, is_repaired, unreadable }
    }
}

impl Unreadable {
    fn new(text: &str) -> Self {
        let text = text.trim();
        Self { text: text[..text.floor_char_boundary(MAX_KEPT)].to_owned(), bytes: text.len() }
    }
}

/// A damaged document up to the last whole message, entry or the like before the damage, with the brackets closed
/// that stand open there, and the text from there on.
fn before_damage<'a>(text: &'a str, error: &Error) -> (Option<Box<RawValue>>, &'a str) {
    let valid = valid_bytes(text, error);
    let mut open = String::new();
    let mut end = None;
    for (position, byte) in outside_strings(text).take_while(|(position, _)| *position < valid) {
        match byte {
            b'{' | b'[' => open.push(char::from(byte)),
            b'}' | b']' => {
                open.pop();
                if AROUND_MESSAGE.starts_with(&open) {
                    end = Some((position + 1, open.len()));
                }
            }
            _ => {}
        }
    }
    let Some((whole, damaged, open)) = end.and_then(|(end, depth)| {
        let (whole, damaged) = text.split_at_checked(end)?;
        Some((whole, damaged, AROUND_MESSAGE.get(..depth)?))
    }) else {
        return (None, text);
    };
    let closing = open.chars().rev().map(|bracket| if bracket == '{' { '}' } else { ']' });
    let document = RawValue::from_string(whole.chars().chain(closing).collect()).ok();
    // Without `entry` the brackets have another meaning, and the last message may be half of one.
    match document.filter(|document| Object::of(Some(document)).get("entry").is_some()) {
        Some(document) => (Some(document), damaged),
        None => (None, text),
    }
}

/// The bytes of JSON that are not in a string, each with its position.
fn outside_strings(json: &str) -> impl Iterator<Item = (usize, u8)> {
    let (mut is_string, mut is_escaped) = (false, false);
    json.bytes().enumerate().filter(move |(_, byte)| {
        let was_string = is_string;
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => is_string = !is_string,
            _ => {}
        }
        !was_string && !is_string
    })
}

/// Bytes before the place at which the parser gave up.
fn valid_bytes(text: &str, error: &Error) -> usize {
    if error.is_eof() {
        return text.len();
    }
    let lines = text.split_inclusive('\n').take(error.line().saturating_sub(1));
    lines.map(str::len).sum::<usize>() + error.column().saturating_sub(1)
}

/// A body's text: UTF-8, or UTF-16 with a byte order mark. What is neither becomes U+FFFD.
fn decoded(body: &[u8]) -> String {
    match body {
        [0xff, 0xfe, body @ ..] => utf16(body, u16::from_le_bytes),
        [0xfe, 0xff, body @ ..] => utf16(body, u16::from_be_bytes),
        body => utf8(body),
    }
}

fn utf16(body: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let (units, _) = body.as_chunks::<2>();
    char::decode_utf16(units.iter().map(|bytes| unit(*bytes)))
        .map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

/// UTF-8 in which surrogates may be encoded each by itself (CESU-8), as Java and Oracle write characters beyond U+FFFF.
fn utf8(body: &[u8]) -> String {
    let mut text = String::with_capacity(body.len());
    let mut rest = body;
    loop {
        let error = match std::str::from_utf8(rest) {
            Ok(valid) => return text + valid,
            Err(error) => error,
        };
        let (valid, invalid) = rest.split_at(error.valid_up_to());
        text.push_str(std::str::from_utf8(valid).unwrap_or_default());
        let (character, length) = match (surrogate(invalid), invalid.get(3..).and_then(surrogate)) {
            (Some(high @ 0xd800..=0xdbff), Some(low @ 0xdc00..=0xdfff)) => {
                (char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)), 6)
            }
            (Some(_), _) => (None, 3),
            (None, _) => (None, error.error_len().unwrap_or(invalid.len())),
        };
        text.push(character.unwrap_or(char::REPLACEMENT_CHARACTER));
        rest = invalid.get(length..).unwrap_or_default();
    }
}

/// The surrogate that is encoded at the start of `bytes`.
fn surrogate(bytes: &[u8]) -> Option<u32> {
    match *bytes {
        [0xed, second @ 0xa0..=0xbf, third @ 0x80..=0xbf, ..] => {
            Some(0xd000 | u32::from(second & 0x3f) << 6 | u32::from(third & 0x3f))
        }
        _ => None,
    }
}

/// JSON in which every string is valid: control characters in strings are escaped, and so are backslashes that escape
/// nothing. Outside strings, byte order marks and control characters become blanks. JSON that is valid stays as it is.
fn with_valid_strings(text: &str) -> String {
    let mut valid = String::with_capacity(text.len());
    let mut is_string = false;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                is_string = !is_string;
                valid.push('"');
            }
            '\\' if is_string => {
                valid.push('\\');
                if is_escape(characters.as_str()) {
                    valid.extend(characters.next());
                } else {
                    valid.push('\\');
                }
            }
            '\0'..='\x1f' if is_string => {
                // Writing to a text does not fail.
                let _ = write!(valid, "\\u{:04x}", u32::from(character));
            }
            '\t' | '\n' | '\r' => valid.push(character),
            '\0'..='\x1f' | '\u{feff}' if !is_string => valid.push(' '),
            character => valid.push(character),
        }
    }
    valid
}

/// Whether `text` continues an escape after its backslash.
fn is_escape(text: &str) -> bool {
    match text.as_bytes() {
        [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => true,
        [b'u', digits @ ..] => digits.len() >= 4 && digits.iter().take(4).all(u8::is_ascii_hexdigit),
        _ => false,
    }
}
