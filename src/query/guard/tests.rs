//! One case per construct that differs between engines, and the texts that were measured to agree.

use super::*;

mod run_time;

fn tables() -> Tables {
    let mut tables = Tables::new(["events", "keys", "policy_entries"]);
    tables.add("kms");
    tables
}

/// The rewritten statement on one line, or the faults.
fn run(sql: &str) -> Result<String, String> {
    match guard("q", sql, &tables()) {
        Ok(guarded) => {
            Ok(guarded.sql.split_whitespace().collect::<Vec<_>>().join(" ").replace("( ", "(").replace(" )", ")"))
        }
        Err(faults) => Err(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    }
}

#[track_caller]
fn refused(cases: &[(&str, &str)]) {
    for (sql, part) in cases {
        match run(sql) {
            Ok(rewritten) => panic!("{sql}\nwas not refused but run as\n{rewritten}"),
            Err(message) => assert!(message.contains(part), "{sql}\nwas refused with\n{message}\nwithout\n{part}"),
        }
    }
}

#[track_caller]
fn rewritten(cases: &[(&str, &str)]) {
    for (sql, part) in cases {
        let rewritten = run(sql).unwrap_or_else(|message| panic!("{sql}\nwas refused with\n{message}"));
        assert!(rewritten.contains(part), "{sql}\nwas run as\n{rewritten}\nwithout\n{part}");
    }
}

#[test]
fn numbers_are_signed_and_64_bits_wide() {
    rewritten(&[
        ("SELECT COUNT(*) - 5 AS n FROM events", "CAST(COUNT(*) AS BIGINT) - 5"),
        ("SELECT -COUNT(*) AS n FROM events", "-CAST(COUNT(*) AS BIGINT)"),
        ("SELECT COUNT(*) * 10000 AS n FROM events", "CAST(COUNT(*) AS BIGINT) * 10000"),
        ("SELECT LENGTH(user_agent) - 100 AS n FROM events", "CAST(LENGTH(user_agent) AS BIGINT) - 100"),
        ("SELECT CAST(COUNT(*) AS BIGINT) AS n FROM events", "SELECT CAST(COUNT(*) AS BIGINT) AS n"),
        ("SELECT CAST(COUNT(*) AS DOUBLE) / 2 AS n FROM events", "CAST(COUNT(*) AS DOUBLE) / 2"),
        ("SELECT COUNT(DISTINCT key_arn) AS n FROM events", "CAST(COUNT(DISTINCT key_arn) AS BIGINT)"),
        ("SELECT COUNT(*) FILTER (WHERE mfa) AS n FROM events", "CAST(COUNT(*) FILTER (WHERE mfa) AS BIGINT)"),
        (
            "SELECT key_arn, COUNT(*) AS n FROM events GROUP BY key_arn HAVING COUNT(*) > 3",
            "HAVING CAST(COUNT(*) AS BIGINT) > 3",
        ),
        (
            "SELECT event_id, ROW_NUMBER() OVER (PARTITION BY key_arn ORDER BY event_epoch, event_id) AS n FROM events",
            "CAST(ROW_NUMBER() OVER (PARTITION BY key_arn ORDER BY event_epoch NULLS FIRST, event_id NULLS FIRST",
        ),
        (
            "SELECT principal, SUM(CASE WHEN mfa THEN 1 ELSE 0 END) * 3 AS n FROM events GROUP BY principal",
            "CASE WHEN mfa THEN CAST(1 AS BIGINT) ELSE CAST(0 AS BIGINT) END",
        ),
        ("SELECT 1 AS n, -2 AS m FROM events", "SELECT CAST(1 AS BIGINT) AS n, CAST(-2 AS BIGINT) AS m"),
        ("SELECT COUNT(1) AS n FROM events", "CAST(COUNT(*) AS BIGINT)"),
        (
            "SELECT event_id, COUNT(1) OVER (PARTITION BY key_arn) AS n FROM events",
            "CAST(COUNT(*) OVER (PARTITION BY key_arn) AS BIGINT)",
        ),
        (
            "SELECT POSITION('x' IN region) AS n FROM events",
            "CASE WHEN region IS NOT NULL THEN CAST(POSITION('x' IN region) AS BIGINT) END",
        ),
        ("SELECT COALESCE(LENGTH(region), 0) AS n FROM events", "COALESCE(CAST(LENGTH(region) AS BIGINT), 0)"),
    ]);
}

#[test]
fn the_place_of_nulls_is_said() {
    rewritten(&[
        ("SELECT region FROM events ORDER BY region", "ORDER BY region NULLS LAST"),
        ("SELECT region FROM events ORDER BY region DESC", "ORDER BY region DESC NULLS LAST"),
        ("SELECT region FROM events ORDER BY region NULLS FIRST", "ORDER BY region NULLS FIRST"),
        (
            "SELECT event_id, LAG(event_epoch) OVER (PARTITION BY region ORDER BY event_epoch DESC, event_id DESC) AS x FROM events",
            "ORDER BY event_epoch DESC NULLS LAST, event_id DESC NULLS LAST",
        ),
        (
            "SELECT event_id, RANK() OVER (ORDER BY region) AS x FROM events",
            "CASE WHEN region IS NULL THEN 0 ELSE 1 END NULLS FIRST, region NULLS FIRST",
        ),
    ]);
    refused(&[
        (
            "SELECT event_id, LAG(event_epoch) OVER (ORDER BY event_epoch NULLS LAST, event_id) AS x FROM events",
            "NULLS LAST in a window: Polars puts them FIRST",
        ),
        (
            "SELECT event_id, LAG(event_epoch) OVER (ORDER BY event_id DESC NULLS FIRST) AS x FROM events",
            "NULLS FIRST in a window: Polars puts them LAST",
        ),
    ]);
}

#[test]
fn silently_wrong_aggregates_and_joins_are_refused() {
    refused(&[
        ("SELECT SUM(1) AS n FROM events", "write COUNT(*)"),
        ("SELECT event_id, SUM(1) OVER (PARTITION BY region) AS n FROM events", "write COUNT(*)"),
        ("SELECT SUM(event_name = 'Decrypt') AS n FROM events", "SUM of a condition"),
        (
            "SELECT a.event_id FROM events AS a LEFT JOIN keys AS b ON a.key_arn = b.key_arn AND a.event_epoch <= b.last_epoch",
            "aggregate the inner range join in a CTE, then LEFT JOIN that on the key",
        ),
        (
            "SELECT a.event_id FROM events AS a ANTI JOIN keys AS b ON a.key_arn = b.key_arn AND a.event_epoch <= b.last_epoch",
            "Polars runs it as an inner join",
        ),
        (
            "SELECT event_id, SUM(record_no) OVER (PARTITION BY region ORDER BY event_epoch) AS n FROM events",
            "write ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
        ),
        (
            "SELECT event_id, SUM(record_no) OVER (ORDER BY event_epoch ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS n FROM events",
            "end its ORDER BY in the unique event_id",
        ),
        (
            "SELECT event_id, ROW_NUMBER() OVER (PARTITION BY region ORDER BY event_epoch) AS n FROM events",
            "end its ORDER BY in the unique event_id",
        ),
        (
            "WITH b AS (SELECT event_id AS b_id, event_epoch AS b_epoch, region FROM events) SELECT a.event_id,
               ROW_NUMBER() OVER (ORDER BY b.b_epoch, a.event_id) AS n FROM events AS a JOIN b ON b.region = a.region",
            "end its ORDER BY in the unique b_id",
        ),
        (
            "WITH a AS (SELECT region, event_epoch FROM events) SELECT region, LAG(event_epoch) OVER (ORDER BY event_epoch) AS n FROM a",
            "carry event_id along",
        ),
        (
            "SELECT event_id, AVG(record_no) OVER (PARTITION BY region ORDER BY event_epoch, event_id) AS n FROM events",
            "divide a running SUM by a running COUNT",
        ),
        (
            "SELECT event_id, STDDEV(record_no) OVER (ORDER BY event_epoch, event_id) AS n FROM events",
            "divide a running SUM by a running COUNT",
        ),
        (
            "SELECT event_id, SUM(CAST(record_no AS BIGINT)) OVER (ORDER BY event_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS n FROM events",
            "make it a column in one CTE",
        ),
        (
            "SELECT region, SUM(COUNT(*)) OVER (PARTITION BY region) AS n FROM events GROUP BY region",
            "aggregate in one CTE, and run the window in the next",
        ),
        ("SELECT event_id, COUNT(*) OVER (PARTITION BY region) + 1 AS n FROM events", "give it an alias in one CTE"),
        (
            "SELECT event_id, SUM(record_no) OVER w AS n FROM events WINDOW w AS (PARTITION BY region)",
            "write the window at each function",
        ),
        ("SELECT COUNT(*) OVER () AS n FROM events", "an empty OVER ()"),
        ("SELECT region, COUNT(*) AS n FROM events GROUP BY region ORDER BY COUNT(*)", "give it an alias in SELECT"),
    ]);
}

#[test]
fn what_engines_value_differently_is_refused() {
    refused(&[
        ("SELECT mfa IS NOT TRUE AS x FROM events", "write COALESCE(x, FALSE)"),
        (
            "SELECT event_id FROM events WHERE key_arn IS DISTINCT FROM key_ref AND mfa",
            "write (a IS DISTINCT FROM b) AND ...",
        ),
        ("SELECT mfa IS FALSE AS x FROM events", "write COALESCE(x, FALSE)"),
        ("SELECT ROUND(CAST(record_no AS DOUBLE), 2) AS x FROM events", "FLOOR(x * 100 + 0.5) / 100"),
        ("SELECT (0 - event_epoch) % 7 AS x FROM events", "% of what may be negative"),
        ("SELECT -event_epoch % 7 AS x FROM events", "% of what may be negative"),
        ("SELECT event_epoch % -7 AS x FROM events", "% of what may be negative"),
        ("SELECT event_date - event_date AS x FROM events", "compute with event_epoch"),
        ("SELECT event_time - first_time AS x FROM events", "compute with event_epoch"),
        ("SELECT ARRAY_AGG(event_id) AS x FROM events", "write STRING_AGG(x, ',')"),
        ("SELECT STRING_AGG(event_id, ',' ORDER BY event_id) AS x FROM events", "the order of lists is put right"),
        ("SELECT STRING_AGG(event_id, ';') AS x FROM events", "without the separator"),
        ("SELECT 'ids ' || STRING_AGG(event_id, ',') AS x FROM events", "STRING_AGG inside an expression"),
        (
            "WITH a AS (SELECT region, STRING_AGG(event_id, ',') AS ids FROM events GROUP BY region) SELECT 'ids ' || a.ids AS x FROM a",
            "the list `ids` inside an expression",
        ),
        ("WITH events AS (SELECT event_id FROM kms) SELECT event_id FROM events", "has the name of a table"),
        (
            "SELECT a.event_id FROM (SELECT event_id FROM kms) AS keys JOIN kms AS a ON a.event_id = keys.event_id",
            "has the name of a table",
        ),
        ("SELECT CAST(event_time AS STRING) AS x FROM events", "leave the text of times to keytrail"),
        ("SELECT 'at ' || event_time AS x FROM events", "arithmetic or text with a time"),
        ("SELECT CONCAT(region, '-', key_arn) AS x FROM events", "write a || b, or COALESCE each part"),
        (r"SELECT event_id FROM events WHERE user_agent LIKE '%\%'", "a backslash in a literal"),
        ("SELECT EXTRACT(DOW FROM event_time) AS x FROM events", "compute with event_epoch"),
        ("SELECT CAST(event_epoch / 7 AS BIGINT) AS x FROM events", "write CAST(FLOOR(x) AS BIGINT)"),
        ("SELECT CAST(AVG(record_no) AS BIGINT) AS x FROM events", "write CAST(FLOOR(x) AS BIGINT)"),
        ("SELECT event_epoch / 0 AS x FROM events", "a division by zero"),
        ("SELECT event_id FROM events WHERE event_time > '2024-05-01'", "compare event_epoch with seconds"),
        ("SELECT event_id FROM events WHERE region = NULL", "write IS NULL"),
        ("SELECT event_id FROM events WHERE region NOT IN ('a', NULL)", "NULL in a list of IN"),
        ("SELECT event_id FROM events LIMIT 5", "which rows are left is chance"),
        ("SELECT region || '' FROM events", "add AS and a name"),
        ("SELECT region, key_region AS region FROM events", "two result columns are called `region`"),
    ]);
}

#[test]
fn what_polars_refuses_is_refused_with_advice() {
    refused(&[
        ("WITH RECURSIVE a AS (SELECT event_id FROM events) SELECT event_id FROM a", "a recursive CTE"),
        (
            "WITH a AS (WITH b AS (SELECT event_id FROM events) SELECT event_id FROM b) SELECT event_id FROM a",
            "a CTE inside a CTE",
        ),
        (
            "SELECT a.event_id FROM events AS a WHERE EXISTS (SELECT 1 FROM keys AS b WHERE b.key_arn = a.key_arn AND b.state = 'x')",
            "EXISTS that is no plain equality",
        ),
        (
            "SELECT a.event_id FROM events AS a WHERE EXISTS (SELECT 1 FROM keys AS b WHERE b.key_arn = a.key_arn) OR a.mfa",
            "EXISTS other than as a condition of WHERE",
        ),
        (
            "SELECT event_id, (SELECT MAX(event_epoch) AS m FROM kms) AS x FROM events",
            "make it a one-row CTE and CROSS JOIN it",
        ),
        (
            "SELECT event_id FROM events WHERE event_epoch = (SELECT MAX(event_epoch) AS m FROM kms)",
            "a scalar subquery",
        ),
        (
            "SELECT event_id FROM events WHERE (region, key_arn) IN (SELECT region, key_arn FROM kms)",
            "JOIN on both columns",
        ),
        ("SELECT CASE WHEN region IN (SELECT region FROM kms) THEN 1 ELSE 0 END AS x FROM events", "LEFT JOIN a CTE"),
        (
            "SELECT a.event_id FROM events AS a JOIN kms AS b ON a.event_epoch BETWEEN b.event_epoch AND b.last_epoch",
            "BETWEEN in ON",
        ),
        (
            "SELECT a.event_id FROM events AS a JOIN kms AS b ON a.region = b.region OR a.key_arn = b.key_arn",
            "OR in ON",
        ),
        (
            "SELECT a.event_id FROM events AS a JOIN kms AS b ON a.region = b.region AND b.event_name = 'Decrypt'",
            "a literal in ON",
        ),
        ("SELECT region, COUNT(*) AS n FROM events GROUP BY ROLLUP (region)", "UNION ALL them"),
        ("SELECT region, COUNT(*) AS n FROM events GROUP BY CUBE (region)", "UNION ALL them"),
        ("SELECT COUNT(DISTINCT region, key_arn) AS n FROM events", "count one expression"),
        ("SELECT PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY record_no) AS x FROM events", "MEDIAN is there"),
        ("SELECT APPROX_COUNT_DISTINCT(region) AS x FROM events", "write COUNT(DISTINCT x)"),
        ("SELECT ANY_VALUE(region) AS x FROM events", "write MIN or MAX"),
        ("SELECT BOOL_OR(mfa) AS x FROM events", "CASE WHEN c THEN 1"),
        ("SELECT STDDEV_POP(record_no) AS x FROM events", "STDDEV is the one"),
        ("SELECT event_id, NTILE(4) OVER (ORDER BY event_id) AS x FROM events", "compute it from ROW_NUMBER"),
        ("SELECT LISTAGG(region, ',') WITHIN GROUP (ORDER BY region) AS x FROM events", "write STRING_AGG(x, ',')"),
        (
            "SELECT event_id, ROW_NUMBER() OVER (ORDER BY record_no DESC, event_id) AS x FROM events",
            "negate the number: ORDER BY -n, name",
        ),
        (
            "SELECT event_id, LAG(event_epoch, 1, 0) OVER (ORDER BY event_id) AS x FROM events",
            "COALESCE(LAG(x) OVER (...), d)",
        ),
        (
            "SELECT event_id, SUM(record_no) OVER (ORDER BY event_id ROWS BETWEEN 3 PRECEDING AND CURRENT ROW) AS x FROM events",
            "compare with LAG(event_epoch, n)",
        ),
        (
            "SELECT event_id, SUM(record_no) OVER (ORDER BY event_id RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS x FROM events",
            "this window frame",
        ),
    ]);
}

#[test]
fn functions_and_literals_that_polars_refuses_are_refused_with_advice() {
    refused(&[
        ("SELECT event_id FROM events WHERE event_time > INTERVAL '7' DAY", "7 days are 604800 seconds"),
        ("SELECT DATE_TRUNC('hour', event_time) AS x FROM events", "compute with event_epoch"),
        ("SELECT DATEDIFF('day', event_time, event_time) AS x FROM events", "compute with event_epoch"),
        ("SELECT CURRENT_TIMESTAMP AS x FROM events", "must not depend on when it is made"),
        ("SELECT event_id FROM events WHERE event_time > TIMESTAMP '2024-05-01 00:00:00'", "compare event_epoch"),
        (r"SELECT event_id FROM events WHERE region LIKE 'a#%' ESCAPE '#'", "LIKE with ESCAPE"),
        ("SELECT event_id FROM events WHERE region LIKE key_arn", "a pattern that is no literal"),
        ("SELECT REGEXP_EXTRACT(region, 'a') AS x FROM events", "regular expressions differ"),
        ("SELECT REGEXP_REPLACE(region, 'a', 'b') AS x FROM events", "regular expressions differ"),
        ("SELECT event_id FROM events WHERE region RLIKE 'a'", "a regular expression"),
        ("SELECT JSON_EXTRACT(policy, '$.a') AS x FROM events", "a column or a child table"),
        ("SELECT policy -> 'a' AS x FROM events", "a column or a child table"),
        ("SELECT event_id FROM events WHERE region = $1", "CROSS JOIN params AS p"),
        ("SELECT event_id FROM events WHERE region = ?", "CROSS JOIN params AS p"),
        ("SELECT * FROM events PIVOT (SUM(record_no) FOR region IN ('a', 'b'))", "PIVOT"),
        ("SELECT MD5(region) AS x FROM events", "hashes differ"),
        ("SELECT event_id FROM events; SELECT event_id FROM kms", "2 statements"),
        ("SELECT Event_Id FROM events", "write `event_id`"),
        ("SELECT \"event_id\" FROM events", "the quoted name"),
        (
            "SELECT a.region AS x, b.region AS y FROM events AS a JOIN kms AS b ON a.event_id = b.event_id GROUP BY a.region, b.region",
            "GROUP BY two columns called `region`",
        ),
    ]);
}

#[test]
fn the_rest_is_refused_because_it_is_not_in_the_subset() {
    refused(&[
        ("DELETE FROM events", "only a SELECT is run"),
        ("DROP TABLE events", "only a SELECT is run"),
        ("", "there is no statement"),
        ("SELECT * FROM read_parquet('/etc/passwd')", "a query reads the case's tables and no files"),
        ("SELECT event_id FROM '/etc/passwd'", "the quoted name"),
        (
            "SELECT event_id FROM other",
            "the tables are events, evidence, home_accounts, keys, kms, params, policy_entries",
        ),
        ("SELECT event_id FROM main.events", "the qualified table"),
        ("SELECT a.event_id FROM events AS a, kms AS b", "write JOIN ... ON"),
        ("SELECT a.event_id FROM events AS a CROSS JOIN kms AS b", "one side must have one row"),
        ("SELECT event_id FROM events NATURAL JOIN keys", "NATURAL JOIN"),
        ("SELECT * FROM events AS a JOIN keys AS b ON a.key_arn = b.key_arn", "`*` over a join"),
        ("SELECT DISTINCT ON (region) region, event_id FROM events", "DISTINCT ON"),
        ("SELECT event_id FROM events ORDER BY 1", "name the column"),
        ("SELECT event_id FROM events ORDER BY region", "which is no result column"),
        ("SELECT region FROM events UNION ALL SELECT key_arn FROM kms", "other column names"),
        ("SELECT region FROM events UNION ALL BY NAME SELECT region FROM kms", "UNION"),
        ("SELECT SUBSTR(region, record_no) AS x FROM events", "positive literals"),
        ("SELECT TRY_CAST(region AS BIGINT) AS x FROM events", "write CAST(x AS BIGINT)"),
        ("SELECT region::BIGINT AS x FROM events", "write CAST(x AS BIGINT)"),
        ("SELECT CAST(region AS INT) AS x FROM events", "write BIGINT, DOUBLE, STRING or DATE"),
        ("SELECT event_id FROM events WHERE COUNT(*) > 1", "outside SELECT and HAVING"),
        ("SELECT COUNT(*) AS n FROM events HAVING COUNT(*) > 1", "HAVING without GROUP BY"),
        (
            "SELECT event_id, LAG(event_epoch) OVER (ORDER BY event_id) AS x FROM events QUALIFY ROW_NUMBER() OVER (ORDER BY event_id) = 1",
            "QUALIFY by the alias",
        ),
        ("SELECT b.event_id FROM events AS a", "FROM has no `b`"),
        (
            "SELECT e.event_id FROM events AS e WHERE e.region IN (SELECT k.region FROM kms AS k WHERE k.key_arn = e.key_arn)",
            "FROM has no `e`",
        ),
        ("SELECT UNNEST(region) AS x FROM events", "child tables"),
        ("SELECT event_id FROM events WHERE region SIMILAR TO 'a'", "a regular expression"),
        ("SELECT (", "the text is no statement"),
        ("SELECT 'open", "the text is no SQL"),
    ]);
}

#[test]
fn faults_have_their_lines() {
    let sql =
        "-- title: x\n\nSELECT\n  ROUND(record_no, 1) AS a,\n  region AS b\nFROM events\nWHERE mfa IS TRUE\nLIMIT 3";
    let faults = guard("q", sql, &tables()).unwrap_err();
    let lines: Vec<u64> = faults
        .iter()
        .filter_map(|fault| match fault {
            Error::Query { line, .. } => Some(*line),
            _ => None,
        })
        .collect();
    assert_eq!(lines[..2], [7, 4], "{faults:?}");
    let broken = run("SELECT a\nFROM events\nWHERE )").unwrap_err();
    assert!(broken.starts_with("q, line 3: the text is no statement"), "{broken}");
}

#[test]
fn text_made_to_exhaust_the_stack_is_refused() {
    assert!(run(&format!("SELECT {}1 AS x", "1+".repeat(50_000))).unwrap_err().contains("too long"));
    assert!(run(&format!("SELECT {}1 AS x", "1+".repeat(4_000))).unwrap_err().contains("more than 800 operators"));
    assert!(run(&format!("SELECT {}1 AS x", "1+".repeat(800))).unwrap_err().contains("nested deeper"));
    assert!(
        run(&format!("{}SELECT 1 AS x", "SELECT 1 AS x UNION ALL ".repeat(1_000))).unwrap_err().contains("operators")
    );
    assert!(run(&format!("SELECT {}1{} AS x", "(".repeat(4_000), ")".repeat(4_000))).is_err());
}

/// The texts whose rows were equal on Polars, DuckDB and Spark.
pub(crate) const MEASURED: [&str; 3] = [
    "WITH hourly AS (
  SELECT principal_arn, event_epoch - (event_epoch % 3600) AS hour_epoch, CAST(COUNT(*) AS BIGINT) AS n
  FROM kms WHERE event_name = 'Decrypt' AND error_code IS NULL
  GROUP BY principal_arn, event_epoch - (event_epoch % 3600)
), med AS (
  SELECT principal_arn, MEDIAN(n) AS med, CAST(COUNT(*) AS BIGINT) AS active_hours FROM hourly GROUP BY principal_arn
), dev AS (
  SELECT h.principal_arn, h.hour_epoch, h.n, m.med, m.active_hours, ABS(h.n - m.med) AS ad
  FROM hourly h JOIN med m ON h.principal_arn = m.principal_arn
), mad AS (
  SELECT principal_arn, MEDIAN(ad) AS mad FROM dev GROUP BY principal_arn
), scored AS (
  SELECT d.principal_arn, d.hour_epoch, d.n, d.med, a.mad, d.active_hours,
         0.6745 * (d.n - d.med) / CASE WHEN a.mad > 0 THEN a.mad ELSE 1.0 END AS robust_z
  FROM dev d JOIN mad a ON d.principal_arn = a.principal_arn
)
SELECT principal_arn, hour_epoch, n, med, mad, robust_z FROM scored
WHERE active_hours >= 24 AND n >= 50 AND robust_z >= 6.0
ORDER BY robust_z DESC, principal_arn, hour_epoch",
    "WITH denied AS (
  SELECT principal_arn, key_arn, event_epoch, event_id,
         LAG(event_epoch, 9) OVER (PARTITION BY principal_arn, key_arn ORDER BY event_epoch, event_id) AS tenth_before
  FROM kms WHERE error_code = 'AccessDenied' AND key_arn IS NOT NULL
), bursts AS (
  SELECT principal_arn AS b_principal, key_arn AS b_key, event_epoch AS burst_epoch, tenth_before AS burst_start
  FROM denied WHERE event_epoch - tenth_before <= 600
), ok_calls AS (
  SELECT principal_arn, key_arn, event_epoch, event_id FROM kms WHERE error_code IS NULL AND key_arn IS NOT NULL
)
SELECT b.b_principal, b.b_key, MIN(b.burst_start) AS burst_start, MAX(b.burst_epoch) AS burst_end,
       MIN(o.event_epoch) AS first_success, COUNT(DISTINCT o.event_id) AS successes
