//! Reading small things out of a window: separators, strings, member names, known prefixes.
//!
//! In: part of the text, of which more may follow. Out: lengths, or that it takes more text to tell.

/// Longest member name with the space around its colon, in bytes.
pub(super) const MAX_NAME: usize = 64 << 10;

/// Part of the text, at its place in the whole.
#[derive(Clone, Copy)]
pub(super) struct Window<'a> {
    pub(super) bytes: &'a [u8],
    /// Offset of the first byte.
    pub(super) base: u64,
    /// No more text follows.
    pub(super) last: bool,
}

impl<'a> Window<'a> {
    pub(super) fn end(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    /// The text from `at` on; nothing when that is outside.
    pub(super) fn from(&self, at: u64) -> &'a [u8] {
        at.checked_sub(self.base).and_then(|at| self.bytes.get(at as usize..)).unwrap_or_default()
    }

    /// The text from `from` to `to`; nothing when that is outside.
    pub(super) fn slice(&self, from: u64, to: u64) -> &'a [u8] {
        let length = to.saturating_sub(from) as usize;
        self.from(from).get(..length).unwrap_or_default()
    }

    /// This window without the text behind `end`.
    pub(super) fn until(&self, end: u64) -> Window<'a> {
        let length = end.saturating_sub(self.base) as usize;
        match self.bytes.get(..length) {
            Some(bytes) if bytes.len() < self.bytes.len() => Window { bytes, base: self.base, last: false },
            _ => *self,
        }
    }
}

/// White space, and the commas between elements, on which nothing depends.
pub(super) fn is_separator(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | b',')
}

/// True when what stands at `end` can follow a value.
pub(super) fn ends_value(text: &[u8], end: usize) -> bool {
    text.get(end).is_some_and(|byte| is_separator(*byte) || matches!(byte, b'}' | b']'))
}

/// The index behind the quote that ends a string whose inside begins `text`; else moves `walked` as far as the string is
/// known to go on.
pub(super) fn behind_string(text: &[u8], walked: &mut usize) -> Option<usize> {
    loop {
        let rest = text.get(*walked..).unwrap_or_default();
        match memchr::memchr2(b'"', b'\\', rest) {
            None => {
                *walked = text.len();
                return None;
            }
            Some(found) if rest.get(found) == Some(&b'"') => return Some(*walked + found + 1),
            // The escaped byte must be in the window, so that the walk never resumes on it.
            Some(found) if rest.len() < found + 2 => {
                *walked += found;
                return None;
            }
            Some(found) => *walked += found + 2,
        }
    }
}

/// The text of the file `aws-logs-write-test`.
pub(super) const WRITE_TEST: &[u8] = b"Permission Check Successful";

/// Bytes of known text at the beginning of `text`; 0 for none, `None` when it takes more text to tell.
pub(super) fn known_text(text: &[u8], last: bool) -> Option<usize> {
    const MARK: &[u8] = &[0xEF, 0xBB, 0xBF];
    /// `2024-03-05T10:14:07.000000000+00:00 ` is the longest time stamp.
    const STAMP: usize = 40;
    for known in [MARK, WRITE_TEST] {
        if text.starts_with(known) {
            return Some(known.len());
        }
        if !last && known.starts_with(text) {
            return None;
        }
    }
    if !last && matches!(text, [0xFE | 0xFF]) {
        return None;
    }
    let is_time = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b':' | b'.' | b'T' | b'Z' | b'+');
    if !text.first().is_some_and(u8::is_ascii_digit) {
        return Some(0);
    }
    let length = text.iter().take(STAMP).position(|byte| !is_time(byte));
    match length {
        Some(length)
            if length >= 19 && matches!(text.get(length), Some(b' ' | b'\t')) && text.get(10) == Some(&b'T') =>
        {
            Some(length)
        }
        None if !last && text.len() < STAMP => None,
        _ => Some(0),
    }
}
