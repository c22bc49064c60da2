-- title: Principals by day
-- description: How much each principal did with KMS, day by day: what principals adds up. Sessions of one role are one
--   principal. The second copies of cross-account calls are left out.
-- reads: events, repeated_copies
-- partition: day
-- column: principal: Canonical principal.
-- column: day_epoch: Start of the UTC day, seconds since 1970-01-01 UTC.
-- column: principal_type: CloudTrail's identity type; of several, the first in alphabetical order.
-- column: principal_account_id: The principal's account; NULL for AWS services.
-- column: first_time: First KMS event.
-- column: last_time: Last KMS event.
-- column: first_epoch: `first_time` in seconds.
-- column: last_epoch: `last_time` in seconds.
-- column: event_count: KMS actions.
-- column: use_count: Successful cryptographic uses, dry runs left out.
-- column: reveal_count: Those of them that gave plaintext or a plaintext key.
-- column: direct_use_count: Those uses that no AWS service made for the principal.
-- column: admin_count: Successful actions that are neither use nor reading.
-- column: read_count: Successful calls that only look.
-- column: denied_count: Refused actions.
-- column: dry_run_count: Calls that only asked whether they would be allowed.
-- column: source_ip: The first source address in text order.
WITH principal_actions AS (
  SELECT
    e.principal,
    e.event_epoch - (e.event_epoch % 86400) AS day_epoch,
    e.principal_type,
    e.principal_account_id,
    e.event_time,
    e.event_epoch,
    e.action_class,
    e.outcome,
    e.source_ip,
    CASE WHEN e.action_class = 'crypto' AND e.outcome = 'ok' AND NOT COALESCE(e.is_dry_run, FALSE) THEN 1 ELSE 0 END AS is_use,
    CASE WHEN e.reveals_plaintext THEN 1 ELSE 0 END AS is_reveal,
    CASE WHEN e.is_direct THEN 1 ELSE 0 END AS is_direct_call,
    CASE WHEN e.is_dry_run THEN 1 ELSE 0 END AS is_question
  FROM events AS e
  ANTI JOIN repeated_copies AS r ON r.repeated_id = e.event_id
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.principal IS NOT NULL
)
SELECT
  a.principal,
  a.day_epoch,
  MIN(a.principal_type) AS principal_type,
  MIN(a.principal_account_id) AS principal_account_id,
  MIN(a.event_time) AS first_time,
  MAX(a.event_time) AS last_time,
  MIN(a.event_epoch) AS first_epoch,
  MAX(a.event_epoch) AS last_epoch,
  CAST(COUNT(*) AS BIGINT) AS event_count,
  CAST(COUNT(CASE WHEN a.is_use = 1 THEN 1 END) AS BIGINT) AS use_count,
  CAST(COUNT(CASE WHEN a.is_use = 1 AND a.is_reveal = 1 THEN 1 END) AS BIGINT) AS reveal_count,
  CAST(COUNT(CASE WHEN a.is_use = 1 AND a.is_direct_call = 1 THEN 1 END) AS BIGINT) AS direct_use_count,
  CAST(COUNT(CASE WHEN a.outcome = 'ok' AND a.action_class NOT IN ('crypto', 'read', 'unknown') THEN 1 END) AS BIGINT) AS admin_count,
  CAST(COUNT(CASE WHEN a.outcome = 'ok' AND a.action_class = 'read' THEN 1 END) AS BIGINT) AS read_count,
  CAST(COUNT(CASE WHEN a.outcome = 'denied' THEN 1 END) AS BIGINT) AS denied_count,
  CAST(COUNT(CASE WHEN a.is_question = 1 THEN 1 END) AS BIGINT) AS dry_run_count,
  MIN(a.source_ip) AS source_ip
FROM principal_actions AS a
GROUP BY a.principal, a.day_epoch
ORDER BY day_epoch, principal
