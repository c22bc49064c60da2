//! A borrowed JSON tree that keeps the text each value came from.
//!
//! In: one record's text. Out: a [`Value`] tree whose strings borrow from the text unless they had escapes, and whose
//! objects and arrays know their raw text, because the case shows parameters exactly as received. `serde_json` cannot
//! give a tree and its raw text in one pass. Deliberately absent: mutation, and any opinion on what the value should be:
//! every accessor answers `None` when the type is another, so hostile records cannot fail a caller.

use std::borrow::Cow;

/// Nesting that a record may have. CloudTrail records stay under 20; `serde_json` has the same limit of 128.
const MAX_DEPTH: usize = 128;

/// Why a text is not JSON, with the byte where that showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// Byte offset in the text.
    pub offset: usize,
    /// What was expected or exceeded.
    pub reason: &'static str,
}

/// An object: members in the order received. When a name occurs twice the last one counts, as in `serde_json`.
#[derive(Clone, Debug, PartialEq)]
pub struct Object<'a> {
    /// The text from `{` to `}`.
    pub raw: &'a str,
    /// Names and values in the order received.
    pub members: Vec<(Cow<'a, str>, Value<'a>)>,
}

/// An array and its raw text.
#[derive(Clone, Debug, PartialEq)]
pub struct Array<'a> {
    /// The text from `[` to `]`.
    pub raw: &'a str,
    /// The elements.
    pub items: Vec<Value<'a>>,
}

/// Any JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A number, as written.
    Number(&'a str),
    /// A string, unescaped.
    String(Cow<'a, str>),
    /// An array.
    Array(Array<'a>),
    /// An object.
    Object(Object<'a>),
}

static NULL: Value<'static> = Value::Null;

impl<'a> Object<'a> {
    /// The value of the last member named `name`.
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.members.iter().rev().find(|(member, _)| member == name).map(|(_, value)| value)
    }
}

impl<'a> Value<'a> {
    /// The member `name` of an object; `Null` when it is absent or this is no object, so that paths can be chained.
    pub fn get(&self, name: &str) -> &Value<'a> {
        match self {
            Value::Object(object) => object.get(name).unwrap_or(&NULL),
            _ => &NULL,
        }
    }

    /// The text of a string; `None` for anything else. An empty string is `Some("")`.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The text of a non-empty string, borrowed from the record where possible.
    pub fn text(&self) -> Option<Cow<'a, str>> {
        match self {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            _ => None,
        }
    }

    /// A boolean, also when written as the string `"true"` or `"false"` (CloudTrail does both).
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Boolean(value) => Some(*value),
            Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }

    /// An integer, also when written as a string of digits or with a zero fraction (`30.0`).
    pub fn as_i64(&self) -> Option<i64> {
        let text = match self {
            Value::Number(text) => text,
            Value::String(text) => text.as_ref(),
            _ => return None,
        };
        text.parse().ok().or_else(|| {
            let number: f64 = text.parse().ok()?;
            (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
        })
    }

    /// The elements of an array; empty for anything else.
    pub fn items(&self) -> &[Value<'a>] {
        match self {
            Value::Array(array) => &array.items,
            _ => &[],
        }
    }

    /// The members of an object; empty for anything else.
    pub fn members(&self) -> &[(Cow<'a, str>, Value<'a>)] {
        match self {
            Value::Object(object) => &object.members,
            _ => &[],
        }
    }

    /// The raw text of an object or array.
    pub fn raw(&self) -> Option<&'a str> {
        match self {
            Value::Object(object) => Some(object.raw),
            Value::Array(array) => Some(array.raw),
            _ => None,
        }
    }

    /// True for `null` and for what is absent.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// Writes the value with object keys sorted and no spaces: two texts with one meaning become one.
    pub fn canonical(&self) -> String {
        let mut out = String::new();
        write_canonical(self, &mut out);
        out
    }
}

/// Odd constants without structure (digits of pi): they only have to be unlike each other.
const HASH_KEYS: [u64; 4] =
    [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344, 0xa409_3822_299f_31d0, 0x082e_fa98_ec4e_6c89];

fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ HASH_KEYS[0]) * u128::from(b ^ HASH_KEYS[1]);
    (product as u64) ^ ((product >> 64) as u64)
}

fn word(bytes: &[u8; 8]) -> u64 {
    u64::from_le_bytes(*bytes)
}

/// Two words that hold all of at most 16 bytes; they overlap when there are fewer.
#[inline(always)]
fn short_words(bytes: &[u8]) -> (u64, u64) {
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return (word(first), word(last));
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        return (u64::from(u32::from_le_bytes(*first)), u64::from(u32::from_le_bytes(*last)));
    }
    (bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)), 0)
}

