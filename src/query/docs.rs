//! The documentation of the library, made from the headers of its files.
//!
//! In: a library. Out: Markdown, kept as `docs/QUERIES.md`; a test holds the file to it. What a rule is for, what it cannot
//! see and when it is wrong stands once, beside its SQL.

use super::header::{Header, QueryKind};
use super::library::{Library, LibraryQuery};
use super::params::ParamValue;
use std::fmt::Write;

/// A parameter's value as it is written in a header.
pub fn value_text(value: &ParamValue) -> String {
    match value {
        ParamValue::Integer(number) => number.to_string(),
        ParamValue::Decimal(number) => number.to_string(),
        ParamValue::Text(text) => format!("'{text}'"),
    }
}

/// The parameters of a query with their defaults, `name = value`, comma-separated.
pub fn params_text(header: &Header) -> String {
    let params: Vec<String> =
        header.params.iter().map(|param| format!("{} = {}", param.name, value_text(&param.value))).collect();
    params.join(", ")
}

fn heading(kind: QueryKind) -> &'static str {
    match kind {
        QueryKind::View => "Views",
        QueryKind::Detect => "Rules",
        QueryKind::Review => "Reviews",
        QueryKind::Timeline => "Timelines",
        QueryKind::Investigate => "Investigations",
    }
}

fn describe(query: &LibraryQuery, out: &mut String) {
    let header = &query.header;
    // Writing into a String cannot fail.
    let _ = writeln!(out, "\n### {}\n\n{}\n", query.id, header.title);
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(out, "- **{name}:** {value}");
        }
    };
    line("Severity", header.severity.map_or("", |severity| severity.as_str()));
    line("ATT&CK", &header.attack);
    line("What it means", &header.description);
    line("False positives", &header.false_positives);
    line("Blind spots", &header.blind_spots);
    line("Controls", &header.controls);
    line("Reads", &header.reads.join(", "));
    line("Parameters", &params_text(header));
    line("File", &format!("queries/{}", query.path));
}

/// Every kind of query in a section of its own, every query with what its header says.
pub fn markdown(library: &Library) -> String {
    let mut out = String::from("# Queries\n\nGenerated from the headers of the query files; do not edit.\n");
    for kind in QueryKind::ALL {
        let queries: Vec<&LibraryQuery> = library.of_kind(kind).collect();
        if queries.is_empty() {
            continue;
        }
        let _ = writeln!(out, "\n## {}", heading(kind));
        for query in queries {
            describe(query, &mut out);
        }
    }
    out
}
