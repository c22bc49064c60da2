//! The SQL guard: what keytrail runs means the same on every engine.
//!
//! In: one statement, and the tables that exist. Out: the statement as it is run, or every reason why it is not, each with
//! its line and what to write instead. Polars SQL gives silently wrong rows for a number of constructs (unsigned 32-bit
//! counts, ranges in outer joins, running aggregates over ties ...), and a forensic tool must not run them. So this is a
//! whitelist: what was compared row by row on Polars, DuckDB and Spark passes; what only needs another spelling is
//! rewritten; all else is refused. Whoever wants more opens the case's Parquet in DuckDB. Deliberately absent: types. The
//! guard sees names only, so it takes `..._time`, `..._at` for timestamps and `..._date` for dates.
//!
//! Rewritten are: counts, ranks, lengths and positions, which become BIGINT where they are made; integers made by CASE or
//! written in a projection, which become BIGINT; `COUNT(1)`, which becomes `COUNT(*)`; the place of NULLs in every ORDER
//! BY, which is said; RANK by one column, which is told how to rank NULL.

mod calls;
mod expression;
mod forms;
mod from;
mod functions;
mod grouped;
mod select;
mod window;
mod words;
#[cfg(test)]
mod tests;

use crate::error::Error;
use sqlparser::ast::{Expr, Ident, Query, Spanned, Statement};
use sqlparser::dialect::GenericDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, Tokenizer};
use std::collections::{BTreeMap, BTreeSet};

/// Tokens of a statement. The longest of the library has a third of it.
const MAX_TOKENS: usize = 10_000;
/// Operators between two keywords of the statement's frame. The parser makes a chain of them as deep as it is long, and
/// walking down a deep tree exhausts the stack; the library's longest stretch has a tenth of it.
const MAX_OPERATORS: usize = 800;
/// Nesting of expressions.
const MAX_DEPTH: usize = 200;

/// The tables a statement may name.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    tables: BTreeMap<String, Relation>,
}

impl Tables {
    /// Tables of these names, with `params`, `home_accounts` and `evidence`, which always exist. `events` is known to have
    /// one row per `event_id`.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Tables {
        let mut tables = Tables::default();
        for name in names.into_iter().chain(super::library::IMPLIED_TABLES) {
            tables.add(name);
        }
        tables
    }

    /// Adds a table.
    pub fn add(&mut self, name: &str) {
        let unique = (name == "events").then(|| vec![BTreeSet::from(["event_id".to_owned()])]);
        let is_one_row = name == "params" || name == "evidence";
        self.tables.insert(name.to_owned(), Relation { unique, is_one_row, columns: Vec::new() });
    }

    fn names(&self) -> String {
        self.tables.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

/// What is known about a table, a CTE or a derived table.
#[derive(Clone, Debug, Default)]
struct Relation {
    /// What identifies a row of an event-like relation: one set of equal columns for each event that is part of the row. An
    /// empty set is an id that was lost on the way. `None` when its rows are something else.
    unique: Option<Vec<BTreeSet<String>>>,
    /// It has at most one row.
    is_one_row: bool,
    /// Its column names; empty when they are not known.
    columns: Vec<String>,
}

/// What the expressions of one SELECT can see.
#[derive(Clone, Debug, Default)]
struct Scope {
    /// The names of the tables in FROM.
    names: BTreeSet<String>,
    /// As in [`Relation::unique`], for the joined rows.
    unique: Option<Vec<BTreeSet<String>>>,
}

/// One key of the final ORDER BY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderKey {
    /// The result column, or a column of the last SELECT.
    pub column: String,
    /// From the greatest to the smallest.
    pub is_descending: bool,
    /// NULL comes first.
    pub is_nulls_first: bool,
}

/// A statement that passed.
#[derive(Clone, Debug)]
pub struct Guarded {
    /// The statement as it is run.
    pub sql: String,
    /// The tables it names, without its own CTEs.
    pub tables: BTreeSet<String>,
    /// Columns made by `STRING_AGG`, whose items are put in order by the runner.
    pub lists: BTreeSet<String>,
    /// The result columns; empty for `SELECT *`.
    pub columns: Vec<String>,
    /// The final ORDER BY.
    pub order_by: Vec<OrderKey>,
}

