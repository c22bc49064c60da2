//! What Polars would refuse only when it runs, some of it only when there are rows; and what it would then compute wrongly.

use super::{refused, rewritten};

#[test]
fn what_fails_in_a_group_is_refused() {
    refused(&[
        (
            "SELECT region || CASE WHEN SUM(record_no) > 1 THEN 'a' ELSE 'b' END AS x FROM events GROUP BY region",
            "the GROUP BY column `region` and an aggregate in one expression: Polars fails as soon as there are rows; write MIN(region)",
        ),
        (
            "SELECT CASE WHEN COUNT(*) > 1 THEN e.region ELSE 'b' END AS x FROM events AS e GROUP BY e.region",
            "write MIN(region) in it",
        ),
        ("SELECT COALESCE(MIN(key_arn), region) AS x FROM events GROUP BY region", "write MIN(region) in it"),
        (
            "SELECT CASE WHEN region IN ('a', 'b') THEN 'x' ELSE 'y' END AS x, COUNT(*) AS n FROM events GROUP BY region
             UNION ALL SELECT 'z' AS x, COUNT(*) AS n FROM kms",
            "IN over the GROUP BY column `region`: Polars fails as soon as there are rows; write region = 'a' OR",
        ),
        ("SELECT region NOT IN ('a') AS x FROM events GROUP BY region", "IN over the GROUP BY column `region`"),
        (
            "SELECT region, COUNT(*) AS n FROM events GROUP BY region HAVING n > 1 AND region <> 'a'",
            "the column `region` in HAVING, which is no aggregate's alias",
        ),
        (
            "SELECT 'in ' || region AS place, COUNT(*) AS n FROM events GROUP BY region HAVING place = 'in a'",
            "filter by it in WHERE",
        ),
        ("SELECT key_arn || 'x' AS x FROM events GROUP BY region", "that is neither in GROUP BY nor in an aggregate"),
        // Polars computes these twice, or repeats the row.
        (
            "SELECT record_no * 2 + 1 AS x, COUNT(*) AS n FROM events GROUP BY record_no * 2",
            "an expression of GROUP BY stands alone in SELECT",
        ),
        ("SELECT region AS x FROM events GROUP BY SUBSTR(region, 2)", "make it a column in a CTE before"),
        (
            "SELECT UPPER(region) AS r, r || 'x' AS s, COUNT(*) AS n FROM events GROUP BY r",
            "the column `r` that is neither in GROUP BY nor in an aggregate",
        ),
        ("SELECT region, COUNT(*) AS n FROM events", "the column `region` beside an aggregate without GROUP BY"),
        ("SELECT *, COUNT(*) AS n FROM events GROUP BY region", "`*` in a SELECT that groups"),
        (
            "SELECT region, COUNT(*) AS n FROM events GROUP BY region, UPPER(region)",
            "GROUP BY two expressions that begin with the same column, or with a literal: Polars calls both `region`",
        ),
        (
            "SELECT COUNT(*) AS n FROM events GROUP BY CASE WHEN mfa THEN 1 ELSE 0 END, -record_no",
            "Polars calls both `literal`",
        ),
    ]);
    rewritten(&[
        ("SELECT MIN(region) || CASE WHEN COUNT(*) > 1 THEN 'a' ELSE 'b' END AS x FROM events GROUP BY region", "MIN("),
        ("SELECT UPPER(region) || '/' || account_id AS x FROM events GROUP BY region, account_id", "UPPER(region)"),
        ("SELECT CASE WHEN region = 'a' OR region = 'b' THEN 1 END AS x FROM events GROUP BY region", "region = 'a'"),
        ("SELECT (e.region) || 'x' AS x, COUNT(*) AS n FROM events AS e GROUP BY (e.region) || 'x'", "GROUP BY"),
        ("SELECT CASE WHEN region IN ('a') THEN 'b' END AS x, COUNT(*) AS n FROM events GROUP BY x", "IN ('a')"),
        ("SELECT CASE WHEN MIN(region) IN ('a', 'b') THEN 1 END AS x FROM events", "IN ('a', 'b')"),
        ("SELECT COUNT(CASE WHEN region IN ('a', 'b') THEN 1 END) AS n FROM events GROUP BY region", "IN ('a', 'b')"),
        ("SELECT region, COUNT(*) AS n FROM events GROUP BY region HAVING n IN (2, 3) AND MIN(region) > 'a'", "n IN"),
        ("SELECT event_id, region IN ('a') AS x FROM events", "region IN ('a')"),
    ]);
}

