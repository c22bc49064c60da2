//! Tables for scripts: columns and rows as JSON in a data block, within a budget.
//!
//! In: rows. Out: JSON that is safe inside a script element, and what was left out. Names that stand in many rows (keys,
//! principals, rules) are written once and then by number, so ten thousand findings fit. Scripts show these texts as text
//! and never as markup. Every `<` is `\u003c`, so that no text from a log can end the block.

use super::model::Paged;
use serde_json::{Value, json};
use std::collections::HashMap;

/// Texts that are written once.
#[derive(Debug, Default)]
pub(super) struct Texts {
    places: HashMap<String, usize>,
    texts: Vec<String>,
}

impl Texts {
    /// The number of a text.
    pub(super) fn number(&mut self, text: &str) -> usize {
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        let place = self.texts.len();
        self.texts.push(text.to_owned());
        self.places.insert(text.to_owned(), place);
        place
    }

    /// A text with a link, by number.
    pub(super) fn linked(&mut self, text: &str, link: &str) -> Value {
        match link {
            "" => json!([self.number(text)]),
            link => json!([self.number(text), link]),
        }
    }
}

/// JSON that can stand inside a script element.
pub(super) fn safe(json: &str) -> String {
    json.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

/// The data block of a table: as many of `rows` as fit into `budget` bytes. `rest` says where the others are.
pub(super) fn block(
    id: &'static str,
    columns: &[[&str; 2]],
    texts: &Texts,
    rows: &[Value],
    budget: usize,
    rest: &str,
) -> Paged {
    let mut body = String::new();
    let names = safe(&json!(texts.texts).to_string());
    let mut shown = 0;
    for row in rows {
        let text = safe(&row.to_string());
        if names.len() + body.len() + text.len() > budget {
            break;
        }
        if shown > 0 {
            body.push(',');
        }
        body.push_str(&text);
        shown += 1;
    }
    let note = match shown == rows.len() {
        true => String::new(),
        false => format!("The first {} rows are here. {rest}", super::format::size(shown)),
    };
    let columns = json!(columns);
    Paged { id, json: format!("{{\"columns\":{columns},\"texts\":{names},\"rows\":[{body}]}}"), rows: shown, note }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_can_end_the_block_and_the_json_means_the_same() {
        let hostile = "</script><script>alert(1)</script><!--\u{2028}&amp;";
        let mut texts = Texts::default();
        let rows = vec![json!([texts.number(hostile), hostile])];
        let paged = block("x", &[["a", "text"]], &texts, &rows, 10_000, "");
        assert!(!paged.json.contains(['<', '>', '&', '\u{2028}']), "{}", paged.json);
        let back: Value = serde_json::from_str(&paged.json).unwrap();
        assert_eq!(back["texts"][0], hostile);
        assert_eq!(back["rows"][0][1], hostile);
    }

    #[test]
    fn rows_beyond_the_budget_are_left_out_with_a_word() {
        let rows: Vec<Value> = (0..1_000).map(|n| json!([n, "x".repeat(100)])).collect();
        let paged = block("x", &[], &Texts::default(), &rows, 5_000, "The rest is in the case.");
        assert!(paged.json.len() < 5_200 && paged.rows > 10, "{}", paged.rows);
        assert!(paged.note.ends_with("The rest is in the case."), "{}", paged.note);
        assert!(serde_json::from_str::<Value>(&paged.json).is_ok());
    }

    #[test]
    fn a_text_that_comes_again_is_written_once() {
        let mut texts = Texts::default();
        assert_eq!([texts.number("a"), texts.number("b"), texts.number("a")], [0, 1, 0]);
    }
}
