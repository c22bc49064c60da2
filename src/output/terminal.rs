//! Tables on a terminal.
//!
//! In: column names, rows of cells and a width in characters. Out: aligned lines. Control, bidirectional and zero-width
//! characters are shown as escapes, because a user agent in a log must not be able to move the cursor or turn text round.

use super::Cell;

/// Text that is safe to print: what could steer a terminal or hide itself becomes `\u{..}`.
pub fn sanitize(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let hidden = c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{61c}');
        if hidden {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(width.saturating_sub(1)).collect();
    out.push('…');
    out
}

/// Shares `width` among columns that want `wanted` characters: the widest give way first.
fn share(wanted: &[usize], width: usize) -> Vec<usize> {
    let room = width.saturating_sub(2 * wanted.len().saturating_sub(1));
    let mut limit = wanted.iter().copied().max().unwrap_or(0);
    while limit > 6 && wanted.iter().map(|want| want.min(&limit)).sum::<usize>() > room {
        limit -= 1;
    }
    wanted.iter().map(|want| *want.min(&limit)).collect()
}

/// Lays out a table. With `width` 0 nothing is cut, as for a pipe.
pub fn table(names: &[impl AsRef<str>], rows: &[Vec<Cell<'_>>], width: usize) -> String {
    let texts: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| sanitize(&cell.to_text())).collect()).collect();
    let mut wanted: Vec<usize> = names.iter().map(|name| name.as_ref().chars().count()).collect();
    for row in &texts {
        for (want, text) in wanted.iter_mut().zip(row) {
            *want = (*want).max(text.chars().count());
        }
    }
    let widths = if width == 0 { wanted } else { share(&wanted, width) };
    let is_number: Vec<bool> = (0..names.len())
        .map(|i| {
            let mut cells = rows.iter().filter_map(|row| row.get(i)).filter(|cell| **cell != Cell::Null).peekable();
            cells.peek().is_some() && cells.all(|cell| matches!(cell, Cell::Integer(_) | Cell::Float(_)))
        })
        .collect();
    let mut out = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        let mut first = true;
        for ((cell, width), right) in cells.zip(&widths).zip(&is_number) {
            if !std::mem::take(&mut first) {
                text.push_str("  ");
            }
            let cell = cut(cell, *width);
            let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
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

    #[test]
    fn log_text_cannot_steer_the_terminal() {
        assert_eq!(sanitize("a\u{1b}[2Jb\u{202e}c"), "a\\u{1b}[2Jb\\u{202e}c");
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
}
