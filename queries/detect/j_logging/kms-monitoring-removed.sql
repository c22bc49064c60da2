-- title: Monitoring of KMS removed
-- severity: high
-- attack: T1562.001, T1562.006 / v19 T1685
-- description: Alarms, metric filters, EventBridge rules or AWS Config rules about KMS were deleted, disabled or overwritten
--   with something that no longer mentions it. What watches DisableKey and ScheduleKeyDeletion is what would have told of
--   the next step. A watcher is about KMS when its name or pattern says so (kms, cmk, the two operations, CIS 3.7 and
--   4.7), here or where the evidence shows it being made. Low for watchers of other things, and for one that was made
--   again within minutes. One finding per actor and episode.
-- false-positives: Infrastructure as code that replaces or moves monitoring. Auto Scaling deletes its own alarms all the
--   time: the services' own calls are left out, and are low where a name happens to mention KMS.
-- blind-spots: A watcher made before the evidence whose name does not say what it watches. An alarm on the metric of a
--   KMS filter, when its own name does not mention KMS.
-- reads: admin_events
-- params: restore_minutes = 5, episode_hours = 24
WITH monitoring_calls AS (
  SELECT
    e.event_id, e.event_source, e.event_name, e.event_time, e.event_epoch, e.account_id, e.region, e.principal, e.source_ip,
    e.via,
    REPLACE(COALESCE(e.request_parameters, ''), '": ', '":') AS request_text,
    LOWER(COALESCE(e.request_parameters, '')) AS lower_text,
    CASE WHEN e.principal LIKE 'service:%' OR e.principal LIKE '%:role/aws-service-role/%' OR e.via LIKE '%autoscaling%' THEN 1
         ELSE 0 END AS is_service
  FROM admin_events AS e
  WHERE e.action_class = 'monitoring'
    AND e.is_ok
    AND e.event_name IN ('DeleteAlarms', 'DisableAlarmActions', 'EnableAlarmActions', 'PutMetricAlarm', 'PutCompositeAlarm',
                         'PutMetricFilter', 'DeleteMetricFilter', 'PutRule', 'DeleteRule', 'DisableRule', 'EnableRule',
                         'PutTargets', 'RemoveTargets', 'PutConfigRule', 'DeleteConfigRule')
), named_calls AS (
  SELECT
    c.event_id, c.event_source, c.event_name, c.event_time, c.event_epoch, c.account_id, c.region, c.principal, c.source_ip,
    c.via, c.is_service, c.request_text,
    COALESCE(
      NULLIF(SPLIT_PART(SPLIT_PART(c.request_text, '"alarmNames":["', 2), '"', 1), ''),
      NULLIF(SPLIT_PART(SPLIT_PART(c.request_text, '"alarmName":"', 2), '"', 1), ''),
      NULLIF(SPLIT_PART(SPLIT_PART(c.request_text, '"filterName":"', 2), '"', 1), ''),
      NULLIF(SPLIT_PART(SPLIT_PART(c.request_text, '"configRuleName":"', 2), '"', 1), ''),
      NULLIF(SPLIT_PART(SPLIT_PART(c.request_text, '"rule":"', 2), '"', 1), ''),
      NULLIF(SPLIT_PART(SPLIT_PART(c.request_text, '"name":"', 2), '"', 1), '')) AS subject,
    CASE WHEN c.lower_text LIKE '%kms%' OR c.lower_text LIKE '%cmk%' OR c.lower_text LIKE '%disablekey%'
           OR c.lower_text LIKE '%schedulekeydeletion%' OR c.lower_text LIKE '%cis_3.7%' OR c.lower_text LIKE '%cis_4.7%'
           OR c.lower_text LIKE '%cis_3-7%' OR c.lower_text LIKE '%cis_4-7%' THEN 1 ELSE 0 END AS mentions_kms,
    CASE
      WHEN c.event_name IN ('DeleteAlarms', 'DisableAlarmActions', 'DeleteMetricFilter', 'DeleteRule', 'DisableRule',
                            'RemoveTargets', 'DeleteConfigRule') THEN 'removes'
      WHEN c.event_name = 'PutRule' AND c.request_text LIKE '%"state":"DISABLED"%' THEN 'removes'
      WHEN c.event_name IN ('PutMetricAlarm', 'PutCompositeAlarm') AND c.request_text LIKE '%"actionsEnabled":false%' THEN 'removes'
      ELSE 'makes'
    END AS effect
  FROM monitoring_calls AS c
), kms_definitions AS (
  SELECT
    d.account_id, d.region, d.event_source, d.subject AS watcher,
    MIN(d.event_epoch) AS made_epoch
  FROM named_calls AS d
  WHERE d.event_name IN ('PutMetricAlarm', 'PutCompositeAlarm', 'PutMetricFilter', 'PutRule', 'PutConfigRule')
    AND d.mentions_kms = 1
    AND d.subject IS NOT NULL
  GROUP BY d.account_id, d.region, d.event_source, d.subject
), known_watchers AS (
  -- The call names a watcher that was about KMS before: quoted, so that one name is not found inside another.
  SELECT DISTINCT n.event_id AS known_id
  FROM named_calls AS n
  JOIN kms_definitions AS k ON k.account_id = n.account_id AND k.region = n.region AND k.event_source = n.event_source
  WHERE n.mentions_kms = 0
    AND k.made_epoch < n.event_epoch
    AND POSITION('"' || k.watcher || '"' IN n.request_text) > 0
), removals AS (
  SELECT
    r.event_id, r.event_source, r.event_name, r.event_time, r.event_epoch, r.account_id, r.region, r.principal, r.source_ip,
    r.subject,
    COALESCE(r.principal, '') || '|' || COALESCE(r.account_id, '') || '|' || COALESCE(r.region, '') AS actor,
    CASE WHEN r.mentions_kms = 1 OR w.known_id IS NOT NULL THEN 1 ELSE 0 END AS is_kms,
    r.is_service
  FROM named_calls AS r
  LEFT JOIN known_watchers AS w ON w.known_id = r.event_id
  WHERE (r.effect = 'removes'
      OR (w.known_id IS NOT NULL
        AND r.event_name IN ('PutMetricAlarm', 'PutCompositeAlarm', 'PutMetricFilter', 'PutRule', 'PutConfigRule')))
    AND (r.is_service = 0 OR r.mentions_kms = 1 OR w.known_id IS NOT NULL)
), restored AS (
  SELECT DISTINCT a.event_id AS restored_id
  FROM removals AS a
  JOIN named_calls AS b ON b.account_id = a.account_id AND b.region = a.region AND b.event_source = a.event_source
    AND b.subject = a.subject
  CROSS JOIN params AS p
  WHERE b.effect = 'makes'
    AND b.event_id <> a.event_id
    AND b.event_epoch >= a.event_epoch
    AND b.event_epoch <= a.event_epoch + p.restore_minutes * 60
), judged_removals AS (
  SELECT
    j.event_id, j.event_name, j.event_time, j.event_epoch, j.account_id, j.region, j.principal, j.source_ip, j.subject, j.actor,
    j.is_kms,
    CASE WHEN j.is_kms = 1 AND j.is_service = 0 AND x.restored_id IS NULL THEN 1 ELSE 0 END AS is_grave,
    LAG(j.event_epoch) OVER (PARTITION BY j.actor, j.is_kms ORDER BY j.event_epoch, j.event_id) AS previous_epoch
  FROM removals AS j
  LEFT JOIN restored AS x ON x.restored_id = j.event_id
), episode_starts AS (
  SELECT
    s.event_id, s.event_name, s.event_time, s.event_epoch, s.account_id, s.region, s.principal, s.source_ip, s.subject, s.actor,
    s.is_kms, s.is_grave,
    CASE WHEN s.previous_epoch IS NULL OR s.event_epoch - s.previous_epoch > q.episode_hours * 3600 THEN 1 ELSE 0 END AS is_start
  FROM judged_removals AS s
  CROSS JOIN params AS q
), numbered_removals AS (
  SELECT
    t.event_id, t.event_name, t.event_time, t.event_epoch, t.account_id, t.region, t.principal, t.source_ip, t.subject, t.actor,
    t.is_kms, t.is_grave,
    SUM(t.is_start) OVER (PARTITION BY t.actor, t.is_kms ORDER BY t.event_epoch, t.event_id
                          ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS episode_no
  FROM episode_starts AS t
), ordered_removals AS (
  SELECT
    o.event_id, o.event_name, o.event_time, o.account_id, o.region, o.principal, o.source_ip, o.subject, o.actor, o.is_kms,
    o.is_grave, o.episode_no,
    CAST(ROW_NUMBER() OVER (PARTITION BY o.actor, o.is_kms, o.episode_no ORDER BY o.event_epoch, o.event_id) AS BIGINT) AS removal_no
  FROM numbered_removals AS o
), episodes AS (
  SELECT
    y.actor, y.is_kms, y.episode_no,
    MIN(y.event_time) AS first_time,
    MAX(y.event_time) AS last_time,
    MIN(y.account_id) AS account_id,
    MIN(y.region) AS region,
    MIN(y.principal) AS principal,
    CASE WHEN MIN(y.source_ip) = MAX(y.source_ip) THEN MIN(y.source_ip) END AS source_ip,
    CAST(COUNT(*) AS BIGINT) AS event_count,
    MAX(y.is_grave) AS is_grave,
    MIN(CASE WHEN y.removal_no = 1 THEN y.event_name END) AS first_action,
    MIN(CASE WHEN y.removal_no = 1 THEN y.subject END) AS first_subject
  FROM ordered_removals AS y
  GROUP BY y.actor, y.is_kms, y.episode_no
), episode_lists AS (
  SELECT
    z.actor AS list_actor, z.is_kms AS list_is_kms, z.episode_no AS list_episode,
    STRING_AGG(z.event_id, ',') AS event_ids,
    STRING_AGG(DISTINCT z.event_name, ',') AS actions
  FROM ordered_removals AS z
  WHERE z.removal_no <= 1000
  GROUP BY z.actor, z.is_kms, z.episode_no
)
SELECT
  e.first_time,
  e.last_time,
  e.account_id,
  e.region,
  CAST(NULL AS STRING) AS key_arn,
  e.principal,
  e.source_ip,
  e.event_count,
  CASE WHEN e.is_grave = 1 THEN 'high' ELSE 'low' END AS severity,
  COALESCE(e.principal, 'An unnamed principal') || ' removed or weakened monitoring'
    || CASE WHEN e.is_kms = 1 THEN ' of KMS' ELSE ' that does not mention KMS' END || ' in ' || COALESCE(e.account_id, 'an unknown account')
    || ' ' || COALESCE(e.region, 'an unknown Region') || ', calls: ' || CAST(e.event_count AS STRING) || ', the first '
    || COALESCE(e.first_action, 'unknown') || ' on ' || COALESCE(e.first_subject, 'an unnamed watcher')
    || CASE WHEN e.is_kms = 1 AND e.is_grave = 0 THEN '; a service did it, or it was made again within minutes.' ELSE '.' END AS summary,
  l.event_ids,
  l.actions,
  e.first_subject,
  CASE WHEN e.is_kms = 1 THEN TRUE ELSE FALSE END AS is_about_kms
FROM episodes AS e
JOIN episode_lists AS l ON l.list_actor = e.actor AND l.list_is_kms = e.is_kms AND l.list_episode = e.episode_no
ORDER BY first_time, principal NULLS LAST, account_id, region, is_about_kms
