-- title: What was done to one key
-- description: The acts on one key, one row per event that is neither use nor reading, and no grant that a service made or
--   ended: those stand in key-buckets. The second copies of cross-account calls are left out.
-- reads: events, repeated_copies
-- params: subject = ''
WITH named_keys AS (
  SELECT e.key_arn AS named_arn
  FROM events AS e CROSS JOIN params AS p
  WHERE e.event_source = 'kms.amazonaws.com' AND e.key_arn IS NOT NULL
    AND (e.key_arn = p.subject OR e.key_id = p.subject OR e.mrk_id = p.subject OR e.alias_name = p.subject OR e.key_ref = p.subject)
  UNION ALL
  SELECT t.target_key_arn AS named_arn
  FROM events AS t CROSS JOIN params AS q
  WHERE t.event_source = 'kms.amazonaws.com' AND t.target_key_arn = q.subject
), subject_keys AS (
  SELECT DISTINCT n.named_arn AS subject_arn FROM named_keys AS n
), own_events AS (
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
  FROM events AS e INNER JOIN subject_keys AS s ON e.key_arn = s.subject_arn
  ANTI JOIN repeated_copies AS r ON r.repeated_id = e.event_id
  WHERE e.event_source = 'kms.amazonaws.com'
  UNION ALL
  SELECT
    d.event_time, d.event_source, d.event_name, d.action_class, d.outcome, d.error_code, d.principal, d.via,
    d.source_ip, d.key_arn, d.grantee_principal, d.grant_operations, d.grant_id, d.alias_name, d.target_key_arn,
    d.pending_window_days, d.policy_is_public, d.policy_external_accounts, d.policy_locks_out_owner, d.trail_name,
    d.event_id,
    CASE
      WHEN d.action_class IN ('crypto', 'read') THEN FALSE
      WHEN d.action_class = 'grant'
        AND (COALESCE(d.is_service_grant, FALSE) OR d.via IS NOT NULL OR d.principal LIKE 'service:%') THEN FALSE
      ELSE TRUE END AS is_act
  FROM events AS d INNER JOIN subject_keys AS sd ON d.target_key_arn = sd.subject_arn
  ANTI JOIN repeated_copies AS rd ON rd.repeated_id = d.event_id
  WHERE d.event_source = 'kms.amazonaws.com' AND (d.key_arn IS DISTINCT FROM d.target_key_arn)
)
SELECT
  o.event_time, o.event_source, o.event_name, o.action_class, o.outcome, o.error_code, o.principal, o.via,
  o.source_ip, o.key_arn, o.grantee_principal, o.grant_operations, o.grant_id, o.alias_name, o.target_key_arn,
  o.pending_window_days, o.policy_is_public, o.policy_external_accounts, o.policy_locks_out_owner, o.trail_name,
  o.event_id
FROM own_events AS o
WHERE o.is_act
ORDER BY event_time, event_id
