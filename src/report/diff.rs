//! What changed between two versions of a key policy, line by line.
//!
//! In: two policies as JSON text. Out: the lines of the newer one, in a form for people, with the lines that are new and
//! those that are gone marked. Long stretches that stayed are folded. A text that is no JSON is shown as it is.

use super::ask::visible;
use super::model::DiffLine;
use similar::{ChangeTag, TextDiff};

/// Lines that stayed and are shown around a change.
const AROUND: usize = 4;

/// Lines of one version that are shown.
const LINES: usize = 300;

/// Characters of one line that are shown.
const LINE_CHARS: usize = 400;

/// JSON in lines; other text as it is.
pub(super) fn pretty(text: &str) -> String {
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(value) => serde_json::to_string_pretty(&value).unwrap_or_else(|_| text.to_owned()),
        Err(_) => text.to_owned(),
    }
}

fn line(tag: ChangeTag, text: &str) -> DiffLine {
    let (mark, class) = match tag {
        ChangeTag::Insert => ("+", "add"),
        ChangeTag::Delete => ("-", "del"),
        ChangeTag::Equal => (" ", ""),
    };
    DiffLine { mark, class, text: visible(text.trim_end_matches('\n'), LINE_CHARS) }
}

/// Replaces long stretches without a change by one line that says how long they are.
fn fold(lines: Vec<DiffLine>) -> Vec<DiffLine> {
    let changed: Vec<usize> =
        lines.iter().enumerate().filter(|(_, line)| !line.class.is_empty()).map(|(i, _)| i).collect();
    if changed.is_empty() {
        return lines;
    }
    let mut out = Vec::new();
    let mut left_out = 0;
    let mut next = changed.iter().copied().peekable();
    let mut before: Option<usize> = None;
    for (i, line) in lines.into_iter().enumerate() {
        while next.peek().is_some_and(|change| *change < i) {
            before = next.next();
        }
        let is_near = before.is_some_and(|change| i - change <= AROUND)
            || next.peek().is_some_and(|change| *change - i <= AROUND);
        if is_near {
            flush(&mut left_out, &mut out);
            out.push(line);
        } else {
            left_out += 1;
        }
    }
    flush(&mut left_out, &mut out);
    out
}

fn flush(left_out: &mut usize, out: &mut Vec<DiffLine>) {
    if *left_out > 0 {
        out.push(DiffLine { mark: " ", class: "fold", text: format!("... {left_out} lines without a change") });
        *left_out = 0;
    }
}

/// The lines of `new`, compared with `old` when there is one; and true when lines were left out.
pub(super) fn lines(old: Option<&str>, new: &str) -> (Vec<DiffLine>, bool) {
    let new = pretty(new);
    let mut lines = match old {
        None => new.lines().map(|text| line(ChangeTag::Equal, text)).collect(),
        Some(old) => {
            let old = pretty(old);
            let diff = TextDiff::from_lines(&old, &new);
            fold(diff.iter_all_changes().map(|change| line(change.tag(), change.value())).collect())
        }
    };
    let is_cut = lines.len() > LINES;
    lines.truncate(LINES);
    (lines, is_cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(lines: &[DiffLine]) -> String {
        lines.iter().map(|line| format!("{}{}\n", line.mark, line.text)).collect()
    }

    #[test]
    fn a_changed_principal_is_one_line_gone_and_one_new() {
        let policy = |who: &str| format!(r#"{{"Statement":[{{"Effect":"Allow","Principal":"{who}"}}]}}"#);
        let (found, is_cut) = lines(Some(&policy("a")), &policy("*"));
        assert!(!is_cut);
        let changed: Vec<String> = found
            .iter()
            .filter(|line| !line.class.is_empty())
            .map(|line| format!("{}{}", line.mark, line.text))
            .collect();
        assert_eq!(changed, [r#"-      "Principal": "a""#, r#"+      "Principal": "*""#]);
    }

    #[test]
    fn long_stretches_without_a_change_are_folded() {
        let numbers =
            |last: u32| format!("[{}]", (0..40).chain([last]).map(|n| n.to_string()).collect::<Vec<_>>().join(","));
        let (found, _) = lines(Some(&numbers(98)), &numbers(99));
        assert!(text(&found).starts_with(" ... 37 lines without a change\n"), "{}", text(&found));
    }

    #[test]
    fn what_is_no_json_is_shown_as_it_is() {
        assert_eq!(text(&lines(None, "<script>\u{202e}").0), " <script>\\u{202e}\n");
    }
}
