-- title: Our principal encrypts under an outside account's key
-- severity: high
-- attack: T1486, T1537
-- description: A principal of ours encrypted, made data keys or made a grant under a key of an account that is not a home
--   account: only that account can open the data again. This is what ransomware with a foreign key looks like in management
--   events alone. Critical when the encryption context names one of our own volumes, secrets or buckets; medium when the
--   principal did the same on several days from the beginning of the evidence.
-- false-positives: Uploads to a vendor's bucket under the vendor's key, replication and backup into another account. Name
--   further accounts of the organization with --home-account. Opening data that others encrypted for us is left out, and so
--   are AWS services' own principals.
-- blind-spots: An attacker who uses credentials of another account is not seen here. Whether a bucket is ours is told by its
--   use under one of our keys in the evidence; of several resources in an hour one is looked at. With S3 Bucket Keys calls
--   are few.
-- reads: use_hours, admin_events
-- params: training_days = 14, steady_days = 3
WITH owner_homes AS (
  SELECT o.account_id AS owner_home_id FROM home_accounts AS o
), caller_homes AS (
  SELECT c.account_id AS caller_home_id FROM home_accounts AS c
), secret_homes AS (
  SELECT s.account_id AS secret_home_id FROM home_accounts AS s
), bucket_homes AS (
  SELECT b.account_id AS bucket_home_id FROM home_accounts AS b
), foreign_calls AS (
  SELECT
    u.principal, u.principal_account_id, u.key_arn, SPLIT_PART(u.key_arn, ':', 5) AS owner_account_id, u.operation, u.via,
    u.account_id, u.region, u.source_ip, u.event_id,
    u.first_time, u.last_time, u.first_epoch, u.call_count, u.data_resource
  FROM use_hours AS u
  WHERE u.principal_account_id <> SPLIT_PART(u.key_arn, ':', 5)
    AND (u.operation IN ('Encrypt', 'ReEncryptTo') OR u.operation LIKE 'GenerateDataKey%')
  UNION ALL
  SELECT
    a.principal, a.principal_account_id, a.key_arn, a.key_account_id AS owner_account_id, a.event_name AS operation, a.via,
    a.account_id, a.region, a.source_ip, a.event_id,
    a.event_time AS first_time, a.event_time AS last_time, a.event_epoch AS first_epoch, CAST(1 AS BIGINT) AS call_count,
    NULL AS data_resource
  FROM admin_events AS a
  WHERE a.event_source = 'kms.amazonaws.com'
    AND a.event_name = 'CreateGrant'
    AND a.is_ok
    AND a.principal_account_id <> a.key_account_id
), outside_calls AS (
  SELECT
    f.principal, f.key_arn, f.operation, f.via, f.account_id, f.region, f.source_ip, f.event_id, f.first_time, f.last_time,
    f.first_epoch, f.call_count, f.data_resource,
    CASE WHEN f.data_resource LIKE 'arn:%:s3:::%' THEN SPLIT_PART(SPLIT_PART(f.data_resource, ':::', 2), '/', 1) END AS bucket,
    CASE WHEN f.data_resource LIKE 'arn:%:secretsmanager:%' THEN SPLIT_PART(f.data_resource, ':', 5) END AS secret_account_id,
    CASE WHEN f.data_resource LIKE 'vol-%' OR f.data_resource LIKE 'snap-%' THEN 1 ELSE 0 END AS is_volume
  FROM foreign_calls AS f
  JOIN caller_homes AS h ON h.caller_home_id = f.principal_account_id
  LEFT JOIN owner_homes AS w ON w.owner_home_id = f.owner_account_id
  WHERE w.owner_home_id IS NULL
    AND f.principal NOT LIKE 'service:%'
), bucket_uses AS (
  SELECT DISTINCT
    SPLIT_PART(SPLIT_PART(k.data_resource, ':::', 2), '/', 1) AS used_bucket,
    SPLIT_PART(k.key_arn, ':', 5) AS bucket_owner_id
  FROM use_hours AS k
  WHERE k.data_resource LIKE 'arn:%:s3:::%'
), our_bucket_names AS (
  -- A bucket whose objects are under a key of ours is taken for ours.
  SELECT DISTINCT z.used_bucket AS our_bucket
  FROM bucket_uses AS z
  JOIN bucket_homes AS y ON y.bucket_home_id = z.bucket_owner_id
), marked_calls AS (
  SELECT
    m.principal, m.key_arn, m.operation, m.via, m.account_id, m.region, m.source_ip, m.event_id, m.first_time, m.last_time,
    m.first_epoch, m.call_count, m.data_resource,
    CASE WHEN m.is_volume = 1 OR t.secret_home_id IS NOT NULL OR n.our_bucket IS NOT NULL THEN 1 ELSE 0 END AS is_ours,
    CASE WHEN v.last_epoch - v.first_epoch < 2 * p.training_days * 86400
         THEN v.first_epoch + CAST(FLOOR(CAST(v.last_epoch - v.first_epoch AS DOUBLE) / 2.0) AS BIGINT)
         ELSE v.first_epoch + p.training_days * 86400 END AS trained_epoch,
    p.steady_days,
    CAST(ROW_NUMBER() OVER (PARTITION BY m.principal, m.key_arn ORDER BY m.first_epoch, m.event_id, m.operation) AS BIGINT) AS call_no
  FROM outside_calls AS m
  LEFT JOIN secret_homes AS t ON t.secret_home_id = m.secret_account_id
  LEFT JOIN our_bucket_names AS n ON n.our_bucket = m.bucket
  CROSS JOIN evidence AS v
  CROSS JOIN params AS p
), uses AS (
  SELECT
    x.principal,
    x.key_arn,
    MIN(x.trained_epoch) AS trained_epoch,
    MIN(x.steady_days) AS steady_days,
    MIN(x.first_time) AS first_time,
    MAX(x.last_time) AS last_time,
    MIN(x.first_epoch) AS first_epoch,
    MIN(x.account_id) AS account_id,
    MIN(x.region) AS region,
    MIN(x.source_ip) AS source_ip,
    CAST(COUNT(DISTINCT x.source_ip) AS BIGINT) AS source_ip_count,
    MIN(x.via) AS via,
    CAST(SUM(x.call_count) AS BIGINT) AS event_count,
    CAST(SUM(CASE WHEN x.operation = 'CreateGrant' THEN x.call_count ELSE CAST(0 AS BIGINT) END) AS BIGINT) AS grant_count,
    MAX(x.is_ours) AS is_ours,
    MIN(CASE WHEN x.is_ours = 1 THEN x.data_resource END) AS our_resource,
    MIN(x.data_resource) AS data_resource,
    CAST(COUNT(DISTINCT CASE WHEN x.first_epoch <= x.trained_epoch THEN x.first_epoch - (x.first_epoch % 86400) END) AS BIGINT)
      AS trained_days,
    STRING_AGG(CASE WHEN x.call_no <= 1000 THEN x.event_id END, ',') AS event_ids
  FROM marked_calls AS x
  GROUP BY x.principal, x.key_arn
), used_operations AS (
  SELECT DISTINCT d.principal AS op_principal, d.key_arn AS op_key, d.operation
  FROM marked_calls AS d
), operation_lists AS (
  SELECT l.op_principal, l.op_key, STRING_AGG(l.operation, ',') AS operations
  FROM used_operations AS l
  GROUP BY l.op_principal, l.op_key
)
SELECT
  q.first_time,
  q.last_time,
  q.account_id,
  q.region,
  q.key_arn,
  q.principal,
  CASE WHEN q.source_ip_count = 1 THEN q.source_ip END AS source_ip,
  q.event_count,
  CASE WHEN q.is_ours = 1 THEN 'critical' WHEN q.trained_days >= q.steady_days THEN 'medium' ELSE 'high' END AS severity,
  q.principal || ' used the key ' || q.key_arn || ' of the outside account ' || SPLIT_PART(q.key_arn, ':', 5)
    || ' to encrypt or to grant (calls: ' || CAST(q.event_count AS STRING)
    || ', grants among them: ' || CAST(q.grant_count AS STRING) || ')'
    || COALESCE('; our own ' || q.our_resource || ' is among the data', '; for ' || q.data_resource, '')
    || CASE WHEN q.trained_days >= q.steady_days THEN '; it does so on several days from the beginning of the evidence.' ELSE '.' END
    AS summary,
  q.event_ids,
  SPLIT_PART(q.key_arn, ':', 5) AS key_account_id,
  o.operations,
  q.grant_count,
  CASE WHEN q.first_epoch > q.trained_epoch THEN TRUE ELSE FALSE END AS is_first_seen,
  COALESCE(q.our_resource, q.data_resource) AS data_resource,
  q.via
FROM uses AS q
JOIN operation_lists AS o ON o.op_principal = q.principal AND o.op_key = q.key_arn
ORDER BY first_time, principal, key_arn
