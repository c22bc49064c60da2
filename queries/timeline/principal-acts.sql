-- title: What one principal did to keys
-- description: The acts of one principal, with those on other services that matter to keys, one row per event that is neither use nor reading, and no grant that a service made or
--   ended: those stand in principal-buckets. The second copies of cross-account calls are left out.
-- reads: events, repeated_copies
-- params: subject = ''
WITH own_events AS (
  SELECT
    e.event_time, e.event_source, e.event_name, e.action_class, e.outcome, e.error_code, e.principal, e.via,
    e.source_ip, e.key_arn, e.grantee_principal, e.grant_operations, e.grant_id, e.alias_name, e.target_key_arn,
    e.pending_window_days, e.policy_is_public, e.policy_external_accounts, e.policy_locks_out_owner, e.trail_name,
    e.event_id,
    CASE
      WHEN e.action_class IN ('crypto', 'read') THEN FALSE
      WHEN e.action_class = 'grant'
        AND (COALESCE(e.is_service_grant, FALSE) OR e.via IS NOT NULL OR e.principal LIKE 'service:%') THEN FALSE
      ELSE TRUE END AS is_act
  FROM events AS e
  CROSS JOIN params AS p
  ANTI JOIN repeated_copies AS r ON r.repeated_id = e.event_id
  WHERE (e.principal = p.subject OR e.principal_arn = p.subject OR e.principal_id = p.subject OR e.access_key_id = p.subject
    OR e.session_name = p.subject)
)
SELECT
  o.event_time, o.event_source, o.event_name, o.action_class, o.outcome, o.error_code, o.principal, o.via,
  o.source_ip, o.key_arn, o.grantee_principal, o.grant_operations, o.grant_id, o.alias_name, o.target_key_arn,
  o.pending_window_days, o.policy_is_public, o.policy_external_accounts, o.policy_locks_out_owner, o.trail_name,
  o.event_id
FROM own_events AS o
WHERE o.is_act
ORDER BY event_time, event_id
