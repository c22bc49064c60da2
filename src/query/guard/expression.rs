//! Expressions.
//!
//! In: an expression and where it stands ([`At`]). Out: the same expression, rewritten where only the spelling is wrong.

use super::functions::{self, Role};
use super::{Guard, MAX_DEPTH, Scope, bare, column_of, line_of};
use sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, CeilFloorKind, DataType, DateTimeField, ExactNumberInfo, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArguments, Query, SetExpr, TableFactor, TimezoneInfo, TypedString, UnaryOperator,
    Value, ValueWithSpan,
};
use sqlparser::tokenizer::Span;
use std::collections::BTreeSet;

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
            Expr::IsNull(inner) | Expr::IsNotNull(inner) => {
                self.expr(inner, At { is_list_place: true, ..at.inner() });
            }
            Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right) => {
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
            Expr::InList { .. } | Expr::InSubquery { .. } | Expr::Exists { .. } | Expr::Subquery(_) => self.membership(expr, &at),
            Expr::Between { expr, low, high, .. } => {
                for part in [&mut **expr, low, high] {
                    self.expr(part, at.inner());
                }
                self.no_text_for_time(expr, low);
                self.no_text_for_time(expr, high);
            }
            Expr::Like { any, expr, pattern, escape_char, .. } | Expr::ILike { any, expr, pattern, escape_char, .. } => {
                if *any || escape_char.is_some() {
                    self.refuse("LIKE with ESCAPE or ANY", "write several LIKE, with patterns without escapes");
                }
                let is_text = matches!(&**pattern, Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(_), .. }));
                if !is_text {
                    self.refuse("LIKE with a pattern that is no literal", "Polars takes only literals; compare with =, SUBSTR or POSITION");
                }
                self.expr(expr, at.inner());
                self.expr(pattern, at.inner());
            }
            Expr::Floor { .. } | Expr::Ceil { .. } | Expr::Position { .. } | Expr::Substring { .. } | Expr::Trim { .. } => {
                self.spelled_function(expr, &at);
            }
            _ => self.other(expr),
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
                    self.refuse("a backslash in a literal", "engines read it differently; match around it with LIKE and `_`");
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
                if may_be_negative(left) || !is_positive(right) {
                    self.refuse(
                        "% of what may be negative",
                        "engines give other signs; use it on event_epoch and other numbers that are never negative",
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
                let is_null = |expr: &Expr| matches!(bare(expr), Expr::Value(ValueWithSpan { value: Value::Null, .. }));
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
        let is_text = matches!(bare(text), Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(_), .. }));
        if is_text && is_time(time) {
            self.refuse("a time compared with text", "compare event_epoch with seconds, or event_date with DATE '2024-05-01'");
        }
    }

    fn cast(&mut self, expr: &mut Expr, at: &At) {
        let Expr::Cast { kind, expr: inner, data_type, array, format } = expr else { return };
        if *kind != CastKind::Cast || *array || format.is_some() {
            self.refuse("TRY_CAST, `::` or a CAST with a format", "write CAST(x AS BIGINT)");
        }
        let is_null = matches!(**inner, Expr::Value(ValueWithSpan { value: Value::Null, .. }));
        let is_number = matches!(data_type, DataType::BigInt(None) | DataType::Double(ExactNumberInfo::None));
        let is_known = match data_type {
            DataType::BigInt(None) | DataType::Double(ExactNumberInfo::None) | DataType::String(None) | DataType::Date => true,
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
            self.refuse("CAST of a fraction to BIGINT", "one engine rounds and another cuts; write CAST(FLOOR(x) AS BIGINT)");
        }
        let inside =
            At { in_cast: is_number, is_whole_item: at.is_whole_item, in_aggregate: at.in_aggregate, ..at.inner() };
        self.expr(inner, inside);
    }

    fn function(&mut self, expr: &mut Expr, at: &At) {
        let Expr::Function(function) = expr else { return };
        let name = functions::name_of(function).unwrap_or_default();
        let Some((role, fewest, most)) = functions::known(&name) else {
            self.refuse(&format!("the function {}", function.name), functions::advice(&name));
            return;
        };
        let Function { name: _, uses_odbc_syntax, parameters, args, filter, null_treatment, over, within_group } = function;
        if !within_group.is_empty() {
            self.refuse("WITHIN GROUP", "write STRING_AGG(x, ','), whose order keytrail puts right, or MEDIAN");
        }
        if null_treatment.is_some() || *uses_odbc_syntax || *parameters != FunctionArguments::None {
            self.refuse("IGNORE NULLS or other additions to a function", "filter the NULLs in a CTE before");
        }
        let FunctionArguments::List(list) = args else {
            self.refuse(&format!("{name} without parentheses"), "write the arguments in parentheses");
            return;
        };
        let is_distinct = list.duplicate_treatment.is_some();
        if is_distinct && !matches!(name.as_str(), "COUNT" | "STRING_AGG") {
            self.refuse(&format!("{name}(DISTINCT ...)"), "make the rows distinct in a CTE before");
        }
        if !list.clauses.is_empty() {
            self.refuse("ORDER BY or LIMIT inside a function", "the order of lists is put right by keytrail; number rows with ROW_NUMBER");
        }
        if !(fewest..=most).contains(&list.args.len()) {
            let instead = match name.as_str() {
                "LAG" | "LEAD" => "a default is refused by Polars; write COALESCE(LAG(x) OVER (...), d)",
                "COUNT" => "count one expression, such as COUNT(DISTINCT a || ',' || b), or COUNT(*)",
                _ => "give it the arguments that all engines take",
            };
            self.refuse(&format!("{name} with {} arguments", list.args.len()), instead);
        }
        if filter.is_some() && (role != Role::Aggregate || over.is_some()) {
            self.refuse("FILTER on a window or a plain function", "write CASE WHEN inside it");
        }
        if role == Role::Aggregate && over.is_none() {
            self.aggregate_place(&name, at);
        }
        count_rows(&name, function);
        self.special_arguments(&name, function, at);
        if function.over.is_some() || matches!(role, Role::Ranking | Role::Neighbor) {
            self.window(&name, role, function, at);
        }
        self.walk_arguments(&name, role, function, at);
        if functions::is_unsigned(&name) && !at.in_cast {
            to_bigint(expr);
        }
    }

    fn aggregate_place(&mut self, name: &str, at: &At) {
        if at.in_aggregate {
            self.refuse(&format!("{name} inside an aggregate"), "aggregate in one CTE, and again in the next");
        }
        if !matches!(at.clause, Clause::Projection | Clause::Having) {
            self.refuse(&format!("{name} outside SELECT and HAVING"), "aggregate in a CTE and compare its column");
        }
    }

    fn walk_arguments(&mut self, name: &str, role: Role, function: &mut Function, at: &At) {
        let hands_on = matches!(name, "COALESCE" | "MIN" | "MAX");
        let inside = At {
            is_list_place: at.is_list_place && hands_on,
            is_whole_item: at.is_whole_item && name == "COALESCE",
            in_cast: name == "COALESCE",
            in_aggregate: at.in_aggregate || role == Role::Aggregate,
            ..at.inner()
        };
        if let FunctionArguments::List(list) = &mut function.args {
            for (i, argument) in list.args.iter_mut().enumerate() {
                match argument {
                    // A whole item inside COALESCE is the first argument: the others are defaults.
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(inner)) => {
                        self.expr(inner, At { in_cast: inside.in_cast && i > 0, ..inside });
                    }
                    FunctionArg::Unnamed(FunctionArgExpr::Wildcard) if name == "COUNT" => {}
                    _ => self.refuse(&format!("the argument of {name}"), "write plain expressions"),
                }
            }
        }
        if let Some(condition) = &mut function.filter {
            self.expr(condition, At { in_aggregate: true, ..at.inner() });
        }
    }

    /// Checks what single functions ask of their arguments.
    fn special_arguments(&mut self, name: &str, function: &Function, at: &At) {
        let arguments = functions::arguments(function);
        let argument = |i: usize| arguments.get(i).copied();
        let is_text = |expr: &Expr| matches!(expr, Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(_), .. }));
        let is_literal = |expr: &Expr| matches!(bare(expr), Expr::Value(_));
        match name {
            "SUM" | "AVG" | "MEDIAN" | "STDDEV" => {
                if argument(0).is_some_and(|expr| !functions::has_column(expr)) {
                    self.refuse(&format!("{name} of a literal"), "Polars does not repeat it for every row; write COUNT(*)");
                }
                if argument(0).is_some_and(is_condition) {
                    self.refuse(&format!("{name} of a condition"), "write CAST(COUNT(CASE WHEN c THEN 1 END) AS BIGINT)");
                }
                if argument(0).is_some_and(is_time) {
                    self.refuse(&format!("{name} of a time"), "compute with event_epoch");
                }
            }
            "STRING_AGG" => {
                if !at.is_whole_item || function.over.is_some() {
                    self.refuse("STRING_AGG inside an expression", "the order of its items differs by engine; return it as a column");
                }
                let is_comma = |expr: &Expr| {
                    matches!(expr, Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) if text == ",")
                };
                if !argument(1).is_some_and(is_comma) {
                    self.refuse("STRING_AGG without the separator ','", "keytrail sorts the items and needs the comma");
                }
            }
            "CONCAT" => {
                let is_sure = |expr: &&Expr| {
                    is_literal(expr)
                        || matches!(bare(expr), Expr::Function(inner) if functions::name_of(inner).as_deref() == Some("COALESCE"))
                };
                if !arguments.iter().all(is_sure) {
                    self.refuse("CONCAT of what may be NULL", "engines differ; write a || b, or COALESCE each part");
                }
            }
            "SPLIT_PART" => {
                if !argument(1).is_some_and(is_text) || !argument(2).is_some_and(is_positive_literal) {
                    self.refuse("this SPLIT_PART", "the separator is a literal and the part a positive literal");
                }
            }
            "LAG" | "LEAD" => {
                if argument(1).is_some_and(|offset| !is_positive_literal(offset)) {
                    self.refuse(&format!("the offset of {name}"), "it is a positive literal");
                }
            }
            _ => {}
        }
    }

    /// The functions that the parser keeps apart: POSITION, SUBSTR, TRIM, FLOOR, CEIL.
    fn spelled_function(&mut self, expr: &mut Expr, at: &At) {
        match expr {
            Expr::Floor { expr: inner, field } | Expr::Ceil { expr: inner, field } => {
                if *field != CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) {
                    self.refuse("FLOOR or CEIL with a unit or scale", "write FLOOR(x * 100 + 0.5) / 100");
                }
                self.expr(inner, at.inner());
            }
            Expr::Substring { expr: inner, substring_from, substring_for, .. } => {
                let is_number = |part: &Option<Box<Expr>>| part.as_deref().is_none_or(is_positive_literal);
                if substring_from.is_none() || !is_number(substring_from) || !is_number(substring_for) {
                    self.refuse("SUBSTR with computed places", "its start and length are positive literals; use SPLIT_PART to cut at a character");
                }
                self.expr(inner, at.inner());
            }
            Expr::Trim { expr: inner, trim_where, trim_what, trim_characters } => {
                if trim_where.is_some() || trim_what.is_some() || trim_characters.is_some() {
                    self.refuse("TRIM of given characters", "write TRIM(x) or REPLACE");
                }
                self.expr(inner, at.inner());
            }
            Expr::Position { expr: what, r#in } => {
                self.expr(what, at.inner());
                self.expr(r#in, at.inner());
                let text = (**r#in).clone();
                to_bigint(expr);
                // Polars finds nothing in NULL at place 0.
                let found = std::mem::replace(expr, null());
                *expr = case(Expr::IsNotNull(Box::new(text)), found, None);
            }
            _ => {}
        }
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
                    self.refuse("IN (SELECT ...) other than as a condition of WHERE", "LEFT JOIN a CTE and test its key with IS NULL");
                }
                self.expr(inner, at.inner());
                let relation = self.subquery(subquery);
                if relation.columns.len() != 1 {
                    self.refuse("IN (SELECT ...) of several columns", "select one column; for pairs JOIN a CTE");
                }
            }
            Expr::Exists { subquery, negated: _ } => {
                if !at.is_conjunct {
                    self.refuse("EXISTS other than as a condition of WHERE", "LEFT JOIN a CTE and test its key with IS NULL");
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
            Expr::JsonAccess { .. } | Expr::CompoundFieldAccess { .. } => ("access into JSON or an array", functions::advice("JSON_EXTRACT")),
            Expr::Array(_) | Expr::Struct { .. } | Expr::Map(_) | Expr::Dictionary(_) => {
                ("an array, struct or map", "write columns and rows")
            }
            Expr::AnyOp { .. } | Expr::AllOp { .. } => ("ANY or ALL", "write IN, or compare with MIN or MAX from a CTE"),
            Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_) => {
                ("ROLLUP, CUBE or GROUPING SETS", "write one SELECT per level and UNION ALL them")
            }
            _ => ("this expression", "it is not in the portable subset"),
        };
        self.refuse(what, instead);
    }
}

