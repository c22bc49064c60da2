-- title: Lockout safety check of a key policy skipped
-- severity: high
-- attack: T1531, T1486
-- description: The caller asked KMS not to check whether it can still change the policy afterwards. That is the
--   switch to take a key away from its owner for good. Critical when the new policy leaves nobody in the owner's
--   account who may change it; medium when the call failed; low when CloudFormation made a key that its owner keeps.
-- false-positives: Some infrastructure templates set the switch when they make a key.
-- blind-spots: A call that IAM refused is logged without its parameters, so its switch is unknown.
-- reads: events, repeated_copies
WITH skipped_checks AS (
  SELECT
    e.event_id,
    e.event_name,
    e.event_time,
    e.account_id,
    e.region,
    CASE WHEN e.event_name = 'ReplicateKey' THEN COALESCE(e.target_key_arn, e.key_arn) ELSE e.key_arn END AS policy_key,
    e.principal,
    e.source_ip,
    e.via,
    e.outcome,
    e.error_code,
    e.policy_external_accounts,
    CASE WHEN e.policy_locks_out_owner THEN 1 ELSE 0 END AS is_lockout
  FROM events AS e
  ANTI JOIN repeated_copies AS r ON r.repeated_id = e.event_id
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.event_name IN ('CreateKey', 'PutKeyPolicy', 'ReplicateKey')
    AND e.policy_bypasses_lockout
    AND NOT COALESCE(e.is_dry_run, FALSE)
)
SELECT
  s.event_time AS first_time,
  s.event_time AS last_time,
  s.account_id,
  s.region,
  s.policy_key AS key_arn,
  s.principal,
  s.source_ip,
  CAST(1 AS BIGINT) AS event_count,
  CASE
    WHEN s.outcome <> 'ok' THEN 'medium'
    WHEN s.is_lockout = 1 THEN 'critical'
    WHEN s.event_name = 'CreateKey' AND s.via = 'cloudformation.amazonaws.com' THEN 'low'
    ELSE 'high'
  END AS severity,
  COALESCE(s.principal, 'An unnamed principal') || COALESCE(' via ' || s.via, '') || ' called ' || s.event_name || ' on '
    || COALESCE(s.policy_key, 'a key that was not made') || ' with the lockout safety check skipped'
    || CASE
         WHEN s.outcome <> 'ok' THEN '; the call ended with ' || COALESCE(s.error_code, s.outcome) || '.'
         WHEN s.is_lockout = 1 THEN '; nobody in the owner''s account may change the policy any more'
           || COALESCE(', accounts that may use the key: ' || s.policy_external_accounts, '') || '.'
         ELSE '; the owner keeps its access.'
       END AS summary,
  s.event_id AS event_ids,
  s.event_name AS action,
  s.outcome,
  s.error_code,
  CASE WHEN s.is_lockout = 1 THEN TRUE ELSE FALSE END AS locks_out_owner,
  s.policy_external_accounts,
  s.via
FROM skipped_checks AS s
ORDER BY first_time, event_ids
