-- title: Key of an enclave used without proper attestation
-- severity: high
-- attack: T1078, T1562 / v19 T1685
-- description: A key whose last 20 calls for plaintext had all carried an attestation document gave plaintext without one;
--   or the document came from an enclave in debug mode, whose memory can be read from outside; or from an image that is
--   not among the known good ones. Such a key is meant to open data only where nobody can look at them.
-- false-positives: Development enclaves, the rollout of a new image, the day on which a workload leaves its enclave.
--   Services' own principals and service-linked roles cannot attest and are left out.
-- blind-spots: Images are judged only when their digests are given: --set golden_digests='...,...', as the records have
--   them (base64, or hexadecimal in old records). Attested calls in the hour of a plain one do not count as before it, and
--   a key that is used both ways is nobody's enclave key. NitroTPM documents have no debug mode and no image digest.
-- reads: events, repeated_copies, use_hours
-- params: min_attested = 20, golden_digests = ''
WITH attested_calls AS (
  SELECT
    e.principal,
    e.key_arn,
    e.attestation_image_digest AS digest,
    CASE WHEN e.attestation_is_debug THEN 1 ELSE 0 END AS is_debug,
    e.event_epoch - (e.event_epoch % 86400) AS day_epoch,
    e.event_name, e.account_id, e.region, e.source_ip, e.event_time, e.event_id
  FROM events AS e
  ANTI JOIN repeated_copies AS r ON r.repeated_id = e.event_id
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.attested
    AND e.attestation_image_digest IS NOT NULL
    AND e.outcome = 'ok'
    AND NOT COALESCE(e.is_dry_run, FALSE)
), attested_days AS (
  SELECT
    a.principal,
    a.key_arn,
    a.digest,
    a.is_debug,
    a.day_epoch,
    MIN(a.event_name) AS operation,
    MIN(a.account_id) AS account_id,
    MIN(a.region) AS region,
    MIN(a.source_ip) AS source_ip,
    MIN(a.event_time) AS first_time,
    MAX(a.event_time) AS last_time,
    MIN(a.event_id) AS event_id,
    CAST(COUNT(*) AS BIGINT) AS n
  FROM attested_calls AS a
  GROUP BY a.principal, a.key_arn, a.digest, a.is_debug, a.day_epoch
), enclave_keys AS (
  SELECT DISTINCT a.key_arn AS enclave_key
  FROM use_hours AS a
  WHERE a.attested_count > 0
), reveal_hours AS (
  SELECT
    u.key_arn,
    u.hour_epoch,
    CAST(SUM(u.call_count) AS BIGINT) AS n,
    CAST(SUM(u.attested_count) AS BIGINT) AS attested_n
  FROM use_hours AS u
  SEMI JOIN enclave_keys AS b ON b.enclave_key = u.key_arn
  WHERE u.is_reveal
    AND u.principal NOT LIKE 'service:%'
    AND u.principal NOT LIKE '%:role/aws-service-role/%'
  GROUP BY u.key_arn, u.hour_epoch
), hour_levels AS (
  SELECT
    h.key_arn,
    h.hour_epoch,
    h.n - h.attested_n AS plain_n,
    h.attested_n,
    SUM(h.attested_n) OVER (PARTITION BY h.key_arn ORDER BY h.hour_epoch
                            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS total_attested_n
  FROM reveal_hours AS h
), plain_hours AS (
  SELECT
    l.key_arn,
    l.hour_epoch,
    l.plain_n,
    l.total_attested_n - l.attested_n AS attested_before,
    COALESCE(LAG(l.total_attested_n) OVER (PARTITION BY l.key_arn ORDER BY l.hour_epoch), 0) AS attested_then
  FROM hour_levels AS l
  WHERE l.plain_n > 0
), broken_days AS (
  -- What was attested since the last hour with a plain call, without the hour of this one.
  SELECT
    d.key_arn AS broken_key,
    d.hour_epoch - (d.hour_epoch % 86400) AS broken_day,
    MIN(d.hour_epoch) AS broken_hour,
    MAX(d.attested_before - d.attested_then) AS attested_before
  FROM plain_hours AS d
  CROSS JOIN params AS p
  WHERE d.attested_before - d.attested_then >= p.min_attested
  GROUP BY d.key_arn, d.hour_epoch - (d.hour_epoch % 86400)
), plain_calls AS (
  SELECT
    f.principal, f.key_arn, f.event_epoch, f.event_epoch - (f.event_epoch % 86400) AS day_epoch, f.event_name, f.account_id,
    f.region, f.source_ip, f.event_time, f.event_id
  FROM events AS f
  SEMI JOIN broken_days AS b ON b.broken_key = f.key_arn
  ANTI JOIN repeated_copies AS s ON s.repeated_id = f.event_id
  WHERE f.event_source = 'kms.amazonaws.com'
    AND f.reveals_plaintext
    AND f.outcome = 'ok'
    AND NOT COALESCE(f.is_dry_run, FALSE)
    AND NOT COALESCE(f.attested, FALSE)
    AND f.principal NOT LIKE 'service:%'
    AND f.principal NOT LIKE '%:role/aws-service-role/%'
), finding_rows AS (
  SELECT 'no_attestation' AS reason, c.key_arn AS subject, c.principal, c.key_arn, NULL AS digest, c.event_name AS operation,
         c.account_id, c.region, c.source_ip, c.event_time AS first_time, c.event_time AS last_time, c.event_id,
         CAST(1 AS BIGINT) AS n, g.attested_before
  FROM plain_calls AS c
  JOIN broken_days AS g ON g.broken_key = c.key_arn AND g.broken_day = c.day_epoch
  WHERE c.event_epoch >= g.broken_hour
  UNION ALL
  SELECT CASE WHEN i.is_debug = 1 THEN 'debug_enclave' ELSE 'unknown_image' END AS reason,
         COALESCE(i.principal, '') || ' ' || COALESCE(i.key_arn, '') || CASE WHEN i.is_debug = 1 THEN '' ELSE i.digest END AS subject,
         i.principal, i.key_arn, i.digest, i.operation, i.account_id, i.region, i.source_ip, i.first_time, i.last_time,
         i.event_id, i.n, NULL AS attested_before
  FROM attested_days AS i
  CROSS JOIN params AS q
  WHERE i.is_debug = 1
     OR (q.golden_digests <> '' AND POSITION(',' || i.digest || ',' IN ',' || q.golden_digests || ',') = 0)
), numbered_rows AS (
  SELECT
    j.reason, j.subject, j.principal, j.key_arn, j.digest, j.operation, j.account_id, j.region, j.source_ip, j.first_time,
    j.last_time, j.event_id, j.n, j.attested_before,
    CAST(ROW_NUMBER() OVER (PARTITION BY j.reason, j.subject ORDER BY j.first_time, j.event_id) AS BIGINT) AS row_no
  FROM finding_rows AS j
), episodes AS (
  SELECT
    k.reason,
    k.subject,
    MIN(k.first_time) AS first_time,
    MAX(k.last_time) AS last_time,
    MIN(k.account_id) AS account_id,
    MIN(k.region) AS region,
    MIN(k.key_arn) AS key_arn,
    MIN(k.principal) AS principal,
    MIN(k.source_ip) AS source_ip,
    MIN(k.digest) AS digest,
    MIN(k.operation) AS operation,
    MAX(k.attested_before) AS attested_before,
    CAST(COUNT(DISTINCT k.principal) AS BIGINT) AS principal_count,
    CAST(COUNT(DISTINCT k.source_ip) AS BIGINT) AS source_ip_count,
    CAST(SUM(k.n) AS BIGINT) AS event_count,
    STRING_AGG(CASE WHEN k.row_no <= 1000 THEN k.event_id END, ',') AS event_ids
  FROM numbered_rows AS k
  GROUP BY k.reason, k.subject
)
SELECT
  m.first_time,
  m.last_time,
  m.account_id,
  m.region,
  m.key_arn,
  CASE WHEN m.principal_count = 1 THEN m.principal END AS principal,
  CASE WHEN m.source_ip_count = 1 THEN m.source_ip END AS source_ip,
  m.event_count,
  'high' AS severity,
  COALESCE(m.principal, 'An unnamed principal') || CASE WHEN m.principal_count > 1 THEN ' and others' ELSE '' END
    || CASE
         WHEN m.reason = 'debug_enclave' THEN ' used ' || COALESCE(m.key_arn, 'KMS') || ' from an enclave in debug mode'
         WHEN m.reason = 'unknown_image' THEN ' used ' || COALESCE(m.key_arn, 'KMS') || ' from the unknown enclave image '
           || COALESCE(m.digest, 'without a digest')
         ELSE ' got plaintext with ' || COALESCE(m.key_arn, 'a key') || ' without attestation, after '
           || CAST(COALESCE(m.attested_before, 0) AS STRING) || ' calls in a row that had it'
       END
    || ' (calls: ' || CAST(m.event_count AS STRING) || ', such as ' || COALESCE(m.operation, 'Decrypt') || ').' AS summary,
  m.event_ids,
  m.reason,
  m.operation,
  m.digest AS image_digest,
  m.attested_before,
  m.principal_count
FROM episodes AS m
ORDER BY first_time, reason, key_arn, principal, image_digest
