-- title: Key deleted
-- severity: critical
-- attack: T1485
-- description: KMS has deleted a key: whatever is encrypted under it and nowhere else is lost. The finding goes back to who
--   scheduled it, what the key was used for in the months before, and whose calls failed while it could still be saved.
-- false-positives: Planned ends. High when the evidence shows neither use in the days before nor a failed call since, and
--   when a replica with the same material is left in another Region.
-- blind-spots: The waiting period is a week or more, so the schedule and the last uses often lie before the evidence.
--   Services cache data keys and may not have asked in time. Replicas that no event names are not known.
-- reads: deletions, use_hours, keys
-- params: active_days = 90
WITH deleted_keys AS (
  SELECT
    d.deletion_id,
    d.executed_event_id,
    d.executed_time,
    d.executed_epoch,
    d.scheduled_time,
    d.scheduled_epoch,
    d.scheduled_by,
    d.account_id,
    d.region,
    d.key_arn,
    d.mrk_id,
    d.source_ip,
    d.pending_window_days,
    d.keeps_backing_keys,
    d.aliases,
    d.creator,
    d.data_classes,
    d.resource_count,
    d.failure_count,
    d.failing_caller_count,
    d.first_failing_caller,
    d.last_failure_time,
    p.active_days
  FROM deletions AS d
  CROSS JOIN params AS p
  WHERE d.executed_event_id IS NOT NULL
), recent_uses AS (
  SELECT
    g.deletion_id AS use_deletion_id,
    COALESCE(u.via, u.principal, 'an unnamed principal') AS dependent,
    u.principal AS use_principal,
    u.call_count,
    u.last_time,
    u.last_epoch
  FROM use_hours AS u
  JOIN deleted_keys AS g ON g.key_arn = u.key_arn
  WHERE u.first_epoch <= g.executed_epoch
    AND u.last_epoch >= g.executed_epoch - g.active_days * 86400
), use_totals AS (
  SELECT
    t.use_deletion_id AS total_deletion_id,
    CAST(SUM(t.call_count) AS BIGINT) AS use_count,
    CAST(COUNT(DISTINCT t.use_principal) AS BIGINT) AS user_count,
    MAX(t.last_time) AS last_use_time,
    MAX(t.last_epoch) AS last_use_epoch
  FROM recent_uses AS t
  GROUP BY t.use_deletion_id
), dependents AS (
  SELECT
    n.use_deletion_id AS dep_deletion_id,
    n.dependent,
    -CAST(SUM(n.call_count) AS BIGINT) AS negative_uses
  FROM recent_uses AS n
  GROUP BY n.use_deletion_id, n.dependent
), ranked_dependents AS (
  SELECT
    r.dep_deletion_id,
    r.dependent,
    CAST(ROW_NUMBER() OVER (PARTITION BY r.dep_deletion_id ORDER BY r.negative_uses, r.dependent) AS BIGINT) AS dependent_no
  FROM dependents AS r
), dependent_names AS (
  SELECT
    m.dep_deletion_id,
    CAST(COUNT(*) AS BIGINT) AS dependent_count,
    MAX(CASE WHEN m.dependent_no = 1 THEN m.dependent END) AS dependent_1,
    MAX(CASE WHEN m.dependent_no = 2 THEN m.dependent END) AS dependent_2,
    MAX(CASE WHEN m.dependent_no = 3 THEN m.dependent END) AS dependent_3
  FROM ranked_dependents AS m
  GROUP BY m.dep_deletion_id
), living_replicas AS (
  SELECT
    h.deletion_id AS replica_deletion_id,
    CAST(COUNT(*) AS BIGINT) AS replica_count
  FROM deleted_keys AS h
  JOIN keys AS k ON k.mrk_id = h.mrk_id
  WHERE k.key_arn <> h.key_arn
    AND SPLIT_PART(k.key_arn, ':', 5) = SPLIT_PART(h.key_arn, ':', 5)
    AND COALESCE(k.state, 'enabled') <> 'deleted'
  GROUP BY h.deletion_id
)
SELECT
  COALESCE(a.scheduled_time, a.executed_time) AS first_time,
  a.executed_time AS last_time,
  a.account_id,
  a.region,
  a.key_arn,
  a.scheduled_by AS principal,
  a.source_ip,
  CASE WHEN a.scheduled_epoch IS NULL THEN CAST(1 AS BIGINT) ELSE CAST(2 AS BIGINT) END AS event_count,
  CASE
    WHEN COALESCE(c.replica_count, 0) > 0 THEN 'high'
    WHEN COALESCE(b.use_count, 0) = 0 AND a.failure_count = 0 THEN 'high'
    ELSE 'critical'
  END AS severity,
  'KMS deleted ' || a.key_arn || COALESCE(' (' || a.aliases || ')', '')
    || CASE WHEN a.scheduled_epoch IS NULL THEN '; the deletion was scheduled before or outside the evidence'
            ELSE '; ' || COALESCE(a.scheduled_by, 'an unnamed principal') || ' had scheduled it '
              || CAST(a.executed_epoch - a.scheduled_epoch AS STRING) || ' seconds before' END
    || '; uses in the ' || CAST(a.active_days AS STRING) || ' days before: ' || CAST(COALESCE(b.use_count, 0) AS STRING)
    || COALESCE(' (by ' || e.dependent_1 || COALESCE(', ' || e.dependent_2, '') || COALESCE(', ' || e.dependent_3, '')
         || CASE WHEN e.dependent_count > 3 THEN ' and others, ' || CAST(e.dependent_count AS STRING) || ' in all' ELSE '' END
         || ')', '')
    || '; named resources under it: ' || CAST(a.resource_count AS STRING)
    || '; calls that failed while it was pending: ' || CAST(a.failure_count AS STRING)
    || COALESCE(' (by ' || a.first_failing_caller || CASE WHEN a.failing_caller_count > 1 THEN ' and others' ELSE '' END || ')', '')
    || CASE WHEN c.replica_count > 0 THEN '; replicas left: ' || CAST(c.replica_count AS STRING) ELSE '' END
    || CASE WHEN a.keeps_backing_keys THEN '; copies in the CloudHSM cluster could not be deleted and remain' ELSE '' END
    || '.' AS summary,
  CASE WHEN a.scheduled_epoch IS NULL THEN a.executed_event_id ELSE a.deletion_id || ',' || a.executed_event_id END AS event_ids,
  a.executed_event_id,
  a.scheduled_time,
  a.pending_window_days,
  a.aliases,
  a.creator,
  COALESCE(b.use_count, 0) AS use_count,
  COALESCE(b.user_count, 0) AS user_count,
  b.last_use_time,
  a.data_classes,
  a.resource_count,
  a.failure_count,
  a.failing_caller_count,
  a.last_failure_time,
  COALESCE(c.replica_count, 0) AS replica_count,
  a.keeps_backing_keys
FROM deleted_keys AS a
LEFT JOIN use_totals AS b ON b.total_deletion_id = a.deletion_id
LEFT JOIN dependent_names AS e ON e.dep_deletion_id = a.deletion_id
LEFT JOIN living_replicas AS c ON c.replica_deletion_id = a.deletion_id
ORDER BY first_time, key_arn, executed_event_id
