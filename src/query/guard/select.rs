//! Statements, SELECTs, GROUP BY and ORDER BY.
//!
//! In: the parsed query. Out: what is known about the rows it gives, for the statements around it. Each structure of the
//! parser is taken apart field by field, so that a clause that a newer parser adds does not slip through unseen.

use super::expression::At;
use super::{Guard, OrderKey, Relation, Scope, bare, column_of, line_of};
use sqlparser::ast::{
    Cte, Distinct, Expr, GroupByExpr, LimitClause, OrderBy, OrderByKind, Query, Select, SelectItem, SetExpr,
    SetOperator, SetQuantifier, Spanned, TableAlias, Value, ValueWithSpan,
};
use std::collections::BTreeSet;

/// What an ORDER BY has to be for its place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    /// The whole statement.
    Statement,
    /// A CTE, a derived table or a subquery.
    Inner,
}

impl Guard<'_> {
    /// Walks over the whole statement.
    pub(super) fn statement(&mut self, query: &mut Query) -> (Relation, Vec<OrderKey>) {
        if let Some(with) = &mut query.with {
            if with.recursive {
                self.at(with.with_token.0.span.start.line);
                self.refuse("a recursive CTE", "Polars has none; the views hold the ledgers that need one");
            }
            for cte in &mut with.cte_tables {
                self.cte(cte);
            }
        }
        self.query_body(query, Level::Statement)
    }

    fn cte(&mut self, cte: &mut Cte) {
        let Cte { alias, query, from, materialized, closing_paren_token: _ } = cte;
        let TableAlias { explicit: _, name, columns, at } = alias;
        self.table_name(name);
        let taken = name.value.clone();
        if self.tables.tables.contains_key(&taken) {
            self.refuse(
                &format!("the CTE `{taken}` has the name of a table"),
                "engines disagree which of the two is meant; choose a name for what a row is",
            );
        }
        if self.ctes.contains_key(&taken) {
            self.refuse(&format!("two CTEs are called `{taken}`"), "choose another name");
        }
        if !columns.is_empty() || at.is_some() || from.is_some() || materialized.is_some() {
            self.refuse("a CTE with a column list or a hint", "name the columns with AS in its SELECT");
        }
        if let Some(with) = &query.with {
            self.at(with.with_token.0.span.start.line);
            self.refuse("a CTE inside a CTE", "put both into one WITH, one after the other");
        }
        let (relation, _) = self.query_body(query, Level::Inner);
        self.ctes.insert(taken, relation);
    }

    /// A subquery or derived table: no CTEs of its own.
    pub(super) fn subquery(&mut self, query: &mut Query) -> Relation {
        if let Some(with) = &query.with {
            self.at(with.with_token.0.span.start.line);
            self.refuse("a CTE inside a subquery", "put it into the WITH of the statement");
        }
        self.query_body(query, Level::Inner).0
    }

    fn query_body(&mut self, query: &mut Query, level: Level) -> (Relation, Vec<OrderKey>) {
        let Query {
            with: _,
            body,
            order_by,
            limit_clause,
            fetch,
            locks,
            for_clause,
            settings,
            format_clause,
            pipe_operators,
        } = query;
        let mut relation = self.set_expr(body);
        let has_other = fetch.is_some()
            || !locks.is_empty()
            || for_clause.is_some()
            || settings.is_some()
            || format_clause.is_some()
            || !pipe_operators.is_empty();
        if has_other {
            self.refuse("FETCH, FOR, SETTINGS, FORMAT or |>", "use ORDER BY and LIMIT");
        }
        let keys = order_by.as_mut().map(|order_by| self.order_by(order_by, &relation, level)).unwrap_or_default();
        if let Some(limit) = limit_clause {
            relation.is_one_row |= self.limit(limit) == Some(1);
            if keys.is_empty() {
                self.refuse(
                    "LIMIT without ORDER BY",
                    "which rows are left is chance; add an ORDER BY that ends in a unique column",
                );
            }
        }
        (relation, keys)
    }

    /// Checks a LIMIT and gives its number.
    fn limit(&mut self, clause: &LimitClause) -> Option<u64> {
        let number = |expr: &Expr| match expr {
            Expr::Value(ValueWithSpan { value: Value::Number(digits, false), .. }) => digits.parse().ok(),
            _ => None,
        };
        let (limit, offset) = match clause {
            LimitClause::LimitOffset { limit, offset, limit_by } if limit_by.is_empty() => {
                (limit.as_ref(), offset.as_ref().map(|offset| &offset.value))
            }
            _ => (None, None),
        };
        let count = limit.and_then(number);
        if count.is_none() || offset.is_some_and(|offset| number(offset).is_none()) {
            self.refuse("this LIMIT", "write LIMIT and OFFSET with plain integers");
        }
        count
    }

    fn order_by(&mut self, order_by: &mut OrderBy, relation: &Relation, level: Level) -> Vec<OrderKey> {
        let OrderBy { kind, interpolate } = order_by;
        let OrderByKind::Expressions(terms) = kind else {
            self.refuse("ORDER BY ALL", "name the columns");
            return Vec::new();
        };
        if interpolate.is_some() {
            self.refuse("INTERPOLATE", "it is known to one engine only");
        }
        let mut keys = Vec::new();
        for term in terms {
            self.at(line_of(&term.expr));
            if term.with_fill.is_some() {
                self.refuse("WITH FILL", "it is known to one engine only");
            }
            let Some(column) = column_of(&term.expr).filter(|_| bare(&term.expr) == &term.expr).cloned() else {
                let (what, instead) = match bare(&term.expr) {
                    Expr::Value(_) => ("ORDER BY a position", "name the column"),
                    _ => (
                        "ORDER BY an expression",
                        "engines evaluate it differently; give it an alias in SELECT and order by that",
                    ),
                };
                self.refuse(what, instead);
                continue;
            };
            self.name(&column);
            if self.lists.contains(&column.value) {
                self.refuse(
                    "ORDER BY a list",
                    "the order inside a STRING_AGG differs by engine; order by something else",
                );
            }
            if level == Level::Statement && !relation.columns.is_empty() && !relation.columns.contains(&column.value) {
                self.refuse(&format!("ORDER BY `{column}`, which is no result column"), "add it to SELECT");
            }
            let is_nulls_first = *term.options.nulls_first.get_or_insert(false);
            let is_descending = term.options.asc == Some(false);
            keys.push(OrderKey { column: column.value, is_descending, is_nulls_first });
        }
        keys
    }

    fn set_expr(&mut self, body: &mut SetExpr) -> Relation {
        match body {
            SetExpr::Select(select) => self.select(select),
            SetExpr::Query(query) => {
                if query.order_by.is_some() || query.limit_clause.is_some() {
                    self.refuse("ORDER BY or LIMIT inside a UNION", "put that SELECT into a CTE");
                }
                self.subquery(query)
            }
            SetExpr::SetOperation { left, op, set_quantifier, right } => {
                let is_known = match op {
                    SetOperator::Union => {
                        matches!(set_quantifier, SetQuantifier::None | SetQuantifier::All | SetQuantifier::Distinct)
                    }
                    SetOperator::Except | SetOperator::Intersect => {
                        matches!(set_quantifier, SetQuantifier::None | SetQuantifier::Distinct)
                    }
                    SetOperator::Minus => false,
                };
                if !is_known {
                    self.refuse(
                        &format!("{op} {set_quantifier}"),
                        "UNION, UNION ALL, EXCEPT and INTERSECT are the set operations all engines have",
                    );
                }
                let (left, right) = (self.set_expr(left), self.set_expr(right));
                if !left.columns.is_empty() && !right.columns.is_empty() && left.columns != right.columns {
                    self.refuse(
                        "the SELECTs of a set operation have other column names",
                        "Polars looks for the names of ORDER BY in each of them; give all the same names in the same order",
                    );
                }
                let unique = match (op, set_quantifier, left.unique, right.unique) {
                    (SetOperator::Union, SetQuantifier::All, Some(left), Some(right)) if left.len() == right.len() => {
                        Some(left.iter().zip(&right).map(|(left, right)| left & right).collect())
                    }
                    _ => None,
                };
                Relation { unique, is_one_row: false, columns: left.columns }
            }
            SetExpr::Values(_) | SetExpr::Table(_) => {
                self.refuse("VALUES or TABLE", "write SELECT ... UNION ALL SELECT ...");
                Relation::default()
            }
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                self.refuse("only a SELECT is run", "keytrail never changes a table");
                Relation::default()
            }
        }
    }

    fn select(&mut self, select: &mut Select) -> Relation {
        self.at(select.select_token.0.span.start.line);
        self.unknown_clauses(select);
        self.grouped(select);
        let Select { distinct, projection, from, selection, group_by, having, named_window, qualify, .. } = select;
        self.scopes.push(Scope::default());
        let source = self.from(from);
        if let Some(scope) = self.scopes.last_mut() {
            scope.unique.clone_from(&source.unique);
        }
        if let Some(Distinct::On(_)) = distinct {
            self.refuse("DISTINCT ON", "number the rows with ROW_NUMBER in a CTE and keep number 1");
        }
        if let Some(window) = named_window.first() {
            self.at(window.span().start.line);
            self.refuse("a named WINDOW", "write the window at each function");
        }
        if let Some(condition) = selection {
            self.expr(condition, At::WHERE);
        }
        let is_grouped = self.group_by(group_by);
        let aggregates = |expr: &Expr| super::functions::has_aggregate(expr);
        let in_projection = projection.iter().any(|item| match item {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => aggregates(expr),
            _ => false,
        });
        let is_aggregate = is_grouped || in_projection || having.as_ref().is_some_and(aggregates);
        if let Some(condition) = having {
            if !is_grouped {
                self.at(line_of(condition));
                self.refuse("HAVING without GROUP BY", "put the aggregate into a CTE and write WHERE after it");
            }
            self.expr(condition, At::HAVING);
        }
        if let Some(condition) = qualify {
            self.expr(condition, At::QUALIFY);
        }
        let at = At { is_aggregate_select: is_aggregate, ..At::PROJECTION };
        let (columns, kept) = self.projection(projection, &source, at);
        self.scopes.pop();
        let is_distinct = distinct.is_some();
        let handed_on = |ids: BTreeSet<String>| {
            kept.iter().filter(|(from, _)| ids.contains(from)).map(|(_, to)| to.clone()).collect()
        };
        let unique = source.unique.filter(|_| !is_aggregate && !is_distinct);
        let unique = unique.map(|unique| unique.into_iter().map(handed_on).collect());
        Relation { unique, is_one_row: source.is_one_row || (is_aggregate && !is_grouped), columns }
    }

    /// Refuses every clause that no comparison of the engines has covered.
    fn unknown_clauses(&mut self, select: &Select) {
        let Select {
            select_token: _,
            optimizer_hints,
            distinct: _,
            select_modifiers,
            top,
            top_before_distinct: _,
            projection: _,
            exclude,
            into,
            from: _,
            lateral_views,
            prewhere,
            selection: _,
            connect_by,
            group_by: _,
            cluster_by,
            distribute_by,
            sort_by,
            having: _,
            named_window: _,
            qualify: _,
            window_before_qualify: _,
            value_table_mode,
            flavor: _,
        } = select;
        let has_other = !optimizer_hints.is_empty()
            || select_modifiers.is_some()
            || top.is_some()
            || exclude.is_some()
            || into.is_some()
            || !lateral_views.is_empty()
            || prewhere.is_some()
            || !connect_by.is_empty()
            || !cluster_by.is_empty()
            || !distribute_by.is_empty()
            || !sort_by.is_empty()
            || value_table_mode.is_some();
        if has_other {
            self.refuse(
                "a clause that not every engine has",
                "use WITH, SELECT, FROM, JOIN, WHERE, GROUP BY, HAVING, QUALIFY, ORDER BY, LIMIT",
            );
        }
    }

    /// Checks GROUP BY; true when there is one.
    pub(super) fn group_by(&mut self, group_by: &mut GroupByExpr) -> bool {
        let GroupByExpr::Expressions(terms, modifiers) = group_by else {
            self.refuse("GROUP BY ALL", "name the columns");
            return true;
        };
        if !modifiers.is_empty() {
            self.refuse("ROLLUP, CUBE or TOTALS", "write one SELECT per level and UNION ALL them");
        }
        self.group_names(terms);
        for term in terms.iter_mut() {
            self.at(line_of(term));
            match term {
                Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_) => {
                    self.refuse("ROLLUP, CUBE or GROUPING SETS", "write one SELECT per level and UNION ALL them");
                    continue;
                }
                Expr::Value(_) => self.refuse("GROUP BY a position or a constant", "name the column"),
                _ => {}
            }
            self.expr(term, At::GROUP_BY);
        }
        !terms.is_empty()
    }

    /// Checks the projection; gives the output names, and the plain columns as (source, output) names.
    fn projection(
        &mut self,
        items: &mut [SelectItem],
        source: &Relation,
        at: At,
    ) -> (Vec<String>, Vec<(String, String)>) {
        let mut names: Vec<String> = Vec::new();
        let mut kept = Vec::new();
        let mut is_whole = false;
        for item in items.iter_mut() {
            self.at(match &*item {
                SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => line_of(expr),
                other => other.span().start.line,
            });
            let (expr, alias) = match item {
                SelectItem::UnnamedExpr(expr) => match column_of(expr).cloned() {
                    Some(column) => (expr, column),
                    None => {
                        self.refuse("a result column without a name", "engines name it differently; add AS and a name");
                        self.expr(expr, at);
                        continue;
                    }
                },
                SelectItem::ExprWithAlias { expr, alias } => (expr, alias.clone()),
                SelectItem::Wildcard(options) => {
                    is_whole = true;
                    let plain = sqlparser::ast::WildcardAdditionalOptions {
                        wildcard_token: options.wildcard_token.clone(),
                        ..Default::default()
                    };
                    if *options != plain {
                        self.refuse("`*` with EXCLUDE, REPLACE or RENAME", "name the columns");
                    }
                    if self.scopes.last().is_some_and(|scope| scope.names.len() != 1) {
                        self.refuse("`*` over a join", "engines name the columns of both sides differently; name them");
                    }
                    for name in source.unique.iter().flatten().flatten() {
                        kept.push((name.clone(), name.clone()));
                    }
                    continue;
                }
                SelectItem::QualifiedWildcard(..) | SelectItem::ExprWithAliases { .. } => {
                    self.refuse("`table.*`", "name the columns");
                    continue;
                }
            };
            self.name(&alias);
            if names.contains(&alias.value) {
                self.refuse(&format!("two result columns are called `{alias}`"), "rename one with AS");
            }
            names.push(alias.value.clone());
            if let Some(column) = column_of(expr) {
                kept.push((column.value.clone(), alias.value.clone()));
            }
            if super::functions::makes_list(expr, &self.lists) {
                self.lists.insert(alias.value.clone());
            }
            self.expr(expr, At { is_whole_item: true, ..at });
        }
        if is_whole {
            names = if items.len() == 1 { source.columns.clone() } else { Vec::new() };
        }
        (names, kept)
    }
}
