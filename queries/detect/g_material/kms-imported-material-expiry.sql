-- title: Imported key material set to expire
-- severity: high
-- attack: T1485, T1486
-- description: Key material was imported that expires within a month, or an expiry was set on a key whose material had
--   none. When it passes, KMS deletes the material by itself and everything under the key is closed until somebody
--   imports the same material again: a timer that needs no further call and no waiting period.
-- false-positives: Keys whose material is short-lived by rule. An import that renews expiring material with a later
--   expiry is left out, so each such key is reported once.
-- blind-spots: Whether the material before had an expiry is known only when its import is in the evidence. A record
--   without its parameters tells no expiry.
-- reads: admin_events, keys
-- params: near_days = 30
WITH imports AS (
  SELECT
    a.event_id,
    a.event_time,
    a.event_epoch,
    a.account_id,
    a.region,
    a.key_arn,
    a.principal,
    a.source_ip,
    a.material_expires_at,
    a.material_expires_epoch,
    -- 1 when the import sets an expiry, of which the date may be missing.
    CASE WHEN a.material_expires_epoch IS NOT NULL
           OR POSITION('KEY_MATERIAL_EXPIRES' IN COALESCE(a.request_parameters, '')) > 0 THEN 1 ELSE 0 END AS expires
  FROM admin_events AS a
  WHERE a.event_source = 'kms.amazonaws.com'
    AND a.event_name = 'ImportKeyMaterial'
    AND a.is_ok
    AND a.key_arn IS NOT NULL
), following_imports AS (
  SELECT
    f.event_id, f.event_time, f.event_epoch, f.account_id, f.region, f.key_arn, f.principal, f.source_ip, f.material_expires_at,
    f.material_expires_epoch, f.expires,
    LAG(f.expires) OVER (PARTITION BY f.key_arn ORDER BY f.event_epoch, f.event_id) AS before_expires,
    LAG(f.material_expires_epoch) OVER (PARTITION BY f.key_arn ORDER BY f.event_epoch, f.event_id) AS before_expires_epoch
  FROM imports AS f
), timers AS (
  SELECT
    t.event_id, t.event_time, t.event_epoch, t.account_id, t.region, t.key_arn, t.principal, t.source_ip, t.material_expires_at,
    t.material_expires_epoch,
    CASE WHEN t.before_expires = 0 THEN 1 ELSE 0 END AS is_new_expiry,
    CASE WHEN t.before_expires_epoch > t.material_expires_epoch THEN 1 ELSE 0 END AS is_shortened,
    CASE WHEN t.material_expires_epoch - t.event_epoch < p.near_days * 86400 THEN 1 ELSE 0 END AS is_near,
    CASE WHEN t.before_expires = 1 AND t.material_expires_epoch > t.before_expires_epoch THEN 1 ELSE 0 END AS is_renewal,
    t.material_expires_epoch - t.event_epoch AS seconds_left
  FROM following_imports AS t
  CROSS JOIN params AS p
  WHERE t.expires = 1
), used_keys AS (
  SELECT k.key_arn AS used_key, k.use_count, k.user_count FROM keys AS k
)
SELECT
  m.event_time AS first_time,
  m.event_time AS last_time,
  m.account_id,
  m.region,
  m.key_arn,
  m.principal,
  m.source_ip,
  CAST(1 AS BIGINT) AS event_count,
  'high' AS severity,
  COALESCE(m.principal, 'An unnamed principal') || ' imported material into ' || COALESCE(m.key_arn, 'an unnamed key')
    || COALESCE(' that expires ' || CAST(CAST(FLOOR(CAST(m.seconds_left AS DOUBLE) / 3600) AS BIGINT) AS STRING)
                || ' hours later', ' that expires at a time the record does not tell')
    || CASE WHEN m.is_new_expiry = 1 THEN '; the material before had no expiry'
            WHEN m.is_shortened = 1 THEN '; the material before was to last longer' ELSE '' END
    || '; uses of the key in the evidence: ' || CAST(COALESCE(u.use_count, 0) AS STRING) || ', users: '
    || CAST(COALESCE(u.user_count, 0) AS STRING) || '.' AS summary,
  m.event_id AS event_ids,
  m.material_expires_at,
  m.is_new_expiry,
  m.is_shortened,
  COALESCE(u.use_count, 0) AS use_count,
  COALESCE(u.user_count, 0) AS user_count
FROM timers AS m
LEFT JOIN used_keys AS u ON u.used_key = m.key_arn
WHERE m.is_new_expiry = 1
   OR (m.is_near = 1 AND m.is_renewal = 0)
ORDER BY first_time, event_ids
