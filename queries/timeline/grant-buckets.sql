-- title: One grant, by stretch of time
-- description: What the grantee of one grant did with the granted key by the granted operations while the grant lived, per
--   stretch of `bucket_seconds`, as in key-buckets. KMS logs no grant id on use, so this use is inferred: a key policy may
--   have allowed the same calls. The second copies of cross-account calls are left out.
-- reads: events, repeated_copies
-- params: subject = '', bucket_seconds = 3600
WITH creations AS (
  SELECT
    c.key_arn AS granted_key,
    MIN(c.grantee_principal) AS grantee_text,
    MIN(c.grantee_account_id) AS grantee_account,
    ',' || MIN(c.grant_operations) || ',' AS granted_operations,
    MIN(c.event_epoch) AS created_epoch
  FROM events AS c CROSS JOIN params AS pc
  WHERE c.event_source = 'kms.amazonaws.com'
    AND c.event_name = 'CreateGrant'
    AND c.outcome = 'ok'
    AND c.grant_id = pc.subject
  GROUP BY c.key_arn
), endings AS (
  -- A grant works for some minutes after its end.
  SELECT MIN(x.event_epoch) + 300 AS ended_epoch
  FROM events AS x CROSS JOIN params AS px
  WHERE x.event_source = 'kms.amazonaws.com'
    AND x.event_name IN ('RetireGrant', 'RevokeGrant')
    AND x.outcome = 'ok'
    AND x.grant_id = px.subject
), bucket_rows AS (
  SELECT
    e.event_epoch - (e.event_epoch % p.bucket_seconds) AS bucket_epoch,
    CASE
      WHEN COALESCE(e.is_dry_run, FALSE) THEN 'dry run'
      WHEN e.outcome = 'denied' THEN 'denied'
      WHEN e.outcome <> 'ok' THEN 'failed'
      WHEN e.action_class = 'crypto' AND COALESCE(e.reveals_plaintext, FALSE) THEN 'plaintext'
      WHEN e.action_class = 'crypto' THEN 'other use'
      WHEN e.action_class = 'read' THEN 'reading'
      ELSE 'admin' END AS series,
    e.event_name AS event_name,
    e.outcome,
    CASE
      WHEN e.action_class IN ('crypto', 'read') THEN FALSE
      WHEN e.action_class = 'grant'
        AND (COALESCE(e.is_service_grant, FALSE) OR e.via IS NOT NULL OR e.principal LIKE 'service:%') THEN FALSE
      ELSE TRUE END AS is_act,
    e.principal, e.key_arn AS subject_key, e.network, e.source_ip, e.via, e.event_time
  FROM events AS e INNER JOIN creations AS g ON g.granted_key = e.key_arn
  CROSS JOIN endings AS f
  CROSS JOIN params AS p
  ANTI JOIN repeated_copies AS r ON r.repeated_id = e.event_id
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.action_class = 'crypto'
    AND e.event_epoch >= g.created_epoch
    AND e.event_epoch <= COALESCE(f.ended_epoch, 9999999999)
    AND (e.principal = g.grantee_text OR e.principal_arn = g.grantee_text
      OR (e.principal_account_id = g.grantee_account
        AND (g.grantee_text LIKE '%:root' OR g.grantee_text NOT LIKE 'arn:%' OR e.principal LIKE 'account:%')))
    AND POSITION(',' || CASE WHEN e.event_name = 'ReEncrypt' THEN 'ReEncryptFrom' ELSE e.event_name END || ','
      IN g.granted_operations) > 0
)
SELECT
  b.bucket_epoch,
  b.series,
  b.event_name,
  b.outcome,
  b.is_act,
  CAST(COUNT(*) AS BIGINT) AS calls,
  CAST(COUNT(DISTINCT b.principal) AS BIGINT) AS principal_count,
  MIN(b.principal) AS first_principal,
  CAST(COUNT(DISTINCT b.subject_key) AS BIGINT) AS key_count,
  MIN(b.subject_key) AS first_key,
  CAST(COUNT(DISTINCT b.network) AS BIGINT) AS network_count,
  MIN(b.network) AS first_network,
  CAST(COUNT(DISTINCT b.source_ip) AS BIGINT) AS source_ip_count,
  MIN(b.source_ip) AS first_source_ip,
  CAST(COUNT(DISTINCT b.via) AS BIGINT) AS via_count,
  MIN(b.via) AS first_via,
  CAST(COUNT(CASE WHEN b.via IS NULL THEN 1 END) AS BIGINT) AS direct_count,
  MIN(b.event_time) AS first_time,
  MAX(b.event_time) AS last_time
FROM bucket_rows AS b
GROUP BY b.bucket_epoch, b.series, b.event_name, b.outcome, b.is_act
ORDER BY bucket_epoch, series, event_name, outcome, is_act
