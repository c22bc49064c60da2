-- title: Rhythm of each account and Region
-- description: How regularly each account and Region shows a sign of recording (`sign_hours`). The rhythm is the distance
--   from one hour with a sign to the next that 95 of 100 do not exceed, the longest one left aside, which may be the gap that
--   is looked for. With fewer than thirteen such hours it is unknown.
-- reads: sign_hours
-- params: min_distances = 12
-- column: account_id: The account.
-- column: region: The Region.
-- column: first_hour: The first hour with a sign, seconds since 1970-01-01 UTC.
-- column: last_hour: The last one.
-- column: hour_count: Hours with a sign.
-- column: usual_seconds: The rhythm, in seconds, always whole hours; NULL when it is unknown.
-- column: first_sign_time: The first sign.
-- column: last_sign_time: The last sign.
WITH steps AS (
  SELECT
    n.account_id, n.region, n.hour_epoch,
    LEAD(n.hour_epoch) OVER (PARTITION BY n.account_id, n.region ORDER BY n.hour_epoch) AS next_epoch
  FROM sign_hours AS n
), distances AS (
  SELECT t.account_id, t.region, t.hour_epoch, t.next_epoch - t.hour_epoch AS distance
  FROM steps AS t
  WHERE t.next_epoch IS NOT NULL
), ranked AS (
  SELECT
    r.account_id AS rank_account, r.region AS rank_region, r.distance AS rank_distance,
    CAST(ROW_NUMBER() OVER (PARTITION BY r.account_id, r.region ORDER BY r.distance, r.hour_epoch) AS BIGINT) AS rank_no
  FROM distances AS r
), places AS (
  SELECT
    c.account_id, c.region,
    MIN(c.hour_epoch) AS first_hour,
    MAX(c.hour_epoch) AS last_hour,
    CAST(COUNT(*) AS BIGINT) AS hour_count,
    MIN(c.first_sign_time) AS first_sign_time,
    MAX(c.last_sign_time) AS last_sign_time
  FROM sign_hours AS c
  GROUP BY c.account_id, c.region
), usual_distances AS (
  -- Of n distances all but the longest count; of these the one at 95 of 100, rounded up.
  SELECT p.account_id AS usual_account, p.region AS usual_region, k.rank_distance
  FROM places AS p
  CROSS JOIN params AS q
  JOIN ranked AS k ON k.rank_account = p.account_id AND k.rank_region = p.region
  WHERE p.hour_count > q.min_distances
    AND k.rank_no = CAST(FLOOR((CAST(p.hour_count - 2 AS DOUBLE) * 95.0 + 99.0) / 100.0) AS BIGINT)
)
SELECT
  e.account_id,
  e.region,
  e.first_hour,
  e.last_hour,
  e.hour_count,
  u.rank_distance AS usual_seconds,
  e.first_sign_time,
  e.last_sign_time
FROM places AS e
LEFT JOIN usual_distances AS u ON u.usual_account = e.account_id AND u.usual_region = e.region
ORDER BY account_id, region
