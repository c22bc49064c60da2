-- title: Calls fail because their key is pending deletion
-- severity: high
-- attack: T1485, T1489
-- description: Somebody still needs a key that is about to be deleted: cryptographic calls fail because it is pending
--   deletion. This is the last warning before the data under the key is lost; the finding names who scheduled the
--   deletion and how long it can still be cancelled.
-- false-positives: The tail of a decommissioning, such as a monitoring job that nobody switched off.
-- blind-spots: Services cache data keys and may not call at all until it is too late. Calls that a service makes
--   without the caller's rights name the service.
-- reads: events, repeated_copies
WITH failed_uses AS (
  SELECT
    e.key_arn,
    COALESCE(e.principal, 'an unnamed principal') AS caller,
    e.principal,
    e.event_id,
    e.event_time,
    e.event_epoch,
    e.account_id,
    e.region,
    e.source_ip,
    e.via,
    e.context_resource,
    CAST(ROW_NUMBER() OVER (PARTITION BY e.key_arn, e.principal ORDER BY e.event_epoch, e.event_id) AS BIGINT) AS failure_no
  FROM events AS e
  ANTI JOIN repeated_copies AS r ON r.repeated_id = e.event_id
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.action_class = 'crypto'
    AND e.outcome = 'failed'
    AND e.key_state_error = 'pending_deletion'
    AND NOT COALESCE(e.is_dry_run, FALSE)
    AND e.key_arn IS NOT NULL
), failures AS (
  SELECT
    f.key_arn,
    f.caller,
    MIN(f.principal) AS principal,
    MIN(f.event_time) AS first_time,
    MAX(f.event_time) AS last_time,
    MIN(f.event_epoch) AS first_epoch,
    MAX(f.event_epoch) AS last_epoch,
    MIN(f.account_id) AS account_id,
    MIN(f.region) AS region,
    MIN(f.source_ip) AS source_ip,
    MIN(f.via) AS via,
    CAST(COUNT(DISTINCT f.source_ip) AS BIGINT) AS source_ip_count,
    CAST(COUNT(DISTINCT f.context_resource) AS BIGINT) AS resource_count,
    MIN(f.context_resource) AS first_resource,
    CAST(COUNT(*) AS BIGINT) AS event_count
  FROM failed_uses AS f
  GROUP BY f.key_arn, f.caller
), failure_ids AS (
  SELECT
    i.key_arn AS id_key,
    i.caller AS id_caller,
    STRING_AGG(i.event_id, ',') AS event_ids
  FROM failed_uses AS i
  WHERE i.failure_no <= 1000
  GROUP BY i.key_arn, i.caller
), schedules AS (
  SELECT
    s.key_arn AS scheduled_key,
    s.event_epoch AS schedule_epoch,
    -s.event_epoch AS negative_epoch,
    s.event_time AS scheduled_time,
    s.principal AS scheduled_by,
    s.deletion_time,
    s.event_epoch + s.pending_window_days * 86400 AS deletion_epoch,
    s.event_id AS schedule_id
  FROM events AS s
  WHERE s.event_source = 'kms.amazonaws.com'
    AND s.event_name = 'ScheduleKeyDeletion'
    AND s.outcome = 'ok'
    AND s.key_arn IS NOT NULL
), causes AS (
  SELECT
    a.key_arn AS cause_key,
    a.caller AS cause_caller,
    b.scheduled_time,
    b.scheduled_by,
    b.deletion_time,
    b.deletion_epoch,
    CAST(ROW_NUMBER() OVER (PARTITION BY a.key_arn, a.caller ORDER BY b.negative_epoch, b.schedule_id) AS BIGINT) AS cause_no
  FROM failures AS a
  JOIN schedules AS b ON b.scheduled_key = a.key_arn
  WHERE b.schedule_epoch <= a.last_epoch
), last_causes AS (
  SELECT c.cause_key, c.cause_caller, c.scheduled_time, c.scheduled_by, c.deletion_time, c.deletion_epoch
  FROM causes AS c
  WHERE c.cause_no = 1
), judged AS (
  SELECT
    j.key_arn, j.caller, j.principal, j.first_time, j.last_time, j.last_epoch, j.account_id, j.region, j.source_ip, j.via,
    j.source_ip_count, j.resource_count, j.first_resource, j.event_count,
    k.scheduled_time, k.scheduled_by, k.deletion_time, k.deletion_epoch,
    CAST(FLOOR(CAST(k.deletion_epoch - j.last_epoch AS DOUBLE) / 86400.0) AS BIGINT) AS days_left
  FROM failures AS j
  LEFT JOIN last_causes AS k ON k.cause_key = j.key_arn AND k.cause_caller = j.caller
)
SELECT
  d.first_time,
  d.last_time,
  d.account_id,
  d.region,
  d.key_arn,
  d.principal,
  CASE WHEN d.source_ip_count = 1 THEN d.source_ip END AS source_ip,
  d.event_count,
  'high' AS severity,
  CAST(d.event_count AS STRING) || ' calls by ' || d.caller || COALESCE(' via ' || d.via, '') || ' failed because ' || d.key_arn
    || ' is pending deletion' || COALESCE(' (needed for ' || d.first_resource || ')', '')
    || CASE WHEN d.deletion_epoch IS NULL THEN '; who scheduled the deletion is not in the evidence.'
            ELSE '; ' || COALESCE(d.scheduled_by, 'an unnamed principal') || ' scheduled it, and at the last failure '
              || CAST(d.days_left AS STRING) || ' days were left to cancel.' END AS summary,
  n.event_ids,
  d.scheduled_by,
  d.scheduled_time,
  d.deletion_time,
  d.days_left,
  d.resource_count,
  d.first_resource,
  d.via
FROM judged AS d
JOIN failure_ids AS n ON n.id_key = d.key_arn AND n.id_caller = d.caller
ORDER BY first_time, key_arn, principal NULLS LAST
