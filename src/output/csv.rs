//! CSV as RFC 4180 writes it, with formulas defused.
//!
//! In: cells. Out: bytes. A cell from a log that starts with `=`, `+`, `-`, `@`, a tab or a carriage return would be run by
//! a spreadsheet; such text gets a leading apostrophe, the remedy that OWASP's "CSV Injection" page describes. Numbers and
//! times are ours and stay as they are.

use super::Cell;

/// Appends one line.
pub fn write_row<'c>(cells: impl IntoIterator<Item = Cell<'c>>, out: &mut Vec<u8>) {
    let mut first = true;
    for cell in cells {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        let text = cell.to_text();
        let is_formula = matches!(cell, Cell::Text(_)) && text.starts_with(['=', '+', '-', '@', '\t', '\r']);
        if is_formula || text.contains(['"', ',', '\n', '\r']) {
            out.push(b'"');
            if is_formula {
                out.push(b'\'');
            }
            for byte in text.bytes() {
                if byte == b'"' {
                    out.push(b'"');
                }
                out.push(byte);
            }
            out.push(b'"');
        } else {
            out.extend_from_slice(text.as_bytes());
        }
    }
    out.push(b'\n');
}

/// Appends the header line.
pub fn write_header<'c>(names: impl IntoIterator<Item = &'c str>, out: &mut Vec<u8>) {
    write_row(names.into_iter().map(|name| Cell::Text(name.into())), out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(cells: Vec<Cell<'_>>) -> String {
        let mut out = Vec::new();
        write_row(cells, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn formulas_are_defused_and_numbers_are_not() {
        assert_eq!(
            line(vec![Cell::Text("=cmd|' /C calc'!A0".into()), Cell::Integer(-5)]),
            "\"'=cmd|' /C calc'!A0\",-5\n"
        );
        assert_eq!(line(vec![Cell::Text("@x".into()), Cell::Text("a=b".into())]), "\"'@x\",a=b\n");
    }

    #[test]
    fn quotes_commas_and_lines_survive() {
        assert_eq!(
            line(vec![Cell::Text("a\"b,c\nd".into()), Cell::Null, Cell::Boolean(true)]),
            "\"a\"\"b,c\nd\",,true\n"
        );
    }
}
