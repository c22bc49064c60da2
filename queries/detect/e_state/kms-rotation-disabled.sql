-- title: Key rotation switched off or made rarer
-- severity: low
-- attack: T1562 / v19 T1685, T1552
-- description: Automatic rotation of a key was switched off, or its period lengthened. Old material then protects new data
--   longer. Medium when rotation stays off to the end of the evidence. Calls that switch off what is off already belong to
--   the first one.
-- false-positives: Preparation of a key's end: what happens within a day of a ScheduleKeyDeletion on the key is left out,
--   before or after. Replacing automatic rotation by rotation on demand.
-- blind-spots: Whether rotation was on before the evidence begins is not known. Keys that never rotated show nothing here.
-- reads: admin_events, keys
-- params: teardown_hours = 24
WITH switches AS (
  SELECT
    a.event_id,
    a.event_name,
    a.event_time,
    a.event_epoch,
    a.account_id,
    a.region,
    a.key_arn,
    a.principal,
    a.source_ip,
    a.via,
    a.rotation_period_days,
    LAG(a.event_name) OVER (PARTITION BY a.key_arn ORDER BY a.event_epoch, a.event_id) AS before_name,
    LAG(a.rotation_period_days) OVER (PARTITION BY a.key_arn ORDER BY a.event_epoch, a.event_id) AS before_days
  FROM admin_events AS a
  WHERE a.event_source = 'kms.amazonaws.com'
    AND a.event_name IN ('EnableKeyRotation', 'DisableKeyRotation')
    AND a.is_ok
    AND a.key_arn IS NOT NULL
), marked_switches AS (
  SELECT
    m.event_id, m.event_name, m.event_time, m.event_epoch, m.account_id, m.region, m.key_arn, m.principal, m.source_ip, m.via,
    m.rotation_period_days, m.before_days,
    CASE WHEN m.event_name = 'DisableKeyRotation' AND m.before_name = 'DisableKeyRotation' THEN 0 ELSE 1 END AS is_start,
    CASE WHEN m.event_name = 'EnableKeyRotation' AND m.before_name = 'EnableKeyRotation'
          AND m.rotation_period_days > m.before_days THEN 1 ELSE 0 END AS is_longer
  FROM switches AS m
), numbered_switches AS (
  SELECT
    n.event_id, n.event_name, n.event_time, n.event_epoch, n.account_id, n.region, n.key_arn, n.principal, n.source_ip, n.via,
    n.rotation_period_days, n.before_days, n.is_start, n.is_longer,
    CAST(SUM(n.is_start) OVER (PARTITION BY n.key_arn ORDER BY n.event_epoch, n.event_id
                               ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS change_no
  FROM marked_switches AS n
), ranked_switches AS (
  SELECT
    r.event_id, r.event_name, r.event_time, r.event_epoch, r.key_arn, r.change_no,
    CAST(ROW_NUMBER() OVER (PARTITION BY r.key_arn, r.change_no ORDER BY r.event_epoch, r.event_id) AS BIGINT) AS call_no
  FROM numbered_switches AS r
), stretches AS (
  SELECT
    s.key_arn AS stretch_key,
    s.change_no AS stretch_no,
    MAX(s.event_time) AS last_time,
    CAST(COUNT(*) AS BIGINT) AS event_count,
    STRING_AGG(CASE WHEN s.call_no <= 1000 THEN s.event_id END, ',') AS event_ids
  FROM ranked_switches AS s
  GROUP BY s.key_arn, s.change_no
), next_changes AS (
  SELECT
    x.key_arn AS next_key,
    x.change_no - 1 AS next_no,
    x.event_time AS next_time,
    x.event_epoch AS next_epoch,
    x.principal AS next_by,
    x.rotation_period_days AS next_days
  FROM numbered_switches AS x
  WHERE x.is_start = 1
), schedules AS (
  SELECT d.key_arn AS doomed_key, d.event_epoch AS doomed_epoch
  FROM admin_events AS d
  WHERE d.event_source = 'kms.amazonaws.com'
    AND d.event_name = 'ScheduleKeyDeletion'
    AND d.is_ok
    AND d.key_arn IS NOT NULL
), teardowns AS (
  SELECT DISTINCT t.event_id AS teardown_id
  FROM numbered_switches AS t
  JOIN schedules AS c ON c.doomed_key = t.key_arn
  CROSS JOIN params AS p
  WHERE ABS(c.doomed_epoch - t.event_epoch) <= p.teardown_hours * 3600
), key_facts AS (
  SELECT k.key_arn AS fact_key, k.aliases, k.use_count FROM keys AS k
)
SELECT
  y.event_time AS first_time,
  z.last_time,
  y.account_id,
  y.region,
  y.key_arn,
  y.principal,
  y.source_ip,
  z.event_count,
  CASE WHEN y.is_longer = 0 AND w.next_epoch IS NULL THEN 'medium' ELSE 'low' END AS severity,
  COALESCE(y.principal, 'An unnamed principal')
    || CASE WHEN y.is_longer = 1 THEN ' lengthened the rotation period of ' ELSE ' switched off the rotation of ' END || y.key_arn
    || COALESCE(' (' || f.aliases || ')', '')
    || CASE
         WHEN y.is_longer = 1 THEN ' from ' || CAST(y.before_days AS STRING) || ' to ' || CAST(y.rotation_period_days AS STRING) || ' days.'
         WHEN w.next_epoch IS NULL THEN '; it is not on again at the end of the evidence.'
         ELSE '; on again after ' || CAST(w.next_epoch - y.event_epoch AS STRING) || ' seconds by '
           || COALESCE(w.next_by, 'an unnamed principal') || '.'
       END AS summary,
  z.event_ids,
  CASE WHEN y.is_longer = 1 THEN 'lengthened' ELSE 'disabled' END AS change,
  y.before_days AS previous_period_days,
  y.rotation_period_days AS period_days,
  CASE WHEN y.is_longer = 0 THEN w.next_time END AS enabled_time,
  CASE WHEN y.is_longer = 0 THEN w.next_by END AS enabled_by,
  f.aliases,
  f.use_count,
  y.via
FROM numbered_switches AS y
JOIN stretches AS z ON z.stretch_key = y.key_arn AND z.stretch_no = y.change_no
LEFT JOIN next_changes AS w ON w.next_key = y.key_arn AND w.next_no = y.change_no
LEFT JOIN key_facts AS f ON f.fact_key = y.key_arn
LEFT JOIN teardowns AS v ON v.teardown_id = y.event_id
WHERE y.is_start = 1
  AND (y.event_name = 'DisableKeyRotation' OR y.is_longer = 1)
  AND v.teardown_id IS NULL
ORDER BY first_time, key_arn, change, z.last_time
