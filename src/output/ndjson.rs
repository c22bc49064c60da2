//! NDJSON: one JSON object a line.
//!
//! In: column names and cells. Out: bytes. NULL members are written as `null`, so that every line has every column. Columns
//! that hold JSON text stay text: what is inside a log's field must not become structure.

use super::Cell;
use crate::json::write_string;

/// Appends one object without a line end.
pub fn write_object<'c>(names: &[impl AsRef<str>], cells: impl IntoIterator<Item = Cell<'c>>, out: &mut String) {
    out.push('{');
    for (i, (name, cell)) in names.iter().zip(cells).enumerate() {
        if i > 0 {
            out.push(',');
        }
        write_string(name.as_ref(), out);
        out.push(':');
        match &cell {
            Cell::Null => out.push_str("null"),
            Cell::Float(value) if !value.is_finite() => out.push_str("null"),
            Cell::Boolean(_) | Cell::Integer(_) | Cell::Float(_) => out.push_str(&cell.to_text()),
            Cell::Text(_) | Cell::Timestamp(_) | Cell::Date(_) => write_string(&cell.to_text(), out),
        }
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_stays_one_line_of_json() {
        let mut out = String::new();
        write_object(&["a", "b"], [Cell::Text("x\"\n\u{1}".into()), Cell::Null], &mut out);
        assert_eq!(out, r#"{"a":"x\"\n\u0001","b":null}"#);
        assert!(serde_json::from_str::<serde_json::Value>(&out).is_ok());
    }
}
