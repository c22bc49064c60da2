//! Records that are the content of a string, as in `lookup-events` output and CloudWatch Logs messages.
//!
//! In: the escaped text between two quotes. Out: the unescaped record in a buffer that is used again, or the reason why
//! it is none. Whether an unescaped object is a record is decided as for any other: by its top-level names. Deliberately
//! absent: envelopes inside strings. No AWS tool writes them.

use super::structural::{self, Brackets, Engine, Nest};

/// Names that only a CloudTrail record has at its top level.
pub(super) fn is_record_name(name: &[u8]) -> bool {
    matches!(name, b"eventVersion" | b"eventSource" | b"eventName")
}

/// What the string held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// One record.
    Record,
    /// Something that begins like a record and is not one whole object.
    Broken,
    /// Anything else.
    Foreign,
}

/// Unescapes `escaped` into `out`, which is emptied first, and says what it is. Strings that hold no object are not
/// unescaped.
pub(super) fn open(engine: Engine, escaped: &[u8], out: &mut Vec<u8>) -> Content {
    out.clear();
    if !matches!(escaped.trim_ascii_start().first(), Some(b'{' | b'\\')) {
        return Content::Foreign;
    }
    if unescape(escaped, out).is_none() {
        return Content::Broken;
    }
    let spaces = out.len() - out.trim_ascii_start().len();
    out.drain(..spaces);
    out.truncate(out.trim_ascii_end().len());
    if out.first() != Some(&b'{') {
        return Content::Foreign;
    }
    let is_whole = structural::find_close(engine, out, Brackets::Curly, &mut 1, &mut Nest::opened()) == Some(out.len());
    match (is_whole, has_record_name(engine, out)) {
        (true, true) => Content::Record,
        (true, false) => Content::Foreign,
        (false, true) => Content::Broken,
        (false, false) => Content::Foreign,
    }
}

/// Appends `escaped` to `out` without its escapes; `None` when one is not JSON's.
pub(super) fn unescape(escaped: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut rest = escaped;
    while let Some(backslash) = memchr::memchr(b'\\', rest) {
        let (plain, escape) = rest.split_at_checked(backslash)?;
        out.extend_from_slice(plain);
        let mut used = 2;
        match escape.get(1)? {
            byte @ (b'"' | b'\\' | b'/') => out.push(*byte),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let (character, length) = unicode(escape)?;
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                used = length;
            }
            _ => return None,
        }
        rest = escape.get(used..)?;
    }
    out.extend_from_slice(rest);
    Some(())
}

/// The character of a `\u` escape and the escape's length; both halves of a surrogate pair together.
fn unicode(escape: &[u8]) -> Option<(char, usize)> {
    let first = hex(escape.get(2..6)?)?;
    if !(0xD800..0xDC00).contains(&first) {
        return Some((char::from_u32(first)?, 6));
    }
    let second = escape.get(6..8).filter(|start| *start == b"\\u").and_then(|_| hex(escape.get(8..12)?))?;
    let low = second.checked_sub(0xDC00).filter(|low| *low < 0x400)?;
    Some((char::from_u32(0x10000 + ((first - 0xD800) << 10) + low)?, 12))
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, byte| Some(value << 4 | char::from(*byte).to_digit(16)?))
}

/// The index behind the string that starts with the quote at the beginning of `text`.
pub(super) fn string_end(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text.get(at) == Some(&b'"') {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// True when one of the top-level names of this object is a record's. Objects that are no JSON may go either way.
fn has_record_name(engine: Engine, object: &[u8]) -> bool {
    let mut unescaped = Vec::new();
    let mut rest = object.get(1..).unwrap_or_default();
    loop {
        rest = rest.trim_ascii_start();
        rest = rest.strip_prefix(b",").unwrap_or(rest).trim_ascii_start();
        if rest.first() != Some(&b'"') {
            return false;
        }
        let Some(end) = string_end(rest) else { return false };
        let mut name = rest.get(1..end - 1).unwrap_or_default();
        if name.contains(&b'\\') {
            unescaped.clear();
            if unescape(name, &mut unescaped).is_some() {
                name = &unescaped;
            }
        }
        if is_record_name(name) {
            return true;
        }
        let behind = rest.get(end..).unwrap_or_default().trim_ascii_start();
        let Some(value) = behind.strip_prefix(b":") else { return false };
        let Some(behind) = behind_value(engine, value.trim_ascii_start()) else { return false };
        rest = behind;
    }
}

/// The text behind the value at the beginning of `text`.
fn behind_value(engine: Engine, text: &[u8]) -> Option<&[u8]> {
    let end = match text.first()? {
        b'"' => string_end(text)?,
        b'{' => structural::find_close(engine, text, Brackets::Curly, &mut 1, &mut Nest::opened())?,
        b'[' => structural::find_close(engine, text, Brackets::Square, &mut 1, &mut Nest::opened())?,
        _ => text.iter().position(|byte| matches!(byte, b',' | b'}'))?,
    };
    text.get(end..)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(escaped: &str, expected: Content) {
        assert_eq!(open(Engine::best(), escaped.as_bytes(), &mut Vec::new()), expected, "{escaped}");
    }

    #[test]
    fn only_whole_objects_with_a_records_name_are_records() {
        check(r#"{\"eventVersion\":\"1.11\"}"#, Content::Record);
        check(r#" {\"a\":{\"b\":[1]},\"c\":\"\\\"\", \"eventName\":null}\n"#, Content::Record);
        check(r#"\n{\"a\":1,\"\\u0065ventSource\":\"x\"}"#, Content::Record);
        check(r#"{\"a\":{\"eventVersion\":1}}"#, Content::Foreign);
        check(r#"{}"#, Content::Foreign);
        check("START RequestId: x", Content::Foreign);
        check("", Content::Foreign);
        check(r#"{\"eventVersion\":\"1.11\""#, Content::Broken);
        check(r#"{\"eventVersion\":\"1.11\"} x"#, Content::Broken);
        check(r#"{\"eventVersion\":\"\q\"}"#, Content::Broken);
        check(r#"{\"eventVersion\":\"\ud800\"}"#, Content::Broken);
    }

    proptest! {
        #[test]
        fn unescape_agrees_with_serde_json(text in r#"(\\["\\/bfnrtux]|\\u[0-9a-fD]{4}|\\ud83d\\ude0[0-9]|[a-zé ]){0,20}"#) {
            let mut out = Vec::new();
            let ours = unescape(text.as_bytes(), &mut out).map(|()| String::from_utf8(out).unwrap());
            prop_assert_eq!(ours, serde_json::from_str::<String>(&format!("\"{text}\"")).ok());
        }
    }
}
