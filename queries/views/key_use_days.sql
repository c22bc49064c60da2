-- title: Use of keys by day
-- description: Who did how much with which key on which day: one row per key, principal and UTC day. The view keys is
--   made from it.
-- reads: events, repeated_copies
-- partition: day
-- column: key_arn: Canonical ARN of the key; ReEncrypt counts for its source key and for its destination key.
-- column: principal: Canonical principal; `service:AWS Internal` for events that KMS itself writes.
-- column: day_epoch: Start of the UTC day, seconds since 1970-01-01 UTC.
-- column: principal_account_id: The principal's account.
-- column: first_time: First event.
-- column: last_time: Last event.
-- column: first_use_time: First successful cryptographic use.
-- column: last_use_time: Last successful cryptographic use.
-- column: first_use_epoch: `first_use_time` in seconds.
-- column: last_use_epoch: `last_use_time` in seconds.
-- column: event_count: Actions of any kind.
-- column: use_count: Successful cryptographic uses, dry runs left out.
-- column: reveal_count: Those of them that gave plaintext or a plaintext key.
-- column: direct_use_count: Those uses that no AWS service made for the principal.
-- column: admin_count: Successful actions that are neither use nor reading.
-- column: denied_count: Refused actions, dry runs left out.
-- column: failed_count: Actions that failed for another reason than refusal or throttling, dry runs left out.
WITH key_rows AS (
  SELECT
    e.key_arn,
    e.principal,
    e.event_epoch - (e.event_epoch % 86400) AS day_epoch,
    e.principal_account_id,
    e.event_time,
    e.event_epoch,
    e.action_class,
    e.outcome,
    CASE WHEN e.action_class = 'crypto' AND e.outcome = 'ok' AND NOT COALESCE(e.is_dry_run, FALSE) THEN 1 ELSE 0 END AS is_use,
    CASE WHEN e.is_dry_run THEN 1 ELSE 0 END AS is_question,
    CASE WHEN e.reveals_plaintext THEN 1 ELSE 0 END AS is_reveal,
    CASE WHEN e.is_direct THEN 1 ELSE 0 END AS is_direct_call
  FROM events AS e
  ANTI JOIN repeated_copies AS r ON r.repeated_id = e.event_id
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.key_arn IS NOT NULL
  UNION ALL
  SELECT
    t.target_key_arn AS key_arn,
    t.principal,
    t.event_epoch - (t.event_epoch % 86400) AS day_epoch,
    t.principal_account_id,
    t.event_time,
    t.event_epoch,
    t.action_class,
    t.outcome,
    CASE WHEN t.outcome = 'ok' AND NOT COALESCE(t.is_dry_run, FALSE) THEN 1 ELSE 0 END AS is_use,
    CASE WHEN t.is_dry_run THEN 1 ELSE 0 END AS is_question,
    0 AS is_reveal,
    CASE WHEN t.is_direct THEN 1 ELSE 0 END AS is_direct_call
  FROM events AS t
  ANTI JOIN repeated_copies AS d ON d.repeated_id = t.event_id
  WHERE t.event_source = 'kms.amazonaws.com'
    AND t.event_name = 'ReEncrypt'
    AND t.target_key_arn IS NOT NULL
    AND (t.target_key_arn IS DISTINCT FROM t.key_arn)
)
SELECT
  a.key_arn,
  a.principal,
  a.day_epoch,
  MIN(a.principal_account_id) AS principal_account_id,
  MIN(a.event_time) AS first_time,
  MAX(a.event_time) AS last_time,
  MIN(CASE WHEN a.is_use = 1 THEN a.event_time END) AS first_use_time,
  MAX(CASE WHEN a.is_use = 1 THEN a.event_time END) AS last_use_time,
  MIN(CASE WHEN a.is_use = 1 THEN a.event_epoch END) AS first_use_epoch,
  MAX(CASE WHEN a.is_use = 1 THEN a.event_epoch END) AS last_use_epoch,
  CAST(COUNT(*) AS BIGINT) AS event_count,
  CAST(COUNT(CASE WHEN a.is_use = 1 THEN 1 END) AS BIGINT) AS use_count,
  CAST(COUNT(CASE WHEN a.is_use = 1 AND a.is_reveal = 1 THEN 1 END) AS BIGINT) AS reveal_count,
  CAST(COUNT(CASE WHEN a.is_use = 1 AND a.is_direct_call = 1 THEN 1 END) AS BIGINT) AS direct_use_count,
  CAST(COUNT(CASE WHEN a.outcome = 'ok' AND a.action_class NOT IN ('crypto', 'read', 'unknown') THEN 1 END) AS BIGINT) AS admin_count,
  CAST(COUNT(CASE WHEN a.outcome = 'denied' AND a.is_question = 0 THEN 1 END) AS BIGINT) AS denied_count,
  CAST(COUNT(CASE WHEN a.outcome = 'failed' AND a.is_question = 0 THEN 1 END) AS BIGINT) AS failed_count
FROM key_rows AS a
GROUP BY a.key_arn, a.principal, a.day_epoch
ORDER BY day_epoch, key_arn, principal NULLS LAST
