//! Text and tables on a terminal.
//!
//! In: text from logs, column names, rows of cells and a width in columns. Out: aligned lines. Control, bidirectional and
//! invisible characters are shown as escapes, because a user agent in a log must not be able to move the cursor, turn text
//! round or hide. Widths are those of the terminal (a CJK character takes two columns). What does not fit is shortened where
//! it hurts least, and an ellipsis always says so: ARNs keep their account and their end, paths their end, sentences their
//! begin.

use super::Cell;
use unicode_width::UnicodeWidthChar;

/// True for characters that steer a terminal or that nobody sees: controls, bidirectional marks, and all that Unicode calls
/// default-ignorable (zero-width, fillers, variation selectors, tags).
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Text that is safe to print: what could steer a terminal or hide itself becomes `\u{..}`.
pub fn sanitize(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

fn char_width(c: char) -> usize {
    c.width().unwrap_or(0)
}

/// Columns that `text` takes, character by character, as terminals count.
pub fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

/// The longest begin of `text` that takes at most `columns`.
fn head(text: &str, columns: usize) -> &str {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += char_width(c);
        if used > columns {
            return text.get(..at).unwrap_or_default();
        }
    }
    text
}

/// The longest end of `text` that takes at most `columns`.
fn tail(text: &str, columns: usize) -> &str {
    let mut used = 0;
    for (at, c) in text.char_indices().rev() {
        used += char_width(c);
        if used > columns {
            return text.get(at + c.len_utf8()..).unwrap_or_default();
        }
    }
    text
}

/// `text` in at most `columns`: its begin and an ellipsis when it is longer.
pub fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    if columns == 0 {
        return String::new();
    }
    format!("{}…", head(text, columns - 1))
}

/// `text` in at most `columns`: an ellipsis and its end when it is longer.
fn keep_tail(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    if columns == 0 {
        return String::new();
    }
    format!("…{}", tail(text, columns - 1))
}

/// Account and resource of an ARN that has both.
fn arn_parts(text: &str) -> Option<(&str, &str)> {
    let mut parts = text.splitn(6, ':');
    let is_arn = parts.next() == Some("arn");
    let (account, resource) = (parts.nth(3)?, parts.next()?);
    (is_arn && !account.is_empty() && !resource.is_empty()).then_some((account, resource))
}

/// A key's id as `key/1ed6e400…b002` or `key/mrk-5ec2e75a…0001`; other resources as they are.
fn brief_resource(resource: &str) -> String {
    match resource.split_once('/') {
        Some(("key", id)) if width(id) > 20 => {
            let begin = if id.starts_with("mrk-") { 12 } else { 8 };
            format!("key/{}…{}", head(id, begin), tail(id, 4))
        }
        _ => resource.to_owned(),
    }
}

/// A text in at most `columns`. An ARN loses its front first, then the middle of its resource, and keeps account and end as
/// long as they fit; a path keeps its end; everything else its begin. An ellipsis stands for what is left out.
pub fn shorten(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    if let Some((account, resource)) = arn_parts(text) {
        for short in [format!("…:{account}:{resource}"), format!("…:{account}:{}", brief_resource(resource))] {
            if width(&short) <= columns {
                return short;
            }
        }
        let kind = resource.split_once('/').map(|(kind, _)| format!("{kind}/")).unwrap_or_default();
        let front = format!("…:{account}:{kind}");
        if width(&front) + 8 <= columns {
            return format!("{front}{}", keep_tail(resource, columns - width(&front)));
        }
        return keep_tail(resource, columns);
    }
    let is_path = text.contains('/') && !text.contains(' ');
    if is_path { keep_tail(text, columns) } else { cut(text, columns) }
}

