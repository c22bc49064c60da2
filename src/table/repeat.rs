//! Texts that stand in a buffer of rows already.
//!
//! In: the texts of a column, in the order they are written. Out: where the same text was written before. About half of the
//! bytes of all rows are texts that were there a few rows ago (the file, the key, the caller); a row holds five bytes
//! instead, and whoever counts distinct values later knows the text by its place. It is a cache: what it has forgotten is
//! written again, so its memory is fixed, and texts made to collide cost space and nothing else.

use crate::schema::EVENT_COLUMNS;

/// Texts remembered per column. A power of two.
const REMEMBERED: usize = 256;

/// Shorter texts take no more room than a reference.
const MIN_LENGTH: usize = 8;

/// Where each column's texts stand in one buffer of rows.
#[derive(Debug)]
pub(super) struct Repeats {
    places: Vec<Place>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// Of the length that stands before the text.
    offset: u32,
    /// Of the text, in bytes; 0 where nothing is remembered.
    length: u32,
    /// Part of the hash, so that most other texts are told from this one without looking at it.
    tag: u32,
}

/// A hash of the length and of both ends: what lies between is compared in any case.
fn hash(text: &[u8]) -> u64 {
    let word = |bytes: Option<&[u8; 8]>| bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let (first, last) = (word(text.first_chunk()), word(text.last_chunk()));
    let mixed = (first ^ text.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ last;
    let mixed = (mixed ^ mixed >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
    mixed ^ mixed >> 32
}

impl Repeats {
    /// Nothing is remembered.
    pub(super) fn new() -> Repeats {
        Repeats { places: vec![Place::default(); REMEMBERED * EVENT_COLUMNS.len()] }
    }

    /// Forgets all, because the buffer was emptied.
    pub(super) fn clear(&mut self) {
        self.places.fill(Place::default());
    }

    /// The offset in `buffer` where `text` was written as a value of `column`; when it was not, remembers that it is going
    /// to be written at the end of `buffer`.
    #[inline]
    pub(super) fn find(&mut self, column: usize, text: &[u8], buffer: &[u8]) -> Option<u32> {
        if text.len() < MIN_LENGTH {
            return None;
        }
        let hash = hash(text);
        let place = self.places.get_mut(column * REMEMBERED + hash as usize % REMEMBERED)?;
        let tag = (hash >> 32) as u32;
        if place.tag == tag && place.length as usize == text.len() {
            let start = place.offset as usize + super::row::count_size(text.len());
            if buffer.get(start..start + text.len()) == Some(text) {
                return Some(place.offset);
            }
        }
        *place = match (u32::try_from(buffer.len()), u32::try_from(text.len())) {
            (Ok(offset), Ok(length)) => Place { offset, length, tag },
            _ => Place::default(),
        };
        None
    }
}
