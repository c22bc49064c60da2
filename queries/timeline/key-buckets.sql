-- title: One key, by stretch of time
-- description: Actions on one key per stretch of `bucket_seconds`, operation and outcome, with how many did them from how
--   many networks. `series` is plaintext, other use, reading, admin, denied, failed or dry run; `is_act` is true for what is
--   worth a line of its own: neither use nor reading, and no grant that a service made or ended. ReEncrypt stands as
--   `ReEncryptTo` on its destination key. The second copies of cross-account calls are left out.
-- reads: events, repeated_copies
-- params: subject = '', bucket_seconds = 3600
WITH named_keys AS (
  SELECT e.key_arn AS named_arn
  FROM events AS e CROSS JOIN params AS p
  WHERE e.event_source = 'kms.amazonaws.com' AND e.key_arn IS NOT NULL
    AND (e.key_arn = p.subject OR e.key_id = p.subject OR e.mrk_id = p.subject OR e.alias_name = p.subject OR e.key_ref = p.subject)
  UNION ALL
  SELECT t.target_key_arn AS named_arn
  FROM events AS t CROSS JOIN params AS q
  WHERE t.event_source = 'kms.amazonaws.com' AND t.target_key_arn = q.subject
), subject_keys AS (
  SELECT DISTINCT n.named_arn AS subject_arn FROM named_keys AS n
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
  FROM events AS e INNER JOIN subject_keys AS s ON e.key_arn = s.subject_arn
  CROSS JOIN params AS p
  ANTI JOIN repeated_copies AS r ON r.repeated_id = e.event_id
  WHERE e.event_source = 'kms.amazonaws.com'
  UNION ALL
  SELECT
    d.event_epoch - (d.event_epoch % pd.bucket_seconds) AS bucket_epoch,
    CASE
      WHEN COALESCE(d.is_dry_run, FALSE) THEN 'dry run'
      WHEN d.outcome = 'denied' THEN 'denied'
      WHEN d.outcome <> 'ok' THEN 'failed'
      WHEN d.action_class = 'crypto' THEN 'other use'
      WHEN d.action_class = 'read' THEN 'reading'
      ELSE 'admin' END AS series,
    CASE WHEN d.event_name = 'ReEncrypt' THEN 'ReEncryptTo' ELSE d.event_name END AS event_name,
    d.outcome,
    CASE
      WHEN d.action_class IN ('crypto', 'read') THEN FALSE
      WHEN d.action_class = 'grant'
        AND (COALESCE(d.is_service_grant, FALSE) OR d.via IS NOT NULL OR d.principal LIKE 'service:%') THEN FALSE
      ELSE TRUE END AS is_act,
    d.principal, d.target_key_arn AS subject_key, d.network, d.source_ip, d.via, d.event_time
  FROM events AS d INNER JOIN subject_keys AS sd ON d.target_key_arn = sd.subject_arn
  CROSS JOIN params AS pd
  ANTI JOIN repeated_copies AS rd ON rd.repeated_id = d.event_id
  WHERE d.event_source = 'kms.amazonaws.com' AND (d.key_arn IS DISTINCT FROM d.target_key_arn)
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