/// Checks and rewrites the statement `text` of `query`.
///
/// # Errors
/// Every construct that is not run, with its line.
pub fn guard(query: &str, text: &str, tables: &Tables) -> Result<Guarded, Vec<Error>> {
    let mut guard = Guard {
        query,
        tables,
        faults: Vec::new(),
        line: 1,
        depth: 0,
        used: BTreeSet::new(),
        ctes: BTreeMap::new(),
        scopes: Vec::new(),
        lists: BTreeSet::new(),
    };
    let Some(mut statement) = guard.parse(text) else { return Err(guard.faults) };
    let (relation, order_by) = guard.statement(&mut statement);
    if !guard.faults.is_empty() {
        return Err(guard.faults);
    }
    Ok(Guarded {
        sql: format!("{statement:#}"),
        tables: guard.used,
        lists: guard.lists,
        columns: relation.columns,
        order_by,
    })
}

/// The walk over one statement.
struct Guard<'a> {
    query: &'a str,
    tables: &'a Tables,
    faults: Vec<Error>,
    /// The line of the construct being looked at: the last one that was known.
    line: u64,
    depth: usize,
    used: BTreeSet<String>,
    ctes: BTreeMap<String, Relation>,
    /// The SELECTs around, innermost last.
    scopes: Vec<Scope>,
    lists: BTreeSet<String>,
}

impl Guard<'_> {
    fn parse(&mut self, text: &str) -> Option<Query> {
        let tokens = match Tokenizer::new(&GenericDialect, text).tokenize() {
            Ok(tokens) => tokens,
            Err(error) => {
                self.line = error.location.line;
                self.refuse("the text is no SQL", &error.message);
                return None;
            }
        };
        if tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))).count() > MAX_TOKENS {
            self.refuse("the statement is too long", "split it into views");
            return None;
        }
        if longest_stretch(&tokens) > MAX_OPERATORS {
            self.refuse(
                "an expression with more than 800 operators",
                "write IN for many values, or split it over CTEs",
            );
            return None;
        }
        let statements = match Parser::parse_sql(&GenericDialect, text) {
            Ok(statements) => statements,
            Err(error) => {
                let message = error.to_string();
                if let Some(line) = line_in(&message) {
                    self.line = line;
                }
                self.refuse("the text is no statement of the SQL subset", &message);
                return None;
            }
        };
        let count = statements.len();
        let mut statements = statements.into_iter();
        match (statements.next(), statements.next()) {
            (Some(Statement::Query(query)), None) => Some(*query),
            (Some(_), None) => {
                self.refuse("only a SELECT is run", "keytrail never changes a table");
                None
            }
            (None, _) => {
                self.refuse("there is no statement", "write one SELECT");
                None
            }
            (Some(_), Some(second)) => {
                self.at(second.span().start.line);
                self.refuse(&format!("{count} statements"), "write one SELECT; steps before it are CTEs");
                None
            }
        }
    }

    /// Notes the line of what is looked at; 0 means unknown.
    fn at(&mut self, line: u64) {
        if line > 0 {
            self.line = line;
        }
    }

    /// Refuses what is looked at: what it is and why not, and what to write instead.
    fn refuse(&mut self, what: &str, instead: &str) {
        let message = format!("{what}: {instead}");
        let line = self.line;
        let is_known =
            |fault: &Error| matches!(fault, Error::Query { line: l, message: m, .. } if *l == line && *m == message);
        if !self.faults.iter().any(is_known) {
            self.faults.push(Error::Query { query: self.query.to_owned(), line, message });
        }
    }

    /// Checks the name of a CTE or the alias of a table.
    fn table_name(&mut self, ident: &Ident) {
        self.name(ident);
        if words::is_reserved(&ident.value) {
            self.refuse(
                &format!("`{ident}` as the name of a table"),
                &format!("it is a word of DuckDB's or Spark's own; choose another, such as `{ident}_rows` or a letter"),
            );
        }
    }

    /// Checks a name: of a column, a table or an alias.
    fn name(&mut self, ident: &Ident) {
        self.at(ident.span.start.line);
        let name = &ident.value;
        if ident.quote_style.is_some() {
            self.refuse(
                &format!("the quoted name {ident}"),
                "engines quote differently; choose a plain lower-case name",
            );
        } else if name.chars().any(|c| c.is_ascii_uppercase()) {
            self.refuse(
                &format!("the upper-case name `{name}`"),
                &format!(
                    "identifiers are case-sensitive in one engine and not in others; write `{}`",
                    name.to_lowercase()
                ),
            );
        } else if !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
            self.refuse(&format!("the name `{name}`"), "names consist of lower-case letters, digits and `_`");
        }
    }
}

