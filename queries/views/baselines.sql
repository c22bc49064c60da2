-- title: Baselines
-- description: How much is normal: for each principal, and for each key, and each operation, the median of the calls in
--   its active hours and the median absolute deviation from it. Score x as 0.6745 * (x - median_count) / spread. Hours
--   without a call do not count, so a job that runs once a day has its own hour as its normal. What is being judged is
--   part of the baseline.
-- reads: use_hours
-- column: subject_kind: `principal` or `key`.
-- column: subject: The principal, or the key's ARN.
-- column: operation: The operation, as in use_hours.
-- column: hour_count: Active hours.
-- column: day_count: UTC days with active hours.
-- column: total_count: Calls.
-- column: max_count: Calls in the busiest hour.
-- column: median_count: Median of the calls in an active hour.
-- column: spread: Median absolute deviation from it, at least 1.
-- column: has_baseline: At least 24 active hours on at least 7 days; less is no baseline.
WITH hourly AS (
  SELECT
    'principal' AS subject_kind,
    a.principal AS subject,
    a.operation,
    a.hour_epoch,
    CAST(SUM(a.call_count) AS BIGINT) AS n
  FROM use_hours AS a
  WHERE a.principal IS NOT NULL
  GROUP BY a.principal, a.operation, a.hour_epoch
  UNION ALL
  SELECT
    'key' AS subject_kind,
    b.key_arn AS subject,
    b.operation,
    b.hour_epoch,
    CAST(SUM(b.call_count) AS BIGINT) AS n
  FROM use_hours AS b
  GROUP BY b.key_arn, b.operation, b.hour_epoch
), medians AS (
  SELECT
    h.subject_kind AS med_kind,
    h.subject AS med_subject,
    h.operation AS med_operation,
    MEDIAN(h.n) AS median_count,
    CAST(COUNT(*) AS BIGINT) AS hour_count,
    CAST(COUNT(DISTINCT h.hour_epoch - (h.hour_epoch % 86400)) AS BIGINT) AS day_count,
    CAST(SUM(h.n) AS BIGINT) AS total_count,
    MAX(h.n) AS max_count
  FROM hourly AS h
  GROUP BY h.subject_kind, h.subject, h.operation
), deviations AS (
  SELECT
    d.subject_kind,
    d.subject,
    d.operation,
    ABS(d.n - m.median_count) AS deviation
  FROM hourly AS d
  JOIN medians AS m ON m.med_kind = d.subject_kind AND m.med_subject = d.subject AND m.med_operation = d.operation
), spreads AS (
  SELECT
    v.subject_kind AS mad_kind,
    v.subject AS mad_subject,
    v.operation AS mad_operation,
    MEDIAN(v.deviation) AS mad
  FROM deviations AS v
  GROUP BY v.subject_kind, v.subject, v.operation
)
SELECT
  b.med_kind AS subject_kind,
  b.med_subject AS subject,
  b.med_operation AS operation,
  b.hour_count,
  b.day_count,
  b.total_count,
  b.max_count,
  b.median_count,
  CASE WHEN s.mad > 1.0 THEN s.mad ELSE 1.0 END AS spread,
  CASE WHEN b.hour_count >= 24 AND b.day_count >= 7 THEN TRUE ELSE FALSE END AS has_baseline
FROM medians AS b
JOIN spreads AS s ON s.mad_kind = b.med_kind AND s.mad_subject = b.med_subject AND s.mad_operation = b.med_operation
ORDER BY subject_kind, subject, operation