/// A sentence with its ARNs in short: `…:111122223333:user/ann`, `…:111122223333:key/1ed6e400…b002`.
pub fn brief(sentence: &str) -> String {
    let mut out = String::with_capacity(sentence.len());
    let mut rest = sentence;
    while let Some(at) = rest.find("arn:") {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let end = from.find(|c: char| c.is_whitespace() || ",;()\"'<>".contains(c)).unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        let arn = word.trim_end_matches(['.', ':']);
        let is_word = !before.ends_with(|c: char| c.is_alphanumeric());
        match arn_parts(arn).filter(|_| is_word) {
            Some((account, resource)) => {
                out.push_str(&format!("…:{account}:{}", brief_resource(resource)));
                out.push_str(word.get(arn.len()..).unwrap_or_default());
            }
            None => out.push_str(word),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// `text` in lines of at most `columns`, broken between words; a word that is longer than a line is broken anywhere. With
/// more than `rows` lines the last one ends with an ellipsis.
pub fn wrap(text: &str, columns: usize, rows: usize) -> Vec<String> {
    let columns = columns.max(2);
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for mut word in text.split_whitespace() {
        loop {
            let gap = usize::from(!line.is_empty());
            if width(&line) + gap + width(word) <= columns {
                if gap == 1 {
                    line.push(' ');
                }
                line.push_str(word);
                break;
            }
            if !line.is_empty() {
                lines.push(std::mem::take(&mut line));
            } else {
                let part = head(word, columns);
                lines.push(part.to_owned());
                word = word.get(part.len()..).unwrap_or_default();
            }
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    if lines.len() > rows {
        let next = lines.get(rows).cloned().unwrap_or_default();
        lines.truncate(rows);
        if let Some(last) = lines.last_mut() {
            *last = format!("{}…", head(&format!("{last} {next}"), columns - 1).trim_end());
        }
    }
    lines
}

/// Shares `width` among columns that want `wanted` columns: the widest give way first, and `rigid` ones (times and numbers, of
/// which a part tells nothing) only when the others have given what they can.
fn share(wanted: &[usize], rigid: &[bool], width: usize) -> Vec<usize> {
    const LEAST: usize = 6;
    let room = width.saturating_sub(2 * wanted.len().saturating_sub(1));
    let most = wanted.iter().copied().max().unwrap_or(0);
    let shares = |limit: usize, all: usize| -> Vec<usize> {
        wanted.iter().zip(rigid).map(|(want, is_rigid)| *want.min(if *is_rigid { &all } else { &limit })).collect()
    };
    let (mut limit, mut all) = (most, most);
    while limit > LEAST && shares(limit, all).iter().sum::<usize>() > room {
        limit -= 1;
    }
    while all > LEAST && shares(limit, all).iter().sum::<usize>() > room {
        all -= 1;
    }
    shares(limit, all)
}

/// Lays out a table. With `width` 0 nothing is cut, as for a pipe.
pub fn table(names: &[impl AsRef<str>], rows: &[Vec<Cell<'_>>], columns: usize) -> String {
    let texts: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| sanitize(&cell.to_text())).collect()).collect();
    let mut wanted: Vec<usize> = names.iter().map(|name| width(name.as_ref())).collect();
    for row in &texts {
        for (want, text) in wanted.iter_mut().zip(row) {
            *want = (*want).max(width(text));
        }
    }
    let all = |is: fn(&Cell<'_>) -> bool| -> Vec<bool> {
        let column = |i: usize| rows.iter().filter_map(move |row| row.get(i)).filter(|cell| **cell != Cell::Null);
        (0..names.len()).map(|i| column(i).next().is_some() && column(i).all(is)).collect()
    };
    let is_number = all(|cell| matches!(cell, Cell::Integer(_) | Cell::Float(_)));
    let is_rigid = all(|cell| !matches!(cell, Cell::Text(_)));
    let widths = if columns == 0 { wanted } else { share(&wanted, &is_rigid, columns) };
    let mut out = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        let mut first = true;
        for ((cell, column), right) in cells.zip(&widths).zip(&is_number) {
            if !std::mem::take(&mut first) {
                text.push_str("  ");
            }
            let cell = shorten(cell, *column);
            let pad = " ".repeat(column.saturating_sub(width(&cell)));
            if *right {
                text.push_str(&pad);
                text.push_str(&cell);
            } else {
                text.push_str(&cell);
                text.push_str(&pad);
            }
        }
        out.push_str(text.trim_end());
        out.push('\n');
    };
    line(&mut names.iter().map(AsRef::as_ref));
    for row in &texts {
        line(&mut row.iter().map(String::as_str));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/1ed6e400-77aa-4b0b-8c1e-90f3a5e0b002";

    #[test]
    fn log_text_cannot_steer_the_terminal() {
        assert_eq!(sanitize("a\u{1b}[2Jb\u{202e}c"), "a\\u{1b}[2Jb\\u{202e}c");
        for c in
            ('\u{202a}'..='\u{202e}').chain('\u{2066}'..='\u{2069}').chain(['\u{200b}', '\u{feff}', '\u{9b}', '\n'])
        {
            assert_eq!(sanitize(&c.to_string()), c.escape_unicode().to_string());
        }
        assert_eq!(sanitize("Zoë 東京 ❤"), "Zoë 東京 ❤");
    }

    #[test]
    fn wide_columns_give_way_and_numbers_stand_right() {
        let rows = vec![
            vec![Cell::Text("a".repeat(40).into()), Cell::Integer(5)],
            vec![Cell::Text("b".into()), Cell::Integer(1234)],
        ];
        let out = table(&["name", "count"], &rows, 20);
        assert_eq!(out, "name           count\naaaaaaaaaaaa…      5\nb               1234\n");
    }

    #[test]
    fn numbers_and_times_give_way_last() {
        let row = vec![Cell::Integer(1_234_567_890), Cell::Text("text that gives way".into())];
        assert_eq!(table(&["number", "text"], &[row], 22), "    number  text\n1234567890  text that…\n");
    }

    #[test]
    fn wide_characters_take_two_columns() {
        let rows =
            vec![vec![Cell::Text("東京".into()), Cell::Integer(1)], vec![Cell::Text("abcd".into()), Cell::Integer(2)]];
        assert_eq!(table(&["n", "c"], &rows, 0), "n     c\n東京  1\nabcd  2\n");
    }

    #[test]
    fn arns_keep_account_and_end() {
        for (columns, expected) in [
            (80, KEY),
            (60, "…:111122223333:key/1ed6e400-77aa-4b0b-8c1e-90f3a5e0b002"),
            (40, "…:111122223333:key/1ed6e400…b002"),
            (30, "…:111122223333:key/…f3a5e0b002"),
            (12, "…0f3a5e0b002"),
            (1, "…"),
            (0, ""),
        ] {
            assert_eq!(shorten(KEY, columns), expected);
        }
        assert_eq!(
            shorten("AWSLogs/111122223333/CloudTrail/eu-west-1/x_1015Z_pr1u9.json.gz", 24),
            "…1/x_1015Z_pr1u9.json.gz"
        );
        assert_eq!(shorten("a sentence about a/b that is long", 12), "a sentence …");
    }

    #[test]
    fn sentences_have_short_arns() {
        let text =
            format!("arn:aws:iam::111122223333:user/ann used {KEY}, and arn:aws:s3:::bucket/x. (carn:aws:kms:a:b:c)");
        assert_eq!(
            brief(&text),
            "…:111122223333:user/ann used …:111122223333:key/1ed6e400…b002, and arn:aws:s3:::bucket/x. (carn:aws:kms:a:b:c)"
        );
    }

    #[test]
    fn long_text_is_wrapped_and_says_when_it_ends_early() {
        assert_eq!(wrap("one two three four", 9, 9), ["one two", "three", "four"]);
        assert_eq!(wrap("one two three four", 9, 2), ["one two", "three fo…"]);
        assert_eq!(wrap("one two three four", 6, 1), ["one t…"]);
        assert_eq!(wrap("abcdefghij k", 4, 9), ["abcd", "efgh", "ij k"]);
        assert!(wrap("", 9, 2).is_empty());
    }

    proptest! {
        #[test]
        fn whatever_is_printed_is_seen_and_fits(text in "\\PC{0,40}|[\\x00-\\x{2fff}]{0,40}|.{0,40}", columns in 0usize..50) {
            let safe = sanitize(&text);
            prop_assert!(!safe.chars().any(is_hidden));
            prop_assert!(text.chars().any(is_hidden) || safe == text);
            for short in [cut(&safe, columns), shorten(&safe, columns), shorten(&format!("{KEY}{safe}"), columns)] {
                prop_assert!(width(&short) <= columns, "{short:?} in {columns}");
            }
            prop_assert!(cut(&safe, columns) == safe || columns == 0 || cut(&safe, columns).ends_with('…'));
            for line in wrap(&safe, columns, 5) {
                prop_assert!(width(&line) <= columns.max(2), "{line:?} in {columns}");
            }
        }

        #[test]
        fn wrapping_keeps_every_word(words in proptest::collection::vec("[a-z]{1,8}", 0..20), columns in 8usize..40) {
            prop_assert_eq!(wrap(&words.join(" "), columns, usize::MAX).join(" "), words.join(" "));
        }
    }
}
