-- title: Key of the audit logs tampered with
-- severity: critical
-- attack: T1562.008 / v19 T1685.002, T1485
-- description: A key under which CloudTrail, CloudWatch Logs, AWS Config or GuardDuty writes was disabled, scheduled for
--   deletion, stripped of its material, given another policy or had a grant revoked; or a log group was taken off its
--   key. Without the key the recording stops, or what was recorded cannot be read. One finding per actor and key; it tells
--   whether the services wrote under the key afterwards. Medium for policies and grants when the services went on or the
--   new policy still names them; high for log groups, whose logs go on unencrypted.
-- false-positives: Moving the logs to another key. What was done before a key served the logs is left out, and so are the
--   services' own calls.
-- blind-spots: A key that no audit service used within the evidence. A policy may name a service and still refuse it.
-- reads: admin_events, audit_keys
-- params: episode_hours = 24
WITH acts AS (
  SELECT
    e.event_id, e.event_name, e.event_time, e.event_epoch, e.account_id, e.region, e.key_arn, e.source_ip,
    e.principal, e.via,
    COALESCE(e.principal, '') AS actor,
    COALESCE(e.key_arn, '') AS subject,
    k.main_service, k.services, k.last_write_epoch,
    CASE
      WHEN e.event_name IN ('DisableKey', 'ScheduleKeyDeletion', 'DeleteImportedKeyMaterial') THEN 3
      WHEN e.event_name = 'PutKeyPolicy' AND e.policy IS NOT NULL
       AND POSITION(k.main_service || '.' IN e.policy) > 0 THEN 1
      WHEN k.last_write_epoch > e.event_epoch THEN 1
      ELSE 3
    END AS weight
  FROM admin_events AS e
  JOIN audit_keys AS k ON k.key_arn = e.key_arn
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.is_ok
    AND e.event_name IN ('DisableKey', 'ScheduleKeyDeletion', 'DeleteImportedKeyMaterial', 'PutKeyPolicy', 'RevokeGrant')
    AND e.event_epoch >= k.known_epoch
    AND NOT (e.event_name = 'RevokeGrant' AND e.via IS NOT NULL)
    AND COALESCE(e.principal, '') NOT LIKE 'service:%'
    AND COALESCE(e.principal, '') NOT LIKE '%:role/aws-service-role/%'
  UNION ALL
  SELECT
    d.event_id, d.event_name, d.event_time, d.event_epoch, d.account_id, d.region, CAST(NULL AS STRING) AS key_arn, d.source_ip,
    d.principal, d.via,
    COALESCE(d.principal, '') AS actor,
    '' AS subject,
    'logs' AS main_service, 'logs' AS services, CAST(NULL AS BIGINT) AS last_write_epoch,
    2 AS weight
  FROM admin_events AS d
  WHERE d.event_source = 'logs.amazonaws.com'
    AND d.event_name = 'DisassociateKmsKey'
    AND d.is_ok
), spaced_acts AS (
  SELECT
    a.event_id, a.actor, a.subject, a.event_epoch,
    LAG(a.event_epoch) OVER (PARTITION BY a.actor, a.subject ORDER BY a.event_epoch, a.event_id) AS previous_epoch
  FROM acts AS a
), episode_starts AS (
  SELECT
    s.event_id, s.actor, s.subject, s.event_epoch,
    CASE WHEN s.previous_epoch IS NULL OR s.event_epoch - s.previous_epoch > p.episode_hours * 3600 THEN 1 ELSE 0 END AS is_start
  FROM spaced_acts AS s
  CROSS JOIN params AS p
), numbered_acts AS (
  SELECT
    t.event_id AS numbered_id,
    SUM(t.is_start) OVER (PARTITION BY t.actor, t.subject ORDER BY t.event_epoch, t.event_id
                          ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS episode_no
  FROM episode_starts AS t
), episode_acts AS (
  SELECT
    a.event_id, a.event_name, a.event_time, a.event_epoch, a.account_id, a.region, a.key_arn, a.source_ip, a.principal, a.via,
    a.actor, a.subject, a.main_service, a.services, a.last_write_epoch, a.weight, n.episode_no,
    CAST(ROW_NUMBER() OVER (PARTITION BY a.actor, a.subject, n.episode_no ORDER BY a.event_epoch, a.event_id) AS BIGINT) AS act_no
  FROM acts AS a
  JOIN numbered_acts AS n ON n.numbered_id = a.event_id
), episodes AS (
  SELECT
    x.actor, x.subject, x.episode_no,
    MIN(x.event_time) AS first_time,
    MAX(x.event_time) AS last_time,
    MAX(x.event_epoch) AS last_epoch,
    MIN(x.account_id) AS account_id,
    MIN(x.region) AS region,
    MIN(x.key_arn) AS key_arn,
    MIN(x.principal) AS principal,
    CASE WHEN MIN(x.source_ip) = MAX(x.source_ip) THEN MIN(x.source_ip) END AS source_ip,
    CAST(COUNT(*) AS BIGINT) AS event_count,
    CAST(COUNT(CASE WHEN x.event_name = 'DisableKey' THEN 1 END) AS BIGINT) AS disable_count,
    CAST(COUNT(CASE WHEN x.event_name = 'ScheduleKeyDeletion' THEN 1 END) AS BIGINT) AS deletion_count,
    CAST(COUNT(CASE WHEN x.event_name = 'DeleteImportedKeyMaterial' THEN 1 END) AS BIGINT) AS material_count,
    CAST(COUNT(CASE WHEN x.event_name = 'PutKeyPolicy' THEN 1 END) AS BIGINT) AS policy_count,
    CAST(COUNT(CASE WHEN x.event_name = 'RevokeGrant' THEN 1 END) AS BIGINT) AS revoke_count,
    MAX(x.weight) AS weight,
    MIN(x.main_service) AS main_service,
    MIN(x.services) AS services,
    MAX(x.last_write_epoch) AS last_write_epoch
  FROM episode_acts AS x
  GROUP BY x.actor, x.subject, x.episode_no
), episode_ids AS (
  SELECT
    y.actor AS id_actor, y.subject AS id_subject, y.episode_no AS id_episode,
    STRING_AGG(y.event_id, ',') AS event_ids
  FROM episode_acts AS y
  WHERE y.act_no <= 1000
  GROUP BY y.actor, y.subject, y.episode_no
)
SELECT
  e.first_time,
  e.last_time,
  e.account_id,
  e.region,
  e.key_arn,
  e.principal,
  e.source_ip,
  e.event_count,
  CASE WHEN e.weight = 3 THEN 'critical' WHEN e.weight = 2 THEN 'high' ELSE 'medium' END AS severity,
  COALESCE(e.principal, 'An unnamed principal')
    || CASE
         WHEN e.subject = '' THEN ' took log groups off their KMS key: ' || CAST(e.event_count AS STRING)
           || '; what they log from then on is not under a key of ours.'
         ELSE CASE WHEN e.weight = 3 THEN ' tampered with ' ELSE ' changed ' END || e.subject || ', under which ' || e.main_service || ' writes:'
           || CASE WHEN e.disable_count > 0 THEN ' disabled ' || CAST(e.disable_count AS STRING) || ' x,' ELSE '' END
           || CASE WHEN e.deletion_count > 0 THEN ' deletion scheduled ' || CAST(e.deletion_count AS STRING) || ' x,' ELSE '' END
           || CASE WHEN e.material_count > 0 THEN ' material deleted ' || CAST(e.material_count AS STRING) || ' x,' ELSE '' END
           || CASE WHEN e.policy_count > 0 THEN ' policy replaced ' || CAST(e.policy_count AS STRING) || ' x,' ELSE '' END
           || CASE WHEN e.revoke_count > 0 THEN ' grant revoked ' || CAST(e.revoke_count AS STRING) || ' x,' ELSE '' END
           || CASE WHEN e.last_write_epoch IS NULL THEN ' and the evidence has no write under it.'
                   WHEN e.last_write_epoch > e.last_epoch THEN ' and the last write under it was '
                     || CAST(e.last_write_epoch - e.last_epoch AS STRING) || ' seconds later.'
                   ELSE ' and nothing was written under it since.' END
       END AS summary,
  i.event_ids,
  e.services,
  e.disable_count,
  e.deletion_count,
  e.material_count,
  e.policy_count,
  e.revoke_count,
  CASE WHEN e.last_write_epoch > e.last_epoch THEN e.last_write_epoch - e.last_epoch END AS written_seconds_after
FROM episodes AS e
JOIN episode_ids AS i ON i.id_actor = e.actor AND i.id_subject = e.subject AND i.id_episode = e.episode_no
ORDER BY first_time, principal NULLS LAST, key_arn NULLS LAST
