-- title: Many keys disabled, scheduled for deletion or emptied at once
-- severity: critical
-- attack: T1485, T1489
-- description: Within an hour one principal disabled, scheduled for deletion or emptied several keys, or disconnected their
--   key stores; two are enough for a principal that never administered KMS before. Everything under these keys stops
--   together. The finding tells how many of the keys were in use, and how many work again at the end of the evidence.
-- false-positives: Closing an account or an environment. Medium when the principal had made all of the keys itself and
--   nobody else had used one in the days before. The same key struck twice counts once.
-- blind-spots: Who was new is not known in the first days of the evidence. Blows of several principals are not added up.
-- reads: admin_events, keys, pairs
-- params: key_count = 3, new_actor_key_count = 2, window_seconds = 3600, new_actor_hours = 24, learn_days = 7, active_days = 30
WITH blows AS (
  SELECT
    a.principal,
    COALESCE(a.key_arn, a.custom_key_store_id) AS thing,
    a.key_arn,
    a.event_id,
    a.event_name,
    a.event_time,
    a.event_epoch,
    a.account_id,
    a.region,
    a.source_ip
  FROM admin_events AS a
  WHERE a.event_source = 'kms.amazonaws.com'
    AND a.event_name IN ('DisableKey', 'ScheduleKeyDeletion', 'DeleteImportedKeyMaterial', 'DisconnectCustomKeyStore')
    AND a.is_ok
    AND a.principal IS NOT NULL
    AND COALESCE(a.key_arn, a.custom_key_store_id) IS NOT NULL
), first_acts AS (
  SELECT f.principal AS actor, MIN(f.event_epoch) AS first_act_epoch
  FROM admin_events AS f
  SEMI JOIN blows AS g ON g.principal = f.principal
  WHERE f.event_source = 'kms.amazonaws.com'
    AND f.is_direct
  GROUP BY f.principal
), actors AS (
  SELECT
    c.actor,
    p.window_seconds,
    p.key_count,
    p.new_actor_key_count,
    CASE WHEN c.first_act_epoch - ev.first_epoch >= p.learn_days * 86400 THEN c.first_act_epoch + p.new_actor_hours * 3600
         ELSE CAST(0 AS BIGINT) END AS new_until_epoch
  FROM first_acts AS c
  CROSS JOIN params AS p
  CROSS JOIN evidence AS ev
), struck_things AS (
  SELECT DISTINCT d.principal, d.thing, d.event_epoch
  FROM blows AS d
), following_things AS (
  SELECT
    h.principal,
    h.event_epoch,
    q.window_seconds,
    LEAD(h.event_epoch) OVER (PARTITION BY h.principal, h.thing ORDER BY h.event_epoch) AS again_epoch
  FROM struck_things AS h
  CROSS JOIN params AS q
), steps AS (
  SELECT s.principal, s.event_epoch AS step_epoch, CAST(1 AS BIGINT) AS change, CAST(1 AS BIGINT) AS started
  FROM following_things AS s
  UNION ALL
  SELECT
    t.principal,
    CASE WHEN t.again_epoch <= t.event_epoch + t.window_seconds THEN t.again_epoch
         ELSE t.event_epoch + t.window_seconds + 1 END AS step_epoch,
    CAST(-1 AS BIGINT) AS change,
    CAST(0 AS BIGINT) AS started
  FROM following_things AS t
), step_totals AS (
  SELECT
    x.principal,
    x.step_epoch,
    CAST(SUM(x.change) AS BIGINT) AS change,
    CAST(SUM(x.started) AS BIGINT) AS started
  FROM steps AS x
  GROUP BY x.principal, x.step_epoch
), levels AS (
  SELECT
    l.principal,
    l.step_epoch,
    l.started,
    CAST(SUM(l.change) OVER (PARTITION BY l.principal ORDER BY l.step_epoch
                             ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS things_in_window
  FROM step_totals AS l
), marks AS (
  SELECT
    m.principal,
    m.step_epoch,
    -m.step_epoch AS negative_epoch,
    v.window_seconds,
    CASE
      WHEN m.things_in_window >= v.key_count THEN m.step_epoch
      WHEN m.things_in_window >= v.new_actor_key_count AND m.step_epoch <= v.new_until_epoch THEN m.step_epoch
      ELSE 9999999999
    END AS full_epoch
  FROM levels AS m
  JOIN actors AS v ON v.actor = m.principal
  WHERE m.started > 0
), reaches AS (
  SELECT
    j.principal,
    j.step_epoch,
    j.window_seconds,
    MIN(j.full_epoch) OVER (PARTITION BY j.principal ORDER BY j.negative_epoch
                            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS next_full_epoch
  FROM marks AS j
), members AS (
  SELECT
    z.principal,
    z.step_epoch,
    z.window_seconds,
    LAG(z.step_epoch) OVER (PARTITION BY z.principal ORDER BY z.step_epoch) AS before_epoch
  FROM reaches AS z
  WHERE z.next_full_epoch - z.step_epoch <= z.window_seconds
), starts AS (
  SELECT
    b.principal,
    b.step_epoch,
    CASE WHEN b.before_epoch IS NULL OR b.step_epoch - b.before_epoch > b.window_seconds THEN 1 ELSE 0 END AS is_start
  FROM members AS b
), wave_seconds AS (
  SELECT
    w.principal AS wave_principal,
    w.step_epoch AS wave_second,
    CAST(SUM(w.is_start) OVER (PARTITION BY w.principal ORDER BY w.step_epoch
                               ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS wave_no
  FROM starts AS w
), wave_blows AS (
  SELECT
    o.principal, y.wave_no, o.thing, o.key_arn, o.event_id, o.event_name, o.event_time, o.event_epoch, o.account_id, o.region,
    o.source_ip,
    CAST(ROW_NUMBER() OVER (PARTITION BY o.principal, y.wave_no ORDER BY o.event_epoch, o.event_id) AS BIGINT) AS blow_no
  FROM blows AS o
  JOIN wave_seconds AS y ON y.wave_principal = o.principal AND y.wave_second = o.event_epoch
), waves AS (
  SELECT
    n.principal,
    n.wave_no,
    MIN(n.event_time) AS first_time,
    MAX(n.event_time) AS last_time,
    MIN(n.event_epoch) AS first_epoch,
    MAX(n.event_epoch) AS last_epoch,
    MIN(n.account_id) AS account_id,
    MIN(n.region) AS region,
    CAST(COUNT(DISTINCT n.region) AS BIGINT) AS region_count,
    MIN(n.source_ip) AS source_ip,
    CAST(COUNT(DISTINCT n.source_ip) AS BIGINT) AS source_ip_count,
    CAST(COUNT(DISTINCT n.thing) AS BIGINT) AS thing_count,
    CAST(COUNT(CASE WHEN n.event_name = 'DisableKey' THEN 1 END) AS BIGINT) AS disable_count,
    CAST(COUNT(CASE WHEN n.event_name = 'ScheduleKeyDeletion' THEN 1 END) AS BIGINT) AS schedule_count,
    CAST(COUNT(CASE WHEN n.event_name = 'DeleteImportedKeyMaterial' THEN 1 END) AS BIGINT) AS material_count,
    CAST(COUNT(CASE WHEN n.event_name = 'DisconnectCustomKeyStore' THEN 1 END) AS BIGINT) AS store_count,
    CAST(COUNT(*) AS BIGINT) AS event_count
  FROM wave_blows AS n
  GROUP BY n.principal, n.wave_no
), wave_ids AS (
  SELECT i.principal AS id_principal, i.wave_no AS id_wave_no, STRING_AGG(i.event_id, ',') AS event_ids
  FROM wave_blows AS i
  WHERE i.blow_no <= 1000
  GROUP BY i.principal, i.wave_no
), wave_things AS (
  SELECT DISTINCT k.principal AS thing_principal, k.wave_no AS thing_wave_no, k.thing AS struck_thing
  FROM wave_blows AS k
), key_facts AS (
  SELECT
    kk.key_arn AS fact_key,
    kk.creator,
    CASE WHEN kk.state = 'enabled' THEN 1 ELSE 0 END AS works_again
  FROM keys AS kk
), outside_uses AS (
  SELECT
    tt.thing_principal AS used_principal,
    tt.thing_wave_no AS used_wave_no,
    tt.struck_thing AS used_thing,
    CAST(COUNT(*) AS BIGINT) AS other_users
  FROM wave_things AS tt
  JOIN waves AS ww ON ww.principal = tt.thing_principal AND ww.wave_no = tt.thing_wave_no
  JOIN pairs AS uu ON uu.key_arn = tt.struck_thing
  CROSS JOIN params AS pp
  WHERE uu.principal <> tt.thing_principal
    AND uu.first_epoch <= ww.first_epoch
    AND uu.last_epoch >= ww.first_epoch - pp.active_days * 86400
  GROUP BY tt.thing_principal, tt.thing_wave_no, tt.struck_thing
), thing_totals AS (
  SELECT
    th.thing_principal AS total_principal,
    th.thing_wave_no AS total_wave_no,
    MIN(th.struck_thing) AS first_thing,
    CAST(COUNT(us.other_users) AS BIGINT) AS used_key_count,
    CAST(COUNT(CASE WHEN fa.creator = th.thing_principal THEN 1 END) AS BIGINT) AS own_key_count,
    CAST(COUNT(CASE WHEN fa.works_again = 1 THEN 1 END) AS BIGINT) AS restored_count
  FROM wave_things AS th
  LEFT JOIN outside_uses AS us ON us.used_principal = th.thing_principal
      AND us.used_wave_no = th.thing_wave_no
      AND us.used_thing = th.struck_thing
  LEFT JOIN key_facts AS fa ON fa.fact_key = th.struck_thing
  GROUP BY th.thing_principal, th.thing_wave_no
)
SELECT
  r.first_time,
  r.last_time,
  r.account_id,
  CASE WHEN r.region_count = 1 THEN r.region END AS region,
  CAST(NULL AS STRING) AS key_arn,
  r.principal,
  CASE WHEN r.source_ip_count = 1 THEN r.source_ip END AS source_ip,
  r.event_count,
  CASE WHEN e.own_key_count = r.thing_count AND e.used_key_count = 0 THEN 'medium' ELSE 'critical' END AS severity,
  r.principal || ' struck ' || CAST(r.thing_count AS STRING) || ' keys or key stores within '
    || CAST(r.last_epoch - r.first_epoch AS STRING) || ' seconds, such as ' || e.first_thing || ' (disabled: '
    || CAST(r.disable_count AS STRING) || ', scheduled for deletion: ' || CAST(r.schedule_count AS STRING)
    || ', material deleted: ' || CAST(r.material_count AS STRING) || ', stores disconnected: '
    || CAST(r.store_count AS STRING) || '); in use by others before: ' || CAST(e.used_key_count AS STRING)
    || ', enabled again at the end: ' || CAST(e.restored_count AS STRING)
    || CASE WHEN r.first_epoch <= ac.new_until_epoch THEN '; the principal was new to administering KMS' ELSE '' END
    || CASE WHEN e.own_key_count = r.thing_count THEN '; it had made all of them itself.' ELSE '.' END AS summary,
  d.event_ids,
  r.thing_count,
  e.used_key_count,
  e.own_key_count,
  e.restored_count,
  CASE WHEN r.first_epoch <= ac.new_until_epoch THEN TRUE ELSE FALSE END AS is_new_actor
FROM waves AS r
JOIN wave_ids AS d ON d.id_principal = r.principal AND d.id_wave_no = r.wave_no
JOIN thing_totals AS e ON e.total_principal = r.principal AND e.total_wave_no = r.wave_no
JOIN actors AS ac ON ac.actor = r.principal
ORDER BY first_time, principal, last_time
