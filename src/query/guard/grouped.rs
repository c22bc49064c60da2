//! What a SELECT that groups or aggregates may compute.
//!
//! In: such a SELECT, before it is rewritten. Out: the reasons against its expressions. Polars evaluates an expression either
//! in the group, where a GROUP BY column is a list, or on the rows of the groups, where a GROUP BY expression has the name
//! of its first column. So it fails when a column meets an aggregate, but only when there are rows; it computes twice what
//! is computed from a GROUP BY expression; and beside an aggregate without GROUP BY it repeats the row for every input row.

use super::functions;
use super::{Guard, bare, column_of, line_of};
use sqlparser::ast::{Expr, GroupByExpr, Ident, Select, SelectItem, UnaryOperator};
use std::collections::BTreeSet;

/// What the rows of a SELECT are grouped by.
struct Keys<'s> {
    /// The plain columns.
    columns: BTreeSet<&'s str>,
    /// All terms.
    terms: &'s [Expr],
}

impl Guard<'_> {
    /// Checks the expressions of a SELECT that groups or aggregates; does nothing for another.
    pub(super) fn grouped(&mut self, select: &Select) {
        let terms = match &select.group_by {
            GroupByExpr::Expressions(terms, _) => terms.as_slice(),
            GroupByExpr::All(_) => return,
        };
        let items: Vec<(&Expr, Option<&Ident>)> = select.projection.iter().filter_map(item).collect();
        let is_aggregate = |(expr, _): &(&Expr, Option<&Ident>)| functions::has_aggregate(expr);
        if terms.is_empty() && !items.iter().any(is_aggregate) {
            return;
        }
        if items.len() < select.projection.len() {
            self.refuse("`*` in a SELECT that groups or aggregates", "name the columns of GROUP BY");
        }
        let is_alias = |term: &&Expr| match bare(term) {
            Expr::Identifier(name) => items
                .iter()
                .any(|found| found.1 == Some(name) && !is_aggregate(found) && !free_columns(found.0).contains(&name)),
            _ => false,
        };
        let columns = terms.iter().filter(|term| !is_alias(term)).filter_map(column_of);
        let columns = columns.map(|ident| ident.value.as_str()).collect();
        let keys = Keys { columns, terms };
        for (expr, alias) in &items {
            if !keys.has(expr, *alias) {
                self.grouped_item(expr, &keys);
            }
        }
        if let Some(condition) = &select.having {
            let sums = items.iter().filter(|found| is_aggregate(found)).filter_map(|(_, alias)| *alias);
            let sums: BTreeSet<&str> = sums.map(|alias| alias.value.as_str()).collect();
            for column in free_columns(condition) {
                let name = column.value.as_str();
                if keys.columns.contains(name) || !sums.contains(name) {
                    self.at(column.span.start.line);
                    self.refuse(
                        &format!("the column `{column}` in HAVING, which is no aggregate's alias"),
                        "Polars fails as soon as there are rows; filter by it in WHERE, or in the CTE after",
                    );
                }
            }
        }
    }

    fn grouped_item(&mut self, expr: &Expr, keys: &Keys<'_>) {
        let free = free_columns(expr);
        for column in &free {
            if keys.columns.contains(column.value.as_str()) {
                continue;
            }
            self.at(column.span.start.line);
            let (what, instead) = if keys.terms.is_empty() {
                ("beside an aggregate without GROUP BY", "group by it, or write MIN or MAX of it")
            } else {
                (
                    "that is neither in GROUP BY nor in an aggregate",
                    "group by it, or write MIN or MAX of it; an expression of GROUP BY stands alone in SELECT, and to compute \
                     with it make it a column in a CTE before",
                )
            };
            self.refuse(&format!("the column `{column}` {what}"), instead);
            return;
        }
        let Some(column) = free.first() else { return };
        self.at(column.span.start.line);
        if functions::has_aggregate(expr) {
            self.refuse(
                &format!("the GROUP BY column `{column}` and an aggregate in one expression"),
                &format!(
                    "Polars fails as soon as there are rows; write MIN({column}) in it, or combine the two in the CTE after"
                ),
            );
        } else if functions::any(expr, |expr| matches!(expr, Expr::InList { .. })) {
            self.refuse(
                &format!("IN over the GROUP BY column `{column}`"),
                &format!(
                    "Polars fails as soon as there are rows; write {column} = 'a' OR {column} = 'b', or IN in the CTE before or after"
                ),
            );
        }
    }

    /// Checks that no two terms of GROUP BY have one name in Polars.
    pub(super) fn group_names(&mut self, terms: &[Expr]) {
        let mut columns: BTreeSet<&str> = BTreeSet::new();
        for term in terms {
            self.at(line_of(term));
            let Some(name) = polars_name(term) else { continue };
            if columns.insert(name) {
                continue;
            }
            if terms.iter().all(|term| polars_name(term) != Some(name) || column_of(term).is_some()) {
                self.refuse(
                    &format!("GROUP BY two columns called `{name}`"),
                    "Polars refuses that; rename one of them in a CTE",
                );
            } else {
                self.refuse(
                    "GROUP BY two expressions that begin with the same column, or with a literal",
                    &format!("Polars calls both `{name}` and refuses that; compute them in a CTE before, and group by its columns"),
                );
            }
        }
    }
}

