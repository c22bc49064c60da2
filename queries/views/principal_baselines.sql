-- title: Baselines of principals
-- description: How much is normal for each principal and operation: median and spread of the calls in its active hours. The
--   view baselines joins those of principals and of keys, and says how they are meant.
-- reads: use_hours
-- partition: principal
-- column: principal: The principal.
-- column: operation: The operation, as in use_hours.
-- column: hour_count: Active hours.
-- column: day_count: UTC days with active hours.
-- column: total_count: Calls.
-- column: max_count: Calls in the busiest hour.
-- column: median_count: Median of the calls in an active hour.
-- column: spread: Median absolute deviation from it, at least 1.
WITH hourly AS (
  SELECT
    a.principal AS subject,
    a.operation,
    a.hour_epoch,
    CAST(SUM(a.call_count) AS BIGINT) AS n
  FROM use_hours AS a
  WHERE a.principal IS NOT NULL
  GROUP BY a.principal, a.operation, a.hour_epoch
), medians AS (
  SELECT
    h.subject AS med_subject,
    h.operation AS med_operation,
    MEDIAN(h.n) AS median_count,
    CAST(COUNT(*) AS BIGINT) AS hour_count,
    CAST(COUNT(DISTINCT h.hour_epoch - (h.hour_epoch % 86400)) AS BIGINT) AS day_count,
    CAST(SUM(h.n) AS BIGINT) AS total_count,
    MAX(h.n) AS max_count
  FROM hourly AS h
  GROUP BY h.subject, h.operation
), deviations AS (
  SELECT
    d.subject,
    d.operation,
    ABS(d.n - m.median_count) AS deviation
  FROM hourly AS d
  JOIN medians AS m ON m.med_subject = d.subject AND m.med_operation = d.operation
), spreads AS (
  SELECT
    v.subject AS mad_subject,
    v.operation AS mad_operation,
    MEDIAN(v.deviation) AS mad
  FROM deviations AS v
  GROUP BY v.subject, v.operation
)
SELECT
  b.med_subject AS principal,
  b.med_operation AS operation,
  b.hour_count,
  b.day_count,
  b.total_count,
  b.max_count,
  b.median_count,
  CASE WHEN s.mad > 1.0 THEN s.mad ELSE 1.0 END AS spread
FROM medians AS b
JOIN spreads AS s ON s.mad_subject = b.med_subject AND s.mad_operation = b.med_operation
ORDER BY principal, operation
