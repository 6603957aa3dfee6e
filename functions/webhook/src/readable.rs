//! Reads the bytes of a signed body as JSON, as far as they are valid.
//!
//! Valid JSON is used unchanged. A body with a fault (a byte order mark, bytes that are not UTF-8, a character that
//! JSON does not allow in a string, NUL characters around it, a missing end, several documents in a row) loses only its
//! unreadable part, which is stored as text.

use std::borrow::Cow;
use std::fmt::Write;

use serde_json::value::RawValue;
use serde_json::{Deserializer, Error};
use shared::meta::lenient::Object;

/// Maximum size in bytes of stored unreadable text.
pub const MAX_STORED: usize = 64 * 1024;

/// Maximum number of documents of one body. Meta sends one; the rest after the last counts as unreadable.
const MAX_DOCUMENTS: usize = 1000;

/// The open brackets around a message: of the body, `entry`, an entry, `changes`, a change, its value and `messages`.
const AROUND_MESSAGE: &str = "{[{[{{[";

/// The readable and the unreadable part of a body.
#[derive(Debug)]
pub struct Readable<'a> {
    /// JSON, in the body's order. Usually one document.
    pub documents: Vec<Cow<'a, RawValue>>,
    /// Whether the body as it arrived was invalid JSON.
    pub is_repaired: bool,
    /// The unreadable part.
    pub unreadable: Option<Unreadable>,
}

/// The unreadable part of a body.
#[derive(Debug, Eq, PartialEq)]
pub struct Unreadable {
    /// Its first [`MAX_STORED`] bytes, in UTF-8.
    pub text: String,
    /// Its size in bytes, in UTF-8.
    pub bytes: usize,
}

impl<'a> Readable<'a> {
    /// Reads a body, in time linear in its length.
    #[must_use]
    pub fn of(body: &'a [u8]) -> Self {
        match serde_json::from_slice::<&RawValue>(body) {
            // `null` holds no update, and the column of an event's payload cannot hold it.
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
        Self { text: text[..text.floor_char_boundary(MAX_STORED)].to_owned(), bytes: text.len() }
    }
}

/// Splits a damaged document after the last complete message, entry or the like before the damage. Returns the document
/// up to there, with its open brackets closed, and the remaining text.
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
    // Without `entry` the brackets have another meaning, and the last message may be incomplete.
    match document.filter(|document| Object::of(Some(document)).get("entry").is_some()) {
        Some(document) => (Some(document), damaged),
        None => (None, text),
    }
}

/// Returns the bytes of JSON outside strings, each with its position.
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

/// Returns the number of bytes before the parser's error.
fn valid_bytes(text: &str, error: &Error) -> usize {
    if error.is_eof() {
        return text.len();
    }
    let lines = text.split_inclusive('\n').take(error.line().saturating_sub(1));
    lines.map(str::len).sum::<usize>() + error.column().saturating_sub(1)
}

/// Decodes a body: UTF-8, or UTF-16 with a byte order mark. Invalid sequences become U+FFFD.
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

/// Decodes UTF-8 that may encode surrogates separately (CESU-8), as Java and Oracle write characters beyond U+FFFF.
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

/// Returns the surrogate that is encoded at the beginning of `bytes`.
fn surrogate(bytes: &[u8]) -> Option<u32> {
    match *bytes {
        [0xed, second @ 0xa0..=0xbf, third @ 0x80..=0xbf, ..] => {
            Some(0xd000 | u32::from(second & 0x3f) << 6 | u32::from(third & 0x3f))
        }
        _ => None,
    }
}

/// Makes every string of JSON valid: escapes control characters in strings, and backslashes that do not begin an
/// escape. Outside strings, byte order marks and control characters become spaces. Valid JSON is unchanged.
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
                // Writing to a `String` does not fail.
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
