-- title: Key's last use looked up before its deletion
-- severity: low
-- attack: T1526
-- description: Shortly before it scheduled a key's deletion, a principal asked KMS for the key's last use
--   (GetKeyLastUsage). A careful administrator does that; so does an intruder who wants a key whose loss hurts. The
--   finding is context for the deletion: it was no blind one, and whoever made it knew whether the key was in use.
-- false-positives: Planned decommissioning, and the console, which shows the last use on the key's page. Lookups that
--   were refused or failed, and deletions that were, are left out.
-- blind-spots: Who searched CloudTrail for the key's use looked it up too, but by calls that are not in the evidence.
-- reads: events, repeated_copies, admin_events, keys
-- params: lookup_minutes = 60
WITH lookups AS (
  SELECT
    e.principal AS looking_principal,
    e.key_arn AS looked_key,
    e.event_epoch AS lookup_epoch,
    e.event_time AS lookup_time,
    e.event_id AS lookup_id
  FROM events AS e
  ANTI JOIN repeated_copies AS r ON r.repeated_id = e.event_id
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.event_name = 'GetKeyLastUsage'
    AND e.outcome = 'ok'
    AND NOT COALESCE(e.is_dry_run, FALSE)
    AND e.key_arn IS NOT NULL
), deletions_asked AS (
  SELECT
    d.event_id, d.event_time, d.event_epoch, d.account_id, d.region, d.key_arn, d.principal, d.source_ip,
    d.pending_window_days
  FROM admin_events AS d
  WHERE d.event_source = 'kms.amazonaws.com'
    AND d.event_name = 'ScheduleKeyDeletion'
    AND d.is_ok
), checked_rows AS (
  SELECT
    a.event_id, a.event_time, a.event_epoch, a.account_id, a.region, a.key_arn, a.principal, a.source_ip,
    a.pending_window_days,
    b.lookup_epoch, b.lookup_time, b.lookup_id,
    CAST(ROW_NUMBER() OVER (PARTITION BY a.event_id ORDER BY b.lookup_epoch, b.lookup_id, a.event_id) AS BIGINT) AS lookup_no
  FROM deletions_asked AS a
  JOIN lookups AS b ON b.looking_principal = a.principal AND b.looked_key = a.key_arn
  CROSS JOIN params AS p
  WHERE b.lookup_epoch <= a.event_epoch
    AND b.lookup_epoch >= a.event_epoch - p.lookup_minutes * 60
), checked_deletions AS (
  SELECT
    c.event_id,
    MIN(c.lookup_time) AS first_time,
    MAX(c.event_time) AS last_time,
    MAX(c.event_epoch) AS event_epoch,
    MAX(c.lookup_epoch) AS lookup_epoch,
    MIN(c.account_id) AS account_id,
    MIN(c.region) AS region,
    MIN(c.key_arn) AS key_arn,
    MIN(c.principal) AS principal,
    MIN(c.source_ip) AS source_ip,
    MIN(c.pending_window_days) AS pending_window_days,
    CAST(COUNT(*) AS BIGINT) AS lookup_count
  FROM checked_rows AS c
  GROUP BY c.event_id
), proofs AS (
  SELECT f.event_id AS deletion_id, f.lookup_id AS proof_id
  FROM checked_rows AS f
  WHERE f.lookup_no < 1000
  UNION ALL
  SELECT g.event_id AS deletion_id, g.event_id AS proof_id
  FROM checked_deletions AS g
), proof_lists AS (
  SELECT h.deletion_id, STRING_AGG(h.proof_id, ',') AS event_ids
  FROM proofs AS h
  GROUP BY h.deletion_id
), key_uses AS (
  SELECT k.key_arn AS used_key, k.aliases, k.last_use_time, k.last_use_epoch, k.use_count
  FROM keys AS k
)
SELECT
  i.first_time,
  i.last_time,
  i.account_id,
  i.region,
  i.key_arn,
  i.principal,
  i.source_ip,
  i.lookup_count + 1 AS event_count,
  'low' AS severity,
  i.principal || ' looked up the last use of ' || i.key_arn || COALESCE(' (' || l.aliases || ')', '') || ' '
    || CAST(i.event_epoch - i.lookup_epoch AS STRING) || ' seconds before it scheduled the key''s deletion'
    || CASE WHEN COALESCE(l.use_count, 0) = 0 THEN '; the evidence has no use of the key.'
            ELSE '; the evidence has uses of the key: ' || CAST(l.use_count AS STRING) || '.' END AS summary,
  j.event_ids,
  i.lookup_count,
  i.event_epoch - i.lookup_epoch AS seconds_before,
  i.pending_window_days,
  l.use_count,
  l.last_use_time,
  l.aliases
FROM checked_deletions AS i
JOIN proof_lists AS j ON j.deletion_id = i.event_id
LEFT JOIN key_uses AS l ON l.used_key = i.key_arn
ORDER BY first_time, key_arn, last_time, event_count
