-- title: Encryption contexts by day
-- description: Which sets of names the encryption contexts had, day by day: one row per key, principal, set of names and
--   UTC day, over successful cryptographic calls that can carry a context. ReEncrypt counts with its source key and the
--   source's context. Dry runs and the second copies of cross-account calls are left out.
-- reads: events, repeated_copies
-- partition: day
-- column: key_arn: The key.
-- column: principal: Canonical principal; NULL when the record names none.
-- column: context_keys: The names in the context, sorted, comma-separated; empty for calls without a context.
-- column: day_epoch: Start of the UTC day, seconds since 1970-01-01 UTC.
-- column: account_id: The account whose trail has the calls; of several, the first.
-- column: region: The Region called; of several, the first.
-- column: use_count: Calls.
-- column: reveal_count: Those of them that gave plaintext or a plaintext key.
-- column: direct_count: Those that no AWS service made for the principal.
-- column: direct_reveal_count: Those that did both.
-- column: first_time: First call.
-- column: last_time: Last call.
-- column: first_epoch: `first_time` in seconds.
-- column: last_epoch: `last_time` in seconds.
-- column: source_ip: A source address: the first in alphabetical order.
-- column: event_id: A call: the one with the first event id.
-- column: reveal_event_id: A direct call that gave plaintext: the one with the first event id; NULL when there is none.
WITH context_calls AS (
  SELECT
    e.key_arn,
    e.principal,
    COALESCE(e.context_keys, '') AS context_keys,
    e.event_epoch - (e.event_epoch % 86400) AS day_epoch,
    e.account_id,
    e.region,
    CASE WHEN e.reveals_plaintext THEN 1 END AS reveal_mark,
    CASE WHEN e.is_direct THEN 1 END AS direct_mark,
    CASE WHEN e.reveals_plaintext AND e.is_direct THEN e.event_id END AS direct_reveal_id,
    e.event_time,
    e.event_epoch,
    e.source_ip,
    e.event_id
  FROM events AS e
  ANTI JOIN repeated_copies AS r ON r.repeated_id = e.event_id
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.action_class = 'crypto'
    AND e.outcome = 'ok'
    AND NOT COALESCE(e.is_dry_run, FALSE)
    AND e.key_arn IS NOT NULL
    AND e.context_class IS NOT NULL
)
SELECT
  c.key_arn,
  c.principal,
  c.context_keys,
  c.day_epoch,
  MIN(c.account_id) AS account_id,
  MIN(c.region) AS region,
  CAST(COUNT(*) AS BIGINT) AS use_count,
  CAST(COUNT(c.reveal_mark) AS BIGINT) AS reveal_count,
  CAST(COUNT(c.direct_mark) AS BIGINT) AS direct_count,
  CAST(COUNT(c.direct_reveal_id) AS BIGINT) AS direct_reveal_count,
  MIN(c.event_time) AS first_time,
  MAX(c.event_time) AS last_time,
  MIN(c.event_epoch) AS first_epoch,
  MAX(c.event_epoch) AS last_epoch,
  MIN(c.source_ip) AS source_ip,
  MIN(c.event_id) AS event_id,
  MIN(c.direct_reveal_id) AS reveal_event_id
FROM context_calls AS c
GROUP BY c.key_arn, c.principal, c.context_keys, c.day_epoch
ORDER BY day_epoch, key_arn, principal NULLS LAST, context_keys
