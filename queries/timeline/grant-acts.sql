-- title: What was done about one grant
-- description: The creation, retirement and revocation of a grant, one row per event, whoever did it. The second copies of
--   cross-account calls are left out.
-- reads: events, repeated_copies
-- params: subject = ''
SELECT
  e.event_time, e.event_source, e.event_name, e.action_class, e.outcome, e.error_code, e.principal, e.via,
  e.source_ip, e.key_arn, e.grantee_principal, e.grant_operations, e.grant_id, e.alias_name, e.target_key_arn,
  e.pending_window_days, e.policy_is_public, e.policy_external_accounts, e.policy_locks_out_owner, e.trail_name,
  e.event_id
FROM events AS e
CROSS JOIN params AS p
ANTI JOIN repeated_copies AS r ON r.repeated_id = e.event_id
WHERE e.event_source = 'kms.amazonaws.com' AND e.grant_id = p.subject
ORDER BY event_time, event_id
