-- title: Log objects that CloudTrail names
-- description: A trail whose files are encrypted with a KMS key calls GenerateDataKey for each log object that it writes, and
--   the call's record names trail and object. One row per trail, object and day of such a record. Objects that are no log
--   files, and the folder that CloudTrail names when it checks its configuration, are left out.
-- reads: events
-- partition: day
-- column: trail_arn: The trail that wrote the object.
-- column: trail_account: The trail's account.
-- column: trail_region: The trail's home Region.
-- column: trail_name: The trail's name.
-- column: object_arn: The object.
-- column: object_id: Region, delivery slot and random part of its name in lower case, as in `log_files`.
-- column: folder: `[organization/]account/CloudTrail/Region` of the object.
-- column: account_id: The account whose records it holds.
-- column: region: The Region it was made in.
-- column: hour_epoch: Start of the hour of its delivery slot, seconds since 1970-01-01 UTC; NULL when the name has none.
-- column: named_time: First record that names it.
-- column: named_epoch: `named_time` in seconds.
-- column: key_arn: The key it is encrypted with.
-- column: event_id: The record that names it: the one with the first event id.
WITH write_calls AS (
  SELECT
    e.event_id, e.event_time, e.event_epoch, e.event_date, e.key_arn, e.context_resource AS trail_arn,
    SPLIT_PART(SPLIT_PART(e.encryption_context, '"aws:s3:arn":"', 2), '"', 1) AS object_arn
  FROM events AS e
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.context_class = 'cloudtrail'
    AND e.event_name IN ('GenerateDataKey', 'GenerateDataKeyWithoutPlaintext')
    AND e.outcome = 'ok'
    AND e.context_resource LIKE 'arn:%:cloudtrail:%:trail/%'
    AND e.encryption_context LIKE '%"aws:s3:arn":"%'
), log_calls AS (
  SELECT
    c.event_id, c.event_time, c.event_epoch, c.event_date, c.key_arn, c.trail_arn, c.object_arn,
    LOWER(SPLIT_PART(SPLIT_PART(c.object_arn, '_CloudTrail_', 2), '.', 1)) AS object_id,
    SPLIT_PART(c.object_arn, '/AWSLogs/', 2) AS below_root
  FROM write_calls AS c
  WHERE c.object_arn LIKE 'arn:%/AWSLogs/%/CloudTrail/%_CloudTrail_%'
), placed_calls AS (
  SELECT
    l.event_id, l.event_time, l.event_epoch, l.event_date, l.key_arn, l.trail_arn, l.object_arn, l.object_id,
    SPLIT_PART(l.below_root, '/CloudTrail/', 1) AS owner,
    SPLIT_PART(SPLIT_PART(l.below_root, '/CloudTrail/', 2), '/', 1) AS region,
    SPLIT_PART(l.object_id, '_', 2) AS slot
  FROM log_calls AS l
), digits AS (
  SELECT
    p.event_id AS digit_id,
    POSITION(SUBSTR(p.slot, 1, 1) IN '0123456789') - 1 AS a1,
    POSITION(SUBSTR(p.slot, 2, 1) IN '0123456789') - 1 AS a2,
    POSITION(SUBSTR(p.slot, 3, 1) IN '0123456789') - 1 AS a3,
    POSITION(SUBSTR(p.slot, 4, 1) IN '0123456789') - 1 AS a4,
    POSITION(SUBSTR(p.slot, 5, 1) IN '0123456789') - 1 AS m1,
    POSITION(SUBSTR(p.slot, 6, 1) IN '0123456789') - 1 AS m2,
    POSITION(SUBSTR(p.slot, 7, 1) IN '0123456789') - 1 AS d1,
    POSITION(SUBSTR(p.slot, 8, 1) IN '0123456789') - 1 AS d2,
    POSITION(SUBSTR(p.slot, 10, 1) IN '0123456789') - 1 AS h1,
    POSITION(SUBSTR(p.slot, 11, 1) IN '0123456789') - 1 AS h2
  FROM placed_calls AS p
  WHERE p.slot LIKE '________t____z'
), dates AS (
  SELECT
    g.digit_id AS date_id,
    g.a1 * 1000 + g.a2 * 100 + g.a3 * 10 + g.a4 AS year_no,
    g.m1 * 10 + g.m2 AS month_no,
    g.d1 * 10 + g.d2 AS day_no,
    g.h1 * 10 + g.h2 AS hour_no
  FROM digits AS g
  WHERE LEAST(g.a1, g.a2, g.a3, g.a4, g.m1, g.m2, g.d1, g.d2, g.h1, g.h2) >= 0
), shifted AS (
  -- Years begin in March here, so that the leap day is the last one.
  SELECT
    t.date_id, t.day_no, t.hour_no,
    CASE WHEN t.month_no > 2 THEN t.year_no ELSE t.year_no - 1 END AS march_year,
    CASE WHEN t.month_no > 2 THEN t.month_no - 3 ELSE t.month_no + 9 END AS march_month
  FROM dates AS t
), slots AS (
  SELECT
    s.date_id AS slot_id,
    (s.march_year * 365 + CAST(FLOOR(CAST(s.march_year AS DOUBLE) / 4.0) AS BIGINT)
      - CAST(FLOOR(CAST(s.march_year AS DOUBLE) / 100.0) AS BIGINT)
      + CAST(FLOOR(CAST(s.march_year AS DOUBLE) / 400.0) AS BIGINT)
      + CAST(FLOOR((153.0 * CAST(s.march_month AS DOUBLE) + 2.0) / 5.0) AS BIGINT) + s.day_no - 1 - 719468) * 86400
      + s.hour_no * 3600 AS hour_epoch
  FROM shifted AS s
)
SELECT
  p.trail_arn,
  SPLIT_PART(p.trail_arn, ':', 5) AS trail_account,
  SPLIT_PART(p.trail_arn, ':', 4) AS trail_region,
  SPLIT_PART(p.trail_arn, ':trail/', 2) AS trail_name,
  p.object_arn,
  p.object_id,
  p.owner || '/CloudTrail/' || p.region AS folder,
  CASE WHEN p.owner LIKE 'o-%/%' THEN SPLIT_PART(p.owner, '/', 2) ELSE p.owner END AS account_id,
  p.region,
  o.hour_epoch,
  MIN(p.event_time) AS named_time,
  MIN(p.event_epoch) AS named_epoch,
  MIN(p.key_arn) AS key_arn,
  MIN(p.event_id) AS event_id
FROM placed_calls AS p
LEFT JOIN slots AS o ON o.slot_id = p.event_id
GROUP BY p.trail_arn, p.object_arn, p.object_id, p.owner, p.region, o.hour_epoch, p.event_date
ORDER BY trail_arn, object_arn, named_epoch, event_id
