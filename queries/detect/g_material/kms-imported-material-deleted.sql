-- title: Imported key material gone
-- severity: high
-- attack: T1485, T1486
-- description: The imported material of a key was deleted, by a caller or by KMS because it had expired. It works at once
--   and without a waiting period: all data under the key is closed until the same material is imported again, and lost
--   if nobody kept it. The finding tells when that happened. Critical when the key was in use, unless it came back.
-- false-positives: Planned rotation of imported material: delete and import again (high).
-- blind-spots: Whether what was imported later opens the old data is not logged. Use outside the evidence is not seen,
--   and services cache data keys.
-- reads: admin_events, failed_calls, use_hours
-- params: active_days = 30
WITH losses AS (
  SELECT
    a.event_id,
    a.event_name,
    a.event_time,
    a.event_epoch,
    a.account_id,
    a.region,
    a.key_arn,
    a.key_material_id,
    a.principal,
    a.source_ip,
    p.active_days
  FROM admin_events AS a
  CROSS JOIN params AS p
  WHERE a.event_source = 'kms.amazonaws.com'
    AND a.event_name IN ('DeleteImportedKeyMaterial', 'DeleteExpiredKeyMaterial')
    AND a.is_ok
), lost_uses AS (
  SELECT u.key_arn AS used_key, u.principal AS user_name, u.call_count, u.first_epoch, u.last_epoch, u.last_time, u.data_resource
  FROM use_hours AS u
  SEMI JOIN losses AS k ON k.key_arn = u.key_arn
), use_totals AS (
  SELECT
    t.event_id AS used_id,
    CAST(SUM(x.call_count) AS BIGINT) AS use_count,
    CAST(COUNT(DISTINCT x.user_name) AS BIGINT) AS user_count,
    MIN(x.user_name) AS first_user,
    MIN(x.data_resource) AS data_resource,
    MAX(x.last_time) AS last_use_time
  FROM losses AS t
  JOIN lost_uses AS x ON x.used_key = t.key_arn
  WHERE x.first_epoch <= t.event_epoch
    AND x.last_epoch >= t.event_epoch - t.active_days * 86400
  GROUP BY t.event_id
), imports AS (
  SELECT i.key_arn AS filled_key, i.event_epoch AS filled_epoch, i.event_time AS filled_time
  FROM admin_events AS i
  WHERE i.event_name = 'ImportKeyMaterial'
    AND i.is_ok
    AND i.key_arn IS NOT NULL
), returns AS (
  SELECT r.event_id AS returned_id, MIN(f.filled_epoch) AS returned_epoch, MIN(f.filled_time) AS returned_time
  FROM losses AS r
  JOIN imports AS f ON f.filled_key = r.key_arn
  WHERE f.filled_epoch >= r.event_epoch
  GROUP BY r.event_id
), empty_key_calls AS (
  SELECT c.key_arn AS failed_key, c.event_id AS failed_id, c.event_time AS failed_time, c.event_epoch AS failed_epoch
  FROM failed_calls AS c
  WHERE c.key_state_error = 'pending_import'
    AND c.action_class = 'crypto'
    AND c.key_arn IS NOT NULL
), proof_rows AS (
  SELECT l.event_id AS loss_id, l.event_id AS proof_id, l.event_time AS proof_time, l.event_epoch AS proof_epoch
  FROM losses AS l
  UNION ALL
  SELECT m.event_id AS loss_id, e.failed_id AS proof_id, e.failed_time AS proof_time, e.failed_epoch AS proof_epoch
  FROM losses AS m
  LEFT JOIN returns AS q ON q.returned_id = m.event_id
  JOIN empty_key_calls AS e ON e.failed_key = m.key_arn
  WHERE e.failed_epoch >= m.event_epoch
    AND e.failed_epoch <= COALESCE(q.returned_epoch, 9999999999)
), numbered_proofs AS (
  SELECT
    n.loss_id,
    n.proof_id,
    n.proof_time,
    CAST(ROW_NUMBER() OVER (PARTITION BY n.loss_id ORDER BY n.proof_epoch, n.proof_id) AS BIGINT) AS proof_no
  FROM proof_rows AS n
), proofs AS (
  SELECT
    o.loss_id AS proven_id,
    MAX(o.proof_time) AS last_time,
    CAST(COUNT(*) AS BIGINT) AS event_count,
    STRING_AGG(CASE WHEN o.proof_no <= 1000 THEN o.proof_id END, ',') AS event_ids
  FROM numbered_proofs AS o
  GROUP BY o.loss_id
)
SELECT
  z.event_time AS first_time,
  v.last_time,
  z.account_id,
  z.region,
  z.key_arn,
  z.principal,
  z.source_ip,
  v.event_count,
  CASE WHEN y.use_count > 0 AND w.returned_id IS NULL THEN 'critical' ELSE 'high' END AS severity,
  CASE WHEN z.event_name = 'DeleteImportedKeyMaterial' THEN COALESCE(z.principal, 'An unnamed principal') || ' deleted the imported material of '
       ELSE 'KMS deleted the expired material of ' END
    || COALESCE(z.key_arn, 'an unnamed key')
    || CASE WHEN y.use_count > 0 THEN ', used ' || CAST(y.use_count AS STRING) || ' times in the ' || CAST(z.active_days AS STRING)
              || ' days before, by ' || COALESCE(y.first_user, 'an unnamed principal') || ' (users: ' || CAST(y.user_count AS STRING) || ')'
            ELSE ', of which no use in the ' || CAST(z.active_days AS STRING) || ' days before is known' END
    || '; calls that failed since: ' || CAST(v.event_count - 1 AS STRING)
    || CASE WHEN w.returned_id IS NULL THEN '; never imported again in the evidence.'
            ELSE '; material was imported again after ' || CAST(w.returned_epoch - z.event_epoch AS STRING) || ' seconds.' END AS summary,
  v.event_ids,
  z.event_name AS action,
  z.key_material_id,
  COALESCE(y.use_count, 0) AS use_count,
  y.last_use_time,
  COALESCE(y.user_count, 0) AS user_count,
  y.data_resource,
  w.returned_time
FROM losses AS z
JOIN proofs AS v ON v.proven_id = z.event_id
LEFT JOIN use_totals AS y ON y.used_id = z.event_id
LEFT JOIN returns AS w ON w.returned_id = z.event_id
ORDER BY first_time, key_arn, action, principal, account_id, key_material_id
