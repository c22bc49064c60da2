-- title: Key disabled
-- severity: medium
-- attack: T1489, T1485
-- description: A key was disabled: all calls with it fail until it is enabled again. DisableKey calls on one key that
--   lie within a day of each other are one finding. High when others had used the key in the days before, or when it
--   was disabled and enabled again and again (a denial of service by flapping).
-- false-positives: Rest before a deletion, incident response. The finding tells when the key was enabled again.
-- blind-spots: Use outside the evidence is not seen; services cache data keys and fail later.
-- reads: events, repeated_copies
-- params: active_days = 30, flap_cycles = 2, flap_hours = 24
WITH switches AS (
  SELECT
    e.event_id,
    e.event_name,
    e.event_time,
    e.event_epoch,
    e.account_id,
    e.region,
    e.key_arn,
    e.principal,
    e.source_ip,
    p.active_days,
    p.flap_cycles,
    p.flap_hours * 3600 AS flap_seconds
  FROM events AS e
  CROSS JOIN params AS p
  ANTI JOIN repeated_copies AS r ON r.repeated_id = e.event_id
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.event_name IN ('DisableKey', 'EnableKey')
    AND e.outcome = 'ok'
    AND NOT COALESCE(e.is_dry_run, FALSE)
    AND e.key_arn IS NOT NULL
), disables AS (
  SELECT
    d.event_id, d.event_time, d.event_epoch, d.account_id, d.region, d.key_arn, d.principal, d.source_ip, d.active_days,
    d.flap_cycles,
    d.flap_seconds,
    LAG(d.event_epoch) OVER (PARTITION BY d.key_arn ORDER BY d.event_epoch, d.event_id) AS before_epoch
  FROM switches AS d
  WHERE d.event_name = 'DisableKey'
), marked_disables AS (
  SELECT
    m.event_id, m.event_time, m.event_epoch, m.account_id, m.region, m.key_arn, m.principal, m.source_ip, m.active_days,
    m.flap_cycles,
    CASE WHEN m.before_epoch IS NULL OR m.event_epoch - m.before_epoch > m.flap_seconds THEN 1 ELSE 0 END AS is_start
  FROM disables AS m
), numbered_disables AS (
  SELECT
    n.event_id, n.event_time, n.event_epoch, n.account_id, n.region, n.key_arn, n.principal, n.source_ip, n.active_days,
    n.flap_cycles,
    CAST(SUM(n.is_start) OVER (PARTITION BY n.key_arn ORDER BY n.event_epoch, n.event_id
                               ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS episode_no
  FROM marked_disables AS n
), ranked_disables AS (
  SELECT
    k.event_id, k.event_time, k.event_epoch, k.account_id, k.region, k.key_arn, k.principal, k.source_ip, k.active_days,
    k.flap_cycles,
    k.episode_no,
    CAST(ROW_NUMBER() OVER (PARTITION BY k.key_arn, k.episode_no ORDER BY k.event_epoch, k.event_id) AS BIGINT) AS disable_no
  FROM numbered_disables AS k
), episodes AS (
  SELECT
    t.key_arn AS episode_key,
    t.episode_no,
    MIN(t.event_time) AS first_time,
    MAX(t.event_time) AS last_time,
    MIN(t.event_epoch) AS first_epoch,
    MAX(t.event_epoch) AS last_epoch,
    MIN(t.account_id) AS account_id,
    MIN(t.region) AS region,
    MAX(CASE WHEN t.disable_no = 1 THEN t.principal END) AS principal,
    MAX(CASE WHEN t.disable_no = 1 THEN t.source_ip END) AS source_ip,
    MAX(t.active_days) AS active_days,
    MAX(t.flap_cycles) AS flap_cycles,
    CAST(COUNT(DISTINCT t.principal) AS BIGINT) AS actor_count,
    CAST(COUNT(*) AS BIGINT) AS disable_count
  FROM ranked_disables AS t
  GROUP BY t.key_arn, t.episode_no
), episode_ids AS (
  SELECT
    i.key_arn AS id_key,
    i.episode_no AS id_episode_no,
    STRING_AGG(i.event_id, ',') AS event_ids
  FROM ranked_disables AS i
  WHERE i.disable_no <= 1000
  GROUP BY i.key_arn, i.episode_no
), next_starts AS (
  SELECT
    v.episode_key AS next_key,
    v.episode_no AS next_episode_no,
    COALESCE(LEAD(v.first_epoch) OVER (PARTITION BY v.episode_key ORDER BY v.episode_no), 9999999999) AS next_first_epoch
  FROM episodes AS v
), enables AS (
  SELECT
    a.episode_key AS enabled_key,
    a.episode_no AS enabled_episode_no,
    CAST(COUNT(*) AS BIGINT) AS enable_count,
    MAX(b.event_time) AS enabled_time,
    MAX(b.event_epoch) AS enabled_epoch
  FROM episodes AS a
  JOIN next_starts AS s ON s.next_key = a.episode_key AND s.next_episode_no = a.episode_no
  JOIN switches AS b ON b.key_arn = a.episode_key
  WHERE b.event_name = 'EnableKey'
    AND b.event_epoch >= a.first_epoch
    AND b.event_epoch < s.next_first_epoch
  GROUP BY a.episode_key, a.episode_no
), disabled_keys AS (
  SELECT DISTINCT q.episode_key AS disabled_key FROM episodes AS q
), key_uses AS (
  SELECT
    u.key_arn AS used_key,
    u.event_epoch AS use_epoch,
    u.principal AS use_principal,
    u.via AS use_via
  FROM events AS u
  SEMI JOIN disabled_keys AS g ON g.disabled_key = u.key_arn
  ANTI JOIN repeated_copies AS c ON c.repeated_id = u.event_id
  WHERE u.event_source = 'kms.amazonaws.com'
    AND u.action_class = 'crypto'
    AND u.outcome = 'ok'
    AND NOT COALESCE(u.is_dry_run, FALSE)
), recent_uses AS (
  SELECT
    w.episode_key AS use_key,
    w.episode_no AS use_episode_no,
    CAST(COUNT(*) AS BIGINT) AS use_count,
    CAST(COUNT(CASE WHEN x.use_via IS NULL AND x.use_principal = w.principal THEN 1 END) AS BIGINT) AS own_use_count
  FROM episodes AS w
  JOIN key_uses AS x ON x.used_key = w.episode_key
  WHERE x.use_epoch <= w.first_epoch
    AND x.use_epoch >= w.first_epoch - w.active_days * 86400
  GROUP BY w.episode_key, w.episode_no
), judged AS (
  SELECT
    j.episode_key, j.first_time, j.last_time, j.last_epoch, j.account_id, j.region, j.principal, j.source_ip, j.active_days,
    j.flap_cycles,
    j.actor_count, j.disable_count,
    h.event_ids,
    COALESCE(l.enable_count, 0) AS enable_count,
    l.enabled_time,
    l.enabled_epoch,
    COALESCE(o.use_count, 0) AS use_count,
    COALESCE(o.own_use_count, 0) AS own_use_count,
    CASE WHEN j.disable_count <= COALESCE(l.enable_count, 0) THEN j.disable_count
         ELSE COALESCE(l.enable_count, 0) END AS cycle_count
  FROM episodes AS j
  JOIN episode_ids AS h ON h.id_key = j.episode_key AND h.id_episode_no = j.episode_no
  LEFT JOIN enables AS l ON l.enabled_key = j.episode_key AND l.enabled_episode_no = j.episode_no
  LEFT JOIN recent_uses AS o ON o.use_key = j.episode_key AND o.use_episode_no = j.episode_no
)
SELECT
  f.first_time,
  f.last_time,
  f.account_id,
  f.region,
  f.episode_key AS key_arn,
  f.principal,
  f.source_ip,
  f.disable_count AS event_count,
  CASE WHEN f.cycle_count >= f.flap_cycles OR f.use_count > f.own_use_count THEN 'high' ELSE 'medium' END AS severity,
  COALESCE(f.principal, 'An unnamed principal') || ' disabled ' || f.episode_key
    || CASE WHEN f.disable_count > 1 THEN ' (' || CAST(f.disable_count AS STRING) || ' times by ' || CAST(f.actor_count AS STRING)
              || ' principals)' ELSE '' END
    || '; uses of the key in the ' || CAST(f.active_days AS STRING) || ' days before: ' || CAST(f.use_count AS STRING)
    || CASE
         WHEN f.enabled_epoch IS NULL THEN '; not enabled again in the evidence.'
         WHEN f.enabled_epoch < f.last_epoch THEN '; enabled in between, but disabled at the end.'
         ELSE '; enabled again ' || CAST(f.enabled_epoch - f.last_epoch AS STRING) || ' seconds after the last time.'
       END AS summary,
  f.event_ids,
  f.disable_count,
  f.enable_count,
  f.cycle_count,
  f.enabled_time,
  f.use_count,
  f.actor_count
FROM judged AS f
ORDER BY first_time, key_arn