FROM bursts b JOIN ok_calls o ON o.principal_arn = b.b_principal AND o.key_arn = b.b_key
WHERE o.event_epoch >= b.burst_epoch AND o.event_epoch <= b.burst_epoch + 600
GROUP BY b.b_principal, b.b_key ORDER BY burst_start, b_principal, b_key",
    "WITH gaps AS (
  SELECT principal_arn, key_arn, event_epoch, event_id,
         LAG(event_epoch) OVER (PARTITION BY principal_arn ORDER BY event_epoch, event_id) AS prev_epoch
  FROM kms
), marks AS (
  SELECT principal_arn, key_arn, event_epoch, event_id,
         CASE WHEN prev_epoch IS NULL OR event_epoch - prev_epoch > 1800 THEN 1 ELSE 0 END AS is_start
  FROM gaps
), numbered AS (
  SELECT principal_arn, key_arn, event_epoch,
         SUM(is_start) OVER (PARTITION BY principal_arn ORDER BY event_epoch, event_id
                             ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS session_no
  FROM marks
)
SELECT principal_arn, session_no, MIN(event_epoch) AS start_epoch, MAX(event_epoch) AS end_epoch,
       CAST(COUNT(*) AS BIGINT) AS events, COUNT(DISTINCT key_arn) AS keys
FROM numbered GROUP BY principal_arn, session_no ORDER BY principal_arn, session_no",
];

