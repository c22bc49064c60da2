-- title: Gaps in the evidence
-- description: Stretches in which an account and Region shows no sign of recording although by its own rhythm it should
--   (`sign_hours`, `rhythms`). A hole between two signs is a gap when their distance is more than three times the rhythm,
--   unless such holes recur: two others at least half as long, and one a week, are the place's own nights and weekends.
--   The same is asked of the time after its last sign and before its first one, as far as other places have evidence.
-- reads: sign_hours, rhythms
-- params: max_ratio = 3, min_similar = 2, similar_days = 7
-- column: account_id: The account.
-- column: region: The Region.
-- column: gap_kind: `hole` between two signs, `tail` after the last one, `head` before the first one.
-- column: from_epoch: Start of the first hour without a sign, seconds since 1970-01-01 UTC.
-- column: to_epoch: Start of the first hour that is no part of the gap any more.
-- column: gap_hours: Hours without a sign.
-- column: last_sign_time: The last sign before: a delivery or a record; NULL for a head.
-- column: next_sign_time: The first sign after; NULL for a tail.
-- column: usual_hours: The place's rhythm: hours from one sign to the next.
-- column: sign_hours: Hours with a sign, in all of the evidence.
-- column: similar_count: Other holes of the place at least half as long.
WITH bounds AS (
  SELECT MIN(b.first_hour) AS begin_epoch, MAX(b.last_hour) AS end_epoch
  FROM rhythms AS b
), regular_places AS (
  SELECT
    r.account_id AS place_account, r.region AS place_region, r.usual_seconds, r.hour_count, r.first_hour, r.last_hour,
    r.first_sign_time, r.last_sign_time
  FROM rhythms AS r
  WHERE r.usual_seconds IS NOT NULL
), steps AS (
  SELECT
    n.account_id, n.region, n.hour_epoch, n.last_sign_time,
    LEAD(n.hour_epoch) OVER (PARTITION BY n.account_id, n.region ORDER BY n.hour_epoch) AS next_epoch,
    LEAD(n.first_sign_time) OVER (PARTITION BY n.account_id, n.region ORDER BY n.hour_epoch) AS next_sign_time
  FROM sign_hours AS n
), long_holes AS (
  SELECT
    d.account_id, d.region, d.hour_epoch + 3600 AS from_epoch, d.next_epoch AS to_epoch,
    d.next_epoch - d.hour_epoch AS distance, d.last_sign_time, d.next_sign_time,
    y.usual_seconds, y.hour_count, y.first_hour, y.last_hour
  FROM steps AS d
  JOIN regular_places AS y ON y.place_account = d.account_id AND y.place_region = d.region
  WHERE d.next_epoch - d.hour_epoch > y.usual_seconds
), candidates AS (
  SELECT
    l.account_id, l.region, 'hole' AS gap_kind, l.from_epoch, l.to_epoch, l.distance, l.last_sign_time, l.next_sign_time,
    l.usual_seconds, l.hour_count, l.first_hour, l.last_hour
  FROM long_holes AS l
  UNION ALL
  SELECT
    z.place_account AS account_id, z.place_region AS region, 'tail' AS gap_kind, z.last_hour + 3600 AS from_epoch,
    o.end_epoch + 3600 AS to_epoch, o.end_epoch - z.last_hour AS distance, z.last_sign_time,
    CAST(NULL AS TIMESTAMP) AS next_sign_time, z.usual_seconds, z.hour_count, z.first_hour, z.last_hour
  FROM regular_places AS z
  CROSS JOIN bounds AS o
  UNION ALL
  SELECT
    x.place_account AS account_id, x.place_region AS region, 'head' AS gap_kind, u.begin_epoch AS from_epoch,
    x.first_hour AS to_epoch, x.first_hour - u.begin_epoch AS distance, CAST(NULL AS TIMESTAMP) AS last_sign_time,
    x.first_sign_time AS next_sign_time, x.usual_seconds, x.hour_count, x.first_hour, x.last_hour
  FROM regular_places AS x
  CROSS JOIN bounds AS u
), unusual AS (
  SELECT
    a.account_id, a.region, a.gap_kind, a.from_epoch, a.to_epoch, a.distance, a.last_sign_time, a.next_sign_time,
    a.usual_seconds, a.hour_count, a.first_hour, a.last_hour,
    a.account_id || '/' || a.region || '/' || a.gap_kind || '/' || CAST(a.from_epoch AS STRING) AS gap_ref
  FROM candidates AS a
  CROSS JOIN params AS w
  WHERE a.distance > w.max_ratio * a.usual_seconds
), similar_holes AS (
  SELECT m.gap_ref AS similar_ref, CAST(COUNT(*) AS BIGINT) AS similar_count
  FROM unusual AS m
  JOIN long_holes AS f ON f.account_id = m.account_id AND f.region = m.region
  WHERE f.distance * 2 >= m.distance
    AND f.from_epoch <> m.from_epoch
  GROUP BY m.gap_ref
)
SELECT
  j.account_id,
  j.region,
  j.gap_kind,
  j.from_epoch,
  j.to_epoch,
  CAST(FLOOR(CAST(j.to_epoch - j.from_epoch AS DOUBLE) / 3600.0) AS BIGINT) AS gap_hours,
  j.last_sign_time,
  j.next_sign_time,
  CAST(FLOOR(CAST(j.usual_seconds AS DOUBLE) / 3600.0) AS BIGINT) AS usual_hours,
  j.hour_count AS sign_hours,
  COALESCE(s.similar_count, 0) AS similar_count
FROM unusual AS j
CROSS JOIN params AS t
LEFT JOIN similar_holes AS s ON s.similar_ref = j.gap_ref
WHERE COALESCE(s.similar_count, 0) < t.min_similar
  OR (COALESCE(s.similar_count, 0) + 1) * t.similar_days * 86400 < j.last_hour - j.first_hour
ORDER BY account_id, region, from_epoch, gap_kind
