-- title: Coverage of each account and Region
-- description: One row per account and Region of which the evidence has a file or a record: from when to when, how much, how
--   regularly, how late, and whether the use of keys was recorded. That is `yes` when such events are there up to the end or
--   a trail that covers the Region is known to record them, `partly` when a trail stopped recording them after the last one,
--   `no` when there is none and a trail of the account is known not to record them, else `unknown`: then the absence of an
--   event proves nothing.
-- reads: delivery_hours, place_hours, rhythms, coverage_gaps, selectors_in_force, log_files
-- column: account_id: The account that received the records.
-- column: region: The Region.
-- column: first_event: The first record that was looked at.
-- column: last_event: The last one.
-- column: first_delivery: Delivery of the first log file; NULL when no name tells.
-- column: last_delivery: Delivery of the last one.
-- column: files: Log files.
-- column: records: Records in them, of all services, repeated deliveries among them.
-- column: kms_events: KMS events.
-- column: key_use_events: Those of them that use keys.
-- column: adjacent_events: Events of other services that the case keeps.
-- column: hours_with: Hours with a file or a record.
-- column: hours_without: Hours without, from the first to the last of these.
-- column: usual_hours: The rhythm: hours from one of them to the next; NULL when there are too few to know it.
-- column: gap_count: Gaps between and after them.
-- column: gap_hours: Hours in gaps.
-- column: longest_gap_hours: The longest.
-- column: typical_lag_s: Seconds from the oldest record looked at to the delivery, in the middle of all files.
-- column: max_lag_s: The longest.
-- column: key_use_recorded: `yes`, `partly`, `no` or `unknown`.
WITH deliveries AS (
  SELECT
    e.account_id AS file_account, e.region AS file_region,
    CAST(SUM(e.file_count) AS BIGINT) AS files,
    CAST(SUM(e.record_count) AS BIGINT) AS records,
    MIN(e.first_time) AS first_seen,
    MAX(e.last_time) AS last_seen,
    MIN(e.first_delivery_time) AS first_delivery,
    MAX(e.last_delivery_time) AS last_delivery
  FROM delivery_hours AS e
  GROUP BY e.account_id, e.region
), counts AS (
  SELECT
    c.account_id AS event_account, c.region AS event_region,
    CAST(SUM(c.kms_count) AS BIGINT) AS kms_events,
    CAST(SUM(c.crypto_count) AS BIGINT) AS key_use_events,
    CAST(SUM(c.adjacent_count) AS BIGINT) AS adjacent_events,
    MIN(c.first_time) AS first_time,
    MAX(c.last_time) AS last_time,
    MAX(c.last_crypto_epoch) AS last_use_epoch
  FROM place_hours AS c
  GROUP BY c.account_id, c.region
), gaps AS (
  SELECT
    g.account_id AS gap_account, g.region AS gap_region,
    CAST(COUNT(CASE WHEN g.gap_kind <> 'head' THEN 1 END) AS BIGINT) AS gap_count,
    CAST(SUM(CASE WHEN g.gap_kind <> 'head' THEN g.gap_hours ELSE 0 END) AS BIGINT) AS gap_hours,
    MAX(CASE WHEN g.gap_kind <> 'head' THEN g.gap_hours END) AS longest_gap_hours
  FROM coverage_gaps AS g
  GROUP BY g.account_id, g.region
), lags AS (
  SELECT l.account_id AS lag_account, l.region AS lag_region, l.delivery_epoch - l.first_epoch AS lag
  FROM log_files AS l
  WHERE l.delivery_epoch IS NOT NULL
    AND l.first_epoch IS NOT NULL
), typical_lags AS (
  SELECT
    t.lag_account, t.lag_region,
    CAST(FLOOR(MEDIAN(t.lag)) AS BIGINT) AS typical_lag_s,
    MAX(t.lag) AS max_lag_s
  FROM lags AS t
  GROUP BY t.lag_account, t.lag_region
), trail_states AS (
  SELECT
    v.account_id AS trail_account,
    MAX(CASE WHEN v.key_use = 'yes' AND v.is_multi_region THEN 1 ELSE 0 END) AS has_recording,
    MAX(CASE WHEN v.key_use = 'no' THEN v.last_blind_epoch END) AS blind_epoch
  FROM selectors_in_force AS v
  GROUP BY v.account_id
), home_trails AS (
  SELECT DISTINCT m.account_id AS home_account, m.region AS home_region
  FROM selectors_in_force AS m
  WHERE m.key_use = 'yes'
)
SELECT
  p.account_id,
  p.region,
  CASE WHEN o.first_time IS NULL OR d.first_seen < o.first_time THEN d.first_seen ELSE o.first_time END AS first_event,
  CASE WHEN o.last_time IS NULL OR d.last_seen > o.last_time THEN d.last_seen ELSE o.last_time END AS last_event,
  d.first_delivery,
  d.last_delivery,
  COALESCE(d.files, 0) AS files,
  COALESCE(d.records, 0) AS records,
  COALESCE(o.kms_events, 0) AS kms_events,
  COALESCE(o.key_use_events, 0) AS key_use_events,
  COALESCE(o.adjacent_events, 0) AS adjacent_events,
  p.hour_count AS hours_with,
  CAST(FLOOR(CAST(p.last_hour - p.first_hour + 3600 AS DOUBLE) / 3600.0) AS BIGINT) - p.hour_count AS hours_without,
  CAST(FLOOR(CAST(p.usual_seconds AS DOUBLE) / 3600.0) AS BIGINT) AS usual_hours,
  COALESCE(g.gap_count, 0) AS gap_count,
  COALESCE(g.gap_hours, 0) AS gap_hours,
  g.longest_gap_hours,
  l.typical_lag_s,
  l.max_lag_s,
  CASE
    WHEN COALESCE(o.key_use_events, 0) > 0 AND (t.blind_epoch IS NULL OR o.last_use_epoch > t.blind_epoch) THEN 'yes'
    WHEN t.has_recording = 1 OR h.home_account IS NOT NULL THEN 'yes'
    WHEN COALESCE(o.key_use_events, 0) > 0 THEN 'partly'
    WHEN t.blind_epoch IS NOT NULL THEN 'no'
    ELSE 'unknown'
  END AS key_use_recorded
FROM rhythms AS p
LEFT JOIN deliveries AS d ON d.file_account = p.account_id AND d.file_region = p.region
LEFT JOIN counts AS o ON o.event_account = p.account_id AND o.event_region = p.region
LEFT JOIN gaps AS g ON g.gap_account = p.account_id AND g.gap_region = p.region
LEFT JOIN typical_lags AS l ON l.lag_account = p.account_id AND l.lag_region = p.region
LEFT JOIN trail_states AS t ON t.trail_account = p.account_id
LEFT JOIN home_trails AS h ON h.home_account = p.account_id AND h.home_region = p.region
ORDER BY account_id, region
