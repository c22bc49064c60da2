//! Expressions.
//!
//! In: an expression and where it stands ([`At`]). Out: the same expression, rewritten where only the spelling is wrong.

use super::forms::{
    is_correlation, is_fraction, is_null, is_positive, is_text, is_time, is_zero, may_be_negative, widen,
};
use super::functions;
use super::{Guard, MAX_DEPTH, Scope, column_of, line_of};
use sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, DataType, ExactNumberInfo, Expr, Query, SetExpr, TableFactor, TimezoneInfo,
    TypedString, UnaryOperator, Value, ValueWithSpan,
};

/// The clause an expression stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clause {
    /// SELECT list.
    Projection,
    /// WHERE.
    Where,
    /// ON.
    Join,
    /// GROUP BY.
    GroupBy,
    /// HAVING.
    Having,
    /// QUALIFY.
    Qualify,
}

/// Where an expression stands.
#[expect(clippy::struct_excessive_bools, reason = "independent facts about one place")]
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    /// The clause.
    pub(super) clause: Clause,
    /// The SELECT groups or aggregates.
    pub(super) is_aggregate_select: bool,
    /// It is a whole item of the SELECT list, but for CAST, COALESCE and parentheses.
    pub(super) is_whole_item: bool,
    /// It stands directly inside a CAST to a number.
    pub(super) in_cast: bool,
    /// It is an argument of an aggregate.
    pub(super) in_aggregate: bool,
    /// It is one of the conditions that WHERE joins with AND.
    pub(super) is_conjunct: bool,
    /// A list made by STRING_AGG may stand here.
    pub(super) is_list_place: bool,
}

impl At {
    const fn clause(clause: Clause) -> At {
        At {
            clause,
            is_aggregate_select: false,
            is_whole_item: false,
            in_cast: false,
            in_aggregate: false,
            is_conjunct: false,
            is_list_place: false,
        }
    }

    pub(super) const WHERE: At = At { is_conjunct: true, ..At::clause(Clause::Where) };
    pub(super) const JOIN: At = At::clause(Clause::Join);
    pub(super) const GROUP_BY: At = At::clause(Clause::GroupBy);
    pub(super) const HAVING: At = At::clause(Clause::Having);
    pub(super) const QUALIFY: At = At::clause(Clause::Qualify);
    pub(super) const PROJECTION: At = At { is_list_place: true, ..At::clause(Clause::Projection) };

    /// Inside an expression that stands here.
    pub(super) fn inner(&self) -> At {
        At { is_whole_item: false, in_cast: false, is_conjunct: false, is_list_place: false, ..*self }
    }
}