/// The most operators between two keywords that begin a clause.
fn longest_stretch(tokens: &[Token]) -> usize {
    let (mut longest, mut stretch) = (0, 0);
    for token in tokens {
        match token {
            Token::Word(word) => match word.keyword {
                Keyword::AND | Keyword::OR | Keyword::NOT | Keyword::IS | Keyword::LIKE => stretch += 1,
                Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT => longest += 1,
                Keyword::SELECT | Keyword::FROM | Keyword::WHERE | Keyword::GROUP | Keyword::ORDER => stretch = 0,
                _ => {}
            },
            Token::Whitespace(_) | Token::Comma | Token::Period | Token::Number(..) | Token::SingleQuotedString(_) => {}
            Token::LParen | Token::RParen => {}
            _ => stretch += 1,
        }
        longest = longest.max(stretch);
    }
    longest
}

/// The line in a parser's message, which ends in `at Line: 3, Column: 7`.
fn line_in(message: &str) -> Option<u64> {
    let after = message.rsplit_once("Line: ")?.1;
    after.split(',').next()?.trim().parse().ok()
}

/// The line an expression begins on; 0 when that is not known. The parser's own span walks the whole tree, and that deep.
fn line_of(expr: &Expr) -> u64 {
    let mut expr = expr;
    loop {
        let line = match expr {
            Expr::Identifier(ident) => ident.span.start.line,
            Expr::CompoundIdentifier(parts) => parts.first().map_or(0, |ident| ident.span.start.line),
            Expr::Value(value) => value.span.start.line,
            Expr::TypedString(typed) => typed.value.span.start.line,
            Expr::Case { case_token, .. } => case_token.0.span.start.line,
            Expr::Function(function) => function.name.span().start.line,
            _ => 0,
        };
        match functions::children(expr).first() {
            Some(first) if line == 0 => expr = first,
            _ => return line,
        }
    }
}

/// The expression without parentheses around it.
fn bare(expr: &Expr) -> &Expr {
    let mut expr = expr;
    while let Expr::Nested(inner) = expr {
        expr = inner;
    }
    expr
}

/// The column that an expression is, without its qualifier.
fn column_of(expr: &Expr) -> Option<&Ident> {
    match bare(expr) {
        Expr::Identifier(ident) => Some(ident),
        Expr::CompoundIdentifier(parts) => parts.last(),
        _ => None,
    }
}

/// Where a table of an explanation comes from.
#[derive(Clone, Debug)]
pub enum TableSource {
    /// Parquet files: a path, or a pattern with `*`.
    Parquet(String),
    /// A SELECT that gives the rows.
    Select(String),
}

/// How to run a passed statement elsewhere: the statement, and a DuckDB command line over the case's Parquet files.
pub fn explain(guarded: &Guarded, sources: &[(String, TableSource)]) -> String {
    let mut script = String::new();
    let is_named = |name: &str| guarded.tables.contains(name);
    // `evidence` is a SELECT over `events`.
    let is_needed = |name: &str| is_named(name) || (name == "events" && is_named("evidence"));
    for (name, source) in sources.iter().filter(|(name, _)| is_needed(name)) {
        let select = match source {
            TableSource::Parquet(path) => {
                format!("SELECT * FROM read_parquet('{}', hive_partitioning = false)", path.replace('\'', "''"))
            }
            TableSource::Select(select) => select.clone(),
        };
        script.push_str(&format!("CREATE VIEW {name} AS {select};\n"));
    }
    format!(
        "-- The statement as keytrail runs it. It means the same in DuckDB and Spark SQL.\n{sql};\n\n\
         # The same in DuckDB:\nduckdb <<'KEYTRAIL_SQL'\n{script}{sql};\nKEYTRAIL_SQL\n",
        sql = guarded.sql
    )
}