#[inline(always)]
fn hash_bytes(bytes: &[u8], seed: u64) -> u64 {
    let mut hash = seed ^ (bytes.len() as u64) << 8;
    let mut rest = bytes;
    while let Some((block, behind)) = rest.split_first_chunk::<16>().filter(|(_, behind)| !behind.is_empty()) {
        let block = u128::from_le_bytes(*block);
        hash = mix(hash ^ block as u64, (block >> 64) as u64);
        rest = behind;
    }
    let (low, high) = short_words(rest);
    mix(hash ^ low, high)
}

impl Value<'_> {
    /// A 64-bit hash of the value that does not depend on white space, escapes or the order of members. Equal for two
    /// deliveries of one record, whatever they were packed in. It tells apart, it does not prove: the manifest's SHA-256
    /// values do that.
    pub fn content_hash(&self) -> u64 {
        match self {
            Value::Null => HASH_KEYS[2],
            Value::Boolean(value) => mix(HASH_KEYS[3], u64::from(*value)),
            Value::Number(text) => hash_bytes(text.as_bytes(), 1),
            Value::String(text) => hash_bytes(text.as_bytes(), 2),
            Value::Array(array) => array.items.iter().fold(3, |hash, item| mix(hash, item.content_hash())),
            Value::Object(object) => {
                let members = object.members.iter().map(|(name, value)| {
                    // Most values are strings: these need no call.
                    let value = match value {
                        Value::String(text) => hash_bytes(text.as_bytes(), 2),
                        value => value.content_hash(),
                    };
                    mix(hash_bytes(name.as_bytes(), 4), value)
                });
                mix(members.fold(0, u64::wrapping_add), object.members.len() as u64)
            }
        }
    }
}

fn write_canonical(value: &Value<'_>, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Boolean(true) => out.push_str("true"),
        Value::Boolean(false) => out.push_str("false"),
        Value::Number(text) => out.push_str(text),
        Value::String(text) => write_string(text, out),
        Value::Array(array) => {
            out.push('[');
            for (i, item) in array.items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        Value::Object(object) => {
            // A later member of the same name wins, as it does in `get`.
            let sorted: std::collections::BTreeMap<&str, &Value<'_>> =
                object.members.iter().map(|(name, value)| (name.as_ref(), value)).collect();
            out.push('{');
            for (i, (name, value)) in sorted.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_string(name, out);
                out.push(':');
                write_canonical(value, out);
            }
            out.push('}');
        }
    }
}

/// Appends `text` to `out` as a JSON string with its quotes.
pub fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Parses `text`, which must be one JSON value with nothing but white space around it.
///
/// # Errors
/// [`JsonError`] with the byte offset when the text is not JSON or is nested deeper than 128.
pub fn parse(text: &str) -> Result<Value<'_>, JsonError> {
    let mut parser = Parser { text, bytes: text.as_bytes(), at: 0, expected: "" };
    let mut value = Value::Null;
    let mut is_json = parser.value(0, &mut value);
    if is_json {
        parser.space();
        is_json = parser.at == parser.bytes.len() || parser.fail("text after the value");
    }
    if is_json { Ok(value) } else { Err(JsonError { offset: parser.at, reason: parser.expected }) }
}

/// Bytes before the first quote, backslash or control character, eight at a time: most strings are short, so that setting
/// up a vector search costs more than it finds.
fn plain_length(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES * 0x80;
    // The high bit of each byte that is zero. A byte above a found one may be marked too; only the lowest counts.
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let mut length = 0;
    for chunk in bytes.chunks_exact(8) {
        let word = u64::from_le_bytes(chunk.try_into().unwrap_or_default());
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let found = zero(word ^ (ONES * u64::from(b'"'))) | zero(word ^ (ONES * u64::from(b'\\'))) | control;
        if found != 0 {
            return length + (found.trailing_zeros() / 8) as usize;
        }
        length += 8;
    }
    let rest = bytes.get(length..).unwrap_or_default();
    length + rest.iter().position(|byte| *byte == b'"' || *byte == b'\\' || *byte < 0x20).unwrap_or(rest.len())
}

/// What a member is before it is parsed: a constant, which is copied in two steps, whereas one that is made on the stack is
/// waited for.
const EMPTY: (Cow<'static, str>, Value<'static>) = (Cow::Borrowed(""), Value::Null);

/// Puts a value where `null` is. An assignment would look for what it has to drop.
#[inline(always)]
fn fill<'a>(place: &mut Value<'a>, value: Value<'a>) {
    std::mem::forget(std::mem::replace(place, value));
}

