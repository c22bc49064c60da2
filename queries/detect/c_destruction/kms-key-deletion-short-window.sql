-- title: Key deletion with a short waiting period
-- severity: high
-- attack: T1485, T1490
-- description: A deletion was scheduled with a shorter waiting period than the policy asks for, which leaves less
--   time to notice. Only CloudTrail has the chosen period: DescribeKey does not return it. Critical at the shortest
--   period KMS allows.
-- false-positives: Test accounts whose pipelines always take the shortest period.
-- blind-spots: Refused calls are logged without their parameters, so the period that was asked for is unknown.
-- reads: events, repeated_copies, keys
-- params: min_window_days = 30, critical_window_days = 7
WITH short_schedules AS (
  SELECT
    e.event_id,
    e.event_time,
    e.event_epoch,
    e.account_id,
    e.region,
    e.key_arn,
    e.principal,
    e.source_ip,
    e.pending_window_days,
    e.deletion_time,
    p.min_window_days,
    p.critical_window_days
  FROM events AS e
  CROSS JOIN params AS p
  ANTI JOIN repeated_copies AS r ON r.repeated_id = e.event_id
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.event_name = 'ScheduleKeyDeletion'
    AND e.outcome = 'ok'
    AND NOT COALESCE(e.is_dry_run, FALSE)
    AND e.pending_window_days < p.min_window_days
), key_facts AS (
  SELECT k.key_arn AS fact_key, k.aliases, k.last_use_time, k.use_count, k.state
  FROM keys AS k
)
SELECT
  s.event_time AS first_time,
  s.event_time AS last_time,
  s.account_id,
  s.region,
  s.key_arn,
  s.principal,
  s.source_ip,
  CAST(1 AS BIGINT) AS event_count,
  CASE WHEN s.pending_window_days <= s.critical_window_days THEN 'critical' ELSE 'high' END AS severity,
  COALESCE(s.principal, 'An unnamed principal') || ' chose a waiting period of ' || CAST(s.pending_window_days AS STRING)
    || ' days for the deletion of ' || COALESCE(s.key_arn, 'an unnamed key') || COALESCE(' (' || f.aliases || ')', '')
    || ', where ' || CAST(s.min_window_days AS STRING) || ' are expected; last state seen: ' || COALESCE(f.state, 'unknown') || '.' AS summary,
  s.event_id AS event_ids,
  s.pending_window_days,
  s.deletion_time,
  f.aliases,
  f.last_use_time,
  COALESCE(f.use_count, 0) AS use_count,
  f.state
FROM short_schedules AS s
LEFT JOIN key_facts AS f ON f.fact_key = s.key_arn
ORDER BY first_time, event_ids
