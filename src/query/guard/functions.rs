//! The functions that mean the same everywhere, and advice for the others.
//!
//! In: a function's name. Out: what kind of function it is and how many arguments it takes, or what to write instead of
//! it. A function that was not compared on all engines is not in the list, however harmless it looks.

use super::bare;
use sqlparser::ast::{Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Interval};
use std::collections::BTreeSet;

/// What a function does to rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// One value per row.
    Scalar,
    /// One value per group.
    Aggregate,
    /// ROW_NUMBER, RANK, DENSE_RANK: needs OVER, takes nothing.
    Ranking,
    /// LAG, LEAD, FIRST_VALUE: needs OVER.
    Neighbor,
}

/// A function of the portable subset: its role and the fewest and most arguments.
pub(super) fn known(name: &str) -> Option<(Role, usize, usize)> {
    Some(match name {
        "COUNT" | "SUM" | "MIN" | "MAX" | "AVG" | "MEDIAN" | "STDDEV" => (Role::Aggregate, 1, 1),
        "STRING_AGG" => (Role::Aggregate, 2, 2),
        "ROW_NUMBER" | "RANK" | "DENSE_RANK" => (Role::Ranking, 0, 0),
        "LAG" | "LEAD" => (Role::Neighbor, 1, 2),
        "FIRST_VALUE" => (Role::Neighbor, 1, 1),
        "COALESCE" | "GREATEST" | "LEAST" | "CONCAT" => (Role::Scalar, 1, usize::MAX),
        "NULLIF" => (Role::Scalar, 2, 2),
        "LOWER" | "UPPER" | "LENGTH" | "ABS" => (Role::Scalar, 1, 1),
        "REPLACE" | "SPLIT_PART" => (Role::Scalar, 3, 3),
        _ => return None,
    })
}

/// Functions whose result is unsigned and 32 bits wide in Polars.
pub(super) fn is_unsigned(name: &str) -> bool {
    matches!(name, "COUNT" | "ROW_NUMBER" | "RANK" | "DENSE_RANK" | "LENGTH")
}

