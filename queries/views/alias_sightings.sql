-- title: Calls by alias
-- description: Which key each alias reached, hour by hour, as successful calls by the alias show it. The view aliases
--   is made from it.
-- reads: events, repeated_copies
-- partition: hour
-- column: alias_name: The alias, such as `alias/app`.
-- column: key_arn: The key that the calls reached.
-- column: hour_epoch: Start of the hour, seconds since 1970-01-01 UTC.
-- column: first_epoch: First such call, in seconds.
-- column: last_epoch: Last such call, in seconds.
-- column: first_time: First such call.
-- column: last_time: Last such call.
-- column: use_count: Such calls.
-- column: principal: A caller: the first in alphabetical order.
-- column: event_id: A call: the first in the order of ids.
SELECT
  e.alias_name,
  e.key_arn,
  e.event_epoch - (e.event_epoch % 3600) AS hour_epoch,
  MIN(e.event_epoch) AS first_epoch,
  MAX(e.event_epoch) AS last_epoch,
  MIN(e.event_time) AS first_time,
  MAX(e.event_time) AS last_time,
  CAST(COUNT(*) AS BIGINT) AS use_count,
  MIN(e.principal) AS principal,
  MIN(e.event_id) AS event_id
FROM events AS e
ANTI JOIN repeated_copies AS r ON r.repeated_id = e.event_id
WHERE e.event_source = 'kms.amazonaws.com'
  AND e.outcome = 'ok'
  AND e.action_class <> 'alias'
  AND e.alias_name IS NOT NULL
  AND e.key_arn IS NOT NULL
GROUP BY e.alias_name, e.key_arn, e.event_epoch - (e.event_epoch % 3600)
ORDER BY hour_epoch, alias_name, key_arn
