//! From data to one HTML file.
//!
//! In: a [`Report`]. Out: HTML that needs nothing but itself. The templates escape every value; the only texts that are
//! taken as they are come from here: the style, the script, the drawings (numbers and dates), and data blocks in which no
//! `<` is left. The Content-Security-Policy allows the style and the script by their hashes and nothing else: even a text
//! that slipped through unescaped could not run, and could fetch nothing.

use super::model::{Cited, FindingRow, Report, Subject};
use crate::error::{Error, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, Value, context};
use serde::Serialize;
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("templates/report.css");
const SCRIPT: &str = include_str!("templates/report.js");

const TEMPLATES: [(&str, &str); 5] = [
    ("report.html", include_str!("templates/report.html")),
    ("macros.html", include_str!("templates/macros.html")),
    ("subject.html", include_str!("templates/subject.html")),
    ("finding.html", include_str!("templates/finding.html")),
    ("cited.html", include_str!("templates/cited.html")),
];

/// `sha256-...` as a Content-Security-Policy names an inline text.
fn csp_hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text.as_bytes())))
}

/// The templates, ready.
pub(super) struct Pages {
    environment: Environment<'static>,
}

impl Pages {
    /// Loads the templates.
    ///
    /// # Errors
    /// When one of them is not well-formed.
    pub(super) fn new() -> Result<Pages> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(failed)?;
        environment.set_syntax(syntax);
        for (name, text) in TEMPLATES {
            environment.add_template(name, text).map_err(failed)?;
        }
        Ok(Pages { environment })
    }

    fn render(&self, name: &str, context: Value) -> Result<String> {
        self.environment.get_template(name).and_then(|template| template.render(context)).map_err(failed)
    }

    /// The section of a key or principal.
    ///
    /// # Errors
    /// When the template fails.
    pub(super) fn subject(&self, subject: &Subject) -> Result<String> {
        self.render("subject.html", context! { s => value(subject) })
    }

    /// What stands in the place of a section that is left out.
    pub(super) fn left_out(&self, subject: &Subject) -> Result<String> {
        self.render("subject.html", context! { s => value(subject), is_left_out => true })
    }

    /// A cited event.
    ///
    /// # Errors
    /// When the template fails.
    pub(super) fn cited(&self, event: &Cited) -> Result<String> {
        self.render("cited.html", context! { e => value(event) })
    }

    /// A finding, as a row.
    ///
    /// # Errors
    /// When the template fails.
    pub(super) fn finding(&self, finding: &FindingRow) -> Result<String> {
        self.render("finding.html", context! { f => value(finding) })
    }

    /// The whole report.
    ///
    /// # Errors
    /// When a template fails.
    pub(super) fn report(&self, report: &Report) -> Result<String> {
        let policy = format!(
            "default-src 'none'; style-src '{}'; script-src '{}'; base-uri 'none'; form-action 'none'",
            csp_hash(STYLE),
            csp_hash(SCRIPT)
        );
        self.render("report.html", context! { r => value(report), policy, style => STYLE, script => SCRIPT })
    }
}

fn value(data: impl Serialize) -> Value {
    Value::from(Serde(data))
}

fn failed(error: minijinja::Error) -> Error {
    Error::Usage(format!("the report's template failed, which is a fault of keytrail: {error:#}"))
}

#[cfg(test)]
mod tests {
    use super::super::model::{Fact, Grid, Item};
    use super::*;

    #[test]
    fn hashes_are_those_that_browsers_compute() {
        // From the Content Security Policy specification, level 2, section 4.2.4.
        assert_eq!(csp_hash("alert('Hello, world.');"), "sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng=");
    }

    #[test]
    fn nothing_from_a_log_is_markup() {
        let hostile = "\"><img src=x onerror=alert(1)><script>alert(2)</script>";
        let mut grid = Grid::new(hostile, &["Head"]);
        grid.rows = vec![vec![Item::name(hostile)]];
        grid.note = hostile.to_owned();
        let subject = Subject {
            anchor: "key-1".to_owned(),
            name: hostile.to_owned(),
            also: hostile.to_owned(),
            brief: hostile.to_owned(),
            worst: Item::text(hostile),
            facts: vec![Fact { name: "x", value: Item::text(hostile) }],
            ribbon: None,
            usage: None,
            grids: vec![grid],
            policies: Vec::new(),
            acts: Vec::new(),
            acts_note: hostile.to_owned(),
        };
        let html = Pages::new().unwrap().subject(&subject).unwrap();
        assert!(html.matches("&lt;script&gt;").count() >= 7, "{html}");
        assert!(!html.contains("<script") && !html.contains("<img"), "{html}");
    }

    #[test]
    fn the_script_never_makes_markup_of_texts() {
        for word in
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "fetch(", "XMLHttp", "import("]
        {
            assert!(!SCRIPT.contains(word), "{word}");
        }
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
        for (name, text) in TEMPLATES {
            assert!(!text.contains(" style=") && !text.contains(" onclick"), "{name}");
        }
    }
}
