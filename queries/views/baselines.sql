-- title: Baselines
-- description: How much is normal: for each principal, and for each key, and each operation, the median of the calls in
--   its active hours and the median absolute deviation from it. Score x as 0.6745 * (x - median_count) / spread. Hours
--   without a call do not count, so a job that runs once a day has its own hour as its normal. What is being judged is
--   part of the baseline.
-- reads: principal_baselines, key_baselines
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
WITH subjects AS (
  SELECT
    'principal' AS subject_kind, a.principal AS subject, a.operation, a.hour_count, a.day_count, a.total_count, a.max_count,
    a.median_count, a.spread
  FROM principal_baselines AS a
  UNION ALL
  SELECT
    'key' AS subject_kind, b.key_arn AS subject, b.operation, b.hour_count, b.day_count, b.total_count, b.max_count,
    b.median_count, b.spread
  FROM key_baselines AS b
)
SELECT
  s.subject_kind,
  s.subject,
  s.operation,
  s.hour_count,
  s.day_count,
  s.total_count,
  s.max_count,
  s.median_count,
  s.spread,
  CASE WHEN s.hour_count >= 24 AND s.day_count >= 7 THEN TRUE ELSE FALSE END AS has_baseline
FROM subjects AS s
ORDER BY subject_kind, subject, operation
