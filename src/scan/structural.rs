//! The two passes over raw bytes that must run at several GB/s: finding the bracket that closes a value, and finding the
//! few byte pairs that the prefilter has to look at.
//!
//! In: text, 64 bytes at a time. Out: positions. A block becomes bit masks (quotes, backslashes, brackets), a carry-less
//! multiplication turns the quotes into "inside a string", and counting bits passes over every block that cannot hold
//! the end. AVX-512, AVX2, NEON and plain code give the same answers; the best is chosen at run time. This is the only file with
//! `unsafe`: loads through pointers and calls of functions that need processor features. Deliberately absent: any
//! knowledge of JSON beyond strings and brackets, and any judgment on text that is not JSON.
#![expect(unsafe_code, reason = "vector loads and calls that need processor features; each has its SAFETY reason")]

/// Bytes looked at in one step.
const BLOCK: usize = 64;

/// The implementation to use. A value exists only for what this processor can run: `best` and `all` are its makers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Engine(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "aarch64")]
    Neon,
    Scalar,
}

impl Engine {
    /// The fastest implementation for this processor. The standard library remembers what it detected.
    #[inline]
    pub(super) fn best() -> Engine {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2")
            && std::arch::is_x86_feature_detected!("pclmulqdq")
            && std::arch::is_x86_feature_detected!("popcnt")
            && std::arch::is_x86_feature_detected!("bmi1")
        {
            let is_wide =
                std::arch::is_x86_feature_detected!("avx512f") && std::arch::is_x86_feature_detected!("avx512bw");
            return Engine(if is_wide { Kind::Avx512 } else { Kind::Avx2 });
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            return Engine(Kind::Neon);
        }
        Engine(Kind::Scalar)
    }

    /// Every implementation that this processor can run, for the test that holds them together.
    #[cfg(test)]
    pub(super) fn all() -> Vec<Engine> {
        let mut all = vec![Engine(Kind::Scalar)];
        if Engine::best() != Engine(Kind::Scalar) {
            all.push(Engine::best());
        }
        // What has the wide vectors has the narrower ones.
        #[cfg(target_arch = "x86_64")]
        if Engine::best() == Engine(Kind::Avx512) {
            all.push(Engine(Kind::Avx2));
        }
        all
    }
}

/// The brackets that are counted. Only one sort is: damage among the others then cannot move the end of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Brackets {
    /// `{` and `}`.
    Curly,
    /// `[` and `]`.
    Square,
}

impl Brackets {
    fn bytes(self) -> (u8, u8) {
        match self {
            Brackets::Curly => (b'{', b'}'),
            Brackets::Square => (b'[', b']'),
        }
    }
}

/// Where a walk through nested brackets stands between two blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Nest {
    /// Brackets open.
    depth: u64,
    /// All ones inside a string, else zero.
    quoted: u64,
    /// 1 when the next byte follows an escaping backslash.
    escaped: u64,
}

impl Nest {
    /// Just behind an opening bracket.
    pub(super) fn opened() -> Nest {
        Nest { depth: 1, quoted: 0, escaped: 0 }
    }

    /// The escaped bytes of a block, from its backslashes: each backslash that is not itself escaped escapes the next
    /// byte. The addition carries through runs of backslashes, as in simdjson's `find_escaped`.
    #[inline(always)]
    fn escaped_bytes(&mut self, backslashes: u64) -> u64 {
        const EVEN: u64 = 0x5555_5555_5555_5555;
        if backslashes == 0 {
            return std::mem::take(&mut self.escaped);
        }
        let backslashes = backslashes & !self.escaped;
        let follows = (backslashes << 1) | self.escaped;
        let odd_starts = backslashes & !EVEN & !follows;
        let (runs, overflow) = odd_starts.overflowing_add(backslashes);
        self.escaped = u64::from(overflow);
        (EVEN ^ (runs << 1)) & follows
    }