/// What to write instead of a function that is not portable.
pub(super) fn advice(name: &str) -> &'static str {
    match name {
        "ROUND" => "engines round halves differently; write FLOOR(x * 100 + 0.5) / 100",
        "TRUNC" | "TRUNCATE" => "write FLOOR",
        "PERCENTILE_CONT" | "PERCENTILE_DISC" | "PERCENTILE" | "QUANTILE_CONT" | "QUANTILE_DISC" | "QUANTILE"
        | "APPROX_PERCENTILE" | "APPROX_QUANTILE" => {
            "number the rows with ROW_NUMBER in a CTE and take the one at the wanted place; MEDIAN is there"
        }
        "APPROX_COUNT_DISTINCT" | "APPROX_DISTINCT" => "write COUNT(DISTINCT x)",
        "ANY_VALUE" | "FIRST" | "LAST" | "ARBITRARY" => "which value is chance; write MIN or MAX",
        "BOOL_OR" | "BOOL_AND" | "EVERY" | "ANY" | "SOME" | "COUNT_IF" => {
            "write MAX or MIN of CASE WHEN c THEN 1 ELSE 0 END, or COUNT(CASE WHEN c THEN 1 END)"
        }
        "STDDEV_POP" | "STDDEV_SAMP" | "VAR_POP" | "VAR_SAMP" | "VARIANCE" | "CORR" => {
            "STDDEV is the one all engines agree on"
        }
        "NTILE" | "PERCENT_RANK" | "CUME_DIST" | "NTH_VALUE" => "compute it from ROW_NUMBER and a count in CTEs",
        "LAST_VALUE" => "write FIRST_VALUE with the order reversed",
        "LISTAGG" | "GROUP_CONCAT" | "ARRAY_AGG" | "COLLECT_LIST" | "LIST" => {
            "write STRING_AGG(x, ','); the order is put right by keytrail"
        }
        "DATE_TRUNC" | "DATEDIFF" | "DATE_DIFF" | "DATEADD" | "DATE_ADD" | "DATE_SUB" | "DATE_PART" | "STRFTIME"
        | "STRPTIME" | "TO_TIMESTAMP" | "FROM_UNIXTIME" | "UNIX_TIMESTAMP" | "EXTRACT" | "HOUR" | "DAY" | "MONTH"
        | "YEAR" | "DAYOFWEEK" | "WEEKDAY" | "EPOCH" => {
            "compute with event_epoch: the hour is event_epoch - (event_epoch % 3600), the day event_epoch - (event_epoch % 86400)"
        }
        "NOW" | "CURRENT_TIMESTAMP" | "CURRENT_DATE" | "CURRENT_TIME" | "LOCALTIMESTAMP" | "TODAY" => {
            "a report must not depend on when it is made; the table evidence has first_epoch and last_epoch"
        }
        "REGEXP_EXTRACT" | "REGEXP_REPLACE" | "REGEXP_LIKE" | "REGEXP_MATCHES" | "REGEXP" | "REGEXP_SUBSTR" => {
            "regular expressions differ by engine; write LIKE or SPLIT_PART, or ask for a column"
        }
        "JSON_EXTRACT"
        | "JSON_VALUE"
        | "JSON_QUERY"
        | "GET_JSON_OBJECT"
        | "JSON_EXTRACT_STRING"
        | "JSON_ARRAY_LENGTH"
        | "FROM_JSON"
        | "TO_JSON" => "JSON functions differ by engine; what queries need is a column or a child table",
        "MD5" | "SHA1" | "SHA256" | "HASH" | "CRC32" => "hashes differ by engine; compare the values",
        "STRPOS" | "INSTR" | "LOCATE" | "CHARINDEX" => "write POSITION(x IN y)",
        "STARTS_WITH" | "STARTSWITH" | "ENDS_WITH" | "CONTAINS" => "write x LIKE 'text%'",
        "LTRIM" | "RTRIM" | "LPAD" | "RPAD" | "LEFT" | "RIGHT" | "INITCAP" | "REVERSE" => {
            "write SUBSTR, TRIM, REPLACE or SPLIT_PART"
        }
        "CONCAT_WS" => "write a || ',' || b",
        "IFNULL" | "NVL" => "write COALESCE",
        "IF" | "IIF" => "write CASE WHEN",
        "MOD" => "write x % n",
        "POW" | "POWER" | "SQRT" | "LN" | "LOG" | "EXP" | "SIGN" | "RANDOM" | "RAND" => {
            "it was not compared on all engines; use + - * / % and ABS"
        }
        "CHAR_LENGTH" | "CHARACTER_LENGTH" | "LEN" | "OCTET_LENGTH" | "BIT_LENGTH" => "write LENGTH(x)",
        "READ_PARQUET" | "READ_CSV" | "READ_JSON" | "READ_IPC" | "READ_TEXT" => {
            "a query reads the case's tables and no files"
        }
        "UNNEST" | "EXPLODE" => "engines differ; lists that queries take apart are child tables",
        _ => {
            "it is not in the portable subset, which is COUNT, SUM, MIN, MAX, AVG, MEDIAN, STDDEV, STRING_AGG, ROW_NUMBER, RANK, \
              DENSE_RANK, LAG, LEAD, FIRST_VALUE, COALESCE, NULLIF, GREATEST, LEAST, LOWER, UPPER, TRIM, REPLACE, LENGTH, \
              SUBSTR, POSITION, SPLIT_PART, CONCAT, ABS, FLOOR, CEIL and CAST"
        }
    }
}

/// The upper-case name of a function; `None` for a qualified one.
pub(super) fn name_of(function: &Function) -> Option<String> {
    match function.name.0.as_slice() {
        [part] => part.as_ident().map(|ident| ident.value.to_ascii_uppercase()),
        _ => None,
    }
}

/// The plain arguments of a function.
pub(super) fn arguments(function: &Function) -> Vec<&Expr> {
    let FunctionArguments::List(list) = &function.args else { return Vec::new() };
    let plain = list.args.iter().filter_map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    });
    plain.collect()
}

