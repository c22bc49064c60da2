-- title: Coverage of the evidence, hour by hour
-- description: What was delivered and recorded in each account and Region, one row for every hour with a log file, a kept
--   record, or a gap. An hour without a row has none of these and is no gap by the place's own rhythm; whether something
--   happened in it the evidence cannot tell. Records count in the hour of their file's delivery, events in their own.
-- reads: delivery_hours, place_hours, gap_hours
-- partition: hour
-- column: account_id: The account that received the records.
-- column: region: The Region.
-- column: hour: Start of the hour, seconds since 1970-01-01 UTC.
-- column: files: Log files delivered.
-- column: records: Records in them, of all services, repeated deliveries among them.
-- column: kms_events: KMS events of this hour.
-- column: key_use_events: Those of them that use keys.
-- column: adjacent_events: Events of other services that the case keeps.
-- column: first_event: First of these events.
-- column: last_event: Last of these events.
-- column: max_delivery_lag_s: Seconds from the oldest record looked at in a file of this hour to its delivery.
-- column: is_gap: The hour lies in a gap: by the place's own rhythm there should be a sign.
WITH parts AS (
  SELECT
    d.account_id, d.region, d.hour_epoch, d.file_count AS files, d.record_count AS records, CAST(0 AS BIGINT) AS kms_events,
    CAST(0 AS BIGINT) AS key_use_events, CAST(0 AS BIGINT) AS adjacent_events, CAST(NULL AS TIMESTAMP) AS first_event,
    CAST(NULL AS TIMESTAMP) AS last_event, d.max_lag_seconds, CAST(0 AS BIGINT) AS gaps
  FROM delivery_hours AS d
  UNION ALL
  SELECT
    h.account_id, h.region, h.hour_epoch, CAST(0 AS BIGINT) AS files, CAST(0 AS BIGINT) AS records, h.kms_count AS kms_events,
    h.crypto_count AS key_use_events, h.adjacent_count AS adjacent_events, h.first_time AS first_event,
    h.last_time AS last_event, CAST(NULL AS BIGINT) AS max_lag_seconds, CAST(0 AS BIGINT) AS gaps
  FROM place_hours AS h
  UNION ALL
  SELECT
    g.account_id, g.region, g.hour_epoch, CAST(0 AS BIGINT) AS files, CAST(0 AS BIGINT) AS records,
    CAST(0 AS BIGINT) AS kms_events, CAST(0 AS BIGINT) AS key_use_events, CAST(0 AS BIGINT) AS adjacent_events,
    CAST(NULL AS TIMESTAMP) AS first_event, CAST(NULL AS TIMESTAMP) AS last_event, CAST(NULL AS BIGINT) AS max_lag_seconds,
    CAST(1 AS BIGINT) AS gaps
  FROM gap_hours AS g
)
SELECT
  p.account_id,
  p.region,
  p.hour_epoch AS hour,
  CAST(SUM(p.files) AS BIGINT) AS files,
  CAST(SUM(p.records) AS BIGINT) AS records,
  CAST(SUM(p.kms_events) AS BIGINT) AS kms_events,
  CAST(SUM(p.key_use_events) AS BIGINT) AS key_use_events,
  CAST(SUM(p.adjacent_events) AS BIGINT) AS adjacent_events,
  MIN(p.first_event) AS first_event,
  MAX(p.last_event) AS last_event,
  MAX(p.max_lag_seconds) AS max_delivery_lag_s,
  CASE WHEN MAX(p.gaps) = 1 THEN TRUE ELSE FALSE END AS is_gap
FROM parts AS p
GROUP BY p.account_id, p.region, p.hour_epoch
ORDER BY hour, account_id, region