/// `COUNT(1)` is `COUNT(*)`, which Polars counts right.
fn count_rows(name: &str, function: &mut Function) {
    if name == "COUNT"
        && let FunctionArguments::List(list) = &mut function.args
        && let [FunctionArg::Unnamed(argument)] = list.args.as_mut_slice()
        && list.duplicate_treatment.is_none()
        && let FunctionArgExpr::Expr(Expr::Value(ValueWithSpan { value, .. })) = argument
        && *value != Value::Null
    {
        *argument = FunctionArgExpr::Wildcard;
    }
}

fn null() -> Expr {
    Expr::Value(ValueWithSpan { value: Value::Null, span: Span::empty() })
}

fn number(digits: &str) -> Expr {
    Expr::Value(ValueWithSpan { value: Value::Number(digits.to_owned(), false), span: Span::empty() })
}

fn case(condition: Expr, result: Expr, otherwise: Option<Expr>) -> Expr {
    Expr::Case {
        case_token: sqlparser::ast::helpers::attached_token::AttachedToken::empty(),
        end_token: sqlparser::ast::helpers::attached_token::AttachedToken::empty(),
        operand: None,
        conditions: vec![CaseWhen { condition, result }],
        else_result: otherwise.map(Box::new),
    }
}

/// `CASE WHEN x IS NULL THEN 0 ELSE 1 END`.
pub(super) fn null_rank(expr: &Expr) -> Expr {
    case(Expr::IsNull(Box::new(expr.clone())), number("0"), Some(number("1")))
}

