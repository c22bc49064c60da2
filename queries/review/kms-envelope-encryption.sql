-- title: Data keys or direct encryption, and the encryption context
-- severity: low
-- description: For each symmetric key, whether applications seal data with data keys (envelope encryption) or send the
--   data itself to Encrypt, and whether their calls bind an encryption context. Direct encryption sends plaintext to
--   KMS and costs a call per item; a ciphertext without a context opens wherever the key may be used, and its Decrypt
--   leaves no word in the log about what was opened.
-- false-positives: Small secrets, for which Encrypt is meant: fewer than min_calls are not judged on volume. Tools that
--   cannot set a context. Left out: calls that a service made, AWS services, asymmetric and HMAC keys, keys that AWS
--   manages and keys of others.
-- blind-spots: Evidence in logs only: absence is not proof. A data key that is cached seals much data in one call. Decrypt
--   of an encrypted data key looks like Decrypt of data. Public keys used outside KMS.
-- reads: keys, use_hours
-- partition: key
-- params: min_calls = 100, max_no_context_percent = 10
WITH unfit_uses AS (
  SELECT DISTINCT f.key_arn AS unfit_key
  FROM use_hours AS f
  WHERE f.operation IN ('Sign', 'Verify', 'GenerateMac', 'VerifyMac', 'DeriveSharedSecret', 'Encapsulate', 'Decapsulate', 'GetPublicKey')
), judged_keys AS (
  SELECT k.key_arn AS judged_key, k.key_account_id, k.key_region, k.aliases
  FROM keys AS k
  ANTI JOIN unfit_uses AS x ON x.unfit_key = k.key_arn
  WHERE k.is_home
    AND NOT k.is_aws_managed
    AND COALESCE(k.key_spec, 'SYMMETRIC_DEFAULT') = 'SYMMETRIC_DEFAULT'
), use_rows AS (
  SELECT
    u.key_arn, u.principal, u.operation, u.hour_epoch, u.first_time, u.last_time, u.event_id, u.call_count, u.direct_count,
    CASE WHEN u.via IS NULL AND u.direct_count > 0 THEN 1 ELSE 0 END AS is_own,
    CASE WHEN u.via IS NULL AND u.direct_count > 0 THEN u.no_context_count ELSE CAST(0 AS BIGINT) END AS bare_count,
    CASE WHEN u.via IS NULL AND u.operation = 'Encrypt' THEN u.direct_count ELSE CAST(0 AS BIGINT) END AS encrypt_count,
    CASE WHEN u.via IS NULL AND u.operation = 'Decrypt' THEN u.direct_count ELSE CAST(0 AS BIGINT) END AS decrypt_count,
    CASE WHEN u.via IS NULL AND u.operation LIKE 'GenerateDataKey%' THEN u.direct_count ELSE CAST(0 AS BIGINT) END AS data_key_count,
    CASE WHEN u.via IS NOT NULL THEN u.call_count ELSE CAST(0 AS BIGINT) END AS service_count
  FROM use_hours AS u
  SEMI JOIN judged_keys AS b ON b.judged_key = u.key_arn
  WHERE u.operation <> 'ReEncryptTo'
    AND COALESCE(u.principal, '') NOT LIKE 'service:%'
    AND COALESCE(u.principal, '') NOT LIKE '%:role/aws-service-role/%'
), totals AS (
  SELECT
    t.key_arn,
    MIN(t.first_time) AS first_time,
    MAX(t.last_time) AS last_time,
    CAST(SUM(t.bare_count) AS BIGINT) AS bare_count,
    CAST(SUM(t.encrypt_count) AS BIGINT) AS encrypt_count,
    CAST(SUM(t.decrypt_count) AS BIGINT) AS decrypt_count,
    CAST(SUM(t.data_key_count) AS BIGINT) AS data_key_count,
    CAST(SUM(t.service_count) AS BIGINT) AS service_count,
    CAST(SUM(CASE WHEN t.is_own = 1 THEN t.direct_count ELSE CAST(0 AS BIGINT) END) AS BIGINT) AS own_count
  FROM use_rows AS t
  GROUP BY t.key_arn
), judged AS (
  SELECT
    j.key_arn, j.first_time, j.last_time, j.bare_count, j.encrypt_count, j.decrypt_count, j.data_key_count, j.service_count, j.own_count,
    CASE WHEN j.encrypt_count >= p.min_calls AND j.encrypt_count > j.data_key_count THEN 1 ELSE 0 END AS is_direct_data,
    CASE WHEN j.bare_count * 100 > j.own_count * p.max_no_context_percent THEN 1 ELSE 0 END AS is_bare
  FROM totals AS j
  CROSS JOIN params AS p
), numbered AS (
  SELECT
    n.key_arn AS row_key, n.principal AS row_principal, n.event_id AS row_id,
    CAST(ROW_NUMBER() OVER (PARTITION BY n.key_arn ORDER BY n.hour_epoch, n.event_id) AS BIGINT) AS row_no
  FROM use_rows AS n
  JOIN judged AS d ON d.key_arn = n.key_arn
  WHERE (d.is_direct_data = 1 AND n.encrypt_count > 0)
     OR (d.is_bare = 1 AND n.bare_count > 0)
), proofs AS (
  SELECT
    q.row_key,
    CASE WHEN MIN(q.row_principal) = MAX(q.row_principal) THEN MIN(q.row_principal) END AS principal,
    STRING_AGG(CASE WHEN q.row_no <= 1000 THEN q.row_id END, ',') AS event_ids
  FROM numbered AS q
  GROUP BY q.row_key
)
SELECT
  s.first_time,
  s.last_time,
  i.key_account_id AS account_id,
  i.key_region AS region,
  s.key_arn,
  y.principal,
  CAST(NULL AS STRING) AS source_ip,
  s.own_count + s.service_count AS event_count,
  CASE WHEN s.is_direct_data = 1 OR s.is_bare = 1 THEN 'low' ELSE 'info' END AS severity,
  'Key ' || s.key_arn || COALESCE(' (' || i.aliases || ')', '') || ' had ' || CAST(s.own_count AS STRING) || ' direct calls (Encrypt: '
    || CAST(s.encrypt_count AS STRING) || ', Decrypt: ' || CAST(s.decrypt_count AS STRING) || ', data keys: '
    || CAST(s.data_key_count AS STRING) || '), ' || CAST(s.bare_count AS STRING) || ' of them without an encryption context, and '
    || CAST(s.service_count AS STRING) || ' through services.' AS summary,
  y.event_ids,
  s.key_arn AS subject,
  CASE WHEN s.is_direct_data = 1 OR s.is_bare = 1 THEN 'fail' ELSE 'pass' END AS result,
  CASE WHEN s.is_direct_data = 1 THEN TRUE ELSE FALSE END AS encrypts_directly,
  CASE WHEN s.is_bare = 1 THEN TRUE ELSE FALSE END AS lacks_context,
  s.own_count AS direct_count,
  s.encrypt_count,
  s.decrypt_count,
  s.data_key_count,
  s.bare_count AS no_context_count,
  s.service_count
FROM judged AS s
JOIN judged_keys AS i ON i.judged_key = s.key_arn
LEFT JOIN proofs AS y ON y.row_key = s.key_arn
ORDER BY subject
