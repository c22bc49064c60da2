-- title: Audit logs opened by a newcomer
-- severity: medium
-- attack: T1530, T1654
-- description: A principal that never opened audit logs in the first part of the evidence decrypted CloudTrail files,
--   CloudWatch log groups or other logs under AWSLogs/. The logs show an intruder what the defenders see. High when it
--   opened a hundred different ones or more within an hour.
-- false-positives: A new SIEM or a new auditor: one finding each. Whoever opened logs in the first part of the
--   evidence, services' own principals and service-linked roles are left out.
-- blind-spots: Who reads logs only in the first part of the evidence, or uses a reader's role. With S3 Bucket Keys, or
--   logs that KMS does not encrypt, reading leaves no Decrypt for each file.
-- reads: events, repeated_copies
-- params: training_days = 14, training_percent = 50, many_objects = 100
WITH reading_hours AS (
  SELECT
    e.principal,
    e.event_epoch - (e.event_epoch % 3600) AS hour_epoch,
    MIN(e.event_time) AS first_time,
    MAX(e.event_time) AS last_time,
    MIN(e.event_epoch) AS first_epoch,
    MIN(e.account_id) AS account_id,
    MIN(e.region) AS region,
    MAX(e.region) AS last_region,
    MIN(e.key_arn) AS key_arn,
    MAX(e.key_arn) AS last_key_arn,
    MIN(e.source_ip) AS source_ip,
    MAX(e.source_ip) AS last_source_ip,
    MIN(e.via) AS via,
    MIN(e.context_class) AS context_class,
    MIN(e.context_resource) AS context_resource,
    CAST(COUNT(*) AS BIGINT) AS call_count
  FROM events AS e
  ANTI JOIN repeated_copies AS r ON r.repeated_id = e.event_id
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.event_name = 'Decrypt'
    AND e.outcome = 'ok'
    AND NOT COALESCE(e.is_dry_run, FALSE)
    AND (e.context_class IN ('cloudtrail', 'logs')
      OR (e.context_class = 's3_object' AND e.context_resource LIKE '%/AWSLogs/%'))
    AND e.principal NOT LIKE 'service:%'
    AND e.principal NOT LIKE '%:role/aws-service-role/%'
  GROUP BY e.principal, e.event_epoch - (e.event_epoch % 3600)
), readers AS (
  SELECT
    h.principal,
    MIN(h.first_time) AS first_time,
    MAX(h.last_time) AS last_time,
    MIN(h.first_epoch) AS first_epoch,
    MIN(h.account_id) AS account_id,
    MIN(h.region) AS region,
    MAX(h.last_region) AS last_region,
    MIN(h.key_arn) AS key_arn,
    MAX(h.last_key_arn) AS last_key_arn,
    MIN(h.source_ip) AS source_ip,
    MAX(h.last_source_ip) AS last_source_ip,
    MIN(h.via) AS via,
    MIN(h.context_class) AS context_class,
    MIN(h.context_resource) AS context_resource,
    CAST(SUM(h.call_count) AS BIGINT) AS event_count,
    CAST(COUNT(*) AS BIGINT) AS hour_count
  FROM reading_hours AS h
  GROUP BY h.principal
), newcomers AS (
  -- The training is the first days of the evidence, or the first half of it when that is shorter.
  SELECT
    n.principal, n.first_time, n.last_time, n.first_epoch, n.account_id, n.region, n.last_region, n.key_arn, n.last_key_arn,
    n.source_ip, n.last_source_ip, n.via, n.context_class, n.context_resource, n.event_count, n.hour_count,
    n.first_epoch - x.first_epoch AS seconds_without
  FROM readers AS n
  CROSS JOIN evidence AS x
  CROSS JOIN params AS p
  WHERE n.first_epoch > x.first_epoch
    AND (n.first_epoch - x.first_epoch >= p.training_days * 86400
      OR (n.first_epoch - x.first_epoch) * 100 >= (x.last_epoch - x.first_epoch) * p.training_percent)
), newcomer_calls AS (
  SELECT
    c.principal,
    c.event_epoch,
    c.event_epoch - (c.event_epoch % 3600) AS hour_epoch,
    c.event_id,
    c.encryption_context
  FROM events AS c
  SEMI JOIN newcomers AS m ON m.principal = c.principal
  ANTI JOIN repeated_copies AS d ON d.repeated_id = c.event_id
  WHERE c.event_source = 'kms.amazonaws.com'
    AND c.event_name = 'Decrypt'
    AND c.outcome = 'ok'
    AND NOT COALESCE(c.is_dry_run, FALSE)
    AND (c.context_class IN ('cloudtrail', 'logs')
      OR (c.context_class = 's3_object' AND c.context_resource LIKE '%/AWSLogs/%'))
), object_hours AS (
  SELECT o.principal, o.hour_epoch, CAST(COUNT(DISTINCT o.encryption_context) AS BIGINT) AS object_count
  FROM newcomer_calls AS o
  GROUP BY o.principal, o.hour_epoch
), peaks AS (
  SELECT k.principal AS peak_principal, MAX(k.object_count) AS peak_count
  FROM object_hours AS k
  GROUP BY k.principal
), numbered_calls AS (
  SELECT
    a.principal,
    a.event_id,
    CAST(ROW_NUMBER() OVER (PARTITION BY a.principal ORDER BY a.event_epoch, a.event_id) AS BIGINT) AS call_no
  FROM newcomer_calls AS a
), call_ids AS (
  SELECT i.principal AS id_principal, STRING_AGG(i.event_id, ',') AS event_ids
  FROM numbered_calls AS i
  WHERE i.call_no <= 1000
  GROUP BY i.principal
)
SELECT
  w.first_time,
  w.last_time,
  w.account_id,
  CASE WHEN w.region = w.last_region THEN w.region END AS region,
  CASE WHEN w.key_arn = w.last_key_arn THEN w.key_arn END AS key_arn,
  w.principal,
  CASE WHEN w.source_ip = w.last_source_ip THEN w.source_ip END AS source_ip,
  w.event_count,
  CASE WHEN y.peak_count >= q.many_objects THEN 'high' ELSE 'medium' END AS severity,
  w.principal || ' decrypted audit logs with ' || CAST(w.event_count AS STRING) || ' calls, such as '
    || COALESCE(w.context_resource, 'an unnamed log') || ' (different encryption contexts in the busiest hour: '
    || CAST(y.peak_count AS STRING) || '), after none in the first '
    || CAST(CAST((w.seconds_without - (w.seconds_without % 3600)) / 3600 AS BIGINT) AS STRING) || ' hours of the evidence.' AS summary,
  z.event_ids,
  w.context_class,
  w.context_resource,
  y.peak_count AS objects_per_hour,
  w.hour_count,
  w.via
FROM newcomers AS w
JOIN peaks AS y ON y.peak_principal = w.principal
JOIN call_ids AS z ON z.id_principal = w.principal
CROSS JOIN params AS q
ORDER BY first_time, principal
