//! The distinct values of a column, numbered in order of first appearance.
//!
//! In: values. Out: their numbers, and the values one after the other as a Parquet dictionary page holds them. The hash is
//! not keyed, so texts made to collide are expected: after a few steps a search ends, and the column goes on without a
//! dictionary, which depends on its values alone.

/// Bytes of a dictionary page. Columns that have more distinct text gain little from one.
const MAX_BYTES: usize = 256 << 10;

/// Places looked at before a search ends.
const MAX_STEPS: usize = 64;

/// Places of an empty dictionary.
const FIRST_PLACES: usize = 64;

/// Distinct values of one column.
#[derive(Debug)]
pub(super) struct Dictionary {
    /// The values as PLAIN encodes them: text after its length in four bytes.
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// Number of an entry plus one, at a place its hash gives; 0 where there is none. A power of two of them.
    places: Vec<u32>,
    is_text: bool,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u32,
    start: u32,
    end: u32,
}

/// Odd constants without structure (digits of pi).
const KEYS: [u64; 2] = [0xa409_3822_299f_31d0, 0x082e_fa98_ec4e_6c89];

fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ KEYS[0]) * u128::from(b ^ KEYS[1]);
    (product as u64) ^ ((product >> 64) as u64)
}

fn hash(value: &[u8]) -> u32 {
    let mut hash = value.len() as u64;
    let mut rest = value;
    while let Some((head, tail)) = rest.split_first_chunk::<16>() {
        let (low, high) = (u128::from_le_bytes(*head) as u64, (u128::from_le_bytes(*head) >> 64) as u64);
        hash = mix(hash ^ low, high);
        rest = tail;
    }
    // The last 16 bytes again, or what there is of them, instead of a loop over what is left.
    let last = match value.last_chunk::<16>() {
        Some(last) => u128::from_le_bytes(*last),
        None => match (value.first_chunk::<8>(), value.last_chunk::<8>()) {
            (Some(first), Some(last)) => {
                u128::from(u64::from_le_bytes(*first)) | u128::from(u64::from_le_bytes(*last)) << 64
            }
            _ => u128::from(value.iter().fold(0u64, |word, byte| word << 8 | u64::from(*byte))),
        },
    };
    let hash = mix(hash ^ last as u64, (last >> 64) as u64);
    (hash ^ hash >> 32) as u32
}

impl Dictionary {
    /// An empty dictionary, of text or of values of one size.
    pub(super) fn new(is_text: bool) -> Dictionary {
        Dictionary { bytes: Vec::new(), entries: Vec::new(), places: vec![0; FIRST_PLACES], is_text }
    }

    /// Number of values.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// All values as a dictionary page holds them.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The value with this number.
    pub(super) fn value(&self, number: u32) -> &[u8] {
        self.entries.get(number as usize).map_or(&[], |entry| self.entry(entry))
    }

    fn entry(&self, entry: &Entry) -> &[u8] {
        self.bytes.get(entry.start as usize..entry.end as usize).unwrap_or_default()
    }

    /// The number of `value`, which is added when it is new; `None` when the dictionary is full.
    #[inline]
    pub(super) fn number(&mut self, value: &[u8]) -> Option<u32> {
        let hash = hash(value);
        let mask = self.places.len() - 1;
        for step in 0..MAX_STEPS {
            let place = (hash as usize + step) & mask;
            match self.places.get(place).copied().unwrap_or(0).checked_sub(1) {
                None => return self.add(value, hash, place),
                Some(number) => {
                    let Some(entry) = self.entries.get(number as usize) else { continue };
                    if entry.hash == hash && self.entry(entry) == value {
                        return Some(number);
                    }
                }
            }
        }
        None
    }

    #[cold]
    fn add(&mut self, value: &[u8], hash: u32, place: usize) -> Option<u32> {
        if self.bytes.len() + value.len() + 4 > MAX_BYTES {
            return None;
        }
        let number = self.entries.len() as u32;
        if self.is_text {
            self.bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
        }
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(value);
        self.entries.push(Entry { hash, start, end: self.bytes.len() as u32 });
        if let Some(place) = self.places.get_mut(place) {
            *place = number + 1;
        }
        if self.entries.len() * 2 > self.places.len() {
            self.spread();
        }
        Some(number)
    }

    /// Makes four times as many places.
    fn spread(&mut self) {
        let length = self.places.len() * 4;
        self.places.clear();
        self.places.resize(length, 0);
        for (number, entry) in self.entries.iter().enumerate() {
            let mut place = entry.hash as usize & (length - 1);
            while self.places.get(place).is_some_and(|number| *number != 0) {
                place = (place + 1) & (length - 1);
            }
            if let Some(place) = self.places.get_mut(place) {
                *place = number as u32 + 1;
            }
        }
    }

    /// Forgets all values and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.places.truncate(FIRST_PLACES);
        self.places.fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_numbered_in_order_of_first_appearance() {
        let mut dictionary = Dictionary::new(true);
        let values: Vec<String> = (0..3_000).map(|i| "x".repeat(i % 40) + &(i % 1_000).to_string()).collect();
        let mut seen: Vec<&str> = Vec::new();
        for value in &values {
            let expected = seen.iter().position(|known| known == value).unwrap_or_else(|| {
                seen.push(value);
                seen.len() - 1
            });
            assert_eq!(dictionary.number(value.as_bytes()), Some(expected as u32), "{value}");
        }
        assert_eq!(dictionary.len(), seen.len());
        for (number, value) in seen.iter().enumerate() {
            assert_eq!(dictionary.value(number as u32), value.as_bytes());
        }
        dictionary.clear();
        assert_eq!((dictionary.len(), dictionary.number(b"a")), (0, Some(0)));
        assert_eq!(dictionary.bytes(), b"\x01\0\0\0a");
    }

    #[test]
    fn every_byte_counts() {
        for length in 0..70 {
            let value = vec![b'a'; length];
            for place in 0..length {
                let mut other = value.clone();
                other[place] = b'b';
                assert_ne!(hash(&value), hash(&other), "{length} {place}");
            }
        }
    }

    #[test]
    fn a_full_dictionary_takes_no_more() {
        let mut dictionary = Dictionary::new(true);
        let large = vec![b'a'; MAX_BYTES - 10];
        assert_eq!(dictionary.number(&large), Some(0));
        assert_eq!(dictionary.number(b"ab"), Some(1));
        assert_eq!(dictionary.number(b"c"), None);
        assert_eq!(dictionary.number(b"ab"), Some(1));
    }
}
