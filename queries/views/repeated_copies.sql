-- title: Second copies of cross-account calls
-- description: A cross-account call is logged in the caller's account and in the key owner's, under one
--   sharedEventID. Where the evidence holds the caller's copy too, this table names the owner's copy, so that what
--   counts actions can leave it out. The caller's copy is the one kept, because it has the full identity.
-- reads: events
-- column: repeated_id: The event_id of the owner's copy: leave it out when actions are counted.
-- column: caller_event_id: The event_id of the caller's copy of the same call.
WITH cross_account_calls AS (
  SELECT
    e.event_id,
    e.shared_event_id,
    CASE WHEN e.account_id = e.principal_account_id THEN 1 ELSE 0 END AS is_caller_copy
  FROM events AS e
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.is_cross_account
    AND e.shared_event_id IS NOT NULL
), caller_copies AS (
  SELECT
    c.shared_event_id AS caller_shared_id,
    MIN(c.event_id) AS caller_event_id
  FROM cross_account_calls AS c
  WHERE c.is_caller_copy = 1
  GROUP BY c.shared_event_id
)
SELECT
  o.event_id AS repeated_id,
  w.caller_event_id
FROM cross_account_calls AS o
JOIN caller_copies AS w ON w.caller_shared_id = o.shared_event_id
WHERE o.is_caller_copy = 0
ORDER BY repeated_id
