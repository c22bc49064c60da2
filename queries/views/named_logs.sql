-- title: Log objects named and log files on disk
-- description: Which log objects CloudTrail says that it wrote (`named_objects`) are among the files, and which files of
--   the folders they belong to it never names. A named object that is absent was deleted or not collected. A file that is
--   never named was written by another trail into the same folder, or by somebody else; the files before the first and after
--   the last record that names an object of the folder are not judged.
-- reads: named_objects, log_files, named_folders
-- partition: hour
-- column: status: `found` and `absent` for a named object; `never_named` for a file.
-- column: trail_arn: The trail that wrote the object; for a file that is never named, one that writes into its folder.
-- column: folder: `[organization/]account/CloudTrail/Region`.
-- column: account_id: The account whose records the object holds.
-- column: region: The Region it was made in.
-- column: hour_epoch: Start of the hour of its delivery, seconds since 1970-01-01 UTC.
-- column: object_id: Region, delivery slot and random part of its name, in lower case.
-- column: object_arn: The object; NULL for a file that is never named.
-- column: path: The file; NULL for an object that is absent.
-- column: named_time: When CloudTrail first named it.
-- column: event_id: The record that names it.
WITH objects AS (
  SELECT
    o.object_arn, o.object_id, o.hour_epoch, o.folder, o.account_id, o.region,
    MIN(o.trail_arn) AS trail_arn,
    MIN(o.named_time) AS named_time,
    MIN(o.event_id) AS event_id
  FROM named_objects AS o
  WHERE o.hour_epoch IS NOT NULL
  GROUP BY o.object_arn, o.object_id, o.hour_epoch, o.folder, o.account_id, o.region
), files AS (
  SELECT f.object_id AS file_object, MIN(f.path) AS path
  FROM log_files AS f
  WHERE f.object_id IS NOT NULL
    AND f.hour_epoch IS NOT NULL
  GROUP BY f.object_id
), named_ids AS (
  SELECT DISTINCT n.object_id AS named_id
  FROM objects AS n
), unnamed_files AS (
  SELECT
    u.folder, u.account_id, u.region, u.hour_epoch, u.object_id, u.path,
    g.trail_arn
  FROM log_files AS u
  JOIN named_folders AS g ON g.folder = u.folder
  LEFT JOIN named_ids AS i ON i.named_id = u.object_id
  WHERE u.object_id IS NOT NULL
    AND i.named_id IS NULL
    AND u.hour_epoch > g.first_slot_hour
    AND u.hour_epoch < g.last_slot_hour
)
SELECT
  CASE WHEN d.file_object IS NULL THEN 'absent' ELSE 'found' END AS status,
  b.trail_arn, b.folder, b.account_id, b.region, b.hour_epoch, b.object_id, b.object_arn, d.path, b.named_time, b.event_id
FROM objects AS b
LEFT JOIN files AS d ON d.file_object = b.object_id
UNION ALL
SELECT
  'never_named' AS status,
  v.trail_arn, v.folder, v.account_id, v.region, v.hour_epoch, v.object_id, CAST(NULL AS STRING) AS object_arn, v.path,
  CAST(NULL AS TIMESTAMP) AS named_time, CAST(NULL AS STRING) AS event_id
FROM unnamed_files AS v
ORDER BY hour_epoch, status, object_id, trail_arn, object_arn, path