fn item(item: &SelectItem) -> Option<(&Expr, Option<&Ident>)> {
    match item {
        SelectItem::UnnamedExpr(expr) => Some((expr, column_of(expr))),
        SelectItem::ExprWithAlias { expr, alias } => Some((expr, Some(alias))),
        _ => None,
    }
}

impl Keys<'_> {
    /// True when an item of the SELECT list is what the rows are grouped by, itself or by its alias.
    fn has(&self, expr: &Expr, alias: Option<&Ident>) -> bool {
        let by_alias = |term: &Expr| match (bare(term), alias) {
            (Expr::Identifier(term), Some(alias)) => term == alias && !functions::has_aggregate(expr),
            _ => false,
        };
        self.terms.iter().any(|term| bare(term) == bare(expr) || by_alias(term))
    }
}

/// The columns outside aggregates.
fn free_columns(expr: &Expr) -> Vec<&Ident> {
    let mut open = vec![expr];
    let mut columns = Vec::new();
    while let Some(expr) = open.pop() {
        if let Some(column) = column_of(expr) {
            columns.push(column);
        } else if !functions::is_aggregate(expr) {
            open.extend(functions::children(expr).into_iter().rev());
        }
    }
    columns
}

/// The name that Polars gives an expression without an alias; `None` where that was not tried.
pub(super) fn polars_name(expr: &Expr) -> Option<&str> {
    let mut expr = expr;
    loop {
        if let Some(column) = column_of(expr) {
            return Some(&column.value);
        }
        expr = match expr {
            // It is 0 - x.
            Expr::UnaryOp { op: UnaryOperator::Minus, .. } | Expr::Value(_) => return Some("literal"),
            Expr::Nested(inner)
            | Expr::Cast { expr: inner, .. }
            | Expr::Floor { expr: inner, .. }
            | Expr::Substring { expr: inner, .. }
            | Expr::Trim { expr: inner, .. }
            | Expr::UnaryOp { expr: inner, .. }
            | Expr::IsNull(inner)
            | Expr::IsNotNull(inner)
            | Expr::IsDistinctFrom(inner, _)
            | Expr::IsNotDistinctFrom(inner, _)
            | Expr::InList { expr: inner, .. }
            | Expr::Between { expr: inner, .. }
            | Expr::Like { expr: inner, .. }
            | Expr::ILike { expr: inner, .. }
            | Expr::Position { r#in: inner, .. }
            | Expr::BinaryOp { left: inner, .. } => inner,
            Expr::Case { conditions, .. } => &conditions.first()?.result,
            Expr::Function(function) => match functions::name_of(function)?.as_str() {
                "COALESCE" | "GREATEST" | "LEAST" | "LOWER" | "UPPER" | "LENGTH" | "ABS" | "REPLACE" | "SPLIT_PART" => {
                    functions::arguments(function).into_iter().next()?
                }
                _ => return None,
            },
            _ => return None,
        };
    }
}
