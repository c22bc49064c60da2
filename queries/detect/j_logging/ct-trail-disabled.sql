-- title: Trail stopped, deleted or emptied
-- severity: critical
-- attack: T1562.008 / v19 T1685.002
-- description: A trail or event data store stopped recording: StopLogging, DeleteTrail, the deletion or end of
--   ingestion of an event data store, or selectors without management events. The finding counts the KMS
--   administration around it and tells when recording began again. High when KMS events of the same account and
--   Region were still recorded afterwards; medium when another trail was started in the day before.
-- false-positives: Moving from one trail to another, and teardown of test accounts.
-- blind-spots: What happened while nothing was recorded is gone. Events from CloudTrail's event history do not depend
--   on trails and look like another trail. A stopped organization trail blinds accounts that the finding does not
--   name.
-- reads: events
-- params: grace_minutes = 15, around_minutes = 60, migration_hours = 24
WITH trail_calls AS (
  SELECT
    e.event_id,
    e.event_name,
    e.event_time,
    e.event_epoch,
    e.account_id,
    e.region,
    e.principal,
    e.source_ip,
    e.user_agent,
    COALESCE(e.trail_name, 'an unnamed trail') AS trail_name,
    COALESCE(e.trail_name, 'an unnamed one') || ' in ' || COALESCE(e.region, 'an unnamed Region') AS trail_ref,
    CASE
      WHEN e.event_name IN ('StopLogging', 'DeleteTrail', 'DeleteEventDataStore', 'StopEventDataStoreIngestion') THEN 'off'
      WHEN e.event_name IN ('PutEventSelectors', 'UpdateEventDataStore')
       AND e.blinds_key_use
       AND e.blinds_key_admin
       AND NOT COALESCE(e.excludes_kms, FALSE) THEN 'off'
      WHEN e.event_name IN ('StartLogging', 'StartEventDataStoreIngestion', 'RestoreEventDataStore') THEN 'on'
      WHEN e.event_name IN ('PutEventSelectors', 'UpdateEventDataStore')
       AND NOT COALESCE(e.blinds_key_use, FALSE)
       AND NOT COALESCE(e.blinds_key_admin, FALSE) THEN 'selected'
      ELSE 'other'
    END AS effect
  FROM events AS e
  WHERE e.action_class = 'trail'
    AND e.outcome = 'ok'
), stops AS (
  SELECT
    x.event_id AS stop_id, x.event_name, x.event_time, x.event_epoch, x.account_id, x.region, x.principal, x.source_ip,
    x.user_agent, x.trail_name,
    x.trail_ref,
    CASE WHEN x.event_name IN ('PutEventSelectors', 'UpdateEventDataStore') THEN 'selected' ELSE 'on' END AS remedy
  FROM trail_calls AS x
  WHERE x.effect = 'off'
), restart_pairs AS (
  SELECT
    a.stop_id AS stopped_id,
    b.event_id AS restart_id,
    b.event_time AS restarted_time,
    b.event_epoch AS restarted_epoch,
    b.principal AS restarted_by,
    CAST(ROW_NUMBER() OVER (PARTITION BY a.stop_id ORDER BY b.event_epoch, b.event_id) AS BIGINT) AS restart_no
  FROM stops AS a
  JOIN trail_calls AS b ON b.trail_ref = a.trail_ref AND b.account_id = a.account_id AND b.effect = a.remedy
  WHERE b.event_epoch >= a.event_epoch
), restarts AS (
  SELECT r.stopped_id, r.restart_id, r.restarted_time, r.restarted_epoch, r.restarted_by
  FROM restart_pairs AS r
  WHERE r.restart_no = 1
), ended_trails AS (
  SELECT y.account_id AS ended_account_id, y.trail_ref AS ended_trail, MAX(y.event_epoch) AS ended_epoch
  FROM stops AS y
  GROUP BY y.account_id, y.trail_ref
), lasting_starts AS (
  -- A trail that was itself ended later, by any means, replaces nothing.
  SELECT d.account_id AS new_account_id, d.trail_ref AS new_trail, d.event_epoch AS started_epoch
  FROM trail_calls AS d
  LEFT JOIN ended_trails AS u ON u.ended_account_id = d.account_id AND u.ended_trail = d.trail_ref
  WHERE d.event_name IN ('StartLogging', 'CreateEventDataStore')
    AND (u.ended_epoch IS NULL OR u.ended_epoch < d.event_epoch)
), replacements AS (
  SELECT
    c.stop_id AS replaced_id,
    MIN(v.new_trail) AS new_trail
  FROM stops AS c
  JOIN lasting_starts AS v ON v.new_account_id = c.account_id
  CROSS JOIN params AS p
  WHERE v.new_trail <> c.trail_ref
    AND v.started_epoch <= c.event_epoch
    AND v.started_epoch >= c.event_epoch - p.migration_hours * 3600
  GROUP BY c.stop_id
), stopped_places AS (
  SELECT DISTINCT z.account_id AS place_account_id, z.region AS place_region
  FROM stops AS z
), kms_minutes AS (
  SELECT
    k.account_id AS kms_account_id,
    k.region AS kms_region,
    k.event_epoch - (k.event_epoch % 60) AS kms_minute,
    CAST(COUNT(*) AS BIGINT) AS n
  FROM events AS k
  SEMI JOIN stopped_places AS e ON e.place_account_id = k.account_id AND e.place_region = k.region
  WHERE k.event_source = 'kms.amazonaws.com'
  GROUP BY k.account_id, k.region, k.event_epoch - (k.event_epoch % 60)
), later_events AS (
  -- Whole minutes, from the end of the grace time to the minute in which the recording began again.
  SELECT
    f.stop_id AS later_stop_id,
    CAST(SUM(g.n) AS BIGINT) AS later_count
  FROM stops AS f
  JOIN kms_minutes AS g ON g.kms_account_id = f.account_id AND g.kms_region = f.region
  CROSS JOIN params AS q
  LEFT JOIN restarts AS h ON h.stopped_id = f.stop_id
  WHERE g.kms_minute >= f.event_epoch + q.grace_minutes * 60
    AND g.kms_minute + 60 <= COALESCE(h.restarted_epoch, 9999999999)
  GROUP BY f.stop_id
), admin_calls AS (
  SELECT
    j.account_id AS admin_account_id,
    j.event_epoch AS admin_epoch,
    j.event_name AS admin_name
  FROM events AS j
  WHERE j.event_source = 'kms.amazonaws.com'
    AND j.outcome = 'ok'
    AND j.action_class NOT IN ('crypto', 'read', 'unknown')
), near_admin_calls AS (
  SELECT
    i.stop_id AS near_stop_id,
    m.admin_name,
    CASE WHEN m.admin_epoch <= i.event_epoch THEN 1 ELSE 0 END AS is_before
  FROM stops AS i
  JOIN admin_calls AS m ON m.admin_account_id = i.account_id
  CROSS JOIN params AS l
  WHERE m.admin_epoch >= i.event_epoch - l.around_minutes * 60
    AND m.admin_epoch <= i.event_epoch + l.around_minutes * 60
), around AS (
  SELECT
    o.near_stop_id AS around_id,
    CAST(SUM(o.is_before) AS BIGINT) AS admin_before,
    CAST(SUM(1 - o.is_before) AS BIGINT) AS admin_after
  FROM near_admin_calls AS o
  GROUP BY o.near_stop_id
), around_names AS (
  SELECT DISTINCT n.near_stop_id AS named_id, n.admin_name
  FROM near_admin_calls AS n
), around_lists AS (
  SELECT
    m.named_id,
    STRING_AGG(m.admin_name, ',') AS admin_actions
  FROM around_names AS m
  GROUP BY m.named_id
)
SELECT
  s.event_time AS first_time,
  COALESCE(t.restarted_time, s.event_time) AS last_time,
  s.account_id,
  s.region,
  CAST(NULL AS STRING) AS key_arn,
  s.principal,
  s.source_ip,
  CAST(CASE WHEN t.restart_id IS NULL THEN 1 ELSE 2 END AS BIGINT) AS event_count,
  CASE
    WHEN u.new_trail IS NOT NULL THEN 'medium'
    WHEN x.later_count > 0 THEN 'high'
    ELSE 'critical'
  END AS severity,
  COALESCE(s.principal, 'An unnamed principal') || ' ended the recording of ' || s.trail_name || ' with ' || s.event_name
    || CASE WHEN t.restarted_epoch IS NULL THEN '; not begun again within the evidence'
            ELSE '; ' || COALESCE(t.restarted_by, 'an unnamed principal') || ' began it again after '
              || CAST(t.restarted_epoch - s.event_epoch AS STRING) || ' seconds' END
    || '; KMS administration recorded in the ' || CAST(w.around_minutes AS STRING) || ' minutes before: '
    || CAST(COALESCE(v.admin_before, 0) AS STRING) || ', after: ' || CAST(COALESCE(v.admin_after, 0) AS STRING)
    || CASE
         WHEN u.new_trail IS NOT NULL THEN '; trail ' || u.new_trail || ' had been started shortly before.'
         WHEN x.later_count > 0 THEN '; KMS events recorded there meanwhile: ' || CAST(x.later_count AS STRING) || '.'
         ELSE '; no KMS event was recorded there meanwhile.'
       END AS summary,
  s.stop_id || COALESCE(',' || t.restart_id, '') AS event_ids,
  s.event_name AS action,
  s.trail_name,
  t.restarted_time,
  t.restarted_by,
  t.restarted_epoch - s.event_epoch AS blind_seconds,
  u.new_trail AS replacement_trail,
  COALESCE(x.later_count, 0) AS kms_events_meanwhile,
  COALESCE(v.admin_before, 0) AS kms_admin_before,
  COALESCE(v.admin_after, 0) AS kms_admin_after,
  y.admin_actions AS kms_admin_actions,
  s.user_agent
FROM stops AS s
CROSS JOIN params AS w
LEFT JOIN restarts AS t ON t.stopped_id = s.stop_id
LEFT JOIN replacements AS u ON u.replaced_id = s.stop_id
LEFT JOIN around AS v ON v.around_id = s.stop_id
LEFT JOIN later_events AS x ON x.later_stop_id = s.stop_id
LEFT JOIN around_lists AS y ON y.named_id = s.stop_id
ORDER BY first_time, event_ids