/// Safe forms, one of each kind.
const SAFE: [&str; 28] = [
    "WITH b AS (SELECT event_id AS b_id, event_epoch AS b_epoch, region FROM events) SELECT a.event_id,
       ROW_NUMBER() OVER (PARTITION BY a.event_id ORDER BY b.b_epoch, b.b_id) AS n FROM events AS a JOIN b ON b.region = a.region",
    "SELECT a.event_id FROM events AS a JOIN kms AS b ON a.key_arn = b.key_arn AND b.event_epoch >= a.event_epoch",
    "SELECT a.event_id FROM events AS a JOIN kms AS b ON a.key_arn = b.key_arn WHERE b.event_epoch >= a.event_epoch - 600",
    "SELECT a.event_id FROM events AS a LEFT JOIN keys AS b ON a.key_arn = b.key_arn WHERE b.key_arn IS NULL",
    "SELECT a.event_id FROM events AS a RIGHT JOIN keys AS b ON a.key_arn = b.key_arn",
    "SELECT a.event_id FROM events AS a FULL OUTER JOIN keys AS b ON a.key_arn = b.key_arn",
    "SELECT event_id FROM events JOIN keys USING (key_arn)",
    "SELECT a.event_id FROM events AS a SEMI JOIN keys AS b ON a.key_arn = b.key_arn",
    "SELECT a.event_id FROM events AS a ANTI JOIN keys AS b ON a.key_arn = b.key_arn",
    "WITH bounds AS (SELECT MIN(event_epoch) AS low FROM events) SELECT a.event_id FROM events AS a CROSS JOIN bounds AS b WHERE a.event_epoch > b.low",
    "SELECT a.event_id FROM events AS a CROSS JOIN params AS p WHERE a.record_no > p.least",
    "SELECT a.event_id FROM events AS a WHERE NOT EXISTS (SELECT 1 FROM keys AS b WHERE b.key_arn = a.key_arn)",
    "SELECT event_id FROM events WHERE account_id NOT IN (SELECT account_id FROM home_accounts) AND mfa",
    "SELECT d.event_id FROM (SELECT event_id FROM events WHERE mfa) AS d",
    "SELECT region, COUNT(*) AS n FROM events GROUP BY region HAVING n > 1 ORDER BY n DESC, region",
    "SELECT LOWER(region) AS low, MEDIAN(record_no) AS m, STDDEV(record_no) AS s FROM events GROUP BY LOWER(region)",
    "SELECT event_id, ROW_NUMBER() OVER (PARTITION BY region ORDER BY event_epoch, event_id) AS n FROM events QUALIFY n = 1",
    "SELECT event_id, FIRST_VALUE(region) OVER (PARTITION BY key_arn ORDER BY event_epoch, event_id) AS f FROM events",
    "SELECT event_id, COALESCE(LAG(event_epoch) OVER (ORDER BY -event_epoch, event_id), 0) AS f FROM events",
    "SELECT event_id, MAX(event_epoch) OVER (PARTITION BY region) AS m FROM events",
    "SELECT DISTINCT region FROM events UNION SELECT region FROM kms EXCEPT SELECT region FROM keys",
    "SELECT NULLIF(region, '') AS a, GREATEST(record_no, 1) AS b, region IS DISTINCT FROM key_region AS c, key_arn || ':' || region AS d FROM events",
    "SELECT SPLIT_PART(key_arn, ':', 5) AS a, SUBSTR(key_arn, 1, 3) AS b, TRIM(region) AS c, REPLACE(region, 'a', 'b') AS d FROM events",
    "SELECT event_id FROM events WHERE region LIKE 'eu-%' AND user_agent NOT ILIKE '%boto%' AND record_no BETWEEN 1 AND 9",
    "SELECT event_id FROM events WHERE event_date >= DATE '2024-05-01' AND region IN ('eu-west-1', 'eu-north-1')",
    "SELECT CAST((event_epoch % 86400 - event_epoch % 3600) / 3600 AS BIGINT) AS hour FROM events",
    "SELECT CAST(NULL AS STRING) AS a, CAST(NULL AS TIMESTAMP) AS b, NULL AS c, FLOOR(record_no * 100 + 0.5) / 100 AS d FROM events",
    "SELECT * FROM events ORDER BY event_time, event_id LIMIT 10 OFFSET 5",
];

