-- title: Ends of keys
-- description: One row per key that KMS deleted in the evidence: when, and the event that says so. Everything under the
--   key ended with it, its grants too.
-- reads: events
-- column: key_arn: The key.
-- column: deleted_time: First DeleteKey event.
-- column: deleted_epoch: `deleted_time` in seconds.
-- column: deleted_by: The principal of that event, KMS itself.
-- column: delete_event_id: That event.
WITH key_end_rows AS (
  SELECT
    d.key_arn,
    d.event_time,
    d.event_epoch,
    d.principal,
    d.event_id,
    CAST(ROW_NUMBER() OVER (PARTITION BY d.key_arn ORDER BY d.event_epoch, d.event_id) AS BIGINT) AS delete_no
  FROM events AS d
  WHERE d.event_source = 'kms.amazonaws.com'
    AND d.event_name = 'DeleteKey'
    AND d.outcome = 'ok'
    AND d.key_arn IS NOT NULL
)
SELECT
  k.key_arn,
  k.event_time AS deleted_time,
  k.event_epoch AS deleted_epoch,
  k.principal AS deleted_by,
  k.event_id AS delete_event_id
FROM key_end_rows AS k
WHERE k.delete_no = 1
ORDER BY key_arn
