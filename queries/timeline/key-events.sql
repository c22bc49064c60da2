-- title: What happened to one key
-- description: Every administrative event, every failure and every first use of a key, in time order. Successful use is
--   counted per hour by key-usage instead, because a busy key is used a million times.
-- reads: events
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
  SELECT e.event_time, e.event_epoch, e.event_name, e.action_class, e.outcome, e.principal, e.via, e.source_ip, e.region,
    e.key_arn, e.grantee_principal, e.alias_name, e.target_key_arn, e.pending_window_days, e.context_resource,
    e.error_code, e.event_id
  FROM events AS e INNER JOIN subject_keys AS s ON e.key_arn = s.subject_arn
  WHERE e.event_source = 'kms.amazonaws.com'
  UNION ALL
  SELECT d.event_time, d.event_epoch, d.event_name, d.action_class, d.outcome, d.principal, d.via, d.source_ip, d.region,
    d.key_arn, d.grantee_principal, d.alias_name, d.target_key_arn, d.pending_window_days, d.context_resource,
    d.error_code, d.event_id
  FROM events AS d INNER JOIN subject_keys AS s ON d.target_key_arn = s.subject_arn
  WHERE d.event_source = 'kms.amazonaws.com' AND (d.key_arn IS DISTINCT FROM d.target_key_arn)
), numbered AS (
  SELECT o.event_time, o.event_epoch, o.event_name, o.action_class, o.outcome, o.principal, o.via, o.source_ip, o.region,
    o.key_arn, o.grantee_principal, o.alias_name, o.target_key_arn, o.pending_window_days, o.context_resource, o.error_code,
    o.event_id,
    CAST(ROW_NUMBER() OVER (PARTITION BY o.principal, o.event_name, o.outcome ORDER BY o.event_epoch, o.event_id) AS BIGINT) AS nth_use
  FROM own_events AS o
)
SELECT n.event_time, n.event_name, n.outcome, n.principal, n.via, n.source_ip, n.region, n.grantee_principal, n.alias_name,
  n.target_key_arn, n.pending_window_days, n.context_resource, n.error_code, n.key_arn, n.event_id
FROM numbered AS n
WHERE n.action_class <> 'crypto' OR n.outcome <> 'ok' OR n.nth_use = 1
ORDER BY n.event_time, n.event_id
