-- title: Use of keys by hour
-- description: Who successfully used which key for what, hour by hour: one row per principal, key, operation, service in
--   between and hour. ReEncrypt counts for its source key, and as `ReEncryptTo` for its destination key unless that is the
--   same; the columns of the context are the source's in both. GetPublicKey is a use as well, because with the public key
--   others go on outside KMS. Dry runs and the second copies of cross-account calls are left out. Most rules about use
--   read this table instead of all events.
-- reads: events, repeated_copies
-- partition: hour
-- column: principal: Canonical principal; NULL when the record names none.
-- column: key_arn: The key.
-- column: operation: The event name, or `ReEncryptTo`.
-- column: via: The AWS service that made the calls for the principal; NULL for direct calls.
-- column: hour_epoch: Start of the hour, seconds since 1970-01-01 UTC.
-- column: is_reveal: The calls gave plaintext or a plaintext key.
-- column: principal_account_id: The principal's account.
-- column: account_id: The account whose trail has the calls; of several, the first.
-- column: region: The Region called; of several, the first.
-- column: call_count: Calls.
-- column: direct_count: Calls that no AWS service made for the principal.
-- column: no_context_count: Calls without an encryption context, where the operation takes one.
-- column: attested_count: Calls with an attestation document.
-- column: xks_count: Calls on a key in an external key store.
-- column: data_class: Kind of data that the contexts name; of several, the first in alphabetical order. `custom` where
--   no context names a known kind, `none` where no call has a context.
-- column: data_resource: A resource that the contexts name: the first in alphabetical order.
-- column: first_time: First call.
-- column: last_time: Last call.
-- column: first_epoch: `first_time` in seconds.
-- column: last_epoch: `last_time` in seconds.
-- column: event_id: A call: the one with the first event id.
-- column: source_ip: A source address: the first in alphabetical order.
WITH uses AS (
  SELECT
    e.principal,
    e.key_arn,
    e.event_name AS operation,
    e.via,
    e.event_epoch - (e.event_epoch % 3600) AS hour_epoch,
    e.principal_account_id,
    e.account_id,
    e.region,
    CASE WHEN e.is_direct THEN 1 END AS direct_mark,
    CASE WHEN e.context_class = 'none' THEN 1 END AS no_context_mark,
    CASE WHEN e.attested THEN 1 END AS attested_mark,
    CASE WHEN e.xks_key_id IS NOT NULL THEN 1 END AS xks_mark,
    -- In text order: what is known before `custom`, and that before `none`.
    CASE WHEN e.context_class = 'none' THEN '~' WHEN e.context_class = 'custom' THEN '}' ELSE e.context_class END AS ranked_class,
    e.context_resource,
    e.event_time,
    e.event_epoch,
    e.event_id,
    e.source_ip
  FROM events AS e
  ANTI JOIN repeated_copies AS r ON r.repeated_id = e.event_id
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.action_class = 'crypto'
    AND e.outcome = 'ok'
    AND NOT COALESCE(e.is_dry_run, FALSE)
    AND e.key_arn IS NOT NULL
  UNION ALL
  SELECT
    t.principal,
    t.target_key_arn AS key_arn,
    'ReEncryptTo' AS operation,
    t.via,
    t.event_epoch - (t.event_epoch % 3600) AS hour_epoch,
    t.principal_account_id,
    t.account_id,
    t.region,
    CASE WHEN t.is_direct THEN 1 END AS direct_mark,
    CASE WHEN t.context_class = 'none' THEN 1 END AS no_context_mark,
    CASE WHEN t.attested THEN 1 END AS attested_mark,
    CASE WHEN t.xks_key_id IS NOT NULL THEN 1 END AS xks_mark,
    CASE WHEN t.context_class = 'none' THEN '~' WHEN t.context_class = 'custom' THEN '}' ELSE t.context_class END AS ranked_class,
    t.context_resource,
    t.event_time,
    t.event_epoch,
    t.event_id,
    t.source_ip
  FROM events AS t
  ANTI JOIN repeated_copies AS d ON d.repeated_id = t.event_id
  WHERE t.event_source = 'kms.amazonaws.com'
    AND t.event_name = 'ReEncrypt'
    AND t.outcome = 'ok'
    AND NOT COALESCE(t.is_dry_run, FALSE)
    AND t.target_key_arn IS NOT NULL
    AND (t.target_key_arn IS DISTINCT FROM t.key_arn)
), hours AS (
  SELECT
    u.principal,
    u.key_arn,
    u.operation,
    u.via,
    u.hour_epoch,
    MIN(u.principal_account_id) AS principal_account_id,
    MIN(u.account_id) AS account_id,
    MIN(u.region) AS region,
    CAST(COUNT(*) AS BIGINT) AS call_count,
    CAST(COUNT(u.direct_mark) AS BIGINT) AS direct_count,
    CAST(COUNT(u.no_context_mark) AS BIGINT) AS no_context_count,
    CAST(COUNT(u.attested_mark) AS BIGINT) AS attested_count,
    CAST(COUNT(u.xks_mark) AS BIGINT) AS xks_count,
    MIN(u.ranked_class) AS ranked_class,
    MIN(u.context_resource) AS data_resource,
    MIN(u.event_time) AS first_time,
    MAX(u.event_time) AS last_time,
    MIN(u.event_epoch) AS first_epoch,
    MAX(u.event_epoch) AS last_epoch,
    MIN(u.event_id) AS event_id,
    MIN(u.source_ip) AS source_ip
  FROM uses AS u
  GROUP BY u.principal, u.key_arn, u.operation, u.via, u.hour_epoch
)
SELECT
  h.principal,
  h.key_arn,
  h.operation,
  h.via,
  h.hour_epoch,
  CASE WHEN h.operation IN ('Decrypt', 'ReEncrypt', 'GenerateDataKey', 'GenerateDataKeyPair', 'DeriveSharedSecret',
                            'Decapsulate') THEN TRUE ELSE FALSE END AS is_reveal,
  h.principal_account_id,
  h.account_id,
  h.region,
  h.call_count,
  h.direct_count,
  h.no_context_count,
  h.attested_count,
  h.xks_count,
  CASE WHEN h.ranked_class = '~' THEN 'none' WHEN h.ranked_class = '}' THEN 'custom' ELSE h.ranked_class END AS data_class,
  h.data_resource,
  h.first_time,
  h.last_time,
  h.first_epoch,
  h.last_epoch,
  h.event_id,
  h.source_ip
FROM hours AS h
ORDER BY hour_epoch, key_arn, principal NULLS LAST, operation, via NULLS LAST
