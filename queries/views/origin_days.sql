-- title: Origins of direct use
-- description: From where keys were used directly, day by day: one row per principal, access key, network, kind of
--   client, VPC endpoint, key and UTC day, over successful cryptographic calls that no AWS service made for the
--   principal. Dry runs and the second copies of cross-account calls are left out.
-- reads: events, repeated_copies
-- partition: day
-- column: principal: Canonical principal.
-- column: access_key_id: The access key; NULL when the record names none.
-- column: network: The /24 or /48 network of the source address; NULL when that is no address.
-- column: agent: The client, as the text of the user agent before its first `/`, such as `aws-cli`; `unknown` when the
--   record has none.
-- column: vpc_endpoint_id: The VPC endpoint; NULL for calls of the public endpoint.
-- column: key_arn: The key; for ReEncrypt the source key.
-- column: day_epoch: Start of the UTC day, seconds since 1970-01-01 UTC.
-- column: account_id: The account whose trail has the calls; of several, the first.
-- column: region: The Region called; of several, the first.
-- column: call_count: Calls.
-- column: reveal_count: Those of them that gave plaintext or a plaintext key.
-- column: signing_count: Those that signed, made a MAC, derived a secret or decapsulated.
-- column: first_time: First call.
-- column: last_time: Last call.
-- column: first_epoch: `first_time` in seconds.
-- column: last_epoch: `last_time` in seconds.
-- column: source_ip: A source address: the first in alphabetical order.
-- column: event_id: A call: the one with the first event id.
WITH direct_calls AS (
  SELECT
    e.principal,
    e.access_key_id,
    e.network,
    COALESCE(SPLIT_PART(e.user_agent, '/', 1), 'unknown') AS agent,
    e.vpc_endpoint_id,
    e.key_arn,
    e.event_epoch - (e.event_epoch % 86400) AS day_epoch,
    e.account_id,
    e.region,
    CASE WHEN e.reveals_plaintext THEN 1 END AS reveal_mark,
    CASE WHEN e.event_name IN ('Sign', 'GenerateMac', 'DeriveSharedSecret', 'Decapsulate') THEN 1 END AS signing_mark,
    e.event_time,
    e.event_epoch,
    e.source_ip,
    e.event_id
  FROM events AS e
  ANTI JOIN repeated_copies AS r ON r.repeated_id = e.event_id
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.action_class = 'crypto'
    AND e.is_direct
    AND e.outcome = 'ok'
    AND NOT COALESCE(e.is_dry_run, FALSE)
    AND e.key_arn IS NOT NULL
    AND e.principal IS NOT NULL
)
SELECT
  c.principal,
  c.access_key_id,
  c.network,
  c.agent,
  c.vpc_endpoint_id,
  c.key_arn,
  c.day_epoch,
  MIN(c.account_id) AS account_id,
  MIN(c.region) AS region,
  CAST(COUNT(*) AS BIGINT) AS call_count,
  CAST(COUNT(c.reveal_mark) AS BIGINT) AS reveal_count,
  CAST(COUNT(c.signing_mark) AS BIGINT) AS signing_count,
  MIN(c.event_time) AS first_time,
  MAX(c.event_time) AS last_time,
  MIN(c.event_epoch) AS first_epoch,
  MAX(c.event_epoch) AS last_epoch,
  MIN(c.source_ip) AS source_ip,
  MIN(c.event_id) AS event_id
FROM direct_calls AS c
GROUP BY c.principal, c.access_key_id, c.network, c.agent, c.vpc_endpoint_id, c.key_arn, c.day_epoch
ORDER BY day_epoch, principal, key_arn, access_key_id NULLS LAST, network NULLS LAST, agent, vpc_endpoint_id NULLS LAST
