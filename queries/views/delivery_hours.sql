-- title: Deliveries of each place, hour by hour
-- description: The log files of each account and Region by the hour of their delivery, from their names; files with other
--   names count in the hour of their latest record. Files whose account or Region neither name nor records tell are left
--   out.
-- reads: log_files
-- partition: hour
-- column: account_id: The account that received the records.
-- column: region: The Region the files were made in.
-- column: hour_epoch: Start of the hour, seconds since 1970-01-01 UTC.
-- column: file_count: Files; one that was read again after a change counts once.
-- column: record_count: Records in them, of all services, repeated deliveries among them.
-- column: kms_count: KMS records in them that became rows, repeated deliveries among them.
-- column: first_delivery_time: Earliest delivery; NULL when no file has a delivery time in its name.
-- column: last_delivery_time: Latest delivery.
-- column: first_time: Earliest record that was looked at: those that concern keys, and the first of each file.
-- column: last_time: Latest record that was looked at.
-- column: max_lag_seconds: The longest time from a record that was looked at to its delivery.
-- column: early_count: Files delivered before a record in them was made, which CloudTrail never does.
SELECT
  f.account_id,
  f.region,
  f.hour_epoch,
  CAST(COUNT(DISTINCT f.path) AS BIGINT) AS file_count,
  CAST(SUM(f.records) AS BIGINT) AS record_count,
  CAST(SUM(f.kms_records) AS BIGINT) AS kms_count,
  MIN(f.delivery_time) AS first_delivery_time,
  MAX(f.delivery_time) AS last_delivery_time,
  MIN(f.first_time) AS first_time,
  MAX(f.last_time) AS last_time,
  MAX(f.delivery_epoch - f.first_epoch) AS max_lag_seconds,
  CAST(COUNT(CASE WHEN f.last_epoch > f.delivery_epoch THEN 1 END) AS BIGINT) AS early_count
FROM log_files AS f
WHERE f.account_id IS NOT NULL
  AND f.region IS NOT NULL
  AND f.hour_epoch IS NOT NULL
GROUP BY f.account_id, f.region, f.hour_epoch
ORDER BY hour_epoch, account_id, region
