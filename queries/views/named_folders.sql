-- title: Folders that trails write log objects into
-- description: One row per folder of the log objects that CloudTrail names. Folders with the same path in two buckets are
--   one row: the path of a file on disk does not tell its bucket.
-- reads: named_objects
-- column: folder: `[organization/]account/CloudTrail/Region`.
-- column: trail_arn: The trail that writes into it; of several the first one by name.
-- column: trail_count: Trails that write into it, as far as they encrypt with a KMS key.
-- column: object_count: Log objects named; one that is named on two days counts twice.
-- column: first_slot_hour: Hour of the first delivery slot among them, seconds since 1970-01-01 UTC.
-- column: last_slot_hour: Hour of the last one.
SELECT
  n.folder,
  MIN(n.trail_arn) AS trail_arn,
  CAST(COUNT(DISTINCT n.trail_arn) AS BIGINT) AS trail_count,
  CAST(COUNT(*) AS BIGINT) AS object_count,
  MIN(n.hour_epoch) AS first_slot_hour,
  MAX(n.hour_epoch) AS last_slot_hour
FROM named_objects AS n
GROUP BY n.folder
ORDER BY folder