/// Steps give `true`, or `false` when the text is not JSON; then `at` is where that showed and `expected` what was looked
/// for. Results that hold values would go through memory, and waiting for that costs as much as all the rest.
struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    expected: &'static str,
}

impl<'a> Parser<'a> {
    #[cold]
    fn fail(&mut self, expected: &'static str) -> bool {
        self.expected = expected;
        false
    }

    #[inline(always)]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline(always)]
    fn space(&mut self) {
        // Compact JSON has none: one comparison decides.
        if self.peek().is_some_and(|byte| byte <= b' ') {
            self.spaces();
        }
    }

    #[cold]
    fn spaces(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// The text between two positions that stand on character boundaries: both lie beside ASCII bytes.
    #[inline(always)]
    fn slice(&self, start: usize, end: usize) -> &'a str {
        self.text.get(start..end).unwrap_or_default()
    }

    /// Parses a value into its place, which holds `null` so far.
    fn value(&mut self, depth: usize, place: &mut Value<'a>) -> bool {
        if depth > MAX_DEPTH {
            return self.fail("nesting of at most 128");
        }
        self.space();
        match self.peek() {
            Some(b'"') => {
                if let Some(text) = self.plain_string() {
                    fill(place, Value::String(Cow::Borrowed(text)));
                    return true;
                }
                let mut text = String::new();
                let is_json = self.escaped_string(&mut text);
                fill(place, Value::String(Cow::Owned(text)));
                is_json
            }
            Some(b'{') => self.object(depth, place),
            Some(b'[') => self.array(depth, place),
            Some(b'-' | b'0'..=b'9') => self.number(place),
            Some(b't') => self.literal("true", Value::Boolean(true), place),
            Some(b'f') => self.literal("false", Value::Boolean(false), place),
            Some(b'n') => self.literal("null", Value::Null, place),
            _ => self.fail("a value"),
        }
    }

