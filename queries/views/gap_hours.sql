-- title: Hours within gaps
-- description: One row for each hour of each gap of `coverage_gaps` between or after signs, at most a thousand days of it.
--   The time before a place's first sign is no gap of it: places begin to be used.
-- reads: coverage_gaps, evidence
-- column: account_id: The account.
-- column: region: The Region.
-- column: hour_epoch: Start of the hour, seconds since 1970-01-01 UTC.
WITH digits AS (
  SELECT 1 AS one, 0 AS digit FROM evidence
  UNION ALL SELECT 1 AS one, 1 AS digit FROM evidence
  UNION ALL SELECT 1 AS one, 2 AS digit FROM evidence
  UNION ALL SELECT 1 AS one, 3 AS digit FROM evidence
  UNION ALL SELECT 1 AS one, 4 AS digit FROM evidence
  UNION ALL SELECT 1 AS one, 5 AS digit FROM evidence
  UNION ALL SELECT 1 AS one, 6 AS digit FROM evidence
  UNION ALL SELECT 1 AS one, 7 AS digit FROM evidence
  UNION ALL SELECT 1 AS one, 8 AS digit FROM evidence
  UNION ALL SELECT 1 AS one, 9 AS digit FROM evidence
), hundreds AS (
  SELECT a.one, a.digit * 10 + b.digit AS two_digits
  FROM digits AS a
  JOIN digits AS b ON b.one = a.one
), days AS (
  SELECT h.one AS day_one, h.two_digits * 10 + c.digit AS day_no
  FROM hundreds AS h
  JOIN digits AS c ON c.one = h.one
), day_hours AS (
  SELECT t.one AS hour_one, t.two_digits AS hour_no
  FROM hundreds AS t
  WHERE t.two_digits < 24
), gaps AS (
  SELECT 1 AS gap_one, g.account_id, g.region, g.from_epoch, g.to_epoch
  FROM coverage_gaps AS g
  WHERE g.gap_kind <> 'head'
), gap_days AS (
  SELECT p.gap_one, p.account_id, p.region, p.to_epoch, p.from_epoch + d.day_no * 86400 AS day_epoch
  FROM gaps AS p
  JOIN days AS d ON d.day_one = p.gap_one
  WHERE p.from_epoch + d.day_no * 86400 < p.to_epoch
)
SELECT
  e.account_id,
  e.region,
  e.day_epoch + n.hour_no * 3600 AS hour_epoch
FROM gap_days AS e
JOIN day_hours AS n ON n.hour_one = e.gap_one
WHERE e.day_epoch + n.hour_no * 3600 < e.to_epoch
ORDER BY account_id, region, hour_epoch