impl Guard<'_> {
    /// Checks an expression and rewrites it in place.
    pub(super) fn expr(&mut self, expr: &mut Expr, at: At) {
        if self.depth >= MAX_DEPTH {
            self.refuse("an expression nested deeper than 200", "split it over CTEs");
            return;
        }
        self.depth += 1;
        self.at(line_of(expr));
        self.expr_here(expr, at);
        self.depth -= 1;
    }

    fn expr_here(&mut self, expr: &mut Expr, at: At) {
        match expr {
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => self.column(expr, &at),
            Expr::Nested(inner) => self.expr(inner, at),
            Expr::Value(value) => {
                self.value(value);
                if at.is_whole_item && !at.in_cast {
                    widen(expr);
                }
            }
            Expr::TypedString(TypedString { data_type, value, uses_odbc_syntax }) => {
                if *data_type != DataType::Date || *uses_odbc_syntax {
                    self.refuse(
                        &format!("the literal {data_type} {value}"),
                        "time zones make it differ by engine; compare event_epoch, or event_date with DATE '...'",
                    );
                }
            }
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right, &at),
            Expr::UnaryOp { op, expr: inner } => {
                if !matches!(op, UnaryOperator::Minus | UnaryOperator::Not) {
                    self.refuse(&format!("the operator {op}"), "it is not in the portable subset");
                }
                let is_number = matches!(**inner, Expr::Value(_));
                self.expr(inner, at.inner());
                if is_number && at.is_whole_item && !at.in_cast {
                    widen(expr);
                }
            }
            Expr::Cast { .. } => self.cast(expr, &at),
            Expr::Case { operand, conditions, else_result, .. } => {
                if let Some(operand) = operand {
                    self.expr(operand, at.inner());
                }
                let result = At { is_list_place: at.is_list_place, ..at.inner() };
                for CaseWhen { condition, result: value } in conditions {
                    self.expr(condition, at.inner());
                    self.expr(value, result);
                    widen(value);
                }
                if let Some(value) = else_result {
                    self.expr(value, result);
                    widen(value);
                }
            }
            Expr::Function(_) => self.function(expr, &at),
            Expr::InList { .. } | Expr::InSubquery { .. } | Expr::Exists { .. } | Expr::Subquery(_) => {
                self.membership(expr, &at)
            }
            Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsDistinctFrom(..)
            | Expr::IsNotDistinctFrom(..)
            | Expr::IsTrue(_)
            | Expr::IsNotTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsNotFalse(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotUnknown(_)
            | Expr::Between { .. }
            | Expr::Like { .. }
            | Expr::ILike { .. } => self.predicate(expr, &at),
            Expr::Floor { .. }
            | Expr::Ceil { .. }
            | Expr::Position { .. }
            | Expr::Substring { .. }
            | Expr::Trim { .. } => {
                self.spelled_function(expr, &at);
            }
            _ => self.other(expr),
        }
    }

    /// IS, BETWEEN and LIKE.
    fn predicate(&mut self, expr: &mut Expr, at: &At) {
        match expr {
            Expr::IsNull(inner) | Expr::IsNotNull(inner) => {
                self.expr(inner, At { is_list_place: true, ..at.inner() });
            }
            Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right) => {
                // The parser that Polars uses takes everything that follows for the right side, also `AND ...`.
                if matches!(
                    **right,
                    Expr::BinaryOp { .. }
                        | Expr::IsNull(_)
                        | Expr::IsNotNull(_)
                        | Expr::InList { .. }
                        | Expr::Like { .. }
                ) {
                    self.refuse(
                        "IS DISTINCT FROM followed by more without parentheses",
                        "write (a IS DISTINCT FROM b) AND ...",
                    );
                }
                self.expr(left, at.inner());
                self.expr(right, at.inner());
            }
            Expr::IsTrue(_)
            | Expr::IsNotTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsNotFalse(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotUnknown(_) => self.refuse(
                "IS [NOT] TRUE, FALSE or UNKNOWN",
                "Polars gives NULL for NULL; write COALESCE(x, FALSE), or CASE WHEN x THEN 0 ELSE 1 END = 1",
            ),
            Expr::Between { expr, low, high, .. } => {
                for part in [&mut **expr, low, high] {
                    self.expr(part, at.inner());
                }
                self.no_text_for_time(expr, low);
                self.no_text_for_time(expr, high);
            }
            Expr::Like { any, expr, pattern, escape_char, .. }
            | Expr::ILike { any, expr, pattern, escape_char, .. } => {
                if *any || escape_char.is_some() {
                    self.refuse("LIKE with ESCAPE or ANY", "write several LIKE, with patterns without escapes");
                }
                if !is_text(pattern) {
                    self.refuse(
                        "LIKE with a pattern that is no literal",
                        "Polars takes only literals; compare with =, SUBSTR or POSITION",
                    );
                }
                self.expr(expr, at.inner());
                self.expr(pattern, at.inner());
            }
            _ => {}
        }
    }

    fn column(&mut self, expr: &Expr, at: &At) {
        if let Expr::CompoundIdentifier(parts) = expr {
            for part in parts {
                self.name(part);
            }
            match parts.as_slice() {
                [table, _] => {
                    if self.scopes.last().is_some_and(|scope| !scope.names.contains(&table.value)) {
                        self.refuse(
                            &format!("`{expr}`: FROM has no `{table}`"),
                            "name a table of this FROM; a subquery sees the tables around it only in EXISTS with equalities",
                        );
                    }
                }
                _ => self.refuse(&format!("the name `{expr}`"), "write column or table.column"),
            }
        } else if let Expr::Identifier(ident) = expr {
            self.name(ident);
        }
        if let Some(column) = column_of(expr)
            && !at.is_list_place
            && self.lists.contains(&column.value)
        {
            self.refuse(
                &format!("the list `{column}` inside an expression"),
                "the order of STRING_AGG differs by engine, so no text can be made from it; return it as a column",
            );
        }
    }

    fn value(&mut self, value: &ValueWithSpan) {
        match &value.value {
            Value::Number(_, false) | Value::Boolean(_) | Value::Null => {}
            Value::SingleQuotedString(text) => {
                if text.contains('\\') {
                    self.refuse(
                        "a backslash in a literal",
                        "engines read it differently; match around it with LIKE and `_`",
                    );
                }
            }
            Value::Placeholder(_) => self.refuse(
                &format!("the parameter {value}"),
                "declare `-- params: name = value`, CROSS JOIN params AS p, and write p.name",
            ),
            _ => self.refuse(&format!("the literal {value}"), "write a plain number or 'text'"),
        }
    }

    fn binary(&mut self, left: &mut Expr, op: &BinaryOperator, right: &mut Expr, at: &At) {
        let inner = match op {
            BinaryOperator::And => At { is_conjunct: at.is_conjunct, ..at.inner() },
            _ => at.inner(),
        };
        match op {
            BinaryOperator::And | BinaryOperator::Or => {}
            BinaryOperator::Plus | BinaryOperator::Minus | BinaryOperator::Multiply => self.no_time(&[left, right]),
            BinaryOperator::Divide => {
                self.no_time(&[left, right]);
                if is_zero(right) {
                    self.refuse("a division by zero", "that is infinite, NULL or an error, by engine");
                }
            }
            BinaryOperator::Modulo => {
                self.no_time(&[left, right]);
                if may_be_negative(left) || may_be_negative(right) {
                    self.refuse(
                        "% of what may be negative",
                        "engines give other signs; use it on event_epoch and other numbers that are never negative, or write \
                         x - n * CAST(FLOOR(CAST(x AS DOUBLE) / n) AS BIGINT)",
                    );
                } else if !is_positive(right) {
                    self.refuse(
                        "% by what is no positive literal or column",
                        "write the number, such as event_epoch % 604800, or make it a column in a CTE before",
                    );
                }
            }
            BinaryOperator::StringConcat => self.no_time(&[left, right]),
            BinaryOperator::Eq
            | BinaryOperator::NotEq
            | BinaryOperator::Lt
            | BinaryOperator::LtEq
            | BinaryOperator::Gt
            | BinaryOperator::GtEq => {
                if is_null(left) || is_null(right) {
                    self.refuse("a comparison with NULL", "it is never true; write IS NULL or IS NOT NULL");
                }
                self.no_text_for_time(left, right);
                self.no_text_for_time(right, left);
            }
            other => {
                let instead = match other {
                    BinaryOperator::Arrow
                    | BinaryOperator::LongArrow
                    | BinaryOperator::HashArrow
                    | BinaryOperator::HashLongArrow => functions::advice("JSON_EXTRACT"),
                    BinaryOperator::DuckIntegerDivide => "write FLOOR(a / b)",
                    _ => "write LIKE for patterns; bits and regular expressions differ by engine",
                };
                self.refuse(&format!("the operator {other}"), instead);
            }
        }
        self.expr(left, inner);
        self.expr(right, inner);
    }

    /// Times and dates take no part in arithmetic and text.
    fn no_time(&mut self, parts: &[&Expr]) {
        if parts.iter().any(|part| is_time(part)) {
            self.refuse(
                "arithmetic or text with a time or date",
                "engines differ; compute with event_epoch (seconds), and leave the text of times to keytrail",
            );
        }
    }

    fn no_text_for_time(&mut self, time: &Expr, text: &Expr) {
        if is_text(text) && is_time(time) {
            self.refuse(
                "a time compared with text",
                "compare event_epoch with seconds, or event_date with DATE '2024-05-01'",
            );
        }
    }

    fn cast(&mut self, expr: &mut Expr, at: &At) {
        let Expr::Cast { kind, expr: inner, data_type, array, format } = expr else { return };
        if *kind != CastKind::Cast || *array || format.is_some() {
            self.refuse("TRY_CAST, `::` or a CAST with a format", "write CAST(x AS BIGINT)");
        }
        let is_null = is_null(inner);
        let is_number = matches!(data_type, DataType::BigInt(None) | DataType::Double(ExactNumberInfo::None));
        let is_known = match data_type {
            DataType::BigInt(None)
            | DataType::Double(ExactNumberInfo::None)
            | DataType::String(None)
            | DataType::Date => true,
            DataType::Boolean | DataType::Timestamp(None, TimezoneInfo::None) => is_null,
            _ => false,
        };
        if !is_known {
            self.refuse(
                &format!("CAST to {data_type}"),
                "write BIGINT, DOUBLE, STRING or DATE; only NULL can be cast to TIMESTAMP or BOOLEAN",
            );
        }
        if is_time(inner) && *data_type != DataType::Date && !is_null {
            self.refuse(
                "CAST of a time",
                "engines write and count times differently; use event_epoch for numbers and leave the text of times to keytrail",
            );
        }
        if matches!(data_type, DataType::BigInt(_)) && is_fraction(inner) {
            self.refuse(
                "CAST of a fraction to BIGINT",
                "one engine rounds and another cuts; write CAST(FLOOR(x) AS BIGINT)",
            );
        }
        let inside =
            At { in_cast: is_number, is_whole_item: at.is_whole_item, in_aggregate: at.in_aggregate, ..at.inner() };
        self.expr(inner, inside);
    }

    fn membership(&mut self, expr: &mut Expr, at: &At) {
        match expr {
            Expr::InList { expr: inner, list, negated: _ } => {
                self.expr(inner, at.inner());
                for item in list {
                    let is_literal = match item {
                        Expr::Value(ValueWithSpan { value: Value::Null, .. }) => {
                            self.refuse("NULL in a list of IN", "no value is IN it; write OR x IS NULL");
                            true
                        }
                        Expr::Value(_) | Expr::TypedString(_) => true,
                        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => matches!(**expr, Expr::Value(_)),
                        _ => false,
                    };
                    if !is_literal {
                        self.refuse("IN with what is no literal", "write the literals, or x = a OR x = b");
                    }
                    self.no_text_for_time(inner, item);
                    self.expr(item, at.inner());
                }
            }
            Expr::InSubquery { expr: inner, subquery, negated: _ } => {
                if !at.is_conjunct {
                    self.refuse(
                        "IN (SELECT ...) other than as a condition of WHERE",
                        "LEFT JOIN a CTE and test its key with IS NULL",
                    );
                }
                self.expr(inner, at.inner());
                let relation = self.subquery(subquery);
                if relation.columns.len() != 1 {
                    self.refuse("IN (SELECT ...) of several columns", "select one column; for pairs JOIN a CTE");
                }
            }
            Expr::Exists { subquery, negated: _ } => {
                if !at.is_conjunct {
                    self.refuse(
                        "EXISTS other than as a condition of WHERE",
                        "LEFT JOIN a CTE and test its key with IS NULL",
                    );
                }
                self.exists(subquery);
            }
            _ => self.refuse("a scalar subquery", "make it a one-row CTE and CROSS JOIN it"),
        }
    }

    /// EXISTS is run when it is a plain equality correlation: `SELECT 1 FROM t AS b WHERE b.k = a.k`.
    fn exists(&mut self, subquery: &mut Query) {
        let outer = self.scopes.last().cloned().unwrap_or_default().names;
        let mut is_plain = subquery.with.is_none() && subquery.order_by.is_none() && subquery.limit_clause.is_none();
        if let SetExpr::Select(select) = subquery.body.as_mut()
            && let [from] = select.from.as_mut_slice()
            && from.joins.is_empty()
            && matches!(from.relation, TableFactor::Table { .. })
            && select.having.is_none()
            && select.distinct.is_none()
            && select.qualify.is_none()
            && !self.group_by(&mut select.group_by)
        {
            self.scopes.push(Scope::default());
            self.factor(&mut from.relation);
            let inner = self.scopes.pop().unwrap_or_default().names;
            is_plain &= select.selection.as_ref().is_some_and(|condition| is_correlation(condition, &inner, &outer));
        } else {
            is_plain = false;
        }
        if !is_plain {
            self.refuse(
                "EXISTS that is no plain equality of two tables' columns",
                "filter in a CTE, then EXISTS (SELECT 1 FROM cte AS b WHERE b.k = a.k), or SEMI / ANTI JOIN",
            );
        }
    }

    fn other(&mut self, expr: &Expr) {
        let (what, instead) = match expr {
            Expr::Tuple(_) => ("a pair `(a, b)`", "JOIN on both columns"),
            Expr::Interval(_) => ("INTERVAL", "compute with event_epoch: 7 days are 604800 seconds"),
            Expr::Extract { .. } => ("EXTRACT", functions::advice("EXTRACT")),
            Expr::AtTimeZone { .. } => ("AT TIME ZONE", "all times are UTC without a zone"),
            Expr::RLike { .. } | Expr::SimilarTo { .. } => ("a regular expression", functions::advice("REGEXP_LIKE")),
            Expr::JsonAccess { .. } | Expr::CompoundFieldAccess { .. } => {
                ("access into JSON or an array", functions::advice("JSON_EXTRACT"))
            }
            Expr::Array(_) | Expr::Struct { .. } | Expr::Map(_) | Expr::Dictionary(_) => {
                ("an array, struct or map", "write columns and rows")
            }
            Expr::AnyOp { .. } | Expr::AllOp { .. } => {
                ("ANY or ALL", "write IN, or compare with MIN or MAX from a CTE")
            }
            Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_) => {
                ("ROLLUP, CUBE or GROUPING SETS", "write one SELECT per level and UNION ALL them")
            }
            _ => ("this expression", "it is not in the portable subset"),
        };
        self.refuse(what, instead);
    }
}
