-- title: Key in use was disabled, scheduled for deletion or emptied
-- severity: critical
-- attack: T1485, T1486
-- description: A key that was used within the last days was disabled, scheduled for deletion, or lost its imported
--   material. What depended on it fails from this moment: the finding names the users and the data. High when it was
--   undone within the evidence; medium when only the actor itself had used the key, directly and hardly ever.
-- false-positives: The tail of a planned migration; test keys that their creator uses and removes (medium).
-- blind-spots: Services cache data keys, so the last use in the evidence may be long before the last need. Use
--   outside the evidence is not seen.
-- reads: events, repeated_copies
-- params: active_days = 30, throwaway_uses = 20
WITH blows AS (
  SELECT
    e.event_id,
    e.event_name,
    e.event_time,
    e.event_epoch,
    e.account_id,
    e.region,
    e.key_arn,
    e.principal,
    e.source_ip,
    p.active_days,
    p.throwaway_uses
  FROM events AS e
  CROSS JOIN params AS p
  ANTI JOIN repeated_copies AS r ON r.repeated_id = e.event_id
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.event_name IN ('DisableKey', 'ScheduleKeyDeletion', 'DeleteImportedKeyMaterial')
    AND e.outcome = 'ok'
    AND NOT COALESCE(e.is_dry_run, FALSE)
    AND e.key_arn IS NOT NULL
), struck_keys AS (
  SELECT DISTINCT b.key_arn AS struck_key FROM blows AS b
), key_uses AS (
  SELECT
    u.key_arn AS used_key,
    u.event_epoch AS use_epoch,
    u.event_time AS use_time,
    u.principal AS use_principal,
    u.via AS use_via,
    u.context_resource AS use_resource,
    u.context_class AS use_class
  FROM events AS u
  SEMI JOIN struck_keys AS k ON k.struck_key = u.key_arn
  ANTI JOIN repeated_copies AS c ON c.repeated_id = u.event_id
  WHERE u.event_source = 'kms.amazonaws.com'
    AND u.action_class = 'crypto'
    AND u.outcome = 'ok'
    AND NOT COALESCE(u.is_dry_run, FALSE)
), recent_uses AS (
  SELECT
    s.event_id AS blow_id,
    x.use_epoch,
    x.use_time,
    x.use_principal,
    x.use_via,
    x.use_resource,
    x.use_class,
    COALESCE(x.use_via, x.use_principal, 'an unnamed principal') AS dependent,
    CASE WHEN x.use_via IS NULL AND x.use_principal = s.principal THEN 1 ELSE 0 END AS is_own_use
  FROM blows AS s
  JOIN key_uses AS x ON x.used_key = s.key_arn
  WHERE x.use_epoch <= s.event_epoch
    AND x.use_epoch >= s.event_epoch - s.active_days * 86400
), use_totals AS (
  SELECT
    t.blow_id AS total_blow_id,
    CAST(COUNT(*) AS BIGINT) AS use_count,
    CAST(SUM(t.is_own_use) AS BIGINT) AS own_use_count,
    MAX(t.use_time) AS last_use_time,
    MAX(t.use_epoch) AS last_use_epoch,
    CAST(COUNT(DISTINCT t.use_principal) AS BIGINT) AS user_count,
    CAST(COUNT(DISTINCT t.use_resource) AS BIGINT) AS resource_count
  FROM recent_uses AS t
  GROUP BY t.blow_id
), dependents AS (
  SELECT
    d.blow_id AS dep_blow_id,
    d.dependent,
    -CAST(COUNT(*) AS BIGINT) AS negative_uses
  FROM recent_uses AS d
  GROUP BY d.blow_id, d.dependent
), ranked_dependents AS (
  SELECT
    n.dep_blow_id,
    n.dependent,
    CAST(ROW_NUMBER() OVER (PARTITION BY n.dep_blow_id ORDER BY n.negative_uses, n.dependent) AS BIGINT) AS dependent_no
  FROM dependents AS n
), dependent_names AS (
  SELECT
    m.dep_blow_id,
    CAST(COUNT(*) AS BIGINT) AS dependent_count,
    MAX(CASE WHEN m.dependent_no = 1 THEN m.dependent END) AS dependent_1,
    MAX(CASE WHEN m.dependent_no = 2 THEN m.dependent END) AS dependent_2,
    MAX(CASE WHEN m.dependent_no = 3 THEN m.dependent END) AS dependent_3
  FROM ranked_dependents AS m
  GROUP BY m.dep_blow_id
), resources AS (
  SELECT
    q.blow_id AS res_blow_id,
    q.use_class || ':' || q.use_resource AS resource,
    -CAST(COUNT(*) AS BIGINT) AS negative_uses
  FROM recent_uses AS q
  WHERE q.use_resource IS NOT NULL
  GROUP BY q.blow_id, q.use_class || ':' || q.use_resource
), ranked_resources AS (
  SELECT
    o.res_blow_id,
    o.resource,
    CAST(ROW_NUMBER() OVER (PARTITION BY o.res_blow_id ORDER BY o.negative_uses, o.resource) AS BIGINT) AS resource_no
  FROM resources AS o
), resource_lists AS (
  SELECT
    l.res_blow_id,
    STRING_AGG(l.resource, ',') AS top_resources
  FROM ranked_resources AS l
  WHERE l.resource_no <= 20
  GROUP BY l.res_blow_id
), repairs AS (
  SELECT
    y.key_arn AS repaired_key,
    y.event_name AS repair_name,
    y.event_epoch AS repair_epoch,
    y.event_time AS repair_time
  FROM events AS y
  WHERE y.event_source = 'kms.amazonaws.com'
    AND y.event_name IN ('EnableKey', 'CancelKeyDeletion', 'ImportKeyMaterial')
    AND y.outcome = 'ok'
    AND y.key_arn IS NOT NULL
), repair_times AS (
  SELECT
    w.event_id AS repaired_blow_id,
    MIN(z.repair_time) AS undone_time,
    MIN(z.repair_epoch) AS undone_epoch
  FROM blows AS w
  JOIN repairs AS z ON z.repaired_key = w.key_arn
  WHERE z.repair_epoch >= w.event_epoch
    AND z.repair_name = CASE
          WHEN w.event_name = 'DisableKey' THEN 'EnableKey'
          WHEN w.event_name = 'ScheduleKeyDeletion' THEN 'CancelKeyDeletion'
          ELSE 'ImportKeyMaterial'
        END
  GROUP BY w.event_id
)
SELECT
  a.event_time AS first_time,
  a.event_time AS last_time,
  a.account_id,
  a.region,
  a.key_arn,
  a.principal,
  a.source_ip,
  CAST(1 AS BIGINT) AS event_count,
  CASE
    WHEN f.own_use_count = f.use_count AND f.use_count <= a.throwaway_uses THEN 'medium'
    WHEN v.undone_epoch IS NOT NULL THEN 'high'
    ELSE 'critical'
  END AS severity,
  COALESCE(a.principal, 'An unnamed principal') || ' called ' || a.event_name || ' on ' || a.key_arn || ', which had been used '
    || CAST(f.use_count AS STRING) || ' times in the ' || CAST(a.active_days AS STRING) || ' days before, the last time '
    || CAST(a.event_epoch - f.last_use_epoch AS STRING) || ' seconds before, by ' || g.dependent_1
    || COALESCE(', ' || g.dependent_2, '') || COALESCE(', ' || g.dependent_3, '')
    || CASE WHEN g.dependent_count > 3 THEN ' and others (' || CAST(g.dependent_count AS STRING) || ' in all)' ELSE '' END
    || ', for ' || CAST(f.resource_count AS STRING) || ' named resources; '
    || CASE WHEN v.undone_epoch IS NULL THEN 'not undone in the evidence.'
            ELSE 'undone after ' || CAST(v.undone_epoch - a.event_epoch AS STRING) || ' seconds.' END AS summary,
  a.event_id AS event_ids,
  a.event_name AS action,
  f.use_count,
  f.user_count,
  g.dependent_count,
  f.resource_count,
  h.top_resources,
  f.last_use_time,
  v.undone_time
FROM blows AS a
JOIN use_totals AS f ON f.total_blow_id = a.event_id
JOIN dependent_names AS g ON g.dep_blow_id = a.event_id
LEFT JOIN resource_lists AS h ON h.res_blow_id = a.event_id
LEFT JOIN repair_times AS v ON v.repaired_blow_id = a.event_id
ORDER BY first_time, event_ids
