-- title: Imported key material
-- severity: medium
-- description: For each key whose material was imported, whether the material is there and will stay: not deleted or
--   expired without a new import, and not about to expire. Without its material a key opens nothing, at once and without
--   a waiting period; only the owner's own copy of the material brings it back.
-- false-positives: Material that is meant to expire and is imported again on a schedule. Keys that wait for their first
--   import are unknown. Left out: keys that are being deleted and keys of others.
-- blind-spots: Evidence in logs only: absence is not proof. Imports before the evidence, and their expiry, are not known.
--   Whether the owner still has a copy of the material. Of keys with several materials the last event counts.
-- reads: admin_events, keys
-- params: min_days_left = 30
WITH judged_keys AS (
  SELECT k.key_arn AS judged_key, k.key_account_id, k.key_region, k.aliases, k.key_origin, k.use_count
  FROM keys AS k
  WHERE k.is_home
    AND NOT k.is_aws_managed
    AND COALESCE(k.state, 'enabled') NOT IN ('pending_deletion', 'deleted')
), material_acts AS (
  SELECT
    a.key_arn, a.event_id, a.event_time, a.event_epoch, a.event_name, a.principal, a.source_ip, a.material_expires_at,
    a.material_expires_epoch,
    CASE WHEN a.event_name = 'ImportKeyMaterial' THEN 'import' WHEN a.event_name = 'CreateKey' THEN 'creation' ELSE 'loss' END AS act_kind
  FROM admin_events AS a
  SEMI JOIN judged_keys AS b ON b.judged_key = a.key_arn
  WHERE a.is_ok
    AND a.event_source = 'kms.amazonaws.com'
    AND (a.event_name IN ('ImportKeyMaterial', 'DeleteImportedKeyMaterial', 'DeleteExpiredKeyMaterial')
      OR (a.event_name = 'CreateKey' AND a.key_origin = 'EXTERNAL'))
), numbered_acts AS (
  SELECT
    n.key_arn, n.event_id, n.event_time, n.event_epoch, n.event_name, n.principal, n.source_ip, n.material_expires_at,
    n.material_expires_epoch, n.act_kind,
    CAST(ROW_NUMBER() OVER (PARTITION BY n.key_arn, n.act_kind ORDER BY -n.event_epoch, n.event_id) AS BIGINT) AS back_no
  FROM material_acts AS n
), totals AS (
  SELECT
    t.key_arn AS total_key,
    CAST(COUNT(CASE WHEN t.act_kind = 'import' THEN 1 END) AS BIGINT) AS import_count,
    CAST(COUNT(CASE WHEN t.act_kind = 'loss' THEN 1 END) AS BIGINT) AS loss_count,
    MIN(t.event_time) AS first_time
  FROM material_acts AS t
  GROUP BY t.key_arn
), imports AS (
  SELECT i.key_arn AS import_key, i.event_id AS import_id, i.event_time AS import_time, i.event_epoch AS import_epoch,
         i.principal AS import_by, i.source_ip AS import_ip, i.material_expires_at, i.material_expires_epoch
  FROM numbered_acts AS i
  WHERE i.act_kind = 'import' AND i.back_no = 1
), losses AS (
  SELECT l.key_arn AS loss_key, l.event_id AS loss_id, l.event_time AS loss_time, l.event_epoch AS loss_epoch,
         l.event_name AS loss_name, l.principal AS loss_by, l.source_ip AS loss_ip
  FROM numbered_acts AS l
  WHERE l.act_kind = 'loss' AND l.back_no = 1
), creations AS (
  SELECT c.key_arn AS made_key, c.event_id AS made_id, c.event_time AS made_time, c.principal AS made_by
  FROM numbered_acts AS c
  WHERE c.act_kind = 'creation' AND c.back_no = 1
), judged AS (
  SELECT
    j.total_key, j.import_count, j.loss_count, j.first_time,
    q.key_account_id, q.key_region, q.aliases, q.use_count,
    x.import_id, x.import_time, x.import_epoch, x.import_by, x.import_ip, x.material_expires_at, x.material_expires_epoch,
    y.loss_id, y.loss_time, y.loss_epoch, y.loss_name, y.loss_by, y.loss_ip,
    z.made_id, z.made_time, z.made_by,
    CAST(FLOOR(CAST(x.material_expires_epoch - v.last_epoch AS DOUBLE) / 86400) AS BIGINT) AS days_left,
    CASE
      WHEN y.loss_epoch >= COALESCE(x.import_epoch, 0) THEN 'lost'
      WHEN x.material_expires_epoch <= v.last_epoch THEN 'expired'
      WHEN x.material_expires_epoch - v.last_epoch < p.min_days_left * 86400 THEN 'expires soon'
      WHEN x.material_expires_epoch IS NOT NULL THEN 'expires'
      WHEN x.import_id IS NOT NULL THEN 'there'
      ELSE 'waiting'
    END AS state
  FROM totals AS j
  CROSS JOIN evidence AS v
  CROSS JOIN params AS p
  JOIN judged_keys AS q ON q.judged_key = j.total_key
  LEFT JOIN imports AS x ON x.import_key = j.total_key
  LEFT JOIN losses AS y ON y.loss_key = j.total_key
  LEFT JOIN creations AS z ON z.made_key = j.total_key
)
SELECT
  COALESCE(LEAST(s.import_time, s.loss_time), s.import_time, s.loss_time, s.made_time) AS first_time,
  COALESCE(GREATEST(s.import_time, s.loss_time), s.import_time, s.loss_time, s.made_time) AS last_time,
  s.key_account_id AS account_id,
  s.key_region AS region,
  s.total_key AS key_arn,
  CASE WHEN s.state = 'lost' THEN s.loss_by WHEN s.state = 'waiting' THEN s.made_by ELSE s.import_by END AS principal,
  CASE WHEN s.state = 'lost' THEN s.loss_ip ELSE s.import_ip END AS source_ip,
  CASE WHEN s.import_count + s.loss_count > 0 THEN s.import_count + s.loss_count ELSE CAST(1 AS BIGINT) END AS event_count,
  CASE WHEN s.state IN ('lost', 'expired', 'expires soon') THEN 'medium' ELSE 'info' END AS severity,
  'Key ' || s.total_key || COALESCE(' (' || s.aliases || ')', '') || ' with imported material: '
    || CASE s.state
         WHEN 'lost' THEN 'without material since ' || s.loss_name || ' by ' || COALESCE(s.loss_by, 'KMS itself')
         WHEN 'expired' THEN 'the material that ' || COALESCE(s.import_by, 'an unnamed principal') || ' imported expired before the evidence ends'
         WHEN 'expires soon' THEN 'the material that ' || COALESCE(s.import_by, 'an unnamed principal') || ' imported expires '
           || CAST(s.days_left AS STRING) || ' days after the evidence ends'
         WHEN 'expires' THEN 'the material is there and expires '
           || CAST(s.days_left AS STRING) || ' days after the evidence ends'
         WHEN 'there' THEN 'the material is there and does not expire'
         ELSE 'no import is in the evidence since the key was made' END
    || ' (imports: ' || CAST(s.import_count AS STRING) || ', deletions and expiries: ' || CAST(s.loss_count AS STRING)
    || ', uses: ' || CAST(s.use_count AS STRING) || ').' AS summary,
  CASE WHEN s.state = 'lost' THEN s.loss_id ELSE COALESCE(s.import_id || COALESCE(',' || s.loss_id, ''), s.made_id) END AS event_ids,
  s.total_key AS subject,
  CASE WHEN s.state IN ('lost', 'expired', 'expires soon') THEN 'fail' WHEN s.state = 'waiting' THEN 'unknown' ELSE 'pass' END AS result,
  s.state AS material_state,
  s.material_expires_at,
  s.import_count,
  s.loss_count,
  s.use_count
FROM judged AS s
ORDER BY subject
