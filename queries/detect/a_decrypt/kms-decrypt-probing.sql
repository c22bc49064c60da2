-- title: Trial decryption
-- severity: medium
-- attack: T1110, T1530
-- description: Within minutes a principal sent KMS many ciphertexts that do not fit: another key's, with another
--   encryption context, or for keys that cannot open them. KMS answers so only to who may use the key, so somebody with
--   the permission tries out data that it does not know. High when the principal then opened something under one of
--   these keys for the first time in the evidence.
-- false-positives: Ciphertext of several keys mixed in one store, a wrong Region in a configuration. Services' own
--   principals and service-linked roles are left out, and so is an outage: one unusable key that an application goes on
--   using is kms-unusable-key-still-used, whatever the contexts.
-- blind-spots: A failure whose record names neither key nor context counts as a call, but not towards two keys or
--   contexts. Slow probing stays below the rate.
-- reads: events, failed_calls, pairs
-- params: min_count = 10, window_seconds = 600, min_things = 2, success_hours = 24
WITH failures AS (
  SELECT
    f.principal,
    f.event_epoch,
    f.event_time,
    f.event_id,
    f.account_id,
    f.region,
    f.key_arn,
    f.source_ip,
    f.error_code,
    CASE WHEN f.error_code LIKE '%KMSInvalidState%' THEN 1 ELSE 0 END AS is_state_error,
    CAST(ROW_NUMBER() OVER (PARTITION BY f.principal ORDER BY f.event_epoch, f.event_id) AS BIGINT) AS call_no
  FROM failed_calls AS f
  WHERE f.event_name IN ('Decrypt', 'ReEncrypt')
    AND f.outcome = 'failed'
    AND (f.error_code LIKE '%IncorrectKey%'
      OR f.error_code LIKE '%InvalidCiphertext%'
      OR f.error_code LIKE '%InvalidKeyUsage%'
      OR f.error_code LIKE '%KMSInvalidState%')
    AND f.principal NOT LIKE 'service:%'
    AND f.principal NOT LIKE '%:role/aws-service-role/%'
), window_ends AS (
  SELECT
    w.principal AS end_principal,
    w.event_epoch - p.window_seconds AS earliest_epoch,
    w.call_no - p.min_count + 1 AS start_no,
    p.min_count,
    p.window_seconds
  FROM failures AS w
  CROSS JOIN params AS p
), full_windows AS (
  -- The call min_count - 1 places back is in the window: so the window that begins there is full.
  SELECT s.principal AS full_principal, s.call_no AS full_no
  FROM failures AS s
  JOIN window_ends AS e ON e.end_principal = s.principal AND e.start_no = s.call_no
  WHERE s.event_epoch >= e.earliest_epoch
), last_windows AS (
  SELECT
    c.principal,
    c.call_no,
    c.event_epoch,
    MAX(d.full_no) OVER (PARTITION BY c.principal ORDER BY c.call_no
                         ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS last_full_no
  FROM failures AS c
  LEFT JOIN full_windows AS d ON d.full_principal = c.principal AND d.full_no = c.call_no
), members AS (
  SELECT
    m.principal,
    m.call_no,
    m.event_epoch,
    q.window_seconds,
    LAG(m.event_epoch) OVER (PARTITION BY m.principal ORDER BY m.call_no) AS before_epoch
  FROM last_windows AS m
  CROSS JOIN params AS q
  WHERE m.call_no - m.last_full_no < q.min_count
), starts AS (
  SELECT
    b.principal,
    b.call_no,
    CASE WHEN b.before_epoch IS NULL OR b.event_epoch - b.before_epoch > b.window_seconds THEN 1 ELSE 0 END AS is_start
  FROM members AS b
), probe_numbers AS (
  SELECT
    n.principal AS probe_principal,
    n.call_no AS probe_call_no,
    CAST(SUM(n.is_start) OVER (PARTITION BY n.principal ORDER BY n.call_no
                               ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS probe_no
  FROM starts AS n
), numbered_failures AS (
  SELECT
    g.principal, h.probe_no, g.event_epoch, g.event_time, g.event_id, g.account_id, g.region, g.key_arn, g.source_ip,
    g.error_code, g.is_state_error
  FROM failures AS g
  JOIN probe_numbers AS h ON h.probe_principal = g.principal AND h.probe_call_no = g.call_no
), contexts AS (
  SELECT x.event_id AS context_event_id, x.encryption_context
  FROM events AS x
  SEMI JOIN numbered_failures AS y ON y.event_id = x.event_id
  WHERE x.event_source = 'kms.amazonaws.com'
    AND x.outcome = 'failed'
    AND x.encryption_context IS NOT NULL
), probe_calls AS (
  SELECT
    i.principal, i.probe_no, i.event_epoch, i.event_time, i.event_id, i.account_id, i.region, i.key_arn, i.source_ip,
    i.error_code,
    CASE WHEN i.is_state_error = 0 THEN j.encryption_context END AS tried_context,
    CAST(ROW_NUMBER() OVER (PARTITION BY i.principal, i.probe_no ORDER BY i.event_epoch, i.event_id) AS BIGINT) AS row_no
  FROM numbered_failures AS i
  LEFT JOIN contexts AS j ON j.context_event_id = i.event_id
), probes AS (
  SELECT
    k.principal,
    k.probe_no,
    MIN(k.event_time) AS first_time,
    MAX(k.event_time) AS last_time,
    MIN(k.event_epoch) AS first_epoch,
    MAX(k.event_epoch) AS last_epoch,
    MIN(k.account_id) AS account_id,
    MIN(k.region) AS region,
    MIN(k.key_arn) AS key_arn,
    MIN(k.source_ip) AS source_ip,
    MIN(k.error_code) AS first_error,
    CAST(COUNT(DISTINCT k.region) AS BIGINT) AS region_count,
    CAST(COUNT(DISTINCT k.source_ip) AS BIGINT) AS source_ip_count,
    CAST(COUNT(DISTINCT k.key_arn) AS BIGINT) AS key_count,
    CAST(COUNT(DISTINCT k.tried_context) AS BIGINT) AS context_count,
    CAST(COUNT(*) AS BIGINT) AS event_count,
    STRING_AGG(CASE WHEN k.row_no <= 1000 THEN k.event_id END, ',') AS event_ids
  FROM probe_calls AS k
  GROUP BY k.principal, k.probe_no
), probed_keys AS (
  SELECT DISTINCT l.principal AS probing_principal, l.probe_no AS key_probe_no, l.key_arn AS probed_key
  FROM probe_calls AS l
  WHERE l.key_arn IS NOT NULL
), openings AS (
  SELECT
    o.principal AS opening_principal,
    o.probe_no AS opening_probe_no,
    CAST(COUNT(*) AS BIGINT) AS opened_key_count,
    MIN(u.key_arn) AS opened_key
  FROM probes AS o
  JOIN probed_keys AS t ON t.probing_principal = o.principal AND t.key_probe_no = o.probe_no
  JOIN pairs AS u ON u.principal = t.probing_principal AND u.key_arn = t.probed_key
  CROSS JOIN params AS v
  WHERE u.reveal_count > 0
    AND u.first_epoch >= o.first_epoch
    AND u.first_epoch <= o.last_epoch + v.success_hours * 3600
  GROUP BY o.principal, o.probe_no
)
SELECT
  z.first_time,
  z.last_time,
  z.account_id,
  CASE WHEN z.region_count = 1 THEN z.region END AS region,
  CASE WHEN z.key_count = 1 THEN z.key_arn END AS key_arn,
  z.principal,
  CASE WHEN z.source_ip_count = 1 THEN z.source_ip END AS source_ip,
  z.event_count,
  CASE WHEN a.opened_key IS NOT NULL THEN 'high' ELSE 'medium' END AS severity,
  z.principal || ' made ' || CAST(z.event_count AS STRING) || ' Decrypt or ReEncrypt calls that failed (such as '
    || z.first_error || ') within ' || CAST(z.last_epoch - z.first_epoch AS STRING) || ' seconds (keys: '
    || CAST(z.key_count AS STRING) || ', encryption contexts: ' || CAST(z.context_count AS STRING) || ')'
    || CASE WHEN a.opened_key IS NOT NULL THEN ', and then opened something under ' || a.opened_key || ' for the first time.'
            ELSE '.' END AS summary,
  z.event_ids,
  z.key_count,
  z.context_count,
  z.first_error AS error_code,
  a.opened_key,
  COALESCE(a.opened_key_count, 0) AS opened_key_count
FROM probes AS z
CROSS JOIN params AS r
LEFT JOIN openings AS a ON a.opening_principal = z.principal AND a.opening_probe_no = z.probe_no
WHERE z.key_count >= r.min_things
   OR z.context_count >= r.min_things
ORDER BY first_time, principal, last_time
