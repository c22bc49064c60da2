-- title: Principals
-- description: One row per principal with KMS events: how much it used and administered, on how many keys, from how
--   many places, and how often it was refused. Sessions of one role are one principal.
-- reads: events, repeated_copies
-- partition: principal
-- column: principal: Canonical principal.
-- column: principal_type: CloudTrail's identity type; of several, the first in alphabetical order.
-- column: principal_account_id: The principal's account; NULL for AWS services.
-- column: is_home: That account is one of the home accounts.
-- column: is_service: The principal is an AWS service or a service-linked role, which only a service can be.
-- column: first_time: First KMS event.
-- column: last_time: Last KMS event.
-- column: first_epoch: `first_time` in seconds.
-- column: last_epoch: `last_time` in seconds.
-- column: event_count: KMS actions.
-- column: use_count: Successful cryptographic uses, dry runs left out.
-- column: reveal_count: Those of them that gave plaintext or a plaintext key.
-- column: direct_use_count: Those uses that no AWS service made for the principal.
-- column: admin_count: Successful actions that are neither use nor reading.
-- column: read_count: Successful calls that only look.
-- column: denied_count: Refused actions.
-- column: dry_run_count: Calls that only asked whether they would be allowed.
-- column: key_count: Keys with any event.
-- column: used_key_count: Keys successfully used.
-- column: resource_count: Distinct resources named by the encryption contexts of successful uses.
-- column: source_ip_count: Distinct source addresses.
-- column: network_count: Distinct /24 or /48 networks.
-- column: access_key_count: Distinct access keys.
-- column: first_source_ip: The first source address in text order, as a sample.
WITH principal_rows AS (
  SELECT
    e.principal,
    e.principal_type,
    e.principal_account_id,
    e.event_time,
    e.event_epoch,
    e.action_class,
    e.outcome,
    e.key_arn,
    e.context_resource,
    e.source_ip,
    e.network,
    e.access_key_id,
    CASE WHEN e.action_class = 'crypto' AND e.outcome = 'ok' AND NOT COALESCE(e.is_dry_run, FALSE) THEN 1 ELSE 0 END AS is_use,
    CASE WHEN e.reveals_plaintext THEN 1 ELSE 0 END AS is_reveal,
    CASE WHEN e.is_direct THEN 1 ELSE 0 END AS is_direct_call,
    CASE WHEN e.is_dry_run THEN 1 ELSE 0 END AS is_question
  FROM events AS e
  ANTI JOIN repeated_copies AS r ON r.repeated_id = e.event_id
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.principal IS NOT NULL
), principal_totals AS (
  SELECT
    a.principal,
    MIN(a.principal_type) AS principal_type,
    MIN(a.principal_account_id) AS principal_account_id,
    MIN(a.event_time) AS first_time,
    MAX(a.event_time) AS last_time,
    MIN(a.event_epoch) AS first_epoch,
    MAX(a.event_epoch) AS last_epoch,
    CAST(COUNT(*) AS BIGINT) AS event_count,
    CAST(COUNT(CASE WHEN a.is_use = 1 THEN 1 END) AS BIGINT) AS use_count,
    CAST(COUNT(CASE WHEN a.is_use = 1 AND a.is_reveal = 1 THEN 1 END) AS BIGINT) AS reveal_count,
    CAST(COUNT(CASE WHEN a.is_use = 1 AND a.is_direct_call = 1 THEN 1 END) AS BIGINT) AS direct_use_count,
    CAST(COUNT(CASE WHEN a.outcome = 'ok' AND a.action_class NOT IN ('crypto', 'read', 'unknown') THEN 1 END) AS BIGINT) AS admin_count,
    CAST(COUNT(CASE WHEN a.outcome = 'ok' AND a.action_class = 'read' THEN 1 END) AS BIGINT) AS read_count,
    CAST(COUNT(CASE WHEN a.outcome = 'denied' THEN 1 END) AS BIGINT) AS denied_count,
    CAST(COUNT(CASE WHEN a.is_question = 1 THEN 1 END) AS BIGINT) AS dry_run_count,
    CAST(COUNT(DISTINCT a.key_arn) AS BIGINT) AS key_count,
    CAST(COUNT(DISTINCT CASE WHEN a.is_use = 1 THEN a.key_arn END) AS BIGINT) AS used_key_count,
    CAST(COUNT(DISTINCT CASE WHEN a.is_use = 1 THEN a.context_resource END) AS BIGINT) AS resource_count,
    CAST(COUNT(DISTINCT a.source_ip) AS BIGINT) AS source_ip_count,
    CAST(COUNT(DISTINCT a.network) AS BIGINT) AS network_count,
    CAST(COUNT(DISTINCT a.access_key_id) AS BIGINT) AS access_key_count,
    MIN(a.source_ip) AS first_source_ip
  FROM principal_rows AS a
  GROUP BY a.principal
), home AS (
  SELECT h.account_id AS home_id FROM home_accounts AS h
)
SELECT
  t.principal,
  t.principal_type,
  t.principal_account_id,
  CASE WHEN o.home_id IS NULL THEN FALSE ELSE TRUE END AS is_home,
  CASE WHEN t.principal LIKE 'service:%' OR t.principal LIKE '%:role/aws-service-role/%' THEN TRUE ELSE FALSE END AS is_service,
  t.first_time,
  t.last_time,
  t.first_epoch,
  t.last_epoch,
  t.event_count,
  t.use_count,
  t.reveal_count,
  t.direct_use_count,
  t.admin_count,
  t.read_count,
  t.denied_count,
  t.dry_run_count,
  t.key_count,
  t.used_key_count,
  t.resource_count,
  t.source_ip_count,
  t.network_count,
  t.access_key_count,
  t.first_source_ip
FROM principal_totals AS t
LEFT JOIN home AS o ON o.home_id = t.principal_account_id
ORDER BY principal
