-- title: Alias in use moved to another key
-- severity: high
-- attack: T1565.001, T1486
-- description: An alias that was in use names another key now: by UpdateAlias, by deleting and creating it, or, with
--   no change in the evidence, because calls by the alias reach another key than before. Applications that name the
--   key by its alias then encrypt under a key that somebody else chose. Critical when the new key is foreign, made of
--   outside material, young, or made by whoever moved the alias; medium for what a manual rotation looks like (one
--   team made both keys, and the old one lives on).
-- false-positives: Manual rotation by alias switch. KMS applies a change within minutes, so calls that still reach
--   the old key right after a change are not drift.
-- blind-spots: Services that resolve an alias once (default encryption of buckets) keep the key they resolved and do
--   not show the move. Alias use before the evidence begins is not seen. Deleting a key deletes its aliases without a
--   record.
-- reads: events, aliases, keys
-- params: young_days = 7, recreate_hours = 24, settle_minutes = 15
WITH moves AS (
  SELECT
    a.alias_name,
    a.alias_account_id,
    a.alias_region,
    a.key_arn AS new_key,
    a.previous_key_arn AS old_key,
    a.previous_use_count,
    a.from_time,
    a.from_epoch,
    a.how,
    a.set_by,
    a.set_event_id,
    a.use_count AS new_use_count,
    a.removed_epoch,
    p.young_days,
    p.recreate_hours
  FROM aliases AS a
  CROSS JOIN params AS p
  WHERE a.previous_key_arn IS NOT NULL
    AND a.previous_key_arn <> a.key_arn
    AND (a.removed_epoch IS NULL OR a.from_epoch - a.removed_epoch <= p.recreate_hours * 3600)
), alias_changes AS (
  SELECT
    c.alias_name AS changed_alias,
    SPLIT_PART(COALESCE(c.target_key_arn, c.key_arn), ':', 5) AS changed_account_id,
    SPLIT_PART(COALESCE(c.target_key_arn, c.key_arn), ':', 4) AS changed_region,
    c.event_epoch AS change_epoch
  FROM events AS c
  WHERE c.event_source = 'kms.amazonaws.com'
    AND c.event_name IN ('CreateAlias', 'UpdateAlias')
    AND c.outcome = 'ok'
    AND c.alias_name IS NOT NULL
), unsettled AS (
  SELECT DISTINCT m.set_event_id AS unsettled_id
  FROM moves AS m
  JOIN alias_changes AS x ON x.changed_alias = m.alias_name
      AND x.changed_account_id = m.alias_account_id
      AND x.changed_region = m.alias_region
  CROSS JOIN params AS q
  WHERE m.how = 'observed'
    AND x.change_epoch <= m.from_epoch
    AND x.change_epoch >= m.from_epoch - q.settle_minutes * 60
), change_events AS (
  SELECT
    e.event_id AS change_id,
    e.account_id,
    e.region,
    e.source_ip,
    e.via
  FROM events AS e
  SEMI JOIN moves AS y ON y.set_event_id = e.event_id
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.alias_name IS NOT NULL
), old_facts AS (
  SELECT
    o.key_arn AS old_fact_key,
    o.creator AS old_creator,
    o.state AS old_state,
    o.first_use_epoch AS old_first_use_epoch,
    o.use_count AS old_use_count
  FROM keys AS o
), new_facts AS (
  SELECT
    n.key_arn AS new_fact_key,
    n.creator AS new_creator,
    n.created_epoch AS new_created_epoch,
    n.key_origin AS new_origin,
    n.is_home AS new_is_home
  FROM keys AS n
), judged AS (
  SELECT
    j.alias_name, j.new_key, j.old_key, j.previous_use_count, j.from_time, j.from_epoch, j.how, j.set_by, j.set_event_id,
    j.new_use_count, j.removed_epoch,
    g.account_id, g.region, g.source_ip, g.via,
    f.old_creator, f.old_state, h.new_creator, h.new_created_epoch, h.new_origin,
    CASE WHEN f.old_first_use_epoch < j.from_epoch THEN 1 ELSE 0 END AS is_old_used,
    CASE WHEN COALESCE(h.new_is_home, TRUE) THEN 0 ELSE 1 END AS is_foreign,
    CASE WHEN h.new_origin IN ('EXTERNAL', 'EXTERNAL_KEY_STORE') THEN 1 ELSE 0 END AS is_outside_material,
    CASE WHEN h.new_created_epoch >= j.from_epoch - j.young_days * 86400 THEN 1 ELSE 0 END AS is_young,
    CASE WHEN h.new_creator = j.set_by THEN 1 ELSE 0 END AS is_own_key,
    CASE WHEN f.old_creator = j.set_by
          AND h.new_creator = j.set_by
          AND COALESCE(f.old_state, 'enabled') = 'enabled' THEN 1 ELSE 0 END AS is_rotation
  FROM moves AS j
  JOIN change_events AS g ON g.change_id = j.set_event_id
  LEFT JOIN old_facts AS f ON f.old_fact_key = j.old_key
  LEFT JOIN new_facts AS h ON h.new_fact_key = j.new_key
  LEFT JOIN unsettled AS i ON i.unsettled_id = j.set_event_id
  WHERE i.unsettled_id IS NULL
)
SELECT
  d.from_time AS first_time,
  d.from_time AS last_time,
  d.account_id,
  d.region,
  d.new_key AS key_arn,
  d.set_by AS principal,
  d.source_ip,
  CAST(1 AS BIGINT) AS event_count,
  CASE
    WHEN d.is_foreign = 1 OR d.is_outside_material = 1 THEN 'critical'
    WHEN d.is_rotation = 1 THEN 'medium'
    WHEN d.is_young = 1 OR d.is_own_key = 1 THEN 'critical'
    ELSE 'high'
  END AS severity,
  CASE
    WHEN d.how = 'observed' THEN d.alias_name || ' reaches ' || d.new_key || ' instead of ' || d.old_key
      || ', and the evidence has no change of the alias; first seen in a call by ' || COALESCE(d.set_by, 'an unnamed principal')
    ELSE COALESCE(d.set_by, 'An unnamed principal') || ' moved ' || d.alias_name || ' from ' || d.old_key || ' to ' || d.new_key
      || ' with ' || CASE WHEN d.removed_epoch IS NULL THEN d.how ELSE 'DeleteAlias and CreateAlias' END
  END
    || ' (calls by the alias before: ' || CAST(d.previous_use_count AS STRING) || ', after: ' || CAST(d.new_use_count AS STRING) || ')'
    || CASE WHEN d.is_foreign = 1 THEN '; the new key belongs to an outside account' ELSE '' END
    || CASE WHEN d.is_outside_material = 1 THEN '; the material of the new key is held outside KMS' ELSE '' END
    || CASE WHEN d.is_young = 1 THEN '; the new key was ' || CAST(d.from_epoch - d.new_created_epoch AS STRING) || ' seconds old' ELSE '' END
    || CASE WHEN d.is_own_key = 1 THEN '; the same principal had made it' ELSE '' END
    || CASE WHEN COALESCE(d.old_state, 'enabled') <> 'enabled' THEN '; the old key is ' || d.old_state ELSE '' END || '.' AS summary,
  d.set_event_id AS event_ids,
  d.alias_name,
  d.how,
  d.old_key AS previous_key_arn,
  d.previous_use_count,
  d.new_use_count,
  d.old_state,
  d.old_creator,
  d.new_creator,
  d.new_origin,
  d.via
FROM judged AS d
WHERE d.previous_use_count > 0
   OR d.is_old_used = 1
ORDER BY first_time, alias_name, event_ids
