-- title: Principal timeline
-- description: What each principal did, hour by hour: one row per principal, hour, class of operation and outcome.
--   Besides KMS calls it holds the adjacent ones (trail, monitoring, identity, service_config), which tell the story
--   around them. The second copies of cross-account calls are left out.
-- reads: events, repeated_copies
-- partition: hour
-- column: principal: Canonical principal.
-- column: hour_epoch: Start of the hour, seconds since 1970-01-01 UTC.
-- column: action_class: Class of operation.
-- column: reveals_plaintext: The operations gave plaintext or a plaintext key to the caller.
-- column: outcome: ok, denied, throttled or failed.
-- column: event_count: Actions.
-- column: direct_count: Actions that no AWS service made for the principal.
-- column: dry_run_count: Calls that only asked whether they would be allowed.
-- column: key_count: Keys acted on.
-- column: resource_count: Distinct resources named by the encryption contexts.
-- column: source_ip_count: Distinct source addresses.
-- column: first_time: First action.
-- column: last_time: Last action.
WITH principal_actions AS (
  SELECT
    e.principal,
    e.event_epoch - (e.event_epoch % 3600) AS hour_epoch,
    e.event_time,
    e.action_class,
    COALESCE(e.reveals_plaintext, FALSE) AS reveals_plaintext,
    e.outcome,
    e.key_arn,
    e.context_resource,
    e.source_ip,
    CASE WHEN e.is_direct THEN 1 END AS direct_mark,
    CASE WHEN e.is_dry_run THEN 1 END AS dry_run_mark
  FROM events AS e
  ANTI JOIN repeated_copies AS r ON r.repeated_id = e.event_id
  WHERE e.principal IS NOT NULL
)
SELECT
  a.principal,
  a.hour_epoch,
  a.action_class,
  a.reveals_plaintext,
  a.outcome,
  CAST(COUNT(*) AS BIGINT) AS event_count,
  CAST(COUNT(a.direct_mark) AS BIGINT) AS direct_count,
  CAST(COUNT(a.dry_run_mark) AS BIGINT) AS dry_run_count,
  CAST(COUNT(DISTINCT a.key_arn) AS BIGINT) AS key_count,
  CAST(COUNT(DISTINCT a.context_resource) AS BIGINT) AS resource_count,
  CAST(COUNT(DISTINCT a.source_ip) AS BIGINT) AS source_ip_count,
  MIN(a.event_time) AS first_time,
  MAX(a.event_time) AS last_time
FROM principal_actions AS a
GROUP BY a.principal, a.hour_epoch, a.action_class, a.reveals_plaintext, a.outcome
ORDER BY hour_epoch, principal, action_class, reveals_plaintext, outcome
