//! Parquet's hybrid of run lengths and bit packing.
//!
//! In: presence bits, or indices into a dictionary. Out: bytes of the encoding `RLE` ("RLE/Bit-Packing Hybrid" in Parquet's
//! description of encodings): runs are a header `length << 1` and the value in whole bytes; packed values come in groups of
//! eight after a header `groups << 1 | 1`, lowest bits first.

/// A header: an unsigned LEB128 number.
fn header(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Groups of eight equal bits that are worth a run: its two headers take about as much as they do packed.
const RUN_GROUPS: usize = 4;

/// Encodes the first `count` of `bits`, lowest bit of the first word first. Bits past `bits` are 0; those past `count` in the
/// last word must be 0 too.
pub(super) fn encode_bits(bits: &[u64], count: usize, out: &mut Vec<u8>) {
    let groups = count.div_ceil(8);
    let group = |at: usize| bits.get(at / 8).map_or(0, |word| word.to_le_bytes().get(at % 8).copied().unwrap_or(0));
    let is_whole = |at: usize, value: u8| match count - at * 8 {
        8.. => group(at) == value,
        // The last group may be cut; what is missing counts as more of the same.
        rest => (group(at) ^ value) & ((1u16 << rest) - 1) as u8 == 0,
    };
    let mut packed_from = 0;
    let mut at = 0;
    while at < groups {
        let value = if group(at) & 1 == 0 { 0 } else { u8::MAX };
        let length = (at..groups).take_while(|next| is_whole(*next, value)).count();
        if length < RUN_GROUPS && !(length > 0 && at == 0 && length == groups) {
            at += length.max(1);
            continue;
        }
        pack_groups(packed_from..at, group, out);
        header(((count - at * 8).min(length * 8) as u64) << 1, out);
        out.push(value & 1);
        at += length;
        packed_from = at;
    }
    pack_groups(packed_from..groups, group, out);
}

fn pack_groups(groups: std::ops::Range<usize>, group: impl Fn(usize) -> u8, out: &mut Vec<u8>) {
    if !groups.is_empty() {
        header((groups.len() as u64) << 1 | 1, out);
        out.extend(groups.map(group));
    }
}

/// Equal values that are worth a run.
const RUN: usize = 8;

/// Bits that hold every index below `count`.
pub(super) fn width(count: usize) -> u32 {
    usize::BITS - count.saturating_sub(1).leading_zeros()
}

/// Encodes `values`, each below `1 << width`.
pub(super) fn encode_values(values: &[u32], width: u32, out: &mut Vec<u8>) {
    let mut packed = values;
    let mut packed_length = 0;
    let mut rest = values;
    while let Some(first) = rest.first() {
        // A run may begin only where a group of eight would.
        let length = rest.iter().take_while(|value| *value == first).count();
        if length < RUN {
            packed_length += rest.len().min(RUN);
            rest = rest.get(RUN..).unwrap_or_default();
            continue;
        }
        pack(packed.get(..packed_length).unwrap_or_default(), width, out);
        header((length as u64) << 1, out);
        out.extend(first.to_le_bytes().into_iter().take(width.div_ceil(8) as usize));
        rest = rest.get(length..).unwrap_or_default();
        (packed, packed_length) = (rest, 0);
    }
    pack(packed.get(..packed_length).unwrap_or_default(), width, out);
}

fn pack(values: &[u32], width: u32, out: &mut Vec<u8>) {
    if values.is_empty() {
        return;
    }
    let groups = values.len().div_ceil(8);
    header((groups as u64) << 1 | 1, out);
    let end = out.len() + groups * width as usize;
    let (mut word, mut filled) = (0u64, 0);
    for value in values {
        word |= u64::from(*value) << filled;
        filled += width;
        if filled >= 32 {
            out.extend_from_slice(&(word as u32).to_le_bytes());
            word >>= 32;
            filled -= 32;
        }
    }
    out.extend_from_slice(&word.to_le_bytes());
    // The last group is filled up with zeros; of the last words only what the groups take is kept.
    out.resize(end, 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The slow twin: reads the encoding value by value, as its description says.
    fn decode(bytes: &[u8], width: u32, count: usize) -> Vec<u32> {
        let mut bytes = bytes.iter().copied();
        let mut values = Vec::new();
        while let Some(first) = bytes.next() {
            let (mut head, mut shift, mut byte) = (u64::from(first & 0x7F), 7, first);
            while byte & 0x80 != 0 {
                byte = bytes.next().unwrap();
                head |= u64::from(byte & 0x7F) << shift;
                shift += 7;
            }
            if head & 1 == 0 {
                let value =
                    (0..width.div_ceil(8)).fold(0, |value, at| value | u32::from(bytes.next().unwrap()) << (8 * at));
                values.extend(std::iter::repeat_n(value, (head >> 1) as usize));
            } else {
                for _ in 0..head >> 1 {
                    let group: Vec<u8> = (0..width).map(|_| bytes.next().unwrap()).collect();
                    let bit = |at: u32| u32::from(group[at as usize / 8] >> (at % 8) & 1);
                    values.extend((0..8).map(|value| (0..width).fold(0, |v, at| v | bit(value * width + at) << at)));
                }
            }
        }
        assert!(values.len() < count + 8, "{} values instead of {count}", values.len());
        values.truncate(count);
        values
    }

    /// Runs of all lengths, short ones more often.
    fn runs(limit: u32) -> impl Strategy<Value = Vec<u32>> {
        let run = (0..limit, prop_oneof![3 => 1..4usize, 2 => 6..20usize, 1 => 60..200usize]);
        proptest::collection::vec(run, 0..30)
            .prop_map(|runs| runs.into_iter().flat_map(|(value, length)| std::iter::repeat_n(value, length)).collect())
    }

    proptest! {
        #[test]
        fn bits_come_back(values in runs(2)) {
            let mut words = vec![0u64; values.len().div_ceil(64)];
            for (at, value) in values.iter().enumerate() {
                words[at / 64] |= u64::from(*value) << (at % 64);
            }
            while words.last() == Some(&0) {
                words.pop();
            }
            let mut out = Vec::new();
            encode_bits(&words, values.len(), &mut out);
            prop_assert!(out.len() <= 2 * values.len() / 8 + 8);
            prop_assert_eq!(decode(&out, 1, values.len()), values);
        }

        #[test]
        fn values_come_back((width, values) in (0..20u32).prop_flat_map(|width| (Just(width), runs(1 << width)))) {
            let mut out = Vec::new();
            encode_values(&values, width, &mut out);
            prop_assert_eq!(decode(&out, width, values.len()), values);
        }
    }

    #[test]
    fn the_width_holds_every_index() {
        for (count, expected) in [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (256, 8), (257, 9)] {
            assert_eq!(width(count), expected, "{count}");
        }
    }

    #[test]
    fn one_value_is_one_run() {
        let mut out = Vec::new();
        encode_bits(&[u64::MAX, 1], 65, &mut out);
        assert_eq!(out, [130, 1, 1]);
        out.clear();
        encode_bits(&[], 3, &mut out);
        assert_eq!(out, [6, 0]);
    }
}