    fn literal(&mut self, word: &'static str, value: Value<'a>, place: &mut Value<'a>) -> bool {
        if !self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes())) {
            return self.fail("true, false or null");
        }
        self.at += word.len();
        fill(place, value);
        true
    }

    fn digits(&mut self) -> bool {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at > start || self.fail("a digit")
    }

    fn number(&mut self, place: &mut Value<'a>) -> bool {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else if !self.digits() {
            return false;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if !self.digits() {
                return false;
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if !self.digits() {
                return false;
            }
        }
        fill(place, Value::Number(self.slice(start, self.at)));
        true
    }

    fn object(&mut self, depth: usize, place: &mut Value<'a>) -> bool {
        let start = self.at;
        self.at += 1;
        let mut members = Vec::with_capacity(if depth == 0 { 24 } else { 8 });
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
        } else {
            loop {
                self.space();
                if self.peek() != Some(b'"') {
                    return self.fail("a member name");
                }
                members.push(EMPTY);
                if let Some((name, value)) = members.last_mut()
                    && !self.member(depth, name, value)
                {
                    return false;
                }
                self.space();
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(b'}') => {
                        self.at += 1;
                        break;
                    }
                    _ => return self.fail("a comma or the object's end"),
                }
            }
        }
        fill(place, Value::Object(Object { raw: self.slice(start, self.at), members }));
        true
    }

    #[inline(always)]
    fn member(&mut self, depth: usize, name: &mut Cow<'a, str>, value: &mut Value<'a>) -> bool {
        match self.plain_string() {
            Some(text) => std::mem::forget(std::mem::replace(name, Cow::Borrowed(text))),
            None if !self.escaped_string(name.to_mut()) => return false,
            None => {}
        }
        self.space();
        if self.peek() != Some(b':') {
            return self.fail("a colon");
        }
        self.at += 1;
        self.value(depth + 1, value)
    }

    fn array(&mut self, depth: usize, place: &mut Value<'a>) -> bool {
        let start = self.at;
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
        } else {
            loop {
                items.push(Value::Null);
                if let Some(item) = items.last_mut()
                    && !self.value(depth + 1, item)
                {
                    return false;
                }
                self.space();
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(b']') => {
                        self.at += 1;
                        break;
                    }
                    _ => return self.fail("a comma or the array's end"),
                }
            }
        }
        fill(place, Value::Array(Array { raw: self.slice(start, self.at), items }));
        true
    }

    /// The string at hand, when it has no escape; else nothing, and the position is what it was.
    #[inline(always)]
    fn plain_string(&mut self) -> Option<&'a str> {
        let start = self.at + 1;
        let end = start + plain_length(self.bytes.get(start..)?);
        if self.bytes.get(end) != Some(&b'"') {
            return None;
        }
        self.at = end + 1;
        Some(self.slice(start, end))
    }

    /// Appends the string at hand to `out`, unescaped.
    #[cold]
    fn escaped_string(&mut self, out: &mut String) -> bool {
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return true;
                }
                Some(b'\\') => {
                    self.at += 1;
                    let Some(escape) = self.peek() else { return self.fail("an escape") };
                    self.at += 1;
                    let character = match escape {
                        b'"' | b'\\' | b'/' => char::from(escape),
                        b'b' => '\u{8}',
                        b'f' => '\u{c}',
                        b'n' => '\n',
                        b'r' => '\r',
                        b't' => '\t',
                        b'u' => match self.unicode() {
                            Some(character) => character,
                            None => return false,
                        },
                        _ => return self.fail("a known escape"),
                    };
                    out.push(character);
                }
                Some(byte) if byte < 0x20 => return self.fail("no control character in a string"),
                Some(_) => {
                    let start = self.at;
                    self.at += plain_length(self.bytes.get(start..).unwrap_or_default());
                    out.push_str(self.slice(start, self.at));
                }
                None => return self.fail("the string's end"),
            }
        }
    }

    /// A `\u` escape, with its second half when it is a surrogate pair. A lone half is an error, as in `serde_json`.
    fn unicode(&mut self) -> Option<char> {
        let first = self.hex4()?;
        let mut code = first;
        if (0xD800..0xE000).contains(&first) {
            let is_pair = first < 0xDC00 && self.bytes.get(self.at..self.at + 2) == Some(b"\\u");
            let second = if is_pair {
                self.at += 2;
                self.hex4()?
            } else {
                0
            };
            if !(0xDC00..0xE000).contains(&second) {
                self.fail("a surrogate pair");
                return None;
            }
            code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
        }
        let character = char::from_u32(code);
        if character.is_none() {
            self.fail("a character");
        }
        character
    }

    fn hex4(&mut self) -> Option<u32> {
        let digits = self.bytes.get(self.at..self.at + 4);
        let value = digits.and_then(|digits| {
            digits.iter().try_fold(0, |value, digit| Some(value * 16 + char::from(*digit).to_digit(16)?))
        });
        if value.is_some() {
            self.at += 4;
        } else {
            self.fail("four hex digits");
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The slow twin: the same text through `serde_json`.
    fn twin(text: &str) -> Option<serde_json::Value> {
        serde_json::from_str(text).ok()
    }

    fn to_serde(value: &Value<'_>) -> Option<serde_json::Value> {
        serde_json::from_str(&value.canonical()).ok()
    }

    #[test]
    fn raw_text_is_kept_as_received() {
        let value = parse(r#"{"a": {"b" : [1, 2.50]}, "c":"x\u0041"}"#).unwrap();
        assert_eq!(value.get("a").raw(), Some(r#"{"b" : [1, 2.50]}"#));
        assert_eq!(value.get("a").get("b").raw(), Some("[1, 2.50]"));
        assert_eq!(value.get("c").as_str(), Some("xA"));
    }

    #[test]
    fn the_content_hash_sees_content_and_not_form() {
        let hash = |text: &str| parse(text).unwrap().content_hash();
        assert_eq!(hash(r#"{"a":1,"b":"xA"}"#), hash("{ \"b\" : \"x\\u0041\",\n\"a\":1}"));
        for other in [r#"{"a":1,"b":"xB"}"#, r#"{"a":1}"#, r#"{"a":"1","b":"xA"}"#, r#"{"b":1,"a":"xA"}"#] {
            assert_ne!(hash(r#"{"a":1,"b":"xA"}"#), hash(other), "{other}");
        }
        assert_ne!(hash("[1,2]"), hash("[2,1]"));
    }

    #[test]
    fn deep_nesting_is_an_error_and_not_a_crash() {
        let text = "[".repeat(10_000) + &"]".repeat(10_000);
        assert_eq!(parse(&text).unwrap_err().reason, "nesting of at most 128");
    }

    #[test]
    fn the_last_of_two_equal_names_counts() {
        assert_eq!(parse(r#"{"a":1,"a":2}"#).unwrap().get("a").as_i64(), Some(2));
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json_on_hostile_text(text in r#"[\[\]{}:,"\\utrefalsn0-9eE.+ \n\x01é-]{0,40}"#) {
            let ours = parse(&text).ok();
            // serde_json refuses numbers beyond f64, which are well-formed JSON.
            let is_huge = ours.is_some() && twin(&text).is_none() && text.contains('e');
            if is_huge {
                return Ok(());
            }
            prop_assert_eq!(ours.is_some(), twin(&text).is_some(), "{}", text);
            if let Some(ours) = ours {
                prop_assert_eq!(to_serde(&ours), twin(&text));
            }
        }
    }
}
