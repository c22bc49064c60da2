-- title: Trail limited to half of the KMS events
-- severity: high
-- attack: T1562.008 / v19 T1685.002
-- description: The selectors of a trail or event data store were set so that it keeps one half of the KMS events only.
--   A trail of write events loses every Decrypt, GenerateDataKey and other use of keys, which are read events; a trail of
--   read events loses grants, policies and deletions. The finding tells when the lost half was taken in again; low when
--   the evidence shows that another trail still carried it, or when a new store was made so and nothing was taken away.
-- false-positives: Saving costs: AWS documents trails of write events for this. Setting the same selectors again is no
--   second finding. Selectors that exclude KMS, or all management events, are findings of other rules.
-- blind-spots: A trail whose selectors were limited before the evidence begins. Events from CloudTrail's event history do
--   not depend on trails and look like another trail.
-- reads: trails, place_hours
-- params: grace_minutes = 15
WITH selections AS (
  SELECT
    t.event_id, t.event_name, t.event_time, t.event_epoch, t.account_id, t.region, t.principal, t.source_ip, t.user_agent,
    t.selectors,
    COALESCE(t.trail_name, 'an unnamed trail') AS trail_name,
    COALESCE(t.account_id, '') || '/' || COALESCE(t.region, '') || '/' || COALESCE(t.trail_name, t.event_id) AS trail_ref,
    CASE
      WHEN COALESCE(t.excludes_kms, FALSE) OR t.blinds_key_use = t.blinds_key_admin THEN 'none'
      WHEN t.blinds_key_use THEN 'use'
      ELSE 'administration'
    END AS lost_half,
    CASE WHEN t.blinds_key_use THEN 1 ELSE 0 END AS loses_use,
    CASE WHEN t.blinds_key_admin THEN 1 ELSE 0 END AS loses_admin
  FROM trails AS t
  WHERE t.event_name IN ('CreateTrail', 'PutEventSelectors', 'CreateEventDataStore', 'UpdateEventDataStore')
    AND t.blinds_key_use IS NOT NULL
), selection_history AS (
  SELECT
    s.event_id, s.event_name, s.event_time, s.event_epoch, s.account_id, s.region, s.principal, s.source_ip, s.user_agent,
    s.selectors, s.trail_name, s.trail_ref, s.lost_half,
    LAG(s.lost_half) OVER (PARTITION BY s.trail_ref ORDER BY s.event_epoch, s.event_id) AS lost_before
  FROM selections AS s
), limits AS (
  SELECT
    h.event_id AS limit_id, h.event_name, h.event_time, h.event_epoch, h.account_id, h.region, h.principal, h.source_ip,
    h.user_agent, h.selectors, h.trail_name, h.trail_ref, h.lost_half
  FROM selection_history AS h
  WHERE h.lost_half <> 'none'
    AND COALESCE(h.lost_before, 'none') <> h.lost_half
), restore_pairs AS (
  SELECT
    a.limit_id AS restored_id,
    b.event_id AS restore_id,
    b.event_time AS restored_time,
    b.event_epoch AS restored_epoch,
    b.principal AS restored_by,
    CAST(ROW_NUMBER() OVER (PARTITION BY a.limit_id ORDER BY b.event_epoch, b.event_id) AS BIGINT) AS restore_no
  FROM limits AS a
  JOIN selections AS b ON b.trail_ref = a.trail_ref
  WHERE b.event_epoch >= a.event_epoch
    AND b.event_id <> a.limit_id
    AND ((a.lost_half = 'use' AND b.loses_use = 0) OR (a.lost_half = 'administration' AND b.loses_admin = 0))
), restores AS (
  SELECT r.restored_id, r.restore_id, r.restored_time, r.restored_epoch, r.restored_by
  FROM restore_pairs AS r
  WHERE r.restore_no = 1
), carrying_trails AS (
  SELECT
    c.limit_id AS carried_id,
    MIN(o.trail_name) AS carrying_trail
  FROM limits AS c
  JOIN trails AS o ON o.account_id = c.account_id
  WHERE COALESCE(o.account_id, '') || '/' || COALESCE(o.region, '') || '/' || COALESCE(o.trail_name, o.event_id) <> c.trail_ref
    AND o.event_epoch <= c.event_epoch
    AND (o.until_epoch IS NULL OR o.until_epoch > c.event_epoch)
    AND ((c.lost_half = 'use' AND (o.sees_key_use OR (o.is_recording IS NULL AND NOT o.blinds_key_use)))
      OR (c.lost_half = 'administration' AND (o.sees_key_admin OR (o.is_recording IS NULL AND NOT o.blinds_key_admin))))
  GROUP BY c.limit_id
), later_events AS (
  -- Whole hours, from the end of the grace time to the hour in which the lost half was taken in again.
  SELECT
    f.limit_id AS later_id,
    CAST(SUM(CASE WHEN f.lost_half = 'use' THEN g.crypto_count ELSE g.admin_count END) AS BIGINT) AS later_count
  FROM limits AS f
  JOIN place_hours AS g ON g.account_id = f.account_id AND g.region = f.region
  CROSS JOIN params AS p
  LEFT JOIN restores AS d ON d.restored_id = f.limit_id
  WHERE g.hour_epoch >= f.event_epoch + p.grace_minutes * 60
    AND g.hour_epoch + 3600 <= COALESCE(d.restored_epoch, 9999999999)
  GROUP BY f.limit_id
)
SELECT
  l.event_time AS first_time,
  COALESCE(r.restored_time, l.event_time) AS last_time,
  l.account_id,
  l.region,
  CAST(NULL AS STRING) AS key_arn,
  l.principal,
  l.source_ip,
  CAST(CASE WHEN r.restore_id IS NULL THEN 1 ELSE 2 END AS BIGINT) AS event_count,
  CASE WHEN k.carrying_trail IS NOT NULL OR e.later_count > 0 OR l.event_name = 'CreateEventDataStore' THEN 'low'
       ELSE 'high' END AS severity,
  COALESCE(l.principal, 'An unnamed principal') || ' set ' || l.trail_name || ' with ' || l.event_name
    || CASE WHEN l.lost_half = 'use' THEN ' so that it no longer records the use of keys (Decrypt, GenerateDataKey)'
            ELSE ' so that it no longer records the administration of keys (grants, policies, deletions)' END
    || CASE WHEN r.restored_epoch IS NULL THEN '; not taken back within the evidence'
            ELSE '; ' || COALESCE(r.restored_by, 'an unnamed principal') || ' took it back after '
              || CAST(r.restored_epoch - l.event_epoch AS STRING) || ' seconds' END
    || CASE
         WHEN k.carrying_trail IS NOT NULL THEN '; trail ' || k.carrying_trail || ' still recorded it.'
         WHEN e.later_count > 0 THEN '; such events recorded there in the meantime: ' || CAST(e.later_count AS STRING)
           || ', so another trail still recorded it.'
         WHEN l.event_name = 'CreateEventDataStore' THEN '; the store is new, so nothing was taken away.'
         ELSE '; nothing in the evidence shows that another trail recorded it.'
       END AS summary,
  l.limit_id || COALESCE(',' || r.restore_id, '') AS event_ids,
  l.event_name AS action,
  l.trail_name,
  l.lost_half,
  l.selectors,
  r.restored_time,
  r.restored_by,
  r.restored_epoch - l.event_epoch AS blind_seconds,
  k.carrying_trail,
  COALESCE(e.later_count, 0) AS events_meanwhile,
  l.user_agent
FROM limits AS l
LEFT JOIN restores AS r ON r.restored_id = l.limit_id
LEFT JOIN carrying_trails AS k ON k.carried_id = l.limit_id
LEFT JOIN later_events AS e ON e.later_id = l.limit_id
ORDER BY first_time, event_ids
