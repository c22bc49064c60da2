-- title: Hours of each place
-- description: How much was recorded in each account and Region, hour by hour: the coverage of the evidence. An hour
--   without a row had no record that keytrail keeps, which is not yet a gap: other services' events are kept only where
--   they concern keys, and `inputs` tells which log files were delivered. Both copies of a cross-account call count,
--   each in its account.
-- reads: events
-- partition: hour
-- column: account_id: The account whose trail has the events.
-- column: region: The Region called.
-- column: hour_epoch: Start of the hour, seconds since 1970-01-01 UTC.
-- column: kms_count: KMS events of any kind and outcome.
-- column: crypto_count: Those of them that are cryptographic use, which trails record as reading.
-- column: admin_count: Those of them that change something, which trails record as writing.
-- column: adjacent_count: Events of other services that the case keeps.
-- column: first_time: First event.
-- column: last_time: Last event.
-- column: first_epoch: `first_time` in seconds.
-- column: last_epoch: `last_time` in seconds.
-- column: first_kms_time: First KMS event.
-- column: last_kms_time: Last KMS event.
-- column: first_crypto_time: First cryptographic use.
-- column: last_crypto_time: Last cryptographic use.
-- column: first_kms_epoch: `first_kms_time` in seconds.
-- column: last_kms_epoch: `last_kms_time` in seconds.
-- column: first_crypto_epoch: `first_crypto_time` in seconds.
-- column: last_crypto_epoch: `last_crypto_time` in seconds.
-- column: kms_event_id: A KMS event: the one with the first event id.
-- column: crypto_event_id: A cryptographic use: the one with the first event id.
-- column: adjacent_event_id: An event of another service: the one with the first event id.
WITH placed_events AS (
  SELECT
    e.account_id,
    e.region,
    e.event_epoch - (e.event_epoch % 3600) AS hour_epoch,
    e.event_time,
    e.event_epoch,
    CASE WHEN e.event_source = 'kms.amazonaws.com' THEN e.event_id END AS kms_id,
    CASE WHEN e.event_source = 'kms.amazonaws.com' AND e.action_class = 'crypto' THEN e.event_id END AS crypto_id,
    CASE WHEN e.event_source = 'kms.amazonaws.com' AND e.action_class NOT IN ('crypto', 'read') THEN e.event_id END AS admin_id,
    CASE WHEN e.event_source <> 'kms.amazonaws.com' THEN e.event_id END AS adjacent_id,
    CASE WHEN e.event_source = 'kms.amazonaws.com' THEN e.event_time END AS kms_time,
    CASE WHEN e.event_source = 'kms.amazonaws.com' AND e.action_class = 'crypto' THEN e.event_time END AS crypto_time,
    CASE WHEN e.event_source = 'kms.amazonaws.com' THEN e.event_epoch END AS kms_epoch,
    CASE WHEN e.event_source = 'kms.amazonaws.com' AND e.action_class = 'crypto' THEN e.event_epoch END AS crypto_epoch
  FROM events AS e
)
SELECT
  p.account_id,
  p.region,
  p.hour_epoch,
  CAST(COUNT(p.kms_id) AS BIGINT) AS kms_count,
  CAST(COUNT(p.crypto_id) AS BIGINT) AS crypto_count,
  CAST(COUNT(p.admin_id) AS BIGINT) AS admin_count,
  CAST(COUNT(p.adjacent_id) AS BIGINT) AS adjacent_count,
  MIN(p.event_time) AS first_time,
  MAX(p.event_time) AS last_time,
  MIN(p.event_epoch) AS first_epoch,
  MAX(p.event_epoch) AS last_epoch,
  MIN(p.kms_time) AS first_kms_time,
  MAX(p.kms_time) AS last_kms_time,
  MIN(p.crypto_time) AS first_crypto_time,
  MAX(p.crypto_time) AS last_crypto_time,
  MIN(p.kms_epoch) AS first_kms_epoch,
  MAX(p.kms_epoch) AS last_kms_epoch,
  MIN(p.crypto_epoch) AS first_crypto_epoch,
  MAX(p.crypto_epoch) AS last_crypto_epoch,
  MIN(p.kms_id) AS kms_event_id,
  MIN(p.crypto_id) AS crypto_event_id,
  MIN(p.adjacent_id) AS adjacent_event_id
FROM placed_events AS p
GROUP BY p.account_id, p.region, p.hour_epoch
ORDER BY hour_epoch, account_id, region
