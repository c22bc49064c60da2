//! Cuts a statement into stages, so that no CTE is computed twice.
//!
//! In: a statement that passed the guard. Out: the CTEs that are read more than once, each as a statement of its own, and the
//! rest of the statement over their results. Polars puts the plan of a CTE into every place that reads it; in a chain of
//! CTEs that read each other twice the work doubles at each link. The results of a stage go to a file and not into memory,
//! because one can be as large as the events table.

use sqlparser::ast::{Cte, Query, SetExpr, Statement, TableFactor, VisitMut, VisitorMut};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

/// A CTE that becomes a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stage {
    /// The CTE's name, and so the table's.
    pub(super) table: String,
    /// The statement that fills it; it may read the tables of earlier stages.
    pub(super) sql: String,
}

/// A statement in stages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Staged {
    /// What must be computed first, in order.
    pub(super) stages: Vec<Stage>,
    /// The statement over the stages' tables.
    pub(super) sql: String,
}

/// Counts how often tables are named.
#[derive(Default)]
struct Names(BTreeMap<String, usize>);

impl VisitorMut for Names {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, .. } = factor {
            *self.0.entry(name.to_string()).or_default() += 1;
        }
        ControlFlow::Continue(())
    }
}

fn names(query: &mut Query) -> BTreeMap<String, usize> {
    let mut names = Names::default();
    // The visitor never breaks.
    let _ = query.visit(&mut names);
    names.0
}

/// `body` with the CTEs of `inline` that it needs, directly or through others, in their order.
fn with_needed(body: &Query, inline: &[Cte]) -> String {
    let mut needed: BTreeSet<String> = names(&mut body.clone()).into_keys().collect();
    let mut kept: Vec<&Cte> = Vec::new();
    for cte in inline.iter().rev() {
        if needed.contains(&cte.alias.name.value) {
            needed.extend(names(&mut (*cte.query).clone()).into_keys());
            kept.push(cte);
        }
    }
    let ctes: Vec<String> = kept.into_iter().rev().map(ToString::to_string).collect();
    if ctes.is_empty() { body.to_string() } else { format!("WITH {} {body}", ctes.join(", ")) }
}

/// Cuts `sql`. A statement without repeated CTEs, or one that does not parse, stays as it is.
pub(super) fn cut(sql: &str) -> Staged {
    let whole = || Staged { stages: Vec::new(), sql: sql.to_owned() };
    let Ok(mut statements) = Parser::parse_sql(&GenericDialect, sql) else { return whole() };
    let Some(Statement::Query(mut query)) = statements.pop() else { return whole() };
    let Some(with) = query.with.take() else { return whole() };
    if !matches!(*query.body, SetExpr::Select(_) | SetExpr::SetOperation { .. } | SetExpr::Query(_)) {
        return whole();
    }
    let mut reads = names(&mut query);
    for cte in &with.cte_tables {
        for (name, count) in names(&mut (*cte.query).clone()) {
            *reads.entry(name).or_default() += count;
        }
    }
    let mut stages = Vec::new();
    let mut inline: Vec<Cte> = Vec::new();
    for cte in with.cte_tables {
        let name = cte.alias.name.value.clone();
        if reads.get(&name).is_some_and(|count| *count > 1) && cte.alias.columns.is_empty() {
            stages.push(Stage { table: name, sql: with_needed(&cte.query, &inline) });
        } else {
            inline.push(cte);
        }
    }
    if stages.is_empty() {
        return whole();
    }
    Staged { stages, sql: with_needed(&query, &inline) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_twice_becomes_a_stage_and_the_rest_stays_inline() {
        let sql = "WITH a AS (SELECT x FROM t), b AS (SELECT a.x FROM a), c AS (SELECT b.x FROM b JOIN b AS b2 ON b.x = b2.x) \
                   SELECT c.x FROM c ORDER BY x";
        let staged = cut(sql);
        assert_eq!(
            staged.stages,
            [Stage { table: "b".into(), sql: "WITH a AS (SELECT x FROM t) SELECT a.x FROM a".into() }]
        );
        assert_eq!(staged.sql, "WITH c AS (SELECT b.x FROM b JOIN b AS b2 ON b.x = b2.x) SELECT c.x FROM c ORDER BY x");
    }

    #[test]
    fn a_stage_may_read_an_earlier_one() {
        let sql = "WITH a AS (SELECT x FROM t), b AS (SELECT a.x FROM a JOIN a AS a2 ON a.x = a2.x) \
                   SELECT b.x FROM b JOIN b AS b2 ON b.x = b2.x";
        let staged = cut(sql);
        assert_eq!(staged.stages.iter().map(|stage| stage.table.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(staged.stages[1].sql, "SELECT a.x FROM a JOIN a AS a2 ON a.x = a2.x");
    }

    #[test]
    fn a_statement_without_repetition_is_untouched() {
        for sql in ["SELECT 1", "WITH a AS (SELECT x FROM t) SELECT a.x FROM a", "not sql at all ("] {
            assert_eq!(cut(sql), Staged { stages: Vec::new(), sql: sql.to_owned() });
        }
    }
}
