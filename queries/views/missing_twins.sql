-- title: Missing second records of cross-account calls
-- description: A successful cross-account KMS call is logged in the caller's account and in the key owner's, under one
--   sharedEventID. One row per pair of home accounts and Region of which calls have only one of the two records although
--   the other account has evidence of that time. The rule `shared-event-twin-missing` makes findings of them.
-- reads: events, repeated_copies, place_hours
-- column: twin_account: The account whose records are missing.
-- column: present_account: The account whose records are there.
-- column: region: The Region.
-- column: first_time: The first call without its second record.
-- column: last_time: The last one.
-- column: missing_count: Calls without it.
-- column: covered_missing: Of those, calls in hours of which that account and Region has other KMS events.
-- column: call_count: Cross-account calls of the two accounts there.
-- column: event_ids: The calls without it, one for each hour, at most 1,000; comma-separated.
WITH cross_calls AS (
  SELECT
    e.event_id, e.event_time, e.event_epoch, e.region, e.account_id AS present_account,
    e.event_epoch - (e.event_epoch % 3600) AS hour_epoch,
    CASE WHEN e.account_id = e.principal_account_id THEN e.key_account_id ELSE e.principal_account_id END AS twin_account
  FROM events AS e
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.is_cross_account
    AND e.shared_event_id IS NOT NULL
    AND e.outcome = 'ok'
    AND e.principal_account_id IS NOT NULL
    AND e.key_account_id IS NOT NULL
    AND e.principal_account_id <> e.key_account_id
    AND (e.account_id = e.principal_account_id OR e.account_id = e.key_account_id)
), twin_hours AS (
  SELECT
    c.present_account, c.twin_account, c.region, c.hour_epoch,
    MIN(CASE WHEN o.repeated_id IS NULL AND k.caller_event_id IS NULL THEN c.event_time END) AS first_time,
    MAX(CASE WHEN o.repeated_id IS NULL AND k.caller_event_id IS NULL THEN c.event_time END) AS last_time,
    MIN(CASE WHEN o.repeated_id IS NULL AND k.caller_event_id IS NULL THEN c.event_epoch END) AS first_epoch,
    MIN(CASE WHEN o.repeated_id IS NULL AND k.caller_event_id IS NULL THEN c.event_id END) AS event_id,
    CAST(COUNT(CASE WHEN o.repeated_id IS NULL AND k.caller_event_id IS NULL THEN 1 END) AS BIGINT) AS missing_count,
    CAST(COUNT(*) AS BIGINT) AS call_count
  FROM cross_calls AS c
  LEFT JOIN repeated_copies AS o ON o.repeated_id = c.event_id
  LEFT JOIN repeated_copies AS k ON k.caller_event_id = c.event_id
  GROUP BY c.present_account, c.twin_account, c.region, c.hour_epoch
), account_ranges AS (
  SELECT
    r.account_id AS range_account,
    MIN(r.first_epoch) AS range_first,
    MAX(r.last_epoch) AS range_last
  FROM place_hours AS r
  GROUP BY r.account_id
), covered_hours AS (
  SELECT p.account_id AS covered_account, p.region AS covered_region, p.hour_epoch AS covered_hour
  FROM place_hours AS p
  WHERE p.kms_count > 0
), judged_hours AS (
  SELECT
    t.present_account, t.twin_account, t.region, t.hour_epoch, t.first_time, t.last_time, t.event_id, t.missing_count, t.call_count,
    CASE WHEN v.covered_hour IS NULL THEN 0 ELSE t.missing_count END AS covered_missing
  FROM twin_hours AS t
  SEMI JOIN home_accounts AS h ON h.account_id = t.twin_account
  JOIN account_ranges AS a ON a.range_account = t.twin_account
  LEFT JOIN covered_hours AS v ON v.covered_account = t.twin_account AND v.covered_region = t.region
    AND v.covered_hour = t.hour_epoch
  WHERE COALESCE(t.first_epoch, t.hour_epoch) >= a.range_first - (a.range_first % 3600)
    AND COALESCE(t.first_epoch, t.hour_epoch) <= a.range_last
), sums AS (
  SELECT
    j.twin_account, j.present_account, j.region,
    MIN(j.first_time) AS first_time,
    MAX(j.last_time) AS last_time,
    CAST(SUM(j.missing_count) AS BIGINT) AS missing_count,
    CAST(SUM(j.covered_missing) AS BIGINT) AS covered_missing,
    CAST(SUM(j.call_count) AS BIGINT) AS call_count
  FROM judged_hours AS j
  GROUP BY j.twin_account, j.present_account, j.region
), sampled_hours AS (
  SELECT
    s.twin_account, s.present_account, s.region, s.event_id,
    CAST(ROW_NUMBER() OVER (PARTITION BY s.twin_account, s.present_account, s.region ORDER BY s.hour_epoch) AS BIGINT) AS hour_no
  FROM judged_hours AS s
  WHERE s.missing_count > 0
), samples AS (
  SELECT
    m.twin_account AS sample_twin, m.present_account AS sample_present, m.region AS sample_region,
    STRING_AGG(m.event_id, ',') AS event_ids
  FROM sampled_hours AS m
  WHERE m.hour_no <= 1000
  GROUP BY m.twin_account, m.present_account, m.region
)
SELECT
  u.twin_account,
  u.present_account,
  u.region,
  u.first_time,
  u.last_time,
  u.missing_count,
  u.covered_missing,
  u.call_count,
  l.event_ids
FROM sums AS u
JOIN samples AS l ON l.sample_twin = u.twin_account AND l.sample_present = u.present_account AND l.sample_region = u.region
WHERE u.missing_count > 0
ORDER BY first_time, twin_account, present_account, region
