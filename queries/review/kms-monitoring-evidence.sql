-- title: Monitoring of key deletion, and trails that record KMS
-- severity: info
-- controls: CIS AWS Foundations 1.4 4.7, CIS AWS Foundations 3.0 4.7, CIS AWS Foundations 7.0 5.7, FSBP CloudWatch.7
-- description: Per account, whether a metric filter with an alarm or an EventBridge rule for both DisableKey and
--   ScheduleKeyDeletion was made and kept. Per trail or event data store, whether the last selectors seen, or the last
--   stop or start, let it record KMS.
-- false-positives: Accounts watched from a central account, or by another product. Trails that are meant for data
--   events or for cost leave KMS out while another trail records it. Left out: trails that were deleted.
-- blind-spots: Evidence in logs only: absence is not proof. Alarms and rules that are older than the evidence and were
--   not touched; whether anybody receives the alarm; Regions without a rule beside one that has it; patterns that take
--   in all of KMS without naming the operations.
-- reads: admin_events
WITH home AS (
  SELECT h.account_id AS home_id FROM home_accounts AS h
), watch_acts AS (
  SELECT
    f.event_id, f.event_time, f.event_epoch, f.event_name, f.event_source, f.account_id, f.region, f.principal,
    -- The text is as received: some exports put a blank behind each colon.
    REPLACE(f.request_parameters, '": ', '":') AS request
  FROM admin_events AS f
  SEMI JOIN home AS o ON o.home_id = f.account_id
  WHERE f.is_ok
    AND f.request_parameters IS NOT NULL
    AND f.event_name IN ('PutMetricFilter', 'DeleteMetricFilter', 'PutMetricAlarm', 'DeleteAlarms', 'DisableAlarmActions',
                         'EnableAlarmActions', 'PutRule', 'DeleteRule', 'DisableRule', 'EnableRule', 'PutTargets',
                         'RemoveTargets')
), monitor_acts AS (
  SELECT
    a.event_id, a.event_time, a.event_epoch, a.event_name, a.account_id, a.region, a.principal,
    CASE WHEN a.event_source LIKE 'logs.%' THEN 'filter' WHEN a.event_source LIKE 'events.%' THEN 'rule' ELSE 'alarm' END AS kind,
    CASE WHEN a.event_source LIKE 'logs.%' THEN SPLIT_PART(SPLIT_PART(a.request, '"filterName":"', 2), '"', 1)
         WHEN a.event_name LIKE '%Targets' THEN SPLIT_PART(SPLIT_PART(a.request, '"rule":"', 2), '"', 1)
         WHEN a.event_source LIKE 'events.%' THEN SPLIT_PART(SPLIT_PART(a.request, '"name":"', 2), '"', 1)
         ELSE '' END AS monitor_name,
    CASE WHEN a.event_name LIKE 'Put%' OR a.event_name LIKE 'Enable%' THEN 0 ELSE 1 END AS is_end,
    CASE WHEN a.event_name = 'PutRule' AND POSITION('"state":"DISABLED"' IN a.request) > 0 THEN 1 ELSE 0 END AS is_off,
    CASE WHEN POSITION('DisableKey' IN a.request) > 0 THEN 1 ELSE 0 END AS names_disable,
    CASE WHEN POSITION('ScheduleKeyDeletion' IN a.request) > 0 THEN 1 ELSE 0 END AS names_deletion,
    CASE WHEN POSITION('kms' IN LOWER(a.request)) > 0
           OR POSITION('cmk' IN LOWER(a.request)) > 0
           OR POSITION('disablekey' IN LOWER(a.request)) > 0
           OR POSITION('keydeletion' IN LOWER(a.request)) > 0 THEN 1 ELSE 0 END AS names_kms
  FROM watch_acts AS a
), metric_acts AS (
  SELECT
    m.event_id, m.event_time, m.event_epoch, m.event_name, m.account_id, m.principal, m.kind, m.is_end, m.is_off,
    m.names_disable, m.names_deletion, m.names_kms,
    m.account_id || ':' || m.region || ':' || m.kind || ':' || m.monitor_name AS monitor
  FROM monitor_acts AS m
  WHERE m.kind <> 'alarm'
), monitors AS (
  SELECT
    b.monitor AS coverage_monitor,
    MAX(b.names_disable) AS names_disable,
    MAX(b.names_deletion) AS names_deletion,
    MAX(b.names_kms) AS names_kms
  FROM metric_acts AS b
  GROUP BY b.monitor
), numbered_acts AS (
  SELECT
    n.monitor, n.event_id, n.event_time, n.account_id, n.principal, n.kind, n.is_end, n.is_off,
    CAST(ROW_NUMBER() OVER (PARTITION BY n.monitor ORDER BY -n.event_epoch, n.event_id) AS BIGINT) AS back_no
  FROM metric_acts AS n
), last_acts AS (
  SELECT
    l.account_id, l.event_id, l.event_time, l.principal, l.kind,
    c.names_disable, c.names_deletion,
    CASE WHEN l.is_end = 1 OR l.is_off = 1 THEN 1 ELSE 0 END AS is_gone
  FROM numbered_acts AS l
  JOIN monitors AS c ON c.coverage_monitor = l.monitor
  WHERE l.back_no = 1
    AND (c.names_disable = 1 OR c.names_deletion = 1 OR (c.names_kms = 1 AND l.is_end = 1))
), alarm_acts AS (
  SELECT
    q.account_id, q.event_id, q.event_time, q.principal, q.kind, q.is_end,
    CAST(ROW_NUMBER() OVER (PARTITION BY q.account_id ORDER BY -q.event_epoch, q.event_id) AS BIGINT) AS back_no
  FROM monitor_acts AS q
  WHERE q.kind = 'alarm'
    AND q.names_kms = 1
), kept_alarms AS (
  SELECT k.account_id AS alarm_account_id, CAST(COUNT(*) AS BIGINT) AS alarm_count
  FROM alarm_acts AS k
  WHERE k.back_no = 1
    AND k.is_end = 0
  GROUP BY k.account_id
), alarm_ends AS (
  SELECT y.account_id, y.event_id, y.event_time, y.principal, y.kind, 0 AS names_disable, 0 AS names_deletion, 1 AS is_gone
  FROM alarm_acts AS y
  WHERE y.back_no = 1
    AND y.is_end = 1
), watch_rows AS (
  SELECT r.account_id, r.event_id, r.event_time, r.principal, r.kind, r.names_disable, r.names_deletion, r.is_gone FROM last_acts AS r
  UNION ALL
  SELECT z.account_id, z.event_id, z.event_time, z.principal, z.kind, z.names_disable, z.names_deletion, z.is_gone FROM alarm_ends AS z
), numbered_rows AS (
  SELECT
    w.account_id, w.event_id, w.event_time, w.principal, w.kind, w.names_disable, w.names_deletion, w.is_gone,
    CAST(ROW_NUMBER() OVER (PARTITION BY w.account_id ORDER BY w.event_id) AS BIGINT) AS row_no
  FROM watch_rows AS w
), watched AS (
  SELECT
    g.account_id AS watched_id,
    CAST(COUNT(*) AS BIGINT) AS event_count,
    MIN(g.event_time) AS first_time,
    MAX(g.event_time) AS last_time,
    MIN(CASE WHEN g.is_gone = 1 THEN g.principal END) AS removed_by,
    MAX(CASE WHEN g.is_gone = 0 AND g.kind = 'rule' AND g.names_disable = 1 THEN 1 ELSE 0 END) AS rule_disable,
    MAX(CASE WHEN g.is_gone = 0 AND g.kind = 'rule' AND g.names_deletion = 1 THEN 1 ELSE 0 END) AS rule_deletion,
    MAX(CASE WHEN g.is_gone = 0 AND g.names_disable = 1 THEN 1 ELSE 0 END) AS any_disable,
    MAX(CASE WHEN g.is_gone = 0 AND g.names_deletion = 1 THEN 1 ELSE 0 END) AS any_deletion,
    CAST(COUNT(CASE WHEN g.is_gone = 1 THEN 1 END) AS BIGINT) AS gone_count,
    STRING_AGG(CASE WHEN g.row_no <= 1000 THEN g.event_id END, ',') AS event_ids
  FROM numbered_rows AS g
  GROUP BY g.account_id
), account_verdicts AS (
  SELECT
    h2.home_id AS account_id, d.first_time, d.last_time, d.removed_by, d.event_ids,
    COALESCE(d.event_count, 0) AS event_count,
    CASE
      WHEN d.rule_disable = 1 AND d.rule_deletion = 1 THEN 'an EventBridge rule'
      WHEN d.any_disable = 1 AND d.any_deletion = 1 AND COALESCE(v.alarm_count, 0) > 0 THEN 'a metric filter and an alarm'
      WHEN d.gone_count > 0 AND d.any_disable = 0 AND d.any_deletion = 0 THEN 'removed'
      WHEN d.any_disable = 1 AND d.any_deletion = 1 THEN 'no alarm'
      WHEN d.any_disable = 1 OR d.any_deletion = 1 THEN 'half'
      ELSE 'not seen'
    END AS state
  FROM home AS h2
  LEFT JOIN watched AS d ON d.watched_id = h2.home_id
  LEFT JOIN kept_alarms AS v ON v.alarm_account_id = h2.home_id
), trail_acts AS (
  SELECT
    t.event_id, t.event_time, t.event_epoch, t.event_name, t.account_id, t.region, t.principal, t.source_ip,
    t.trail_name, t.excludes_kms, t.blinds_key_use, t.blinds_key_admin,
    t.account_id || ':' || t.region || ':' || t.trail_name AS trail,
    CASE WHEN t.event_name IN ('StopLogging', 'StartLogging', 'StopEventDataStoreIngestion', 'StartEventDataStoreIngestion',
                               'DeleteTrail', 'DeleteEventDataStore', 'RestoreEventDataStore') THEN 'switch' ELSE 'selectors' END AS trail_kind
  FROM admin_events AS t
  SEMI JOIN home AS u ON u.home_id = t.account_id
  WHERE t.is_ok
    AND t.event_source = 'cloudtrail.amazonaws.com'
    AND t.trail_name IS NOT NULL
    AND t.blinds_key_use IS NOT NULL
), numbered_trails AS (
  SELECT
    i.event_id, i.event_time, i.event_epoch, i.event_name, i.account_id, i.region, i.principal, i.source_ip, i.trail,
    i.excludes_kms, i.blinds_key_use, i.blinds_key_admin, i.trail_kind,
    CAST(ROW_NUMBER() OVER (PARTITION BY i.trail, i.trail_kind ORDER BY -i.event_epoch, i.event_id) AS BIGINT) AS back_no
  FROM trail_acts AS i
), trail_marks AS (
  SELECT
    j.trail,
    MIN(j.account_id) AS account_id,
    MIN(j.region) AS region,
    MIN(j.event_time) AS first_time,
    MAX(j.event_time) AS last_time,
    CAST(COUNT(*) AS BIGINT) AS event_count,
    MAX(CASE WHEN j.trail_kind = 'switch' THEN j.event_name END) AS switch_name,
    MAX(CASE WHEN j.trail_kind = 'switch' AND j.blinds_key_use THEN 1 ELSE 0 END) AS is_stopped,
    MAX(CASE WHEN j.trail_kind = 'selectors' THEN j.event_name END) AS selector_name,
    MAX(CASE WHEN j.trail_kind = 'selectors' AND j.excludes_kms THEN 1 ELSE 0 END) AS is_excluding,
    MAX(CASE WHEN j.trail_kind = 'selectors' AND j.blinds_key_use THEN 1 ELSE 0 END) AS is_blind_to_use,
    MAX(CASE WHEN j.trail_kind = 'selectors' AND j.blinds_key_admin THEN 1 ELSE 0 END) AS is_blind_to_admin,
    MAX(CASE WHEN j.trail_kind = 'selectors' THEN j.principal END) AS selector_by,
    MAX(CASE WHEN j.trail_kind = 'switch' THEN j.principal END) AS switch_by,
    STRING_AGG(j.event_id, ',') AS event_ids
  FROM numbered_trails AS j
  WHERE j.back_no = 1
  GROUP BY j.trail
), verdicts AS (
  SELECT
    f.first_time, f.last_time, f.account_id, CAST(NULL AS STRING) AS region, f.removed_by AS principal, f.event_count, f.event_ids,
    f.account_id AS subject,
    'account' AS subject_kind,
    f.state,
    CASE WHEN f.state LIKE 'a%' THEN 'pass' WHEN f.state = 'removed' THEN 'fail' ELSE 'unknown' END AS result,
    'Account ' || f.account_id || ': '
      || CASE f.state
           WHEN 'removed' THEN 'the monitoring that names KMS was removed or switched off by '
             || COALESCE(f.removed_by, 'an unnamed principal') || ', and no other for DisableKey or ScheduleKeyDeletion was seen'
           WHEN 'no alarm' THEN 'a metric filter for DisableKey and ScheduleKeyDeletion was made, but no alarm that names KMS was seen'
           WHEN 'half' THEN 'only one of DisableKey and ScheduleKeyDeletion is seen to be monitored'
           WHEN 'not seen' THEN 'no alarm, metric filter or EventBridge rule for DisableKey and ScheduleKeyDeletion is in the evidence'
           ELSE f.state || ' for DisableKey and ScheduleKeyDeletion was made and kept' END || '.' AS summary
  FROM account_verdicts AS f
  UNION ALL
  SELECT
    x.first_time, x.last_time, x.account_id, x.region,
    CASE WHEN x.is_stopped = 1 THEN x.switch_by ELSE x.selector_by END AS principal,
    x.event_count, x.event_ids,
    x.trail AS subject,
    'trail' AS subject_kind,
    CASE WHEN x.is_stopped = 1 THEN 'stopped' WHEN x.is_excluding = 1 THEN 'excludes KMS' WHEN x.is_blind_to_use = 1 THEN 'no use'
         WHEN x.is_blind_to_admin = 1 THEN 'no administration' WHEN x.selector_name IS NULL THEN 'selectors not seen' ELSE 'records' END AS state,
    CASE WHEN x.is_stopped + x.is_excluding + x.is_blind_to_use + x.is_blind_to_admin > 0 THEN 'fail'
         WHEN x.selector_name IS NULL THEN 'unknown' ELSE 'pass' END AS result,
    'Trail ' || x.trail || ': '
      || CASE WHEN x.is_stopped = 1 THEN 'stopped by ' || COALESCE(x.switch_by, 'an unnamed principal') || ' and not started again'
              WHEN x.is_excluding = 1 THEN 'the last selectors seen, by ' || COALESCE(x.selector_by, 'an unnamed principal') || ', leave KMS out'
              WHEN x.is_blind_to_use = 1 THEN 'the last selectors seen, by ' || COALESCE(x.selector_by, 'an unnamed principal')
                || ', do not record the use of keys'
              WHEN x.is_blind_to_admin = 1 THEN 'the last selectors seen, by ' || COALESCE(x.selector_by, 'an unnamed principal')
                || ', do not record the administration of keys'
              WHEN x.selector_name IS NULL THEN 'it records, but no selectors are in the evidence'
              ELSE 'the last selectors seen record KMS' END || '.' AS summary
  FROM trail_marks AS x
  WHERE COALESCE(x.switch_name, '') NOT LIKE 'Delete%'
)
SELECT
  s.first_time,
  s.last_time,
  s.account_id,
  s.region,
  CAST(NULL AS STRING) AS key_arn,
  s.principal,
  CAST(NULL AS STRING) AS source_ip,
  s.event_count,
  'info' AS severity,
  s.summary,
  s.event_ids,
  s.subject,
  s.result,
  s.subject_kind,
  s.state
FROM verdicts AS s
ORDER BY subject_kind, subject
