-- title: One principal, by stretch of time
-- description: Actions of one principal per stretch of `bucket_seconds`, operation and outcome, with on how many keys and from
--   how many networks. `series` and `is_act` as in key-buckets; actions on other services that matter to keys are `admin`.
--   The second copies of cross-account calls are left out.
-- reads: events, repeated_copies
-- params: subject = '', bucket_seconds = 3600
WITH bucket_rows AS (
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
  FROM events AS e
  CROSS JOIN params AS p
  ANTI JOIN repeated_copies AS r ON r.repeated_id = e.event_id
  WHERE (e.principal = p.subject OR e.principal_arn = p.subject OR e.principal_id = p.subject OR e.access_key_id = p.subject
    OR e.session_name = p.subject)
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
