-- title: Care taken with the deletion of keys
-- severity: medium
-- controls: FSBP KMS.3, PCI DSS 4.0 3.7.1, PCI DSS 4.0 3.7.2
-- description: Whether each key that was scheduled for deletion got the full waiting period and had rested before:
--   no use in the days before, and no call that failed because of the deletion since. What a deleted key sealed is lost
--   for good, and the waiting period is the only time to notice.
-- false-positives: Keys of tests and of accounts that are torn down. A deletion that was cancelled passes, whatever it
--   was. Left out: keys that AWS manages and keys of others.
-- blind-spots: Evidence in logs only: absence is not proof. Data that nobody reads for longer than quiet_days is not
--   seen, and data keys cached before the deletion go on working. When the evidence before the deletion is shorter than
--   quiet_days, rest is unknown. Deletions scheduled before the evidence.
-- reads: admin_events, failed_calls, keys, use_hours
-- params: min_window_days = 30, quiet_days = 30
WITH judged_keys AS (
  SELECT k.key_arn AS judged_key, k.aliases, k.state
  FROM keys AS k
  WHERE k.is_home AND NOT k.is_aws_managed
), deletion_acts AS (
  SELECT
    a.key_arn, a.event_id, a.event_time, a.event_epoch, a.event_name, a.account_id, a.region, a.principal, a.source_ip,
    a.pending_window_days, a.deletion_time
  FROM admin_events AS a
  SEMI JOIN judged_keys AS b ON b.judged_key = a.key_arn
  WHERE a.is_ok
    AND a.event_source = 'kms.amazonaws.com'
    AND a.event_name IN ('ScheduleKeyDeletion', 'CancelKeyDeletion')
), numbered_acts AS (
  SELECT
    n.key_arn, n.event_id, n.event_time, n.event_epoch, n.event_name, n.account_id, n.region, n.principal, n.source_ip,
    n.pending_window_days, n.deletion_time,
    CAST(ROW_NUMBER() OVER (PARTITION BY n.key_arn, n.event_name ORDER BY -n.event_epoch, n.event_id) AS BIGINT) AS back_no
  FROM deletion_acts AS n
), cancels AS (
  SELECT c.key_arn AS cancel_key, c.event_id AS cancel_id, c.event_time AS cancel_time, c.event_epoch AS cancel_epoch,
         c.principal AS cancel_by
  FROM numbered_acts AS c
  WHERE c.event_name = 'CancelKeyDeletion' AND c.back_no = 1
), schedules AS (
  SELECT
    s.key_arn, s.event_id, s.event_time, s.event_epoch, s.account_id, s.region, s.principal, s.source_ip,
    COALESCE(s.pending_window_days, 30) AS window_days,
    s.deletion_time,
    p.min_window_days,
    p.quiet_days,
    s.event_epoch - p.quiet_days * 86400 AS quiet_epoch
  FROM numbered_acts AS s
  CROSS JOIN params AS p
  WHERE s.event_name = 'ScheduleKeyDeletion' AND s.back_no = 1
), key_uses AS (
  SELECT u.key_arn AS used_key, u.last_epoch AS use_epoch, u.call_count, u.event_id AS use_id
  FROM use_hours AS u
  SEMI JOIN schedules AS d ON d.key_arn = u.key_arn
), recent_uses AS (
  SELECT
    e.used_key AS recent_key,
    CAST(SUM(e.call_count) AS BIGINT) AS recent_count,
    MAX(e.use_epoch) AS last_use_epoch,
    MIN(e.use_id) AS recent_id
  FROM key_uses AS e
  JOIN schedules AS f ON f.key_arn = e.used_key
  WHERE e.use_epoch >= f.quiet_epoch
    AND e.use_epoch <= f.event_epoch
  GROUP BY e.used_key
), failures AS (
  SELECT g.key_arn AS failed_key, CAST(COUNT(*) AS BIGINT) AS failed_count, MIN(g.event_id) AS failed_id
  FROM failed_calls AS g
  JOIN schedules AS y ON y.key_arn = g.key_arn
  WHERE g.key_state_error = 'pending_deletion'
    AND g.action_class = 'crypto'
    AND g.event_epoch >= y.event_epoch
  GROUP BY g.key_arn
), judged AS (
  SELECT
    h.key_arn, h.event_id, h.event_time, h.event_epoch, h.account_id, h.region, h.principal, h.source_ip, h.window_days,
    h.deletion_time, h.quiet_days,
    i.aliases, i.state,
    CASE WHEN j.cancel_epoch >= h.event_epoch THEN j.cancel_id END AS cancel_id,
    CASE WHEN j.cancel_epoch >= h.event_epoch THEN j.cancel_time END AS cancel_time,
    CASE WHEN j.cancel_epoch >= h.event_epoch THEN j.cancel_by END AS cancel_by,
    CASE WHEN j.cancel_epoch >= h.event_epoch THEN j.cancel_epoch - h.event_epoch END AS cancel_seconds,
    COALESCE(l.recent_count, 0) AS recent_count,
    l.recent_id,
    h.event_epoch - l.last_use_epoch AS rest_seconds,
    COALESCE(m.failed_count, 0) AS failed_count,
    m.failed_id,
    CASE WHEN h.window_days < h.min_window_days THEN 1 ELSE 0 END AS is_short,
    CASE WHEN h.quiet_epoch >= q.first_epoch THEN 1 ELSE 0 END AS is_rest_known
  FROM schedules AS h
  CROSS JOIN evidence AS q
  JOIN judged_keys AS i ON i.judged_key = h.key_arn
  LEFT JOIN cancels AS j ON j.cancel_key = h.key_arn
  LEFT JOIN recent_uses AS l ON l.recent_key = h.key_arn
  LEFT JOIN failures AS m ON m.failed_key = h.key_arn
), verdicts AS (
  SELECT
    v.key_arn, v.event_id, v.event_time, v.account_id, v.region, v.principal, v.source_ip, v.window_days, v.deletion_time,
    v.quiet_days, v.aliases, v.state, v.cancel_id, v.cancel_time, v.cancel_by, v.cancel_seconds, v.recent_count, v.recent_id,
    v.failed_count, v.failed_id,
    CASE
      WHEN v.cancel_id IS NOT NULL THEN 'pass'
      WHEN v.is_short = 1 OR v.recent_count > 0 OR v.failed_count > 0 THEN 'fail'
      WHEN v.is_rest_known = 0 THEN 'unknown'
      ELSE 'pass'
    END AS result
  FROM judged AS v
)
SELECT
  t.event_time AS first_time,
  COALESCE(t.cancel_time, t.event_time) AS last_time,
  t.account_id,
  t.region,
  t.key_arn,
  t.principal,
  t.source_ip,
  CAST(1 + CASE WHEN t.cancel_id IS NULL THEN 0 ELSE 1 END AS BIGINT) AS event_count,
  CASE WHEN t.result = 'fail' THEN 'medium' ELSE 'info' END AS severity,
  COALESCE(t.principal, 'An unnamed principal') || ' scheduled the deletion of ' || t.key_arn || COALESCE(' (' || t.aliases || ')', '')
    || ' with a window of ' || CAST(t.window_days AS STRING) || ' days; uses in the ' || CAST(t.quiet_days AS STRING)
    || ' days before: ' || CAST(t.recent_count AS STRING) || ', calls that failed because of it: ' || CAST(t.failed_count AS STRING)
    || CASE WHEN t.cancel_id IS NOT NULL THEN '; cancelled by ' || COALESCE(t.cancel_by, 'an unnamed principal') || ' after '
              || CAST(t.cancel_seconds AS STRING) || ' seconds'
            WHEN t.state = 'deleted' THEN '; the key is deleted'
            ELSE '; not cancelled' END || '.' AS summary,
  t.event_id || COALESCE(',' || t.cancel_id, '') || COALESCE(',' || t.recent_id, '') || COALESCE(',' || t.failed_id, '') AS event_ids,
  t.key_arn AS subject,
  t.result,
  t.window_days,
  t.deletion_time,
  t.recent_count AS uses_before,
  t.failed_count AS failures_since,
  t.cancel_time AS cancelled_time,
  t.state AS key_state
FROM verdicts AS t
ORDER BY subject