/// Puts CAST(... AS BIGINT) around an expression.
fn to_bigint(expr: &mut Expr) {
    let inner = std::mem::replace(expr, null());
    *expr = Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(inner),
        data_type: DataType::BigInt(None),
        array: false,
        format: None,
    };
}

/// Makes an integer literal 64 bits wide: Polars takes it for 32 bits, and sums of it too.
fn widen(expr: &mut Expr) {
    let is_integer = |expr: &Expr| match expr {
        Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) => digits.bytes().all(|byte| byte.is_ascii_digit()),
        _ => false,
    };
    let is_negative_integer =
        matches!(expr, Expr::UnaryOp { op: UnaryOperator::Minus, expr: inner } if is_integer(inner));
    if is_integer(expr) || is_negative_integer {
        to_bigint(expr);
    }
}

/// True for what is a time or date by its name or type.
pub(super) fn is_time(expr: &Expr) -> bool {
    match bare(expr) {
        Expr::TypedString(_) => true,
        Expr::Cast { data_type, .. } => matches!(data_type, DataType::Date | DataType::Timestamp(..)),
        other => column_of(other).is_some_and(|column| {
            let name = column.value.as_str();
            name.ends_with("_time") || name.ends_with("_date") || (name.ends_with("_at") && name != "is_at")
        }),
    }
}

