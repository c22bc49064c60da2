-- title: Exposed data
-- description: Which data each principal could open: one row per principal, kind of data, resource and key, from
--   successful operations that gave plaintext. Decrypt and its like open existing data; GenerateDataKey gives a new
--   key, so it tells of data written. A data key is cached, so no later event does not mean no later reading.
-- reads: events, repeated_copies
-- partition: principal, resource
-- column: principal: Canonical principal.
-- column: context_class: Kind of data that the encryption context names; `none` when the call had no context.
-- column: context_resource: The resource the context names; NULL when it names none.
-- column: key_arn: The key.
-- column: key_account_id: The key's owner.
-- column: opened_count: Calls that opened existing data.
-- column: written_count: Calls that gave a new plaintext data key.
-- column: direct_count: Calls that no AWS service made for the principal, so the plaintext went to the principal
--   itself.
-- column: via_count: Calls that an AWS service made for the principal.
-- column: via: The service; of several, the first in alphabetical order.
-- column: attested_count: Calls with an attestation document, whose plaintext only an enclave could read.
-- column: first_opened_time: First call that opened existing data.
-- column: last_opened_time: Last call that opened existing data.
-- column: first_time: First call of either kind.
-- column: last_time: Last call of either kind.
WITH revealing_calls AS (
  SELECT
    e.principal,
    COALESCE(e.context_class, 'none') AS context_class,
    e.context_resource,
    e.key_arn,
    e.key_account_id,
    e.event_time,
    e.via,
    CASE WHEN e.event_name LIKE 'GenerateDataKey%' THEN 0 ELSE 1 END AS is_opening,
    CASE WHEN e.is_direct THEN 1 ELSE 0 END AS is_direct_call,
    CASE WHEN e.attested THEN 1 ELSE 0 END AS is_attested
  FROM events AS e
  ANTI JOIN repeated_copies AS r ON r.repeated_id = e.event_id
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.reveals_plaintext
    AND e.outcome = 'ok'
    AND NOT COALESCE(e.is_dry_run, FALSE)
)
SELECT
  c.principal,
  c.context_class,
  c.context_resource,
  c.key_arn,
  MIN(c.key_account_id) AS key_account_id,
  CAST(COUNT(CASE WHEN c.is_opening = 1 THEN 1 END) AS BIGINT) AS opened_count,
  CAST(COUNT(CASE WHEN c.is_opening = 0 THEN 1 END) AS BIGINT) AS written_count,
  CAST(COUNT(CASE WHEN c.is_direct_call = 1 THEN 1 END) AS BIGINT) AS direct_count,
  CAST(COUNT(CASE WHEN c.is_direct_call = 0 THEN 1 END) AS BIGINT) AS via_count,
  MIN(c.via) AS via,
  CAST(COUNT(CASE WHEN c.is_attested = 1 THEN 1 END) AS BIGINT) AS attested_count,
  MIN(CASE WHEN c.is_opening = 1 THEN c.event_time END) AS first_opened_time,
  MAX(CASE WHEN c.is_opening = 1 THEN c.event_time END) AS last_opened_time,
  MIN(c.event_time) AS first_time,
  MAX(c.event_time) AS last_time
FROM revealing_calls AS c
GROUP BY c.principal, c.context_class, c.context_resource, c.key_arn
ORDER BY principal NULLS LAST, context_resource NULLS LAST, context_class, key_arn NULLS LAST
