-- title: Use of one key by hour
-- description: Calls per hour, operation and outcome on one key, with the number of distinct principals.
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
  SELECT e.event_epoch - (e.event_epoch % 3600) AS hour_epoch, e.event_name, e.outcome, e.principal, e.event_time
  FROM events AS e INNER JOIN subject_keys AS s ON e.key_arn = s.subject_arn
  WHERE e.event_source = 'kms.amazonaws.com'
  UNION ALL
  SELECT d.event_epoch - (d.event_epoch % 3600) AS hour_epoch, d.event_name, d.outcome, d.principal, d.event_time
  FROM events AS d INNER JOIN subject_keys AS s ON d.target_key_arn = s.subject_arn
  WHERE d.event_source = 'kms.amazonaws.com' AND (d.key_arn IS DISTINCT FROM d.target_key_arn)
)
SELECT o.hour_epoch, o.event_name, o.outcome, CAST(COUNT(*) AS BIGINT) AS calls,
  CAST(COUNT(DISTINCT o.principal) AS BIGINT) AS principals, MIN(o.event_time) AS first_time, MAX(o.event_time) AS last_time
FROM own_events AS o
GROUP BY o.hour_epoch, o.event_name, o.outcome
ORDER BY hour_epoch, event_name, outcome
