-- title: Protection of KMS calls on the network
-- severity: low
-- controls: PCI DSS 4.0 4.2, FedRAMP SC-13
-- description: Whether each principal's direct KMS calls came over TLS 1.2 or newer, and, where the parameters ask for
--   it, to a FIPS endpoint, with a post-quantum key exchange, or through a VPC endpoint. What crosses the network here
--   is plaintext and plaintext data keys.
-- false-positives: With the parameters set: people at the console, and calls from outside the VPC that are meant to be.
--   Left out: calls that a service made, AWS services, and principals of other accounts.
-- blind-spots: Evidence in logs only: absence is not proof. Records without TLS details say nothing about TLS; older
--   records do not name the key exchange, which is then unknown.
-- reads: events, repeated_copies
-- params: require_fips = 0, require_pq = 0, require_vpc_endpoint = 0
-- partition: principal
WITH home AS (
  SELECT h.account_id AS home_id FROM home_accounts AS h
), call_marks AS (
  SELECT
    e.principal,
    e.account_id,
    e.region,
    e.event_time,
    CASE WHEN e.tls_version IS NOT NULL THEN 1 END AS tls_mark,
    CASE WHEN e.tls_version IS NOT NULL AND e.tls_key_exchange IS NULL THEN 1 END AS no_exchange_mark,
    CASE WHEN e.tls_version < 'TLSv1.2' THEN 1 END AS old_mark,
    CASE WHEN e.tls_version IS NOT NULL AND COALESCE(e.tls_host, '') NOT LIKE '%kms-fips%' THEN 1 END AS no_fips_mark,
    CASE WHEN e.tls_key_exchange NOT LIKE '%MLKEM%' AND e.tls_key_exchange NOT LIKE '%KYBER%' THEN 1 END AS no_pq_mark,
    CASE WHEN e.vpc_endpoint_id IS NULL THEN 1 END AS no_endpoint_mark
  FROM events AS e
  SEMI JOIN home AS o ON o.home_id = e.principal_account_id
  ANTI JOIN repeated_copies AS r ON r.repeated_id = e.event_id
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.is_direct
    AND e.principal NOT LIKE 'service:%'
    AND e.principal NOT LIKE '%:role/aws-service-role/%'
), totals AS (
  SELECT
    m.principal,
    MIN(m.account_id) AS account_id,
    CASE WHEN MIN(m.region) = MAX(m.region) THEN MIN(m.region) END AS region,
    MIN(m.event_time) AS first_time,
    MAX(m.event_time) AS last_time,
    CAST(COUNT(*) AS BIGINT) AS call_count,
    CAST(COUNT(m.tls_mark) AS BIGINT) AS tls_count,
    CAST(COUNT(m.no_exchange_mark) AS BIGINT) AS no_exchange_count,
    CAST(COUNT(m.old_mark) AS BIGINT) AS old_tls_count,
    CAST(COUNT(m.no_fips_mark) AS BIGINT) AS no_fips_count,
    CAST(COUNT(m.no_pq_mark) AS BIGINT) AS no_pq_count,
    CAST(COUNT(m.no_endpoint_mark) AS BIGINT) AS no_endpoint_count
  FROM call_marks AS m
  GROUP BY m.principal
), weak_calls AS (
  SELECT
    w.principal AS weak_principal,
    w.event_id AS weak_id,
    w.event_time AS weak_time,
    CAST(ROW_NUMBER() OVER (PARTITION BY w.principal ORDER BY w.event_epoch, w.event_id) AS BIGINT) AS weak_no
  FROM events AS w
  SEMI JOIN totals AS t ON t.principal = w.principal
  ANTI JOIN repeated_copies AS c ON c.repeated_id = w.event_id
  CROSS JOIN params AS p
  WHERE w.event_source = 'kms.amazonaws.com'
    AND w.is_direct
    AND (w.tls_version < 'TLSv1.2'
      OR (p.require_fips = 1 AND w.tls_version IS NOT NULL AND COALESCE(w.tls_host, '') NOT LIKE '%kms-fips%')
      OR (p.require_pq = 1 AND w.tls_key_exchange NOT LIKE '%MLKEM%' AND w.tls_key_exchange NOT LIKE '%KYBER%')
      OR (p.require_vpc_endpoint = 1 AND w.vpc_endpoint_id IS NULL))
), weak_totals AS (
  SELECT
    k.weak_principal,
    CAST(COUNT(*) AS BIGINT) AS weak_count,
    MIN(k.weak_time) AS weak_first,
    MAX(k.weak_time) AS weak_last,
    STRING_AGG(CASE WHEN k.weak_no <= 1000 THEN k.weak_id END, ',') AS event_ids
  FROM weak_calls AS k
  GROUP BY k.weak_principal
)
SELECT
  COALESCE(x.weak_first, s.first_time) AS first_time,
  COALESCE(x.weak_last, s.last_time) AS last_time,
  s.account_id,
  s.region,
  CAST(NULL AS STRING) AS key_arn,
  s.principal,
  CAST(NULL AS STRING) AS source_ip,
  COALESCE(x.weak_count, s.call_count) AS event_count,
  CASE WHEN x.weak_count > 0 THEN 'low' ELSE 'info' END AS severity,
  s.principal || ' called KMS directly ' || CAST(s.call_count AS STRING) || ' times ('
    || CAST(s.tls_count AS STRING) || ' with TLS details): ' || CAST(s.old_tls_count AS STRING) || ' below TLS 1.2'
    || CASE WHEN q.require_fips = 1 THEN ', ' || CAST(s.no_fips_count AS STRING) || ' not to a FIPS endpoint' ELSE '' END
    || CASE WHEN q.require_pq = 1 THEN ', ' || CAST(s.no_pq_count AS STRING) || ' without a post-quantum key exchange' ELSE '' END
    || CASE WHEN q.require_vpc_endpoint = 1 THEN ', ' || CAST(s.no_endpoint_count AS STRING) || ' not through a VPC endpoint' ELSE '' END
    || '.' AS summary,
  x.event_ids,
  s.principal AS subject,
  CASE WHEN x.weak_count > 0 THEN 'fail'
       WHEN s.tls_count = 0 THEN 'unknown'
       WHEN q.require_pq = 1 AND s.no_exchange_count > 0 THEN 'unknown'
       ELSE 'pass' END AS result,
  s.call_count,
  s.tls_count,
  s.old_tls_count,
  s.no_fips_count,
  s.no_pq_count,
  s.no_endpoint_count
FROM totals AS s
CROSS JOIN params AS q
LEFT JOIN weak_totals AS x ON x.weak_principal = s.principal
ORDER BY subject
