-- title: Rotation of symmetric keys
-- severity: low
-- controls: CIS AWS Foundations 3.0 3.6, CIS AWS Foundations 7.0 4.6, FSBP KMS.4, PCI DSS 4.0 3.7.4,
--   Control Tower CT.KMS.PR.1
-- description: Whether the material of each symmetric key that KMS made is rotated: automatic rotation switched on and
--   not overdue, or a rotation of late. A key that was made in the evidence has rotation off until somebody switches it
--   on. A key that is never rotated puts all its data under one secret for as long as it lives.
-- false-positives: Keys rotated by hand, by making a new key. Keys of a day that live only for a test. Left out: keys
--   that cannot rotate automatically (asymmetric, HMAC, imported material without a rotation on demand, custom key
--   stores), keys that are being deleted, keys that AWS manages and keys of others.
-- blind-spots: Evidence in logs only: absence is not proof. Rotation switched on before the evidence shows only at the
--   next RotateKey. What kind of key it is is known from CreateKey and from its use.
-- reads: keys, admin_events, use_hours
-- params: max_rotation_days = 365, grace_days = 1
WITH unfit_uses AS (
  SELECT DISTINCT u.key_arn AS unfit_key
  FROM use_hours AS u
  WHERE u.xks_count > 0
     OR u.operation IN ('Sign', 'Verify', 'GenerateMac', 'VerifyMac', 'DeriveSharedSecret', 'Encapsulate', 'Decapsulate',
                        'GetPublicKey')
), rotation_acts AS (
  SELECT
    COALESCE(a.mrk_id || a.key_account_id, a.key_arn) AS act_ref,
    a.event_name AS act_name,
    a.event_id AS act_id,
    a.event_time AS act_time,
    a.event_epoch AS act_epoch,
    a.principal AS act_by,
    a.rotation_period_days AS act_period,
    CASE WHEN a.event_name = 'RotateKey' AND POSITION('ON_DEMAND' IN COALESCE(a.additional_event_data, '')) > 0 THEN 'ON_DEMAND'
         WHEN a.event_name = 'RotateKeyOnDemand' THEN 'ON_DEMAND'
         WHEN a.event_name = 'RotateKey' THEN 'AUTOMATIC' END AS rotation_type,
    CASE WHEN a.event_name IN ('EnableKeyRotation', 'DisableKeyRotation') THEN 'switch'
         WHEN a.event_name = 'ImportKeyMaterial' THEN 'import' ELSE 'rotation' END AS act_kind
  FROM admin_events AS a
  WHERE a.is_ok
    AND a.event_source = 'kms.amazonaws.com'
    AND a.event_name IN ('EnableKeyRotation', 'DisableKeyRotation', 'RotateKeyOnDemand', 'RotateKey', 'ImportKeyMaterial')
    AND a.key_arn IS NOT NULL
), ranked_acts AS (
  SELECT
    r.act_ref, r.act_name, r.act_id, r.act_time, r.act_epoch, r.act_by, r.act_period, r.rotation_type, r.act_kind,
    CAST(ROW_NUMBER() OVER (PARTITION BY r.act_ref, r.act_kind ORDER BY -r.act_epoch, r.act_id) AS BIGINT) AS act_no
  FROM rotation_acts AS r
), last_switches AS (
  SELECT s.act_ref AS switch_ref, s.act_name AS switch_name, s.act_id AS switch_id, s.act_time AS switch_time,
         s.act_epoch AS switch_epoch, s.act_by AS switch_by, s.act_period AS switch_period
  FROM ranked_acts AS s
  WHERE s.act_kind = 'switch' AND s.act_no = 1
), last_rotations AS (
  SELECT t.act_ref AS rotation_ref, t.act_id AS rotation_id, t.act_time AS rotation_time, t.act_epoch AS rotation_epoch,
         t.rotation_type
  FROM ranked_acts AS t
  WHERE t.act_kind = 'rotation' AND t.act_no = 1
), imports AS (
  SELECT i.act_ref AS import_ref FROM ranked_acts AS i WHERE i.act_kind = 'import' AND i.act_no = 1
), creations AS (
  SELECT c.key_arn AS made_key, MIN(c.event_id) AS made_id
  FROM admin_events AS c
  WHERE c.is_ok AND c.event_source = 'kms.amazonaws.com' AND c.event_name = 'CreateKey' AND c.key_arn IS NOT NULL
  GROUP BY c.key_arn
), fit_keys AS (
  SELECT
    b.key_arn, b.key_account_id, b.key_region, b.aliases, b.creator, b.created_time, b.created_epoch, b.first_time, b.last_time,
    b.key_origin,
    COALESCE(b.mrk_id || b.key_account_id, b.key_arn) AS key_ref
  FROM keys AS b
  ANTI JOIN unfit_uses AS x ON x.unfit_key = b.key_arn
  WHERE b.is_home
    AND NOT b.is_aws_managed
    AND COALESCE(b.key_spec, 'SYMMETRIC_DEFAULT') = 'SYMMETRIC_DEFAULT'
    AND COALESCE(b.key_usage, 'ENCRYPT_DECRYPT') = 'ENCRYPT_DECRYPT'
    AND COALESCE(b.state, 'enabled') NOT IN ('pending_deletion', 'deleted')
), facts AS (
  SELECT
    k.key_arn, k.key_account_id, k.key_region, k.aliases, k.creator, k.created_time, k.created_epoch, k.first_time, k.last_time,
    CASE WHEN m.import_ref IS NOT NULL THEN 'EXTERNAL' ELSE k.key_origin END AS origin,
    w.switch_name, w.switch_id, w.switch_time, w.switch_by, w.switch_period,
    o.rotation_id, o.rotation_time, o.rotation_type,
    n.made_id,
    p.max_rotation_days,
    COALESCE(CASE WHEN w.switch_name = 'EnableKeyRotation' THEN w.switch_period END, p.max_rotation_days) AS period_days,
    v.last_epoch - GREATEST(COALESCE(o.rotation_epoch, 0), COALESCE(w.switch_epoch, 0)) AS age_seconds,
    v.last_epoch - o.rotation_epoch AS rotation_age_seconds,
    CASE WHEN k.created_epoch IS NOT NULL AND v.last_epoch - k.created_epoch >= p.grace_days * 86400 THEN 1 ELSE 0 END AS is_settled
  FROM fit_keys AS k
  CROSS JOIN evidence AS v
  CROSS JOIN params AS p
  LEFT JOIN last_switches AS w ON w.switch_ref = k.key_ref
  LEFT JOIN last_rotations AS o ON o.rotation_ref = k.key_ref
  LEFT JOIN imports AS m ON m.import_ref = k.key_ref
  LEFT JOIN creations AS n ON n.made_key = k.key_arn
), judged AS (
  SELECT
    f.key_arn, f.key_account_id, f.key_region, f.aliases, f.creator, f.created_time, f.first_time, f.last_time, f.origin,
    f.switch_name, f.switch_id, f.switch_time, f.switch_by, f.rotation_id, f.rotation_time, f.rotation_type, f.made_id,
    f.period_days,
    CASE
      WHEN f.switch_name = 'DisableKeyRotation' THEN 'switched off'
      WHEN f.switch_name = 'EnableKeyRotation' AND f.period_days > f.max_rotation_days THEN 'too slow'
      WHEN f.switch_name = 'EnableKeyRotation' AND f.age_seconds > (f.period_days + 1) * 86400 THEN 'overdue'
      WHEN f.switch_name = 'EnableKeyRotation' THEN 'switched on'
      WHEN f.rotation_age_seconds > f.max_rotation_days * 86400 THEN 'overdue'
      WHEN f.rotation_id IS NOT NULL THEN 'rotated'
      WHEN f.is_settled = 1 THEN 'never switched on'
      ELSE 'not seen'
    END AS rotation
  FROM facts AS f
  WHERE COALESCE(f.origin, 'AWS_KMS') = 'AWS_KMS'
     OR (f.origin = 'EXTERNAL' AND f.rotation_type = 'ON_DEMAND')
)
SELECT
  COALESCE(j.switch_time, j.rotation_time, j.created_time, j.first_time) AS first_time,
  GREATEST(COALESCE(j.rotation_time, j.switch_time, j.created_time, j.last_time),
           COALESCE(j.switch_time, j.rotation_time, j.created_time, j.last_time)) AS last_time,
  j.key_account_id AS account_id,
  j.key_region AS region,
  j.key_arn,
  CASE WHEN j.rotation = 'never switched on' THEN j.creator ELSE j.switch_by END AS principal,
  CAST(NULL AS STRING) AS source_ip,
  CAST(CASE WHEN j.switch_id IS NOT NULL AND j.rotation_id IS NOT NULL THEN 2
            WHEN COALESCE(j.switch_id, j.rotation_id, j.made_id) IS NOT NULL THEN 1 ELSE 0 END AS BIGINT) AS event_count,
  CASE WHEN j.rotation IN ('switched off', 'too slow', 'overdue', 'never switched on') THEN 'low' ELSE 'info' END AS severity,
  'Rotation of key ' || j.key_arn || COALESCE(' (' || j.aliases || ')', '') || ': '
    || CASE j.rotation
         WHEN 'switched off' THEN 'switched off by ' || COALESCE(j.switch_by, 'an unnamed principal')
         WHEN 'too slow' THEN 'switched on, but only every ' || CAST(j.period_days AS STRING) || ' days'
         WHEN 'overdue' THEN 'none seen for longer than ' || CAST(j.period_days AS STRING) || ' days'
         WHEN 'switched on' THEN 'switched on by ' || COALESCE(j.switch_by, 'an unnamed principal') || ', every '
           || CAST(j.period_days AS STRING) || ' days'
         WHEN 'rotated' THEN 'rotated in the evidence (' || j.rotation_type || ')'
         WHEN 'never switched on' THEN 'not switched on since ' || COALESCE(j.creator, 'an unnamed principal') || ' made the key'
         ELSE 'neither a rotation nor its switching on or off is in the evidence'
       END || '.' AS summary,
  COALESCE(j.switch_id || CASE WHEN j.rotation_id IS NULL THEN '' ELSE ',' || j.rotation_id END, j.rotation_id, j.made_id) AS event_ids,
  j.key_arn AS subject,
  CASE WHEN j.rotation IN ('switched off', 'too slow', 'overdue', 'never switched on') THEN 'fail'
       WHEN j.rotation = 'not seen' THEN 'unknown'
       ELSE 'pass' END AS result,
  j.rotation,
  j.rotation_time AS last_rotation_time,
  j.rotation_type AS last_rotation_type,
  j.switch_time AS last_switch_time,
  CASE WHEN j.switch_name = 'EnableKeyRotation' THEN j.period_days END AS period_days,
  j.origin AS key_origin,
  j.aliases
FROM judged AS j
ORDER BY subject
