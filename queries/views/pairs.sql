-- title: Principals and keys
-- description: Who used which key: one row per principal and key with successful cryptographic use, with when it began,
--   how often, and how. ReEncrypt counts for both of its keys, with the source's context, and once when they are the same.
--   GetPublicKey is a use as well.
-- reads: use_hours
-- partition: principal, key
-- column: principal: Canonical principal.
-- column: key_arn: The key.
-- column: principal_account_id: The principal's account.
-- column: key_account_id: The key's owner.
-- column: account_id: The account whose trail has the calls; of several, the first.
-- column: region: The Region called; of several, the first.
-- column: first_time: First use.
-- column: last_time: Last use.
-- column: first_epoch: `first_time` in seconds.
-- column: last_epoch: `last_time` in seconds.
-- column: use_count: Successful cryptographic calls.
-- column: reveal_count: Those of them that gave plaintext or a plaintext key.
-- column: direct_count: Those that no AWS service made for the principal.
-- column: hour_count: Hours with use.
-- column: day_count: UTC days with use.
-- column: operation_count: Different operations.
-- column: via: The AWS service that made the calls; of several, the first; NULL when all calls were direct.
-- column: data_class: Kind of data that the contexts name; of several, the first in alphabetical order. `custom` where
--   no context names a known kind, `none` where no call has a context.
-- column: data_resource: A resource that the contexts name: the first.
-- column: event_id: A call of the first hour.
-- column: source_ip: A source address of the first hour.
WITH pair_hours AS (
  SELECT
    h.principal,
    h.key_arn,
    h.hour_epoch,
    MIN(h.event_id) AS event_id,
    MIN(h.source_ip) AS source_ip
  FROM use_hours AS h
  WHERE h.principal IS NOT NULL
  GROUP BY h.principal, h.key_arn, h.hour_epoch
), numbered_hours AS (
  SELECT
    n.principal,
    n.key_arn,
    n.event_id,
    n.source_ip,
    CAST(ROW_NUMBER() OVER (PARTITION BY n.principal, n.key_arn ORDER BY n.hour_epoch) AS BIGINT) AS hour_no
  FROM pair_hours AS n
), first_hours AS (
  SELECT f.principal AS first_principal, f.key_arn AS first_key, f.event_id, f.source_ip
  FROM numbered_hours AS f
  WHERE f.hour_no = 1
), totals AS (
  SELECT
    u.principal,
    u.key_arn,
    MIN(u.principal_account_id) AS principal_account_id,
    MIN(u.account_id) AS account_id,
    MIN(u.region) AS region,
    MIN(u.first_time) AS first_time,
    MAX(u.last_time) AS last_time,
    MIN(u.first_epoch) AS first_epoch,
    MAX(u.last_epoch) AS last_epoch,
    CAST(SUM(u.call_count) AS BIGINT) AS use_count,
    CAST(SUM(CASE WHEN u.is_reveal THEN u.call_count ELSE CAST(0 AS BIGINT) END) AS BIGINT) AS reveal_count,
    CAST(SUM(u.direct_count) AS BIGINT) AS direct_count,
    CAST(COUNT(DISTINCT u.hour_epoch) AS BIGINT) AS hour_count,
    CAST(COUNT(DISTINCT u.hour_epoch - (u.hour_epoch % 86400)) AS BIGINT) AS day_count,
    CAST(COUNT(DISTINCT u.operation) AS BIGINT) AS operation_count,
    MIN(u.via) AS via,
    MIN(CASE WHEN u.data_class NOT IN ('none', 'custom') THEN u.data_class END) AS known_class,
    MIN(u.data_class) AS first_class,
    MIN(u.data_resource) AS data_resource
  FROM use_hours AS u
  WHERE u.principal IS NOT NULL
  GROUP BY u.principal, u.key_arn
)
SELECT
  t.principal,
  t.key_arn,
  t.principal_account_id,
  SPLIT_PART(t.key_arn, ':', 5) AS key_account_id,
  t.account_id,
  t.region,
  t.first_time,
  t.last_time,
  t.first_epoch,
  t.last_epoch,
  t.use_count,
  t.reveal_count,
  t.direct_count,
  t.hour_count,
  t.day_count,
  t.operation_count,
  t.via,
  COALESCE(t.known_class, t.first_class) AS data_class,
  t.data_resource,
  f.event_id,
  f.source_ip
FROM totals AS t
JOIN first_hours AS f ON f.first_principal = t.principal AND f.first_key = t.key_arn
ORDER BY principal, key_arn
