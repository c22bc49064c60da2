//! Function calls, those with OVER apart: see [`super::window`].
//!
//! In: a call. Out: the same call, with its result made BIGINT where Polars would give 32 bits without a sign, or the reasons
//! against it.

use super::expression::{At, Clause};
use super::forms::{is_condition, is_empty_text, is_positive_literal, is_text, is_time, null_unless, to_bigint};
use super::functions::{self, Role};
use super::{Guard, bare};
use sqlparser::ast::{
    CeilFloorKind, DateTimeField, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Value, ValueWithSpan,
};

impl Guard<'_> {
    pub(super) fn function(&mut self, expr: &mut Expr, at: &At) {
        let Expr::Function(function) = expr else { return };
        let name = functions::name_of(function).unwrap_or_default();
        let Some((role, fewest, most)) = functions::known(&name) else {
            self.refuse(&format!("the function {}", function.name), functions::advice(&name));
            return;
        };
        let Function { name: _, uses_odbc_syntax, parameters, args, filter, null_treatment, over, within_group } =
            function;
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
            self.refuse(
                "ORDER BY or LIMIT inside a function",
                "the order of lists is put right by keytrail; number rows with ROW_NUMBER",
            );
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
        let is_literal = |expr: &Expr| matches!(bare(expr), Expr::Value(_));
        match name {
            "SUM" | "AVG" | "MEDIAN" | "STDDEV" => {
                if argument(0).is_some_and(|expr| !functions::has_column(expr)) {
                    self.refuse(
                        &format!("{name} of a literal"),
                        "Polars does not repeat it for every row; write COUNT(*)",
                    );
                }
                if argument(0).is_some_and(is_condition) {
                    self.refuse(
                        &format!("{name} of a condition"),
                        "write CAST(COUNT(CASE WHEN c THEN 1 END) AS BIGINT)",
                    );
                }
                if argument(0).is_some_and(is_time) {
                    self.refuse(&format!("{name} of a time"), "compute with event_epoch");
                }
            }
            "STRING_AGG" => {
                if !at.is_whole_item || function.over.is_some() {
                    self.refuse(
                        "STRING_AGG inside an expression",
                        "the order of its items differs by engine; return it as a column",
                    );
                }
                let is_comma = |expr: &Expr| matches!(expr, Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) if text == ",");
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
            "SPLIT_PART" if !argument(1).is_some_and(is_text) || !argument(2).is_some_and(is_positive_literal) => {
                self.refuse("this SPLIT_PART", "the separator is a literal and the part a positive literal");
            }
            "REPLACE" => self.replace_arguments(&arguments),
            "LAG" | "LEAD" if argument(1).is_some_and(|offset| !is_positive_literal(offset)) => {
                self.refuse(&format!("the offset of {name}"), "it is a positive literal");
            }
            _ => {}
        }
    }

    fn replace_arguments(&mut self, arguments: &[&Expr]) {
        let [text, pattern, replacement] = arguments else { return };
        if !is_text(pattern) || is_empty_text(pattern) {
            self.refuse(
                "REPLACE of what is no literal, or of ''",
                "Polars fails or differs; write a text such as '-', cut at a literal with SPLIT_PART, or look for a column with POSITION(x IN y)",
            );
        }
        let is_sure = is_text(replacement)
            || matches!(bare(replacement), Expr::Function(inner) if functions::name_of(inner).as_deref() == Some("COALESCE"));
        if !is_sure {
            self.refuse(
                "REPLACE by what may be NULL",
                "Polars then leaves the text as it is; write 'text' or COALESCE(x, '')",
            );
        }
        if functions::has_column(replacement) && !functions::has_column(text) {
            self.refuse("REPLACE by a column in a literal", "Polars fails; put the parts together: 'a' || x || 'b'");
        }
    }

    /// The functions that the parser keeps apart: POSITION, SUBSTR, TRIM, FLOOR, CEIL.
    pub(super) fn spelled_function(&mut self, expr: &mut Expr, at: &At) {
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
                    self.refuse(
                        "SUBSTR with computed places",
                        "its start and length are positive literals; use SPLIT_PART to cut at a character",
                    );
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
                null_unless(text, expr);
            }
            _ => {}
        }
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
