//! What an expression is by its form, and small expressions to put around it.
//!
//! In: an expression. Out: an answer, as good as one without types can be. Where a form cannot tell, the answer is the one
//! that lets the statement pass: the comparison of the library with DuckDB holds what the guard cannot see.

use super::functions;
use super::{bare, column_of};
use sqlparser::ast::helpers::attached_token::AttachedToken;
use sqlparser::ast::{BinaryOperator, CaseWhen, CastKind, DataType, Expr, UnaryOperator, Value, ValueWithSpan};
use sqlparser::tokenizer::Span;
use std::collections::BTreeSet;

fn null() -> Expr {
    Expr::Value(ValueWithSpan { value: Value::Null, span: Span::empty() })
}

fn number(digits: &str) -> Expr {
    Expr::Value(ValueWithSpan { value: Value::Number(digits.to_owned(), false), span: Span::empty() })
}

fn case(condition: Expr, result: Expr, otherwise: Option<Expr>) -> Expr {
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
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
pub(super) fn to_bigint(expr: &mut Expr) {
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
pub(super) fn widen(expr: &mut Expr) {
    let is_integer = |expr: &Expr| match expr {
        Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) => {
            digits.bytes().all(|byte| byte.is_ascii_digit())
        }
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

pub(super) fn is_condition(expr: &Expr) -> bool {
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

pub(super) fn is_positive_literal(expr: &Expr) -> bool {
    digits_of(expr).is_some_and(|digits| digits.parse::<u64>().is_ok_and(|number| number > 0))
}

/// True for what is no integer by its form.
pub(super) fn is_fraction(expr: &Expr) -> bool {
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
pub(super) fn is_exact_quotient(left: &Expr, right: &Expr) -> bool {
    let Expr::BinaryOp { left: _, op: BinaryOperator::Minus, right: rest } = bare(left) else { return false };
    let Expr::BinaryOp { left: _, op: BinaryOperator::Modulo, right: modulus } = bare(rest) else { return false };
    digits_of(modulus).is_some() && digits_of(modulus) == digits_of(right)
}

pub(super) fn is_zero(expr: &Expr) -> bool {
    digits_of(expr).is_some_and(|digits| digits.parse::<f64>().is_ok_and(|number| number == 0.0))
}

/// True when the left side of `%` may be negative, as far as its form tells: a column is taken for not negative.
pub(super) fn may_be_negative(expr: &Expr) -> bool {
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
pub(super) fn is_positive(expr: &Expr) -> bool {
    is_positive_literal(expr) || column_of(expr).is_some()
}

/// True when the condition is one or more equalities between a column of `inner` and one of `outer`.
pub(super) fn is_correlation(condition: &Expr, inner: &BTreeSet<String>, outer: &BTreeSet<String>) -> bool {
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

/// `CASE WHEN tested IS NOT NULL THEN value END`.
pub(super) fn null_unless(tested: Expr, value: &mut Expr) {
    let found = std::mem::replace(value, null());
    *value = case(Expr::IsNotNull(Box::new(tested)), found, None);
}

/// True for a text literal.
pub(super) fn is_text(expr: &Expr) -> bool {
    matches!(bare(expr), Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(_), .. }))
}

/// True for the literal without a letter.
pub(super) fn is_empty_text(expr: &Expr) -> bool {
    matches!(bare(expr), Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) if text.is_empty())
}

/// True for NULL.
pub(super) fn is_null(expr: &Expr) -> bool {
    matches!(bare(expr), Expr::Value(ValueWithSpan { value: Value::Null, .. }))
}
