//! `keytrail queries`: the library for people who read and write rules.
//!
//! In: the built-in library and the user's folders. Out: a list, one query explained, or all faults of a folder.

use super::args::{QueriesArgs, QueriesCommand};
use super::library::load;
use super::query::write_rows;
use super::{Exit, print};
use anyhow::{Context, Result};
use keytrail::output::Cell;
use keytrail::query::docs::params_text;
use keytrail::query::header::QueryKind;
use keytrail::query::library::{Library, LibraryQuery};
use std::io::{BufWriter, IsTerminal};

fn text(text: &str) -> Cell<'static> {
    if text.is_empty() { Cell::Null } else { Cell::Text(text.to_owned().into()) }
}

fn list(args: &QueriesArgs, library: &Library) -> Result<()> {
    let names: Vec<String> = ["id", "kind", "severity", "attack", "title"].map(str::to_owned).to_vec();
    let mut rows = Vec::new();
    for kind in QueryKind::ALL {
        for query in library.of_kind(kind) {
            let severity = query.header.severity.map_or("", |severity| severity.as_str());
            rows.push(vec![
                text(&query.id),
                text(kind.folder()),
                text(severity),
                text(&query.header.attack),
                text(&query.header.title),
            ]);
        }
    }
    let stdout = std::io::stdout();
    let width = if stdout.is_terminal() {
        terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0))
    } else {
        0
    };
    write_rows(&names, &rows, args.format, width, &mut BufWriter::new(stdout.lock()))
}

/// What a query is for, in words, and its SQL.
fn explanation(query: &LibraryQuery) -> String {
    let header = &query.header;
    let mut out = format!("{}: {}\n", query.id, header.title);
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            out.push_str(&format!("{name}: {value}\n"));
        }
    };
    line("severity", header.severity.map_or("", |severity| severity.as_str()));
    line("ATT&CK", &header.attack);
    line("description", &header.description);
    line("false positives", &header.false_positives);
    line("blind spots", &header.blind_spots);
    line("controls", &header.controls);
    line("reads", &header.reads.join(", "));
    line("parameters", &params_text(header));
    for column in &header.columns {
        line(&format!("  {}", column.name), &column.meaning);
    }
    out.push('\n');
    out.push_str(&query.sql);
    out
}

/// Runs the command.
///
/// # Errors
/// When the library cannot be loaded or a query is unknown.
pub(crate) fn run(args: &QueriesArgs) -> Result<Exit> {
    match &args.command {
        None | Some(QueriesCommand::List) => list(args, &load(&args.folders)?)?,
        Some(QueriesCommand::Show { id }) => {
            let library = load(&args.folders)?;
            let query =
                library.get(id).with_context(|| format!("{id}: no such query; `keytrail queries` lists them"))?;
            print(explanation(query))?;
        }
        Some(QueriesCommand::Check { folder, only, keep }) => {
            return super::check::run(folder.as_deref(), only, keep.as_deref());
        }
    }
    Ok(Exit::Done)
}
