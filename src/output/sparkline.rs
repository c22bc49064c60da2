//! A row of bars, one character each.
//!
//! In: counts per stretch of time. Out: one character per count: blocks of eight heights, or plain characters where the
//! terminal has no blocks. Nothing is a blank, and the smallest count that is something is seen.

/// Bars from low to high, U+2581 to U+2588.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// The same where only ASCII can be shown.
const PLAIN: [char; 8] = ['.', ':', '-', '=', '+', '*', '#', '@'];

/// One bar per count, the highest for the largest of them.
pub fn sparkline(counts: &[u64], is_unicode: bool) -> String {
    let bars = if is_unicode { BLOCKS } else { PLAIN };
    let most = u128::from(counts.iter().copied().max().unwrap_or(0)).max(1);
    let bar = |count: &u64| {
        // Rounded up, so that one call among a million is still a bar.
        let height = (u128::from(*count) * 8).div_ceil(most);
        match usize::try_from(height) {
            Ok(height) if height > 0 => bars.get(height - 1).copied().unwrap_or(' '),
            _ => ' ',
        }
    };
    counts.iter().map(bar).collect()
}

/// Lengths of a bar's stretch that people know, seconds.
const STEPS: [i64; 20] = [
    60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 14_400, 21_600, 28_800, 43_200, 86_400, 172_800, 345_600,
    604_800, 1_209_600, 2_419_200, 7_257_600,
];

/// The shortest handy stretch, in seconds, with which `seconds` take at most `bars` bars.
pub fn step(seconds: i64, bars: usize) -> i64 {
    let bars = i64::try_from(bars.max(1)).unwrap_or(i64::MAX);
    // Stretches begin at multiples of their length, so the last one may be one more.
    let fits = |step: &i64| seconds.max(0) / step + 2 <= bars;
    STEPS.into_iter().find(fits).unwrap_or_else(|| seconds.max(0) / (bars - 1).max(1) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_tell_nothing_little_and_most() {
        assert_eq!(sparkline(&[0, 1, 500, 1_000], true), " ▁▄█");
        assert_eq!(sparkline(&[0, 1, 500, 1_000], false), " .=@");
        assert_eq!(sparkline(&[0, 0], true), "  ");
        assert_eq!(sparkline(&[u64::MAX, 1], true), "█▁");
        assert_eq!(sparkline(&[], true), "");
    }

    #[test]
    fn the_stretches_fit_the_bars() {
        for seconds in [0, 59, 3_600, 86_400, 1_020_000, 40_000_000, 4_000_000_000] {
            for bars in [10, 40, 160] {
                let step = step(seconds, bars);
                // From any begin, the first and the last instant fall into the bars.
                for begin in [0, step - 1] {
                    let used = (begin + seconds) / step - begin / step + 1;
                    assert!(used <= bars as i64, "{seconds} s in {bars}: {step}");
                }
            }
        }
        assert_eq!(step(86_400, 50), 1_800);
    }
}