#[test]
fn windows_ordered_by_two_of_one_name_are_refused() {
    refused(&[
        (
            "SELECT event_id, ROW_NUMBER() OVER (ORDER BY -event_epoch, -record_no, event_id) AS n FROM events",
            "two negated numbers in a window's ORDER BY: Polars gives both one name and fails; make -n a column",
        ),
        (
            "SELECT a.event_id, LAG(a.region) OVER (ORDER BY a.event_id, b.event_id) AS n FROM events AS a JOIN kms AS b ON a.region = b.region",
            "two columns called `event_id` in a window's ORDER BY",
        ),
        ("SELECT event_id, RANK() OVER (ORDER BY -record_no) AS n FROM events", "write ORDER BY n DESC"),
    ]);
    rewritten(&[
        ("SELECT event_id, RANK() OVER (ORDER BY record_no DESC) AS n FROM events", "record_no DESC"),
        ("SELECT event_id, RANK() OVER (ORDER BY -record_no, region) AS n FROM events", "-record_no"),
        (
            "SELECT a.event_id, LAG(a.region) OVER (PARTITION BY b.event_id ORDER BY -a.event_epoch, a.event_id) AS n
             FROM events AS a JOIN kms AS b ON a.region = b.region",
            "PARTITION BY b.event_id",
        ),
    ]);
}

#[test]
fn replace_takes_literals() {
    refused(&[
        ("SELECT REPLACE(key_arn, region, 'y') AS x FROM events", "cut at a literal with SPLIT_PART"),
        ("SELECT REPLACE(key_arn, 'a' || 'b', 'y') AS x FROM events", "REPLACE of what is no literal"),
        ("SELECT REPLACE(key_arn, '', 'y') AS x FROM events", "or of ''"),
        ("SELECT REPLACE(key_arn, 'a', region) AS x FROM events", "REPLACE by what may be NULL"),
        ("SELECT REPLACE(key_arn, 'a', NULL) AS x FROM events", "write 'text' or COALESCE(x, '')"),
        ("SELECT REPLACE('a b', 'a', COALESCE(region, '')) AS x FROM events", "'a' || x || 'b'"),
    ]);
    rewritten(&[
        ("SELECT REPLACE(key_arn, 'a', '') AS x FROM events", "REPLACE(key_arn, 'a', '')"),
        ("SELECT REPLACE(key_arn, 'a', COALESCE(region, '')) AS x FROM events", "COALESCE(region, '')"),
    ]);
}

#[test]
fn words_of_the_engines_name_no_table() {
    refused(&[
        (
            "SELECT at.event_id FROM events AS at",
            "`at` as the name of a table: it is a word of DuckDB's or Spark's own",
        ),
        ("SELECT minus.event_id FROM events AS minus", "`minus` as the name of a table"),
        ("WITH end AS (SELECT event_id FROM events) SELECT a.event_id FROM end AS a", "such as `end_rows` or a letter"),
        ("SELECT asof.event_id FROM (SELECT event_id FROM events) AS asof", "`asof` as the name of a table"),
    ]);
    rewritten(&[("SELECT grant.event_id FROM events AS grant", "AS grant")]);
}

#[test]
fn a_refused_rest_says_what_to_write() {
    refused(&[
        ("SELECT event_epoch % (86400 * 7) AS x FROM events", "write the number, such as event_epoch % 604800"),
        ("SELECT event_epoch % 0 AS x FROM events", "% by what is no positive literal or column"),
        ("SELECT (event_epoch - first_epoch) % 7 AS x FROM events", "write x - n * CAST(FLOOR(CAST(x AS DOUBLE) / n)"),
    ]);
    rewritten(&[(
        "SELECT record_no - 7 * CAST(FLOOR(CAST(record_no AS DOUBLE) / 7) AS BIGINT) AS x FROM events",
        "FLOOR",
    )]);
}
