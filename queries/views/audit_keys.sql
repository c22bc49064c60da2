-- title: Keys that protect the evidence
-- description: One row per key under which an audit service writes: CloudTrail's log files, CloudWatch log groups, the
--   deliveries of AWS Config, GuardDuty's exported findings. A key is one when such a service made data keys with it, or
--   when a trail or a log group was given it in the evidence. Whoever breaks such a key stops the recording or makes the
--   records unreadable. AWS Config also decrypts other services' data; that alone makes no audit key.
-- reads: use_hours, trails, admin_events
-- column: key_arn: The key.
-- column: services: What is written under it: cloudtrail, logs, config, guardduty; sorted, comma-separated.
-- column: main_service: The first of them.
-- column: known_epoch: Since when the evidence shows it, in seconds.
-- column: last_write_epoch: Last data key for such a service, in seconds; NULL when the evidence has none.
-- column: write_count: Data keys for such services.
WITH audit_uses AS (
  SELECT
    u.key_arn,
    CASE
      WHEN u.data_class = 'cloudtrail' OR u.via LIKE 'cloudtrail.%' OR u.principal LIKE 'service:cloudtrail.%' THEN 'cloudtrail'
      WHEN u.via LIKE 'config.%' OR u.principal LIKE 'service:config.%' THEN 'config'
      WHEN u.via LIKE 'guardduty.%' OR u.principal LIKE 'service:guardduty.%' THEN 'guardduty'
      ELSE 'logs'
    END AS service,
    u.first_epoch AS known_epoch,
    u.last_epoch AS write_epoch,
    u.call_count
  FROM use_hours AS u
  WHERE u.operation IN ('GenerateDataKey', 'GenerateDataKeyWithoutPlaintext', 'Encrypt')
    AND (u.data_class IN ('cloudtrail', 'logs')
      OR u.via LIKE 'cloudtrail.%' OR u.via LIKE 'logs.%' OR u.via LIKE 'delivery.logs.%' OR u.via LIKE 'config.%'
      OR u.via LIKE 'guardduty.%'
      OR u.principal LIKE 'service:cloudtrail.%' OR u.principal LIKE 'service:logs.%'
      OR u.principal LIKE 'service:delivery.logs.%' OR u.principal LIKE 'service:config.%'
      OR u.principal LIKE 'service:guardduty.%')
), audit_settings AS (
  SELECT t.kms_key AS key_arn, 'cloudtrail' AS service, t.event_epoch AS known_epoch
  FROM trails AS t
  WHERE t.kms_key LIKE '%:key/%'
  UNION ALL
  SELECT
    SPLIT_PART(SPLIT_PART(REPLACE(a.request_parameters, '": ', '":'), '"kmsKeyId":"', 2), '"', 1) AS key_arn,
    'logs' AS service,
    a.event_epoch AS known_epoch
  FROM admin_events AS a
  WHERE a.event_source = 'logs.amazonaws.com'
    AND a.event_name = 'AssociateKmsKey'
    AND a.is_ok
    AND a.request_parameters LIKE '%:key/%'
), key_services AS (
  SELECT
    x.key_arn, x.service,
    MIN(x.known_epoch) AS known_epoch,
    MAX(x.write_epoch) AS write_epoch,
    CAST(SUM(x.call_count) AS BIGINT) AS write_count
  FROM audit_uses AS x
  GROUP BY x.key_arn, x.service
  UNION ALL
  SELECT
    y.key_arn, y.service,
    MIN(y.known_epoch) AS known_epoch,
    CAST(NULL AS BIGINT) AS write_epoch,
    CAST(0 AS BIGINT) AS write_count
  FROM audit_settings AS y
  GROUP BY y.key_arn, y.service
)
SELECT
  k.key_arn,
  STRING_AGG(DISTINCT k.service, ',') AS services,
  MIN(k.service) AS main_service,
  MIN(k.known_epoch) AS known_epoch,
  MAX(k.write_epoch) AS last_write_epoch,
  CAST(SUM(k.write_count) AS BIGINT) AS write_count
FROM key_services AS k
WHERE k.key_arn LIKE 'arn:%'
GROUP BY k.key_arn
ORDER BY key_arn
