//! Reads as many rows as a response can hold.

use serde_json::Deserializer;
use shared::supabase::Answer;
use shared::supabase::rows::MessageResponse;

/// Maximum size in bytes of a response's body, as Lambda counts it. Lambda allows a response of 6,291,556 bytes
/// (“Lambda quotas”, 2026-11), in which the body is a JSON string: quotation marks and backslashes take another byte
/// each. The difference is a reserve for the headers.
pub const MAX_BODY: usize = 5_500_000;

/// Maximum number of bytes read of Supabase's response. A row that fits [`MAX_BODY`] is complete within this limit:
/// besides the shown columns it has only wamids and `null`s.
pub const MAX_READ: usize = 6 * 1024 * 1024;

/// The response is not an array of rows.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the response of the database is not an array of rows")]
pub struct Unreadable;

/// Rows, newest first.
#[derive(Debug)]
pub struct Rows {
    /// The rows that fit one response.
    pub fitting: Vec<MessageResponse>,
    /// Whether another row did not fit.
    pub is_truncated: bool,
}

/// Reads the rows of Supabase's response, up to the first that would make a body larger than `max_body`.
///
/// # Errors
/// When the bytes of the response are not an array of rows.
pub fn read(answer: &Answer, max_body: usize) -> Result<Rows, Unreadable> {
    let mut rest = answer.body.trim_ascii_start().strip_prefix(b"[").ok_or(Unreadable)?;
    let mut rows = Rows { fitting: Vec::new(), is_truncated: false };
    // The brackets around them.
    let mut size = 2;
    // The body has at most two bytes for each byte of the response: a small one needs no measuring.
    let measures = answer.body.len() > max_body / 2;
    loop {
        rest = rest.trim_ascii_start();
        match rest.first() {
            Some(b']') => return Ok(rows),
            Some(b',') if !rows.fitting.is_empty() => rest = &rest[1..],
            None if !answer.is_whole => return Ok(Rows { is_truncated: true, ..rows }),
            _ if rows.fitting.is_empty() => {}
            _ => return Err(Unreadable),
        }
        let mut values = Deserializer::from_slice(rest).into_iter::<MessageResponse>();
        match values.next() {
            Some(Ok(row)) => {
                size += if measures { size_of(&row)? } else { 0 };
                if size > max_body {
                    return Ok(Rows { is_truncated: true, ..rows });
                }
                rest = &rest[values.byte_offset()..];
                rows.fitting.push(row);
            }
            Some(Err(error)) if error.is_eof() && !answer.is_whole => {
                return Ok(Rows { is_truncated: true, ..rows });
            }
            None if !answer.is_whole => return Ok(Rows { is_truncated: true, ..rows }),
            Some(Err(_)) | None => return Err(Unreadable),
        }
    }
}

/// Returns the size in bytes of a row and of the comma before it, as a part of a JSON string.
fn size_of(row: &MessageResponse) -> Result<usize, Unreadable> {
    let json = serde_json::to_vec(row).map_err(|_| Unreadable)?;
    Ok(1 + json.len() + json.iter().filter(|byte| matches!(byte, b'"' | b'\\')).count())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn rows(contents: &[String]) -> Value {
        let id = "9b2f0c1e-8a55-5c1e-9d3e-0a1b2c3d4e5f";
        let row = |content: &String| {
            json!({
                "id": id, "user_id": id, "channel": "web", "role": "user", "content": content, "type": null,
                "created_at": "2026-11-24T03:05:00+00:00", "wamids": ["wamid.1"]
            })
        };
        contents.iter().map(row).collect()
    }

    fn shown(contents: &[String], max_body: usize, max_read: usize) -> Result<Rows, Unreadable> {
        let mut body = rows(contents).to_string().into_bytes();
        let is_whole = body.len() <= max_read;
        body.truncate(max_read);
        read(&Answer { body, is_whole }, max_body)
    }

    #[test]
    fn a_response_that_is_not_an_array_of_rows_is_an_error() {
        let valid = rows(&["a".to_owned()]).to_string();
        for body in ["", "{}", "null", "[", "[1]", "[{}]", "[,]", &valid[..20], &valid.replace(']', "")] {
            let answer = Answer { body: body.as_bytes().to_vec(), is_whole: true };
            assert!(read(&answer, MAX_BODY).is_err(), "{body}");
        }
        let spaced = Answer { body: b" [ ] ".to_vec(), is_whole: true };
        assert!(read(&spaced, MAX_BODY).is_ok_and(|rows| rows.fitting.is_empty() && !rows.is_truncated));
    }

    proptest! {
        #[test]
        fn the_rows_are_the_longest_prefix_that_fits(
            contents in prop::collection::vec("[a-z\"\\\\\n\u{1}é长👍]{0,200}", 0..8),
            max_body in 2usize..8_000,
            max_read in 1usize..8_000,
        ) {
            let Rows { fitting, is_truncated } = shown(&contents, max_body, max_read).expect("rows");
            let texts: Vec<_> = fitting.iter().map(|row| row.content.clone().expect("a content")).collect();
            prop_assert_eq!(&texts[..], &contents[..texts.len()]);
            prop_assert!(is_truncated || texts.len() == contents.len());
            let escaped = |rows: &[MessageResponse]| {
                let body = serde_json::to_string(rows).expect("JSON");
                serde_json::to_string(&body).expect("JSON").len() - 2
            };
            prop_assert!(fitting.is_empty() || escaped(&fitting) <= max_body);
            // One more row would not fit.
            if let Ok(all) = shown(&contents, usize::MAX, usize::MAX) && is_truncated {
                let one_more = &all.fitting[..(texts.len() + 1).min(contents.len())];
                let raw = rows(&contents[..one_more.len()]).to_string().len();
                prop_assert!(escaped(one_more) + 1 > max_body || raw > max_read);
            }
        }
    }
}
