-- title: Key timeline
-- description: What happened on each key, hour by hour: one row per key, hour, class of operation and outcome. The
--   second copies of cross-account calls are left out.
-- reads: events, repeated_copies
-- partition: hour
-- column: key_arn: Canonical ARN of the key; for ReEncrypt the source key has a row and the destination key has one.
-- column: hour_epoch: Start of the hour, seconds since 1970-01-01 UTC.
-- column: action_class: Class of operation.
-- column: reveals_plaintext: The operations gave plaintext or a plaintext key to the caller.
-- column: outcome: ok, denied, throttled or failed.
-- column: event_count: Actions.
-- column: direct_count: Actions that no AWS service made for the principal.
-- column: dry_run_count: Calls that only asked whether they would be allowed.
-- column: principal_count: Principals that acted.
-- column: resource_count: Distinct resources named by the encryption contexts.
-- column: source_ip_count: Distinct source addresses.
-- column: first_time: First action.
-- column: last_time: Last action.
WITH key_actions AS (
  SELECT
    e.key_arn,
    e.event_epoch - (e.event_epoch % 3600) AS hour_epoch,
    e.event_time,
    e.action_class,
    COALESCE(e.reveals_plaintext, FALSE) AS reveals_plaintext,
    e.outcome,
    e.principal,
    e.context_resource,
    e.source_ip,
    CASE WHEN e.is_direct THEN 1 END AS direct_mark,
    CASE WHEN e.is_dry_run THEN 1 END AS dry_run_mark
  FROM events AS e
  ANTI JOIN repeated_copies AS r ON r.repeated_id = e.event_id
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.key_arn IS NOT NULL
  UNION ALL
  SELECT
    t.target_key_arn AS key_arn,
    t.event_epoch - (t.event_epoch % 3600) AS hour_epoch,
    t.event_time,
    t.action_class,
    FALSE AS reveals_plaintext,
    t.outcome,
    t.principal,
    t.context_resource,
    t.source_ip,
    CASE WHEN t.is_direct THEN 1 END AS direct_mark,
    CASE WHEN t.is_dry_run THEN 1 END AS dry_run_mark
  FROM events AS t
  ANTI JOIN repeated_copies AS d ON d.repeated_id = t.event_id
  WHERE t.event_source = 'kms.amazonaws.com'
    AND t.event_name = 'ReEncrypt'
    AND t.target_key_arn IS NOT NULL
    AND (t.target_key_arn IS DISTINCT FROM t.key_arn)
)
SELECT
  a.key_arn,
  a.hour_epoch,
  a.action_class,
  a.reveals_plaintext,
  a.outcome,
  CAST(COUNT(*) AS BIGINT) AS event_count,
  CAST(COUNT(a.direct_mark) AS BIGINT) AS direct_count,
  CAST(COUNT(a.dry_run_mark) AS BIGINT) AS dry_run_count,
  CAST(COUNT(DISTINCT a.principal) AS BIGINT) AS principal_count,
  CAST(COUNT(DISTINCT a.context_resource) AS BIGINT) AS resource_count,
  CAST(COUNT(DISTINCT a.source_ip) AS BIGINT) AS source_ip_count,
  MIN(a.event_time) AS first_time,
  MAX(a.event_time) AS last_time
FROM key_actions AS a
GROUP BY a.key_arn, a.hour_epoch, a.action_class, a.reveals_plaintext, a.outcome
ORDER BY hour_epoch, key_arn, action_class, reveals_plaintext, outcome
