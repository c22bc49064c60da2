//! Window functions.
//!
//! In: a function with OVER. Out: the same window with the place of NULLs said, or the reasons against it. Polars sorts a
//! window's NULLs first when ascending and last when descending, whatever the statement says; it runs sums row by row; it
//! runs no averages; and ties are broken by chance in every engine, so an event-like table is ordered to its id.

use super::expression::{At, Clause};
use super::forms::null_rank;
use super::functions::Role;
use super::grouped::polars_name;
use super::{Guard, bare, column_of, line_of};
use sqlparser::ast::{
    Expr, Function, FunctionArguments, OrderByExpr, OrderByOptions, UnaryOperator, WindowFrame, WindowFrameBound,
    WindowFrameUnits, WindowSpec, WindowType,
};
use std::collections::BTreeSet;

impl Guard<'_> {
    pub(super) fn window(&mut self, name: &str, role: Role, function: &mut Function, at: &At) {
        let argument = super::functions::arguments(function).first().map(|expr| (*expr).clone());
        let is_distinct = matches!(&function.args, FunctionArguments::List(list) if list.duplicate_treatment.is_some());
        let spec = match &mut function.over {
            Some(WindowType::WindowSpec(spec)) => spec,
            Some(WindowType::NamedWindow(_)) => {
                self.refuse("a named WINDOW", "write the window at each function");
                return;
            }
            None => {
                self.refuse(&format!("{name} without OVER"), "add OVER (PARTITION BY ... ORDER BY ...)");
                return;
            }
        };
        self.window_place(name, role, is_distinct, at);
        let WindowSpec { window_name, partition_by, order_by, window_frame } = spec;
        if window_name.is_some() {
            self.refuse("a named WINDOW", "write the window at each function");
        }
        if partition_by.is_empty() && order_by.is_empty() {
            self.refuse("an empty OVER ()", "Polars gives one row; aggregate in a one-row CTE and CROSS JOIN it");
        }
        for part in partition_by.iter_mut() {
            self.expr(part, At { clause: Clause::GroupBy, ..at.inner() });
        }
        self.window_order(order_by, at);
        self.frame(name, role, !order_by.is_empty(), window_frame.as_ref());
        if order_by.is_empty() {
            if role != Role::Aggregate {
                self.refuse(
                    &format!("{name} without ORDER BY in its window"),
                    "its result would be chance; order by a unique key",
                );
            }
            if argument.is_some_and(|argument| !super::functions::has_column(&argument)) {
                self.refuse(
                    &format!("{name} of a literal in a window"),
                    "Polars does not repeat it for every row; write COUNT(*)",
                );
            }
            return;
        }
        if argument.is_some_and(|argument| column_of(&argument).is_none()) {
            self.refuse(
                &format!("{name} of an expression or literal, in a window with ORDER BY"),
                "engines differ; make it a column in one CTE, and run the window in the next",
            );
        }
        if matches!(name, "RANK" | "DENSE_RANK") {
            if let [only] = order_by.as_slice()
                && is_negated(&only.expr)
            {
                self.refuse(&format!("{name} by one negated number"), "Polars fails; write ORDER BY n DESC");
            }
            rank_null(order_by);
        } else {
            self.unique_order(name, partition_by, order_by);
        }
    }

    fn window_place(&mut self, name: &str, role: Role, is_distinct: bool, at: &At) {
        if at.is_aggregate_select || at.in_aggregate {
            self.refuse(
                &format!("the window function {name} over an aggregate in the same SELECT"),
                "engines differ; aggregate in one CTE, and run the window in the next",
            );
        } else if at.clause == Clause::Qualify {
            self.refuse(&format!("{name} inside QUALIFY"), "give it an alias in SELECT and QUALIFY by the alias");
        } else if !at.is_whole_item {
            self.refuse(
                &format!("the window function {name} inside an expression"),
                "engines differ; give it an alias in one CTE, and compute with it in the next",
            );
        }
        if is_distinct {
            self.refuse(&format!("{name}(DISTINCT ...) in a window"), "count in a CTE and join it");
        }
        if role == Role::Scalar {
            self.refuse(&format!("{name} with OVER"), "it is no window function");
        }
    }

    fn window_order(&mut self, order_by: &mut [OrderByExpr], at: &At) {
        let mut directions = order_by.iter().map(|term| term.options.asc.unwrap_or(true));
        let first = directions.next();
        if directions.any(|direction| Some(direction) != first) {
            self.refuse("ASC and DESC mixed in a window", "Polars refuses that; negate the number: ORDER BY -n, name");
        }
        self.window_names(order_by);
        for OrderByExpr { expr, options: OrderByOptions { asc, nulls_first }, with_fill } in order_by {
            self.at(line_of(expr));
            if with_fill.is_some() {
                self.refuse("WITH FILL", "it is known to one engine only");
            }
            let is_negated = is_negated(expr);
            if column_of(expr).is_none() && !is_negated {
                self.refuse("an expression in a window's ORDER BY", "make it a column in a CTE; only -number is run");
            }
            self.expr(expr, At { clause: Clause::GroupBy, ..at.inner() });
            let is_ascending = asc.unwrap_or(true);
            if nulls_first.is_some_and(|first| first != is_ascending) {
                let (place, instead) = if is_ascending { ("LAST", "FIRST") } else { ("FIRST", "LAST") };
                self.refuse(
                    &format!("NULLS {place} in a window"),
                    &format!("Polars puts them {instead} all the same; filter or COALESCE the NULLs in a CTE"),
                );
            }
            *nulls_first = Some(is_ascending);
        }
    }

    /// Polars makes a record of the terms, and fails when two have one name.
    fn window_names(&mut self, order_by: &[OrderByExpr]) {
        let mut names: BTreeSet<&str> = BTreeSet::new();
        for OrderByExpr { expr, .. } in order_by {
            self.at(line_of(expr));
            let Some(name) = polars_name(expr) else { continue };
            if names.insert(name) {
                continue;
            }
            if is_negated(expr) {
                self.refuse(
                    "two negated numbers in a window's ORDER BY",
                    "Polars gives both one name and fails; make -n a column in a CTE before, and order by that",
                );
            } else {
                self.refuse(
                    &format!("two columns called `{name}` in a window's ORDER BY"),
                    "Polars fails; name each once, and rename one of two tables' columns in a CTE before",
                );
            }
        }
    }

    fn frame(&mut self, name: &str, role: Role, is_ordered: bool, frame: Option<&WindowFrame>) {
        let is_running = is_ordered && role == Role::Aggregate;
        if is_running && matches!(name, "AVG" | "STDDEV" | "MEDIAN") {
            self.refuse(
                &format!("{name} in a window with ORDER BY"),
                "Polars takes the whole partition; divide a running SUM by a running COUNT",
            );
        }
        let Some(frame) = frame else {
            if is_running {
                self.refuse(
                    &format!("a running {name} without a frame"),
                    "the default treats ties differently by engine; order by a unique key and write ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
                );
            }
            return;
        };
        let is_running_frame = frame.units == WindowFrameUnits::Rows
            && matches!(frame.start_bound, WindowFrameBound::Preceding(None))
            && matches!(frame.end_bound, None | Some(WindowFrameBound::CurrentRow));
        if !is_running_frame {
            self.refuse(
                "this window frame",
                "only ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW is run; for a sliding window compare with LAG(event_epoch, n)",
            );
        } else if !is_running && name != "FIRST_VALUE" {
            self.refuse(&format!("a frame at {name}"), "leave it out");
        }
    }

    /// Without an order down to the single event, which of two equal rows comes first is chance.
    fn unique_order(&mut self, name: &str, partition_by: &[Expr], order_by: &[OrderByExpr]) {
        let unique = self.scopes.last().and_then(|scope| scope.unique.clone()).unwrap_or_default();
        let column = |expr: &Expr| match bare(expr) {
            Expr::UnaryOp { expr, .. } => column_of(expr).map(|ident| ident.value.clone()),
            other => column_of(other).map(|ident| ident.value.clone()),
        };
        let terms = partition_by.iter().chain(order_by.iter().map(|term| &term.expr));
        let named: Vec<String> = terms.filter_map(column).collect();
        for ids in unique {
            if named.iter().any(|name| ids.contains(name)) {
                continue;
            }
            let instead = match ids.first() {
                Some(id) => format!("end its ORDER BY in the unique {id}"),
                None => "carry event_id along in the CTEs before, and end the ORDER BY in it".to_owned(),
            };
            self.refuse(
                &format!("{name} over events in an order with ties"),
                &format!("which row comes first is chance; {instead}"),
            );
        }
    }
}

/// True for `-column`.
fn is_negated(expr: &Expr) -> bool {
    matches!(bare(expr), Expr::UnaryOp { op: UnaryOperator::Minus, expr } if column_of(expr).is_some())
}

/// Polars ranks a single NULL as NULL and leaves it out of the count; with a second key it ranks it first.
fn rank_null(order_by: &mut Vec<OrderByExpr>) {
    if let [only] = order_by.as_slice() {
        let first = OrderByExpr { expr: null_rank(&only.expr), options: only.options, with_fill: None };
        order_by.insert(0, first);
    }
}
