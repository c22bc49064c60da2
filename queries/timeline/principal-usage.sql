-- title: Use of keys by one principal, by hour
-- description: KMS calls per hour, operation and outcome of one principal, with the number of distinct keys and resources.
-- reads: events
-- params: subject = ''
WITH own_events AS (
  SELECT e.event_epoch - (e.event_epoch % 3600) AS hour_epoch, e.event_name, e.outcome, e.key_arn, e.context_resource, e.event_time
  FROM events AS e CROSS JOIN params AS p
  WHERE e.event_source = 'kms.amazonaws.com'
    AND (e.principal = p.subject OR e.principal_arn = p.subject OR e.principal_id = p.subject OR e.access_key_id = p.subject
      OR e.session_name = p.subject)
)
SELECT o.hour_epoch, o.event_name, o.outcome, CAST(COUNT(*) AS BIGINT) AS calls,
  CAST(COUNT(DISTINCT o.key_arn) AS BIGINT) AS key_count,
  CAST(COUNT(DISTINCT o.context_resource) AS BIGINT) AS resource_count,
  MIN(o.event_time) AS first_time, MAX(o.event_time) AS last_time
FROM own_events AS o
GROUP BY o.hour_epoch, o.event_name, o.outcome
ORDER BY hour_epoch, event_name, outcome
