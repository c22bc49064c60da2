-- title: KMS events fell silent
-- severity: medium
-- attack: T1562.008 / v19 T1685.002
-- description: An account and Region that had recorded KMS events hour after hour recorded none for hours, while other
--   records of the same place went on; or administration of keys went on, and use alone vanished, as it does on a trail
--   of write events. What was done with keys in that time is not in the evidence. High when a trail of the account was
--   stopped or limited within an hour of the beginning.
-- false-positives: A workload that ended or was moved; S3 Bucket Keys, which replace thousands of calls by a few; a case
--   made with filters. A place of which nothing at all was read in that time is a partial export and left out, and so are
--   places that were never busy around the clock, and silences not much longer than an earlier one.
-- blind-spots: A place with few KMS events, and the first day of the evidence. Other services' events are kept only where
--   they concern keys; that log files went on is known from their names alone.
-- reads: place_hours, inputs, trails
-- params: silence_hours = 6, min_busy_hours = 24, min_busy_percent = 80, min_expected_events = 20, min_ratio = 2,
--   min_other_hours = 3, grace_minutes = 15
WITH busy_hours AS (
  SELECT
    h.account_id, h.region, 'all' AS kind, h.hour_epoch, h.kms_count AS n, h.first_kms_epoch AS first_epoch,
    h.last_kms_epoch AS last_epoch, h.first_kms_time AS first_time, h.last_kms_time AS last_time, h.kms_event_id AS sample_id
  FROM place_hours AS h
  WHERE h.kms_count > 0
    AND h.account_id IS NOT NULL
    AND h.region IS NOT NULL
  UNION ALL
  SELECT
    u.account_id, u.region, 'use' AS kind, u.hour_epoch, u.crypto_count AS n, u.first_crypto_epoch AS first_epoch,
    u.last_crypto_epoch AS last_epoch, u.first_crypto_time AS first_time, u.last_crypto_time AS last_time,
    u.crypto_event_id AS sample_id
  FROM place_hours AS u
  WHERE u.crypto_count > 0
    AND u.account_id IS NOT NULL
    AND u.region IS NOT NULL
), other_hours AS (
  SELECT DISTINCT a.account_id AS other_account, a.region AS other_region, 'all' AS other_kind, a.hour_epoch AS other_hour
  FROM place_hours AS a
  WHERE a.adjacent_count > 0
  UNION
  SELECT DISTINCT
    f.account AS other_account, f.region AS other_region, 'all' AS other_kind,
    f.delivery_epoch - (f.delivery_epoch % 3600) AS other_hour
  FROM inputs AS f
  WHERE f.records > 0
    AND f.delivery_epoch IS NOT NULL
  UNION
  SELECT DISTINCT b.account_id AS other_account, b.region AS other_region, 'use' AS other_kind, b.hour_epoch AS other_hour
  FROM place_hours AS b
  WHERE b.admin_count > 0
), last_hours AS (
  SELECT o.other_account AS end_account, o.other_region AS end_region, o.other_kind AS end_kind,
    MAX(o.other_hour) + 3600 AS end_epoch
  FROM other_hours AS o
  GROUP BY o.other_account, o.other_region, o.other_kind
), history AS (
  SELECT
    b.account_id, b.region, b.kind, b.hour_epoch, b.last_epoch, b.last_time, b.sample_id,
    LEAD(b.first_epoch) OVER (PARTITION BY b.account_id, b.region, b.kind ORDER BY b.hour_epoch) AS next_epoch,
    LEAD(b.first_time) OVER (PARTITION BY b.account_id, b.region, b.kind ORDER BY b.hour_epoch) AS next_time,
    LEAD(b.sample_id) OVER (PARTITION BY b.account_id, b.region, b.kind ORDER BY b.hour_epoch) AS next_id,
    MIN(b.hour_epoch) OVER (PARTITION BY b.account_id, b.region, b.kind) AS begin_epoch,
    CAST(ROW_NUMBER() OVER (PARTITION BY b.account_id, b.region, b.kind ORDER BY b.hour_epoch) AS BIGINT) AS busy_count,
    SUM(b.n) OVER (PARTITION BY b.account_id, b.region, b.kind ORDER BY b.hour_epoch
                   ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS events_before
  FROM busy_hours AS b
), gaps AS (
  SELECT
    h.account_id, h.region, h.kind, h.hour_epoch, h.last_epoch, h.last_time, h.sample_id, h.next_epoch, h.next_time, h.next_id,
    h.busy_count, h.events_before,
    COALESCE(h.next_epoch, e.end_epoch) - h.last_epoch AS silent_seconds,
    COALESCE(h.next_epoch, e.end_epoch) AS end_epoch,
    CAST(h.hour_epoch - h.begin_epoch AS DOUBLE) / 3600.0 + 1.0 AS hours_before
  FROM history AS h
  LEFT JOIN last_hours AS e ON e.end_account = h.account_id AND e.end_region = h.region AND e.end_kind = h.kind
), running_gaps AS (
  SELECT
    g.account_id, g.region, g.kind, g.hour_epoch, g.last_epoch, g.last_time, g.sample_id, g.next_epoch, g.next_time, g.next_id,
    g.busy_count, g.events_before, g.silent_seconds, g.end_epoch, g.hours_before,
    MAX(g.silent_seconds) OVER (PARTITION BY g.account_id, g.region, g.kind ORDER BY g.hour_epoch
                                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS longest_seconds
  FROM gaps AS g
), compared_gaps AS (
  SELECT
    r.account_id, r.region, r.kind, r.hour_epoch, r.last_epoch, r.last_time, r.sample_id, r.next_epoch, r.next_time, r.next_id,
    r.busy_count, r.events_before, r.silent_seconds, r.end_epoch, r.hours_before,
    LAG(r.longest_seconds) OVER (PARTITION BY r.account_id, r.region, r.kind ORDER BY r.hour_epoch) AS longest_before
  FROM running_gaps AS r
), silences AS (
  SELECT
    c.account_id, c.region, c.kind, c.last_epoch, c.last_time, c.sample_id, c.next_epoch, c.next_time, c.next_id, c.busy_count,
    c.events_before, c.silent_seconds, c.end_epoch, c.hours_before,
    c.account_id || '/' || c.region || '/' || c.kind || '/' || CAST(c.last_epoch AS STRING) AS silence_id,
    CAST(c.events_before AS DOUBLE) / c.hours_before * c.silent_seconds / 3600.0 AS expected_events
  FROM compared_gaps AS c
  CROSS JOIN params AS p
  WHERE c.silent_seconds >= p.silence_hours * 3600
    AND c.busy_count >= p.min_busy_hours
    AND c.busy_count * 100 >= p.min_busy_percent * c.hours_before
    AND c.silent_seconds > p.min_ratio * COALESCE(c.longest_before, 0)
), silence_others AS (
  SELECT
    s.silence_id AS covered_id,
    CAST(COUNT(*) AS BIGINT) AS other_count
  FROM silences AS s
  JOIN other_hours AS o ON o.other_account = s.account_id AND o.other_region = s.region AND o.other_kind = s.kind
  CROSS JOIN params AS q
  WHERE o.other_hour > s.last_epoch + q.grace_minutes * 60
    AND o.other_hour + 3600 <= s.end_epoch
  GROUP BY s.silence_id
), cause_calls AS (
  SELECT
    d.silence_id AS caused_id,
    t.event_id AS cause_id,
    t.event_name AS cause_action,
    COALESCE(t.trail_name, 'an unnamed trail') AS cause_trail,
    t.principal AS cause_by,
    CAST(ROW_NUMBER() OVER (PARTITION BY d.silence_id ORDER BY t.event_epoch, t.event_id) AS BIGINT) AS cause_no
  FROM silences AS d
  JOIN trails AS t ON t.account_id = d.account_id
  WHERE (t.blinds_key_use OR (t.blinds_key_admin AND d.kind = 'all'))
    AND t.event_epoch >= d.last_epoch - 3600
    AND t.event_epoch <= d.last_epoch + 3600
), causes AS (
  SELECT x.caused_id, x.cause_id, x.cause_action, x.cause_trail, x.cause_by
  FROM cause_calls AS x
  WHERE x.cause_no = 1
)
SELECT
  s.last_time AS first_time,
  COALESCE(s.next_time, s.last_time) AS last_time,
  s.account_id,
  s.region,
  CAST(NULL AS STRING) AS key_arn,
  CAST(NULL AS STRING) AS principal,
  CAST(NULL AS STRING) AS source_ip,
  CAST(1 + CASE WHEN s.next_id IS NULL THEN 0 ELSE 1 END + CASE WHEN z.cause_id IS NULL THEN 0 ELSE 1 END AS BIGINT) AS event_count,
  CASE WHEN z.cause_id IS NULL THEN 'medium' ELSE 'high' END AS severity,
  'No ' || CASE WHEN s.kind = 'all' THEN 'KMS event' ELSE 'use of keys' END || ' was recorded in ' || s.account_id || ' '
    || s.region || ' for ' || CAST(CAST(FLOOR(s.silent_seconds / 3600.0) AS BIGINT) AS STRING) || ' hours'
    || CASE WHEN s.next_epoch IS NULL THEN ' until the evidence ends' ELSE '' END || ', while '
    || CASE WHEN s.kind = 'all' THEN 'other records' ELSE 'administration of keys' END || ' went on in '
    || CAST(o.other_count AS STRING) || ' of them; before, it was recorded in ' || CAST(s.busy_count AS STRING) || ' of '
    || CAST(CAST(s.hours_before AS BIGINT) AS STRING) || ' hours, so about '
    || CAST(CAST(FLOOR(s.expected_events) AS BIGINT) AS STRING) || ' events are missing'
    || CASE WHEN z.cause_id IS NULL THEN '; no call to CloudTrail in the evidence explains it.'
            ELSE '; ' || COALESCE(z.cause_by, 'an unnamed principal') || ' had called ' || z.cause_action || ' on ' || z.cause_trail
              || ' within the hour.' END AS summary,
  s.sample_id || COALESCE(',' || s.next_id, '') || COALESCE(',' || z.cause_id, '') AS event_ids,
  s.kind AS silent_events,
  s.silent_seconds,
  o.other_count AS other_hours,
  s.busy_count AS busy_hours_before,
  s.events_before,
  z.cause_action,
  z.cause_trail,
  z.cause_by
FROM silences AS s
JOIN silence_others AS o ON o.covered_id = s.silence_id
CROSS JOIN params AS w
LEFT JOIN causes AS z ON z.caused_id = s.silence_id
WHERE o.other_count >= w.min_other_hours
  AND s.expected_events >= w.min_expected_events
ORDER BY first_time, account_id, region, silent_events
