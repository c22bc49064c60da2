//! The engines against each other, and against what is written down by hand.

use super::*;
use proptest::prelude::*;

fn every_pair(engine: Engine, text: &[u8], from: usize) -> Vec<usize> {
    let mut found = Vec::new();
    let mut here = from;
    while let Some((block, mask)) = next_pairs(engine, text, here) {
        assert_ne!(mask, 0);
        found.extend((0..BLOCK).filter(|i| mask >> i & 1 == 1).map(|i| block + i));
        here = block + BLOCK;
    }
    found
}

#[test]
fn the_pair_tables_say_what_is_pair_says() {
    let mut matched = 0;
    for first in 0..=255_u8 {
        for second in 0..=255_u8 {
            let half = |byte: u8| (usize::from(byte & 15), usize::from(byte >> 4));
            let ((a, b), (c, d)) = (half(first), half(second));
            let kinds = PAIRS.first_low[a] & PAIRS.first_high[b] & PAIRS.second_low[c] & PAIRS.second_high[d];
            assert_eq!(kinds != 0, is_pair(first, second), "{first} {second}");
            matched += usize::from(kinds != 0);
        }
    }
    assert_eq!(matched, 4 + 4 + 1 + 2);
}

#[test]
fn brackets_inside_strings_do_not_count() {
    for engine in Engine::all() {
        for (text, end) in [
            (r#"{}"#, Some(2)),
            (r#"{"a":"}"}x"#, Some(9)),
            (r#"{"a":"\"}"}x"#, Some(11)),
            (r#"{"a":"\\"}x"#, Some(10)),
            (r#"{"a":"\\\"}"}"#, Some(13)),
            (r#"{"a":{"b":[}]}}}"#, Some(14)),
            (r#"{"a":"#, None),
            (r#"{"a":"}"#, None),
        ] {
            for pad in 0..130 {
                let text = format!("{}{{\"p\":\"{}\",{}", "", "p".repeat(pad), &text[1..]);
                let shift = pad + 7;
                let (mut at, mut nest) = (1, Nest::opened());
                // `{}` becomes `{"p":"...",}`, which has the same brackets.
                assert_eq!(
                    find_close(engine, text.as_bytes(), Brackets::Curly, &mut at, &mut nest),
                    end.map(|end| end + shift),
                    "{engine:?} {text}"
                );
            }
        }
    }
}

fn structure() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(b"{".to_vec()), 4 => Just(b"}".to_vec()), 3 => Just(b"\"".to_vec()), 2 => Just(b"\\".to_vec()),
        1 => Just(b"[".to_vec()), 1 => Just(b"]".to_vec()), 2 => (1..70_usize).prop_map(|n| vec![b'\\'; n]),
        2 => (1..100_usize).prop_map(|n| vec![b'x'; n]), 1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    proptest::collection::vec(piece, 0..120).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn all_engines_find_the_same_end(text in structure(), cut in 0..400_usize) {
        for brackets in [Brackets::Curly, Brackets::Square] {
            let mut answers = Vec::new();
            for engine in Engine::all() {
                let (mut at, mut nest) = (0, Nest::opened());
                // First a part of the text, then all of it.
                let part = &text[..cut.min(text.len())];
                let first = find_close(engine, part, brackets, &mut at, &mut nest);
                let state = first.is_none().then_some((at, nest));
                let end = first.or_else(|| find_close(engine, &text, brackets, &mut at, &mut nest));
                answers.push((first, state, end, end.is_none().then_some((at, nest))));
                let (mut at, mut nest) = (0, Nest::opened());
                prop_assert_eq!(end, find_close(engine, &text, brackets, &mut at, &mut nest));
            }
            for answer in &answers {
                prop_assert_eq!(answer, &answers[0]);
            }
        }
    }

    #[test]
    fn all_engines_find_the_same_pairs(text in r"[kKmMsStNSu\\ xé\x00]{0,300}", from in 0..200_usize) {
        let text = text.as_bytes();
        let expected: Vec<usize> =
            (from..text.len().saturating_sub(1)).filter(|i| is_pair(text[*i], text[i + 1])).collect();
        for engine in Engine::all() {
            prop_assert_eq!(&every_pair(engine, text, from), &expected, "{:?}", engine);
        }
    }
}
