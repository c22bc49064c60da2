-- title: Destructive attempt that failed
-- severity: medium
-- attack: T1485
-- description: A principal tried to disable or delete a key, its material, its alias or its key store, or to replace its
--   policy, and failed. A refusal is how an intruder finds out what a stolen credential can do, and often the only trace
--   before another credential succeeds. Attempts of one principal that lie less than a day apart are one finding.
-- false-positives: Infrastructure code that lost a permission or runs again on a key already pending deletion: attempts
--   that failed for another reason than refusal are low. Throttled calls, dry runs, AWS services' own principals and
--   service-linked roles are left out.
-- blind-spots: A refused call is logged without its parameters, so the key comes from the error message and may be missing.
-- reads: failed_calls, admin_events
-- params: gap_hours = 24
WITH attempts AS (
  SELECT
    f.event_id,
    f.event_time,
    f.event_epoch,
    f.event_name,
    f.outcome,
    f.error_code,
    f.account_id,
    f.region,
    f.key_arn,
    COALESCE(f.key_arn, f.alias_name, f.custom_key_store_id) AS target,
    f.principal,
    f.source_ip,
    f.via,
    LAG(f.event_epoch) OVER (PARTITION BY f.principal ORDER BY f.event_epoch, f.event_id) AS before_epoch
  FROM failed_calls AS f
  WHERE f.event_name IN ('ScheduleKeyDeletion', 'DisableKey', 'DeleteImportedKeyMaterial', 'PutKeyPolicy', 'DeleteAlias',
                         'DisconnectCustomKeyStore', 'DeleteCustomKeyStore')
    AND f.principal IS NOT NULL
    AND f.principal NOT LIKE 'service:%'
    AND f.principal NOT LIKE '%:role/aws-service-role/%'
), marked_attempts AS (
  SELECT
    m.event_id, m.event_time, m.event_epoch, m.event_name, m.outcome, m.error_code, m.account_id, m.region, m.key_arn,
    m.target, m.principal, m.source_ip, m.via,
    CASE WHEN m.before_epoch IS NULL OR m.event_epoch - m.before_epoch > p.gap_hours * 3600 THEN 1 ELSE 0 END AS is_start
  FROM attempts AS m
  CROSS JOIN params AS p
), numbered_attempts AS (
  SELECT
    n.event_id, n.event_time, n.event_epoch, n.event_name, n.outcome, n.error_code, n.account_id, n.region, n.key_arn,
    n.target, n.principal, n.source_ip, n.via,
    CAST(SUM(n.is_start) OVER (PARTITION BY n.principal ORDER BY n.event_epoch, n.event_id
                               ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS series_no
  FROM marked_attempts AS n
), ranked_attempts AS (
  SELECT
    r.event_id, r.event_time, r.event_epoch, r.event_name, r.outcome, r.error_code, r.account_id, r.region, r.key_arn,
    r.target, r.principal, r.source_ip, r.via, r.series_no,
    CAST(ROW_NUMBER() OVER (PARTITION BY r.principal, r.series_no ORDER BY r.event_epoch, r.event_id) AS BIGINT) AS attempt_no
  FROM numbered_attempts AS r
), series AS (
  SELECT
    s.principal,
    s.series_no,
    MIN(s.event_time) AS first_time,
    MAX(s.event_time) AS last_time,
    MIN(s.event_epoch) AS first_epoch,
    MIN(s.account_id) AS account_id,
    MIN(s.region) AS region,
    CAST(COUNT(DISTINCT s.region) AS BIGINT) AS region_count,
    MIN(s.key_arn) AS key_arn,
    MIN(s.target) AS first_target,
    CAST(COUNT(DISTINCT s.target) AS BIGINT) AS target_count,
    MIN(s.source_ip) AS source_ip,
    CAST(COUNT(DISTINCT s.source_ip) AS BIGINT) AS source_ip_count,
    MIN(s.via) AS via,
    MAX(CASE WHEN s.attempt_no = 1 THEN s.event_name END) AS first_action,
    MAX(CASE WHEN s.attempt_no = 1 THEN s.error_code END) AS first_error,
    CAST(COUNT(DISTINCT s.event_name) AS BIGINT) AS action_count,
    CAST(COUNT(CASE WHEN s.outcome = 'denied' THEN 1 END) AS BIGINT) AS denied_count,
    CAST(COUNT(*) AS BIGINT) AS event_count
  FROM ranked_attempts AS s
  GROUP BY s.principal, s.series_no
), series_ids AS (
  SELECT i.principal AS id_principal, i.series_no AS id_series_no, STRING_AGG(i.event_id, ',') AS event_ids
  FROM ranked_attempts AS i
  WHERE i.attempt_no <= 1000
  GROUP BY i.principal, i.series_no
), series_actions AS (
  SELECT DISTINCT t.principal AS action_principal, t.series_no AS action_series_no, t.event_name AS action_name
  FROM ranked_attempts AS t
), action_lists AS (
  SELECT u.action_principal, u.action_series_no, STRING_AGG(u.action_name, ',') AS actions
  FROM series_actions AS u
  GROUP BY u.action_principal, u.action_series_no
), later_successes AS (
  -- What one principal was refused and another did to the same key within the day is the story to follow.
  SELECT
    v.principal AS later_principal,
    v.series_no AS later_series_no,
    CAST(COUNT(DISTINCT a.event_id) AS BIGINT) AS later_ok_count,
    MIN(a.principal) AS later_ok_by
  FROM ranked_attempts AS v
  JOIN admin_events AS a ON a.key_arn = v.key_arn AND a.event_name = v.event_name
  CROSS JOIN params AS q
  WHERE a.is_ok
    AND a.event_epoch >= v.event_epoch
    AND a.event_epoch <= v.event_epoch + q.gap_hours * 3600
  GROUP BY v.principal, v.series_no
)
SELECT
  x.first_time,
  x.last_time,
  x.account_id,
  CASE WHEN x.region_count = 1 THEN x.region END AS region,
  CASE WHEN x.target_count = 1 THEN x.key_arn END AS key_arn,
  x.principal,
  CASE WHEN x.source_ip_count = 1 THEN x.source_ip END AS source_ip,
  x.event_count,
  CASE WHEN x.denied_count > 0 THEN 'medium' ELSE 'low' END AS severity,
  x.principal || ' tried ' || COALESCE(x.first_action, 'a destructive call')
    || CASE WHEN x.action_count > 1 THEN ' and other destructive calls' ELSE '' END || ' on '
    || COALESCE(x.first_target, 'a key that the record does not name')
    || CASE WHEN x.target_count > 1 THEN ' and others (' || CAST(x.target_count AS STRING) || ' in all)' ELSE '' END
    || ', first error ' || COALESCE(x.first_error, 'unknown') || ' (attempts: ' || CAST(x.event_count AS STRING) || ', refused: '
    || CAST(x.denied_count AS STRING) || ')'
    || CASE WHEN z.later_ok_count IS NULL THEN '.'
            ELSE '; the same calls on the same keys that succeeded within the day after: ' || CAST(z.later_ok_count AS STRING)
              || ', by ' || COALESCE(z.later_ok_by, 'an unnamed principal') || '.' END AS summary,
  y.event_ids,
  w.actions,
  x.target_count,
  x.denied_count,
  x.first_error,
  COALESCE(z.later_ok_count, 0) AS later_ok_count,
  z.later_ok_by,
  x.via
FROM series AS x
JOIN series_ids AS y ON y.id_principal = x.principal AND y.id_series_no = x.series_no
JOIN action_lists AS w ON w.action_principal = x.principal AND w.action_series_no = x.series_no
LEFT JOIN later_successes AS z ON z.later_principal = x.principal AND z.later_series_no = x.series_no
ORDER BY first_time, principal, last_time