fn is_condition(expr: &Expr) -> bool {
    match bare(expr) {
        Expr::BinaryOp { op, .. } => !matches!(
            op,
            BinaryOperator::Plus
                | BinaryOperator::Minus
                | BinaryOperator::Multiply
                | BinaryOperator::Divide
                | BinaryOperator::Modulo
                | BinaryOperator::StringConcat
        ),
        Expr::UnaryOp { op, .. } => *op == UnaryOperator::Not,
        Expr::Value(ValueWithSpan { value, .. }) => matches!(value, Value::Boolean(_)),
        Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::InList { .. }
        | Expr::Between { .. }
        | Expr::Like { .. }
        | Expr::ILike { .. }
        | Expr::IsDistinctFrom(..)
        | Expr::IsNotDistinctFrom(..) => true,
        _ => false,
    }
}

fn digits_of(expr: &Expr) -> Option<&str> {
    match bare(expr) {
        Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) => Some(digits),
        _ => None,
    }
}

fn is_positive_literal(expr: &Expr) -> bool {
    digits_of(expr).is_some_and(|digits| digits.parse::<u64>().is_ok_and(|number| number > 0))
}

/// True for what is no integer by its form.
fn is_fraction(expr: &Expr) -> bool {
    match bare(expr) {
        Expr::BinaryOp { left, op: BinaryOperator::Divide, right } => !is_exact_quotient(left, right),
        Expr::BinaryOp { left, right, .. } => is_fraction(left) || is_fraction(right),
        Expr::UnaryOp { expr, .. } => is_fraction(expr),
        Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) => digits.parse::<i64>().is_err(),
        Expr::Cast { data_type, .. } => matches!(data_type, DataType::Double(_)),
        Expr::Function(function) => match functions::name_of(function).as_deref() {
            Some("AVG" | "MEDIAN" | "STDDEV") => true,
            Some("COALESCE" | "GREATEST" | "LEAST" | "ABS" | "NULLIF" | "SUM" | "MIN" | "MAX") => {
                functions::arguments(function).into_iter().any(is_fraction)
            }
            _ => false,
        },
        Expr::Case { conditions, else_result, .. } => {
            conditions.iter().map(|when| &when.result).chain(else_result.as_deref()).any(is_fraction)
        }
        _ => false,
    }
}