/// The expressions directly inside one. Of variants that the guard refuses, the first is enough, for its line.
pub(super) fn children(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::Nested(inner)
        | Expr::IsNull(inner)
        | Expr::IsNotNull(inner)
        | Expr::UnaryOp { expr: inner, .. }
        | Expr::Cast { expr: inner, .. }
        | Expr::Floor { expr: inner, .. }
        | Expr::Ceil { expr: inner, .. }
        | Expr::Trim { expr: inner, .. }
        | Expr::Substring { expr: inner, .. }
        | Expr::InSubquery { expr: inner, .. }
        | Expr::Like { expr: inner, .. }
        | Expr::ILike { expr: inner, .. }
        | Expr::IsTrue(inner)
        | Expr::IsNotTrue(inner)
        | Expr::IsFalse(inner)
        | Expr::IsNotFalse(inner)
        | Expr::IsUnknown(inner)
        | Expr::IsNotUnknown(inner)
        | Expr::RLike { expr: inner, .. }
        | Expr::SimilarTo { expr: inner, .. }
        | Expr::Extract { expr: inner, .. }
        | Expr::AtTimeZone { timestamp: inner, .. }
        | Expr::Collate { expr: inner, .. }
        | Expr::JsonAccess { value: inner, .. }
        | Expr::CompoundFieldAccess { root: inner, .. }
        | Expr::Interval(Interval { value: inner, .. })
        | Expr::AnyOp { left: inner, .. }
        | Expr::AllOp { left: inner, .. } => vec![inner],
        Expr::Tuple(parts) => parts.iter().collect(),
        Expr::BinaryOp { left, right, .. }
        | Expr::IsDistinctFrom(left, right)
        | Expr::IsNotDistinctFrom(left, right)
        | Expr::Position { expr: left, r#in: right } => vec![left, right],
        Expr::Between { expr, low, high, .. } => vec![expr, low, high],
        Expr::InList { expr, list, .. } => std::iter::once(&**expr).chain(list).collect(),
        Expr::Case { operand, conditions, else_result, .. } => {
            let whens = conditions.iter().flat_map(|when| [&when.condition, &when.result]);
            operand.as_deref().into_iter().chain(whens).chain(else_result.as_deref()).collect()
        }
        Expr::Function(function) => arguments(function).into_iter().chain(function.filter.as_deref()).collect(),
        _ => Vec::new(),
    }
}

/// True when the expression or one inside it is such. Without recursion: chains of operators are deep trees.
pub(super) fn any(expr: &Expr, is_such: impl Fn(&Expr) -> bool) -> bool {
    let mut open = vec![expr];
    while let Some(expr) = open.pop() {
        if is_such(expr) {
            return true;
        }
        open.extend(children(expr));
    }
    false
}

/// True when the expression has an aggregate that is no window function.
pub(super) fn has_aggregate(expr: &Expr) -> bool {
    any(expr, is_aggregate)
}

/// True for an aggregate that is no window function.
pub(super) fn is_aggregate(expr: &Expr) -> bool {
    match expr {
        Expr::Function(function) => {
            let role = name_of(function).and_then(|name| known(&name)).map(|(role, ..)| role);
            function.over.is_none() && role == Some(Role::Aggregate)
        }
        _ => false,
    }
}

/// True when the expression has a column in it.
pub(super) fn has_column(expr: &Expr) -> bool {
    any(expr, |expr| matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)))
}

/// True when the value is a list made by STRING_AGG, or one of the columns in `lists` handed on.
pub(super) fn makes_list(expr: &Expr, lists: &BTreeSet<String>) -> bool {
    match bare(expr) {
        Expr::Identifier(ident) => lists.contains(&ident.value),
        Expr::CompoundIdentifier(parts) => parts.last().is_some_and(|ident| lists.contains(&ident.value)),
        Expr::Case { conditions, else_result, .. } => {
            conditions.iter().map(|when| &when.result).chain(else_result.as_deref()).any(|expr| makes_list(expr, lists))
        }
        Expr::Function(function) => match name_of(function).as_deref() {
            Some("STRING_AGG") => true,
            Some("COALESCE" | "MIN" | "MAX") => arguments(function).into_iter().any(|expr| makes_list(expr, lists)),
            _ => false,
        },
        _ => false,
    }
}