    /// Takes in one block; the index behind the closing bracket when that is in it.
    #[inline(always)]
    fn block(&mut self, masks: &Masks, prefix_xor: impl Fn(u64) -> u64) -> Option<usize> {
        let quotes = masks.quotes & !self.escaped_bytes(masks.backslashes);
        let quoted = prefix_xor(quotes) ^ self.quoted;
        self.quoted = ((quoted as i64) >> 63) as u64;
        let opens = masks.opens & !quoted;
        let mut closes = masks.closes & !quoted;
        let count = u64::from(closes.count_ones());
        if count < self.depth {
            self.depth = self.depth + u64::from(opens.count_ones()) - count;
            return None;
        }
        let mut closed = 0;
        while closes != 0 {
            let bit = closes & closes.wrapping_neg();
            closed += 1;
            if self.depth + u64::from((opens & (bit - 1)).count_ones()) == closed {
                return Some(bit.trailing_zeros() as usize + 1);
            }
            closes ^= bit;
        }
        self.depth = self.depth + u64::from(opens.count_ones()) - closed;
        None
    }
}

/// One bit for each byte of a block.
struct Masks {
    quotes: u64,
    backslashes: u64,
    opens: u64,
    closes: u64,
}

/// Looks for the bracket that brings `nest` to depth 0, from index `at`. Gives the index behind it; else moves `at` and
/// `nest` on as far as whole blocks reach, so that the walk can go on when there is more text.
#[inline]
pub(super) fn find_close(
    engine: Engine,
    text: &[u8],
    brackets: Brackets,
    at: &mut usize,
    nest: &mut Nest,
) -> Option<usize> {
    match engine.0 {
        // SAFETY: an `Engine` of this kind exists only when the processor has the features.
        #[cfg(target_arch = "x86_64")]
        Kind::Avx512 => unsafe { avx512::find_close(text, brackets, at, nest) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Kind::Avx2 => unsafe { avx2::find_close(text, brackets, at, nest) },
        // SAFETY: as above.
        #[cfg(target_arch = "aarch64")]
        Kind::Neon => unsafe { neon::find_close(text, brackets, at, nest) },
        Kind::Scalar => scalar::find_close(text, brackets, at, nest),
    }
}

/// The next block at or behind `from` that holds starts of the byte pairs in [`PAIRS`]: its index and one bit per start.
/// The caller goes on from the index plus 64. Starts before `from` are not given.
#[inline]
pub(super) fn next_pairs(engine: Engine, text: &[u8], from: usize) -> Option<(usize, u64)> {
    match engine.0 {
        // SAFETY: an `Engine` of this kind exists only when the processor has the features.
        #[cfg(target_arch = "x86_64")]
        Kind::Avx512 => unsafe { avx512::next_pairs(text, from) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Kind::Avx2 => unsafe { avx2::next_pairs(text, from) },
        // SAFETY: as above.
        #[cfg(target_arch = "aarch64")]
        Kind::Neon => unsafe { neon::next_pairs(text, from) },
        Kind::Scalar => scalar::next_pairs(text, from),
    }
}

/// The pairs of [`next_pairs`]: `km` and `mk` in any case, `\u`, `tN`, `tS`: the beginnings of `kms` and the end of
/// `cmk`, of an escape, and the middles of `eventName` and `eventSource`.
#[inline]
fn is_pair(first: u8, second: u8) -> bool {
    match first {
        b'k' | b'K' => second | 0x20 == b'm',
        b'm' | b'M' => second | 0x20 == b'k',
        b'\\' => second == b'u',
        b't' => matches!(second, b'N' | b'S'),
        _ => false,
    }
}

/// [`is_pair`] as tables over the halves of both bytes: a pair matches when the four entries share a bit. One bit for
/// each kind of pair: 1 `km`, 2 `mk`, 4 `\u`, 8 `tN`, 16 `tS`.
struct PairTables {
    first_low: [u8; 16],
    first_high: [u8; 16],
    second_low: [u8; 16],
    second_high: [u8; 16],
}

#[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), expect(dead_code, reason = "for vector code"))]
static PAIRS: PairTables = PairTables {
    //           0  1  2  3   4     5  6  7  8  9  A  B  C  D  E  F
    first_low: [0, 0, 0, 0, 8 | 16, 0, 0, 0, 0, 0, 0, 1, 4, 2, 0, 0],
    first_high: [0, 0, 0, 0, 1 | 2, 4, 1 | 2, 8 | 16, 0, 0, 0, 0, 0, 0, 0, 0],
    second_low: [0, 0, 0, 16, 0, 4, 0, 0, 0, 0, 0, 2, 0, 1, 8, 0],
    second_high: [0, 0, 0, 0, 1 | 2 | 8, 16, 1 | 2, 4, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// The walk that the vector implementations share: whole blocks in place, the rest in a copy padded with zeros, which
/// is looked at again when there is more text.
#[inline(always)]
fn walk(
    text: &[u8],
    at: &mut usize,
    nest: &mut Nest,
    masks: impl Fn(&[u8; BLOCK]) -> Masks,
    prefix_xor: impl Fn(u64) -> u64,
) -> Option<usize> {
    let mut here = *at;
    let mut state = *nest;
    let mut rest = text.get(here..).unwrap_or_default();
    while let Some((block, behind)) = rest.split_first_chunk::<BLOCK>() {
        if let Some(end) = state.block(&masks(block), &prefix_xor) {
            return Some(here + end);
        }
        here += BLOCK;
        rest = behind;
    }
    *at = here;
    *nest = state;
    let last = padded(rest)?;
    state.block(&masks(&last), &prefix_xor).map(|end| here + end)
}

/// Fewer than 64 bytes as a block; `None` for no bytes.
#[inline(always)]
fn padded(rest: &[u8]) -> Option<[u8; BLOCK]> {
    if rest.is_empty() {
        return None;
    }
    let mut block = [0; BLOCK];
    block.get_mut(..rest.len())?.copy_from_slice(rest);
    Some(block)
}

/// The search that the vector implementations share. `starts` gives the starts in a block and takes 65 bytes, because a
/// start in the last place needs the byte behind it.
#[inline(always)]
fn search(text: &[u8], from: usize, starts: impl Fn(&[u8; BLOCK + 1]) -> u64) -> Option<(usize, u64)> {
    let mut here = from;
    while let Some(block) = text.get(here..).and_then(|rest| rest.first_chunk::<{ BLOCK + 1 }>()) {
        let mask = starts(block);
        if mask != 0 {
            return Some((here, mask));
        }
        here += BLOCK;
    }
    if here >= text.len() {
        return None;
    }
    if let Some(block) = text.last_chunk::<{ BLOCK + 1 }>() {
        // The last 65 bytes overlap what was seen; their starts before `here` are masked out.
        let index = text.len() - (BLOCK + 1);
        let mask = starts(block) & u64::MAX.unbounded_shl((here - index) as u32);
        return if mask != 0 { Some((index, mask)) } else { None };
    }
    let mut block = [0; BLOCK + 1];
    let rest = text.get(here..)?;
    block.get_mut(..rest.len())?.copy_from_slice(rest);
    let mask = starts(&block);
    if mask != 0 { Some((here, mask)) } else { None }
}

/// Plain code, for processors without vectors, and the yardstick for the others.
mod scalar {
    use super::{BLOCK, Brackets, Nest, is_pair};

    pub(super) fn find_close(text: &[u8], brackets: Brackets, at: &mut usize, nest: &mut Nest) -> Option<usize> {
        let (open, close) = brackets.bytes();
        let mut state = *nest;
        for (i, byte) in text.get(*at..).unwrap_or_default().iter().enumerate() {
            if i > 0 && i.is_multiple_of(BLOCK) {
                // Whole blocks only, so that all implementations leave off in the same place.
                *nest = state;
                *at += BLOCK;
            }
            let escaped = state.escaped == 1;
            state.escaped = u64::from(*byte == b'\\' && !escaped);
            if *byte == b'"' && !escaped {
                state.quoted = !state.quoted;
            } else if state.quoted == 0 && *byte == open {
                state.depth += 1;
            } else if state.quoted == 0 && *byte == close {
                state.depth -= 1;
                if state.depth == 0 {
                    // `at` has moved by whole blocks, and `i` counts from where it stood at first.
                    return Some(*at + i % BLOCK + 1);
                }
            }
        }
        if *at + BLOCK == text.len() {
            *nest = state;
            *at = text.len();
        }
        None
    }

    pub(super) fn next_pairs(text: &[u8], from: usize) -> Option<(usize, u64)> {
        let rest = text.get(from..)?;
        let found = rest.iter().zip(rest.iter().skip(1)).position(|(first, second)| is_pair(*first, *second))?;
        let mask = 1 << (found % BLOCK);
        let index = from + found - found % BLOCK;
        // The other starts of this block follow from the next call unless they are given here.
        let block = text.get(index..)?;
        let more = block.iter().zip(block.iter().skip(1)).take(BLOCK).enumerate();
        Some((index, more.filter(|(_, (a, b))| is_pair(**a, **b)).fold(mask, |mask, (i, _)| mask | 1 << i)))
    }
}

/// 64 bytes at a time, on servers since 2017 and AMD processors since 2022.
#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::{BLOCK, Brackets, Masks, Nest, PAIRS, avx2};
    use std::arch::x86_64::{
        __m512i, _mm_loadu_si128, _mm512_and_si512, _mm512_broadcast_i32x4, _mm512_cmpeq_epi8_mask, _mm512_loadu_si512,
        _mm512_set1_epi8, _mm512_shuffle_epi8, _mm512_srli_epi16, _mm512_test_epi8_mask,
    };

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn load(block: &[u8; BLOCK]) -> __m512i {
        // SAFETY: the reference covers the 64 bytes of an unaligned load.
        unsafe { _mm512_loadu_si512(block.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx512f,avx512bw,pclmulqdq,popcnt,bmi1")]
    pub(super) fn find_close(text: &[u8], brackets: Brackets, at: &mut usize, nest: &mut Nest) -> Option<usize> {
        let (open, close) = brackets.bytes();
        let (quote, backslash) = (_mm512_set1_epi8(b'"' as i8), _mm512_set1_epi8(b'\\' as i8));
        let (open, close) = (_mm512_set1_epi8(open as i8), _mm512_set1_epi8(close as i8));
        let masks = |block: &[u8; BLOCK]| {
            let bytes = load(block);
            Masks {
                quotes: _mm512_cmpeq_epi8_mask(bytes, quote),
                backslashes: _mm512_cmpeq_epi8_mask(bytes, backslash),
                opens: _mm512_cmpeq_epi8_mask(bytes, open),
                closes: _mm512_cmpeq_epi8_mask(bytes, close),
            }
        };
        super::walk(text, at, nest, masks, |bits| avx2::prefix_xor(bits))
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn table(entries: &[u8; 16]) -> __m512i {
        // SAFETY: the reference covers the 16 bytes of an unaligned load.
        _mm512_broadcast_i32x4(unsafe { _mm_loadu_si128(entries.as_ptr().cast()) })
    }

    #[target_feature(enable = "avx512f,avx512bw,popcnt,bmi1")]
    pub(super) fn next_pairs(text: &[u8], from: usize) -> Option<(usize, u64)> {
        let (first_low, first_high) = (table(&PAIRS.first_low), table(&PAIRS.first_high));
        let (second_low, second_high) = (table(&PAIRS.second_low), table(&PAIRS.second_high));
        let nibble = _mm512_set1_epi8(0x0F);
        // As in the narrower code: bytes above 0x7F start no pair.
        let kinds = |bytes: __m512i, low: __m512i, high: __m512i| {
            let top = _mm512_and_si512(_mm512_srli_epi16::<4>(bytes), nibble);
            _mm512_and_si512(_mm512_shuffle_epi8(low, bytes), _mm512_shuffle_epi8(high, top))
        };
        let starts = |block: &[u8; BLOCK + 1]| {
            let Some((firsts, seconds)) = block.first_chunk().zip(block.last_chunk()) else { return 0 };
            let (firsts, seconds) = (load(firsts), load(seconds));
            _mm512_test_epi8_mask(kinds(firsts, first_low, first_high), kinds(seconds, second_low, second_high))
        };
        super::search(text, from, starts)
    }
}

/// 32 bytes at a time, on nearly every x86 processor since 2013.
#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{BLOCK, Brackets, Masks, Nest, PAIRS};
    use std::arch::x86_64::{
        __m256i, _mm_clmulepi64_si128, _mm_cvtsi128_si64, _mm_loadu_si128, _mm_set_epi64x, _mm_set1_epi8,
        _mm256_and_si256, _mm256_broadcastsi128_si256, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8,
        _mm256_set1_epi8, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srli_epi16,
    };

    #[inline]
    #[target_feature(enable = "avx2")]
    fn load(bytes: &[u8; 32]) -> __m256i {
        // SAFETY: the reference covers the 32 bytes of an unaligned load.
        unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn halves(block: &[u8; BLOCK]) -> (__m256i, __m256i) {
        let (low, high) = block.split_at(32);
        let zero = _mm256_setzero_si256();
        // Both halves have 32 bytes, so that the compiler drops the other arm.
        match (low.first_chunk(), high.first_chunk()) {
            (Some(low), Some(high)) => (load(low), load(high)),
            _ => (zero, zero),
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn equal(halves: (__m256i, __m256i), byte: __m256i) -> u64 {
        let low = _mm256_movemask_epi8(_mm256_cmpeq_epi8(halves.0, byte)) as u32;
        let high = _mm256_movemask_epi8(_mm256_cmpeq_epi8(halves.1, byte)) as u32;
        u64::from(low) | u64::from(high) << 32
    }

    #[inline]
    #[target_feature(enable = "pclmulqdq")]
    pub(super) fn prefix_xor(bits: u64) -> u64 {
        let product = _mm_clmulepi64_si128::<0>(_mm_set_epi64x(0, bits as i64), _mm_set1_epi8(-1));
        _mm_cvtsi128_si64(product) as u64
    }

    #[target_feature(enable = "avx2,pclmulqdq,popcnt,bmi1")]
    pub(super) fn find_close(text: &[u8], brackets: Brackets, at: &mut usize, nest: &mut Nest) -> Option<usize> {
        let (open, close) = brackets.bytes();
        let quote = _mm256_set1_epi8(b'"' as i8);
        let backslash = _mm256_set1_epi8(b'\\' as i8);
        let open = _mm256_set1_epi8(open as i8);
        let close = _mm256_set1_epi8(close as i8);
        let masks = |block: &[u8; BLOCK]| {
            let bytes = halves(block);
            Masks {
                quotes: equal(bytes, quote),
                backslashes: equal(bytes, backslash),
                opens: equal(bytes, open),
                closes: equal(bytes, close),
            }
        };
        super::walk(text, at, nest, masks, |bits| prefix_xor(bits))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn table(entries: &[u8; 16]) -> __m256i {
        // SAFETY: the reference covers the 16 bytes of an unaligned load.
        _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(entries.as_ptr().cast()) })
    }

    #[target_feature(enable = "avx2,popcnt,bmi1")]
    pub(super) fn next_pairs(text: &[u8], from: usize) -> Option<(usize, u64)> {
        let (first_low, first_high) = (table(&PAIRS.first_low), table(&PAIRS.first_high));
        let (second_low, second_high) = (table(&PAIRS.second_low), table(&PAIRS.second_high));
        let nibble = _mm256_set1_epi8(0x0F);
        // The shuffle takes the low half of a byte as the index, and gives 0 for bytes above 0x7F, which start no pair.
        let kinds = |bytes: __m256i, low: __m256i, high: __m256i| {
            let top = _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), nibble);
            _mm256_and_si256(_mm256_shuffle_epi8(low, bytes), _mm256_shuffle_epi8(high, top))
        };
        let starts = |block: &[u8; BLOCK + 1]| {
            let Some((firsts, seconds)) = block.first_chunk().zip(block.last_chunk()) else { return 0 };
            let (firsts, seconds) = (halves(firsts), halves(seconds));
            let low =
                _mm256_and_si256(kinds(firsts.0, first_low, first_high), kinds(seconds.0, second_low, second_high));
            let high =
                _mm256_and_si256(kinds(firsts.1, first_low, first_high), kinds(seconds.1, second_low, second_high));
            !equal((low, high), _mm256_setzero_si256())
        };
        super::search(text, from, starts)
    }
}

/// 16 bytes at a time, on every 64-bit ARM processor.
#[cfg(target_arch = "aarch64")]
mod neon {
    use super::{BLOCK, Brackets, Masks, Nest, PAIRS};
    use std::arch::aarch64::{
        uint8x16_t, vandq_u8, vceqq_u8, vdupq_n_u8, vgetq_lane_u64, vld1q_u8, vpaddq_u8, vqtbl1q_u8,
        vreinterpretq_u64_u8, vshrq_n_u8, vtstq_u8,
    };

    type Lanes = [uint8x16_t; 4];

    #[inline]
    #[target_feature(enable = "neon")]
    fn load(bytes: &[u8; 16]) -> uint8x16_t {
        // SAFETY: the reference covers the 16 bytes of the load.
        unsafe { vld1q_u8(bytes.as_ptr()) }
    }

    #[inline]
    #[target_feature(enable = "neon")]
    fn lanes(block: &[u8; BLOCK]) -> Lanes {
        let mut lanes = [vdupq_n_u8(0); 4];
        for (lane, bytes) in lanes.iter_mut().zip(block.as_chunks::<16>().0) {
            *lane = load(bytes);
        }
        lanes
    }

    /// One bit for each byte, from lanes that hold 0x00 or 0xFF: each byte keeps the bit of its place, and three rounds
    /// of pairwise addition bring eight of them together.
    #[inline]
    #[target_feature(enable = "neon")]
    fn bits(lanes: Lanes) -> u64 {
        let place = load(&[1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128]);
        let [a, b, c, d] = lanes;
        let low = vpaddq_u8(vandq_u8(a, place), vandq_u8(b, place));
        let high = vpaddq_u8(vandq_u8(c, place), vandq_u8(d, place));
        let sum = vpaddq_u8(low, high);
        vgetq_lane_u64::<0>(vreinterpretq_u64_u8(vpaddq_u8(sum, sum)))
    }

    #[inline]
    #[target_feature(enable = "neon")]
    fn equal(lanes: Lanes, byte: uint8x16_t) -> u64 {
        let [a, b, c, d] = lanes;
        bits([vceqq_u8(a, byte), vceqq_u8(b, byte), vceqq_u8(c, byte), vceqq_u8(d, byte)])
    }

    /// By shifts: the carry-less multiplication is not on every ARM processor.
    #[inline]
    fn prefix_xor(mut bits: u64) -> u64 {
        for shift in [1, 2, 4, 8, 16, 32] {
            bits ^= bits << shift;
        }
        bits
    }

    #[target_feature(enable = "neon")]
    pub(super) fn find_close(text: &[u8], brackets: Brackets, at: &mut usize, nest: &mut Nest) -> Option<usize> {
        let (open, close) = brackets.bytes();
        let (quote, backslash) = (vdupq_n_u8(b'"'), vdupq_n_u8(b'\\'));
        let (open, close) = (vdupq_n_u8(open), vdupq_n_u8(close));
        let masks = |block: &[u8; BLOCK]| {
            let bytes = lanes(block);
            Masks {
                quotes: equal(bytes, quote),
                backslashes: equal(bytes, backslash),
                opens: equal(bytes, open),
                closes: equal(bytes, close),
            }
        };
        super::walk(text, at, nest, masks, prefix_xor)
    }

    #[target_feature(enable = "neon")]
    pub(super) fn next_pairs(text: &[u8], from: usize) -> Option<(usize, u64)> {
        let (first_low, first_high) = (load(&PAIRS.first_low), load(&PAIRS.first_high));
        let (second_low, second_high) = (load(&PAIRS.second_low), load(&PAIRS.second_high));
        let nibble = vdupq_n_u8(0x0F);
        // Bytes above 0x7F start no pair: their high half has no entry.
        let kinds = |bytes: uint8x16_t, low: uint8x16_t, high: uint8x16_t| {
            vandq_u8(vqtbl1q_u8(low, vandq_u8(bytes, nibble)), vqtbl1q_u8(high, vshrq_n_u8::<4>(bytes)))
        };
        let starts = |block: &[u8; BLOCK + 1]| {
            let Some((firsts, seconds)) = block.first_chunk().zip(block.last_chunk()) else { return 0 };
            let mut found = lanes(firsts);
            for (first, second) in found.iter_mut().zip(lanes(seconds)) {
                *first = vtstq_u8(kinds(*first, first_low, first_high), kinds(second, second_low, second_high));
            }
            bits(found)
        };
        super::search(text, from, starts)
    }
}

#[cfg(test)]
mod tests;