/// True for `(x - y % n) / n`, which leaves no rest: the hour of day and the like.
fn is_exact_quotient(left: &Expr, right: &Expr) -> bool {
    let Expr::BinaryOp { left: _, op: BinaryOperator::Minus, right: rest } = bare(left) else { return false };
    let Expr::BinaryOp { left: _, op: BinaryOperator::Modulo, right: modulus } = bare(rest) else { return false };
    digits_of(modulus).is_some() && digits_of(modulus) == digits_of(right)
}

fn is_zero(expr: &Expr) -> bool {
    digits_of(expr).is_some_and(|digits| digits.parse::<f64>().is_ok_and(|number| number == 0.0))
}

/// True when the left side of `%` may be negative, as far as its form tells: a column is taken for not negative.
fn may_be_negative(expr: &Expr) -> bool {
    match bare(expr) {
        Expr::UnaryOp { .. } => true,
        Expr::BinaryOp { left, op: BinaryOperator::Minus, right } => {
            let is_rest = matches!(bare(right), Expr::BinaryOp { op: BinaryOperator::Modulo, .. });
            !is_rest || may_be_negative(left)
        }
        Expr::BinaryOp { left, right, .. } => may_be_negative(left) || may_be_negative(right),
        Expr::Cast { expr, .. } | Expr::Floor { expr, .. } => may_be_negative(expr),
        _ => false,
    }
}

/// True for the right side of `%`: a positive literal or a column.
fn is_positive(expr: &Expr) -> bool {
    is_positive_literal(expr) || column_of(expr).is_some()
}

/// True when the condition is one or more equalities between a column of `inner` and one of `outer`.
fn is_correlation(condition: &Expr, inner: &BTreeSet<String>, outer: &BTreeSet<String>) -> bool {
    match bare(condition) {
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            is_correlation(left, inner, outer) && is_correlation(right, inner, outer)
        }
        Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => {
            let table = |expr: &Expr| match bare(expr) {
                Expr::CompoundIdentifier(parts) if parts.len() == 2 => parts.first().map(|ident| ident.value.clone()),
                _ => None,
            };
            match (table(left), table(right)) {
                (Some(left), Some(right)) => {
                    let is_inner = |name: &String| inner.contains(name) && !outer.contains(name);
                    let is_outer = |name: &String| outer.contains(name) && !inner.contains(name);
                    (is_inner(&left) && is_outer(&right)) || (is_outer(&left) && is_inner(&right))
                }
                _ => false,
            }
        }
        _ => false,
    }
}
