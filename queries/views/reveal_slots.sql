-- title: Plaintext given, by ten minutes
-- description: How often each principal got plaintext, and from how many different things, in slots of ten minutes:
--   one row per principal, operation and slot. Detections take it as an upper bound, so that they look closely only
--   where something can be found. Services' own principals and service-linked roles are left out, and so are data
--   keys that a service asked for in order to write.
-- reads: events, repeated_copies
-- partition: hour
-- column: principal: Canonical principal.
-- column: operation: The event name, such as `Decrypt`.
-- column: slot_epoch: Start of the slot, seconds since 1970-01-01 UTC.
-- column: call_count: Successful calls, dry runs left out.
-- column: key_count: Different keys.
-- column: secret_count: Different secrets that the encryption contexts name.
-- column: parameter_count: Different parameters.
-- column: object_count: Different S3 objects.
-- column: disk_count: Different EBS volumes and snapshots and RDS databases.
WITH revealing_calls AS (
  SELECT
    e.principal,
    e.event_name AS operation,
    e.event_epoch - (e.event_epoch % 600) AS slot_epoch,
    e.key_arn,
    CASE WHEN e.context_class = 'secret' THEN e.context_resource END AS secret,
    CASE WHEN e.context_class = 'parameter' THEN e.context_resource END AS parameter,
    CASE WHEN e.context_class = 's3_object' THEN e.context_resource END AS object,
    CASE WHEN e.context_class IN ('ebs_volume', 'ebs_snapshot', 'rds') THEN e.context_resource END AS disk
  FROM events AS e
  ANTI JOIN repeated_copies AS r ON r.repeated_id = e.event_id
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.reveals_plaintext
    AND e.outcome = 'ok'
    AND NOT COALESCE(e.is_dry_run, FALSE)
    AND e.principal NOT LIKE 'service:%'
    AND e.principal NOT LIKE '%:role/aws-service-role/%'
    AND (e.is_direct OR e.event_name NOT LIKE 'GenerateDataKey%')
)
SELECT
  c.principal,
  c.operation,
  c.slot_epoch,
  CAST(COUNT(*) AS BIGINT) AS call_count,
  CAST(COUNT(DISTINCT c.key_arn) AS BIGINT) AS key_count,
  CAST(COUNT(DISTINCT c.secret) AS BIGINT) AS secret_count,
  CAST(COUNT(DISTINCT c.parameter) AS BIGINT) AS parameter_count,
  CAST(COUNT(DISTINCT c.object) AS BIGINT) AS object_count,
  CAST(COUNT(DISTINCT c.disk) AS BIGINT) AS disk_count
FROM revealing_calls AS c
GROUP BY c.principal, c.operation, c.slot_epoch
ORDER BY slot_epoch, principal, operation