#[test]
fn what_was_measured_to_agree_passes() {
    for sql in MEASURED.iter().chain(&SAFE) {
        if let Err(message) = run(sql) {
            panic!("{sql}\nwas refused with\n{message}");
        }
    }
}

#[test]
fn the_rewritten_statement_is_accepted_and_not_rewritten_again() {
    for sql in MEASURED.iter().chain(&SAFE) {
        let once = guard("q", sql, &tables()).unwrap().sql;
        let twice = guard("q", &once, &tables()).unwrap_or_else(|faults| panic!("{once}\n{faults:?}")).sql;
        assert_eq!(once, twice);
    }
}

#[test]
fn tables_lists_columns_and_order_are_told() {
    let sql = "WITH a AS (SELECT key_arn, STRING_AGG(event_id, ',') AS ids FROM events GROUP BY key_arn)
        SELECT a.key_arn, a.ids AS event_ids FROM a JOIN keys AS k ON k.key_arn = a.key_arn ORDER BY key_arn DESC";
    let guarded = guard("q", sql, &tables()).unwrap();
    assert_eq!(guarded.tables, ["events", "keys"].map(str::to_owned).into());
    assert!(guarded.lists.contains("event_ids"));
    assert_eq!(guarded.columns, ["key_arn", "event_ids"]);
    let key = OrderKey { column: "key_arn".to_owned(), is_descending: true, is_nulls_first: false };
    assert_eq!(guarded.order_by, [key]);
    let explained = explain(&guarded, &[("keys".to_owned(), TableSource::Parquet("it's/keys.parquet".to_owned()))]);
    assert!(explained.contains("read_parquet('it''s/keys.parquet'"), "{explained}");
}
