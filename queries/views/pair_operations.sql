-- title: Principals, keys and operations
-- description: What each principal did with each key, over the whole evidence: one row per principal, key, operation and
--   service in between, from successful cryptographic use. ReEncrypt counts for its source key, and as `ReEncryptTo` for
--   its destination key.
-- reads: use_hours
-- partition: principal, key
-- column: principal: Canonical principal.
-- column: key_arn: The key.
-- column: operation: The event name, or `ReEncryptTo`.
-- column: via: The AWS service that made the calls for the principal; NULL for direct calls.
-- column: is_reveal: The calls gave plaintext or a plaintext key.
-- column: call_count: Calls.
-- column: direct_count: Calls that no AWS service made for the principal.
-- column: no_context_count: Calls without an encryption context, where the operation takes one.
-- column: first_time: First call.
-- column: last_time: Last call.
-- column: first_epoch: `first_time` in seconds.
-- column: last_epoch: `last_time` in seconds.
-- column: event_id: A call: the one with the first event id.
SELECT
  u.principal,
  u.key_arn,
  u.operation,
  u.via,
  u.is_reveal,
  CAST(SUM(u.call_count) AS BIGINT) AS call_count,
  CAST(SUM(u.direct_count) AS BIGINT) AS direct_count,
  CAST(SUM(u.no_context_count) AS BIGINT) AS no_context_count,
  MIN(u.first_time) AS first_time,
  MAX(u.last_time) AS last_time,
  MIN(u.first_epoch) AS first_epoch,
  MAX(u.last_epoch) AS last_epoch,
  MIN(u.event_id) AS event_id
FROM use_hours AS u
WHERE u.principal IS NOT NULL
GROUP BY u.principal, u.key_arn, u.operation, u.via, u.is_reveal
ORDER BY principal, key_arn, operation, via NULLS LAST
