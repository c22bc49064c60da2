//! A small seeded generator: the same seed gives the same archive on every machine and with every Rust version.
//!
//! In: a seed. Out: numbers, GUIDs and ids. SplitMix64, because it is ten lines and never changes; the `rand` crate gives
//! no promise that its streams stay the same. Deliberately absent: any source of real randomness.

/// A SplitMix64 stream.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

/// The characters of access key ids and principal ids (base 32).
pub(crate) const BASE32: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// The characters of the unique part of a log file's name.
pub(crate) const ALNUM: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const HEX: &[u8] = b"0123456789abcdef";

impl Random {
    /// The stream of `seed`.
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The stream that belongs to a name: what it names looks the same wherever it appears.
    pub(crate) fn named(name: &str) -> Random {
        // FNV-1a, 64 bit.
        Random(
            name.bytes()
                .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)),
        )
    }

    /// The next 64 bits.
    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number in `0..bound`, 0 when the bound is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.draw()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// One of the items, as a copy; the default when there are none.
    pub(crate) fn pick<T: Copy + Default>(&mut self, items: &[T]) -> T {
        let place = usize::try_from(self.below(items.len() as u64)).unwrap_or(0);
        items.get(place).copied().unwrap_or_default()
    }

    /// Appends `count` characters of an alphabet.
    pub(crate) fn push(&mut self, alphabet: &[u8], count: usize, out: &mut String) {
        for _ in 0..count {
            out.push(char::from(self.pick(alphabet)));
        }
    }

    /// Appends a version 4 GUID in lower case.
    pub(crate) fn push_guid(&mut self, out: &mut String) {
        let (mut high, mut low) = (self.draw(), self.draw());
        for place in 0..36 {
            if matches!(place, 8 | 13 | 18 | 23) {
                out.push('-');
                continue;
            }
            if place == 14 {
                out.push('4');
                continue;
            }
            let bits = if place < 18 { &mut high } else { &mut low };
            let digit = usize::try_from(*bits & 15).unwrap_or(0);
            *bits >>= 4;
            let digit = if place == 19 { 8 | (digit & 3) } else { digit };
            out.push(char::from(HEX.get(digit).copied().unwrap_or(b'0')));
        }
    }

    /// A GUID as text.
    pub(crate) fn guid(&mut self) -> String {
        let mut out = String::with_capacity(36);
        self.push_guid(&mut out);
        out
    }
}
