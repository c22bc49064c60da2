-- title: KMS events excluded from a trail
-- severity: critical
-- attack: T1562.008 / v19 T1685.002
-- description: A trail or event data store was told to leave out KMS events: from then on every use and every
--   administration of keys goes unrecorded there, and cannot be recovered later. The finding tells when KMS events
--   were taken in again, which bounds the blind time; repeating the exclusion is no second finding. Low when the
--   evidence shows that another trail still carried KMS events.
-- false-positives: Saving costs on a secondary trail, which is common: then another trail's selectors, or KMS events
--   recorded in the same account and Region after the change, show that somebody still records them, and the severity
--   is low.
-- blind-spots: A trail that never had its selectors set within the evidence is unknown. Events from CloudTrail's
--   event history do not depend on trails and look like another trail. Changes in an organization's management
--   account may blind other accounts.
-- reads: events
-- params: grace_minutes = 15
WITH selector_calls AS (
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
    CASE WHEN e.excludes_kms THEN 1 ELSE 0 END AS is_excluding,
    CASE WHEN e.excludes_kms OR COALESCE(e.blinds_key_use, FALSE) OR COALESCE(e.blinds_key_admin, FALSE) THEN 0
         ELSE 1 END AS is_carrying
  FROM events AS e
  WHERE e.action_class = 'trail'
    AND e.outcome = 'ok'
    AND e.excludes_kms IS NOT NULL
), selector_history AS (
  SELECT
    y.event_id, y.event_name, y.event_time, y.event_epoch, y.account_id, y.region, y.principal, y.source_ip, y.user_agent, y.trail_name,
    y.trail_ref, y.is_excluding,
    LAG(y.is_excluding) OVER (PARTITION BY y.account_id, y.trail_ref ORDER BY y.event_epoch, y.event_id) AS was_excluding
  FROM selector_calls AS y
), exclusions AS (
  SELECT
    x.event_id AS excluded_id, x.event_name, x.event_time, x.event_epoch, x.account_id, x.region, x.principal, x.source_ip,
    x.user_agent, x.trail_name,
    x.trail_ref
  FROM selector_history AS x
  WHERE x.is_excluding = 1
    AND COALESCE(x.was_excluding, 0) = 0
), restore_pairs AS (
  SELECT
    a.excluded_id,
    b.event_id AS restore_id,
    b.event_time AS restored_time,
    b.event_epoch AS restored_epoch,
    b.principal AS restored_by,
    CAST(ROW_NUMBER() OVER (PARTITION BY a.excluded_id ORDER BY b.event_epoch, b.event_id) AS BIGINT) AS restore_no
  FROM exclusions AS a
  JOIN selector_calls AS b ON b.trail_ref = a.trail_ref AND b.account_id = a.account_id
  WHERE b.is_excluding = 0
    AND b.event_epoch >= a.event_epoch
    AND b.event_id <> a.excluded_id
), restores AS (
  SELECT r.excluded_id, r.restore_id, r.restored_time, r.restored_epoch, r.restored_by
  FROM restore_pairs AS r
  WHERE r.restore_no = 1
), other_calls AS (
  SELECT
    c.excluded_id AS other_excluded_id,
    d.trail_ref AS other_trail,
    d.is_carrying,
    -d.event_epoch AS negative_epoch,
    d.event_id AS other_event_id
  FROM exclusions AS c
  JOIN selector_calls AS d ON d.account_id = c.account_id
  WHERE d.trail_ref <> c.trail_ref
    AND d.event_epoch <= c.event_epoch
), ranked_others AS (
  SELECT
    o.other_excluded_id,
    o.other_trail,
    o.is_carrying,
    CAST(ROW_NUMBER() OVER (PARTITION BY o.other_excluded_id, o.other_trail
                            ORDER BY o.negative_epoch, o.other_event_id) AS BIGINT) AS other_no
  FROM other_calls AS o
), switches AS (
  SELECT
    w.account_id AS switch_account_id,
    COALESCE(w.trail_name, 'an unnamed one') || ' in ' || COALESCE(w.region, 'an unnamed Region') AS switch_trail,
    w.event_epoch AS switch_epoch,
    w.event_id AS switch_event_id,
    CASE WHEN w.event_name IN ('StartLogging', 'StartEventDataStoreIngestion', 'RestoreEventDataStore') THEN 0
         ELSE 1 END AS is_stop
  FROM events AS w
  WHERE w.action_class = 'trail'
    AND w.outcome = 'ok'
    AND w.event_name IN ('StopLogging', 'DeleteTrail', 'StopEventDataStoreIngestion', 'DeleteEventDataStore',
                         'StartLogging', 'StartEventDataStoreIngestion', 'RestoreEventDataStore')
), switch_calls AS (
  SELECT
    i.excluded_id AS switch_excluded_id,
    j.switch_trail,
    j.is_stop,
    -j.switch_epoch AS negative_epoch,
    j.switch_event_id
  FROM exclusions AS i
  JOIN switches AS j ON j.switch_account_id = i.account_id
  WHERE j.switch_epoch <= i.event_epoch
), ranked_switches AS (
  SELECT
    l.switch_excluded_id,
    l.switch_trail,
    l.is_stop,
    CAST(ROW_NUMBER() OVER (PARTITION BY l.switch_excluded_id, l.switch_trail
                            ORDER BY l.negative_epoch, l.switch_event_id) AS BIGINT) AS switch_no
  FROM switch_calls AS l
), stopped_trails AS (
  SELECT m.switch_excluded_id, m.switch_trail
  FROM ranked_switches AS m
  WHERE m.switch_no = 1
    AND m.is_stop = 1
), carrying_trails AS (
  SELECT
    q.other_excluded_id,
    MIN(q.other_trail) AS carrying_trail,
    CAST(COUNT(*) AS BIGINT) AS carrying_count
  FROM ranked_others AS q
  LEFT JOIN stopped_trails AS n ON n.switch_excluded_id = q.other_excluded_id AND n.switch_trail = q.other_trail
  WHERE q.other_no = 1
    AND q.is_carrying = 1
    AND n.switch_trail IS NULL
  GROUP BY q.other_excluded_id
), excluded_places AS (
  SELECT DISTINCT z.account_id AS place_account_id, z.region AS place_region
  FROM exclusions AS z
), kms_minutes AS (
  SELECT
    k.account_id AS kms_account_id,
    k.region AS kms_region,
    k.event_epoch - (k.event_epoch % 60) AS kms_minute,
    CAST(COUNT(*) AS BIGINT) AS n
  FROM events AS k
  SEMI JOIN excluded_places AS e ON e.place_account_id = k.account_id AND e.place_region = k.region
  WHERE k.event_source = 'kms.amazonaws.com'
  GROUP BY k.account_id, k.region, k.event_epoch - (k.event_epoch % 60)
), later_events AS (
  -- Whole minutes, from the end of the grace time to the minute in which the events were taken in again.
  SELECT
    f.excluded_id AS later_excluded_id,
    CAST(SUM(g.n) AS BIGINT) AS later_count
  FROM exclusions AS f
  JOIN kms_minutes AS g ON g.kms_account_id = f.account_id AND g.kms_region = f.region
  CROSS JOIN params AS p
  LEFT JOIN restores AS h ON h.excluded_id = f.excluded_id
  WHERE g.kms_minute >= f.event_epoch + p.grace_minutes * 60
    AND g.kms_minute + 60 <= COALESCE(h.restored_epoch, 9999999999)
  GROUP BY f.excluded_id
)
SELECT
  s.event_time AS first_time,
  COALESCE(t.restored_time, s.event_time) AS last_time,
  s.account_id,
  s.region,
  CAST(NULL AS STRING) AS key_arn,
  s.principal,
  s.source_ip,
  CAST(CASE WHEN t.restore_id IS NULL THEN 1 ELSE 2 END AS BIGINT) AS event_count,
  CASE WHEN u.carrying_count > 0 OR v.later_count > 0 THEN 'low' ELSE 'critical' END AS severity,
  COALESCE(s.principal, 'An unnamed principal') || ' excluded KMS events from ' || s.trail_name || ' with ' || s.event_name
    || CASE WHEN t.restored_epoch IS NULL THEN '; not taken in again within the evidence'
            ELSE '; ' || COALESCE(t.restored_by, 'an unnamed principal') || ' took them in again after '
              || CAST(t.restored_epoch - s.event_epoch AS STRING) || ' seconds' END
    || CASE
         WHEN u.carrying_count > 0 THEN '; trail ' || u.carrying_trail || ' still carried them.'
         WHEN v.later_count > 0 THEN '; KMS events recorded there in the meantime: ' || CAST(v.later_count AS STRING)
           || ', so another trail still carried them.'
         ELSE '; nothing in the evidence shows that another trail carried them.'
       END AS summary,
  s.excluded_id || COALESCE(',' || t.restore_id, '') AS event_ids,
  s.event_name AS action,
  s.trail_name,
  t.restored_time,
  t.restored_by,
  t.restored_epoch - s.event_epoch AS blind_seconds,
  u.carrying_trail,
  COALESCE(v.later_count, 0) AS kms_events_meanwhile,
  s.user_agent
FROM exclusions AS s
LEFT JOIN restores AS t ON t.excluded_id = s.excluded_id
LEFT JOIN carrying_trails AS u ON u.other_excluded_id = s.excluded_id
LEFT JOIN later_events AS v ON v.later_excluded_id = s.excluded_id
ORDER BY first_time, event_ids
