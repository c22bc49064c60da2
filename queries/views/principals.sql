-- title: Principals
-- description: One row per principal with KMS events: how much it used and administered, on how many keys, from how
--   many places, and how often it was refused. Sessions of one role are one principal.
-- reads: events, repeated_copies, principal_days
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
    e.key_arn,
    e.context_resource,
    e.source_ip,
    e.network,
    e.access_key_id,
    CASE WHEN e.action_class = 'crypto' AND e.outcome = 'ok' AND NOT COALESCE(e.is_dry_run, FALSE) THEN 1 ELSE 0 END AS is_use
  FROM events AS e
  ANTI JOIN repeated_copies AS r ON r.repeated_id = e.event_id
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.principal IS NOT NULL
), principal_totals AS (
  SELECT
    a.principal,
    MIN(a.principal_type) AS principal_type,
    MIN(a.principal_account_id) AS principal_account_id,
    MIN(a.first_time) AS first_time,
    MAX(a.last_time) AS last_time,
    MIN(a.first_epoch) AS first_epoch,
    MAX(a.last_epoch) AS last_epoch,
    CAST(SUM(a.event_count) AS BIGINT) AS event_count,
    CAST(SUM(a.use_count) AS BIGINT) AS use_count,
    CAST(SUM(a.reveal_count) AS BIGINT) AS reveal_count,
    CAST(SUM(a.direct_use_count) AS BIGINT) AS direct_use_count,
    CAST(SUM(a.admin_count) AS BIGINT) AS admin_count,
    CAST(SUM(a.read_count) AS BIGINT) AS read_count,
    CAST(SUM(a.denied_count) AS BIGINT) AS denied_count,
    CAST(SUM(a.dry_run_count) AS BIGINT) AS dry_run_count,
    MIN(a.source_ip) AS first_source_ip
  FROM principal_days AS a
  GROUP BY a.principal
), touched_keys AS (
  -- A service's principal can name another resource in each of its calls, and COUNT(DISTINCT) keeps whole rows until it
  -- has counted. So things are made distinct first.
  SELECT b.principal, b.key_arn, MAX(b.is_use) AS is_used
  FROM principal_rows AS b
  WHERE b.key_arn IS NOT NULL
  GROUP BY b.principal, b.key_arn
), used_resources AS (
  SELECT c.principal, c.context_resource
  FROM principal_rows AS c
  WHERE c.is_use = 1
    AND c.context_resource IS NOT NULL
  GROUP BY c.principal, c.context_resource
), addresses AS (
  SELECT d.principal, d.source_ip
  FROM principal_rows AS d
  WHERE d.source_ip IS NOT NULL
  GROUP BY d.principal, d.source_ip
), networks AS (
  SELECT f.principal, f.network
  FROM principal_rows AS f
  WHERE f.network IS NOT NULL
  GROUP BY f.principal, f.network
), access_keys AS (
  SELECT g.principal, g.access_key_id
  FROM principal_rows AS g
  WHERE g.access_key_id IS NOT NULL
  GROUP BY g.principal, g.access_key_id
), key_counts AS (
  SELECT
    w.principal AS key_principal,
    CAST(COUNT(*) AS BIGINT) AS key_count,
    CAST(SUM(w.is_used) AS BIGINT) AS used_key_count
  FROM touched_keys AS w
  GROUP BY w.principal
), resource_counts AS (
  SELECT q.principal AS resource_principal, CAST(COUNT(*) AS BIGINT) AS resource_count
  FROM used_resources AS q
  GROUP BY q.principal
), address_counts AS (
  SELECT y.principal AS address_principal, CAST(COUNT(*) AS BIGINT) AS source_ip_count
  FROM addresses AS y
  GROUP BY y.principal
), network_counts AS (
  SELECT z.principal AS network_principal, CAST(COUNT(*) AS BIGINT) AS network_count
  FROM networks AS z
  GROUP BY z.principal
), access_key_counts AS (
  SELECT j.principal AS access_principal, CAST(COUNT(*) AS BIGINT) AS access_key_count
  FROM access_keys AS j
  GROUP BY j.principal
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
  COALESCE(k.key_count, 0) AS key_count,
  COALESCE(k.used_key_count, 0) AS used_key_count,
  COALESCE(u.resource_count, 0) AS resource_count,
  COALESCE(s.source_ip_count, 0) AS source_ip_count,
  COALESCE(n.network_count, 0) AS network_count,
  COALESCE(x.access_key_count, 0) AS access_key_count,
  t.first_source_ip
FROM principal_totals AS t
LEFT JOIN key_counts AS k ON k.key_principal = t.principal
LEFT JOIN resource_counts AS u ON u.resource_principal = t.principal
LEFT JOIN address_counts AS s ON s.address_principal = t.principal
LEFT JOIN network_counts AS n ON n.network_principal = t.principal
LEFT JOIN access_key_counts AS x ON x.access_principal = t.principal
LEFT JOIN home AS o ON o.home_id = t.principal_account_id
ORDER BY principal
