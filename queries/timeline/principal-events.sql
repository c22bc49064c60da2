-- title: What one principal did
-- description: Every administrative event, every failure and the first use of each key by a principal, in time order,
--   with the events of other services that matter to keys. Successful use is counted per hour by principal-usage.
-- reads: events
-- params: subject = ''
WITH own_events AS (
  SELECT e.event_time, e.event_epoch, e.event_source, e.event_name, e.action_class, e.outcome, e.key_arn, e.via, e.source_ip,
    e.user_agent, e.session_name, e.region, e.context_resource, e.grantee_principal, e.error_code, e.principal, e.event_id
  FROM events AS e CROSS JOIN params AS p
  WHERE e.principal = p.subject OR e.principal_arn = p.subject OR e.principal_id = p.subject OR e.access_key_id = p.subject
    OR e.session_name = p.subject
), numbered AS (
  SELECT o.event_time, o.event_epoch, o.event_source, o.event_name, o.action_class, o.outcome, o.key_arn, o.via, o.source_ip,
    o.user_agent, o.session_name, o.region, o.context_resource, o.grantee_principal, o.error_code, o.principal, o.event_id,
    CAST(ROW_NUMBER() OVER (PARTITION BY o.key_arn, o.event_name, o.outcome ORDER BY o.event_epoch, o.event_id) AS BIGINT) AS nth_use
  FROM own_events AS o
)
SELECT n.event_time, n.event_name, n.outcome, n.key_arn, n.via, n.source_ip, n.context_resource, n.grantee_principal,
  n.error_code, n.region, n.event_source, n.session_name, n.user_agent, n.principal, n.event_id
FROM numbered AS n
WHERE n.action_class <> 'crypto' OR n.outcome <> 'ok' OR n.nth_use = 1
ORDER BY n.event_time, n.event_id
