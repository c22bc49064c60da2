-- title: Alias history
-- description: What each alias meant and when: one row per alias and stretch of time in which it named one key. A
--   stretch begins with CreateAlias or UpdateAlias, or where a call by the alias reached another key than before.
--   UpdateAlias does not log the previous key, so it is rebuilt from what came before.
-- reads: events, repeated_copies, alias_sightings
-- column: alias_name: The alias, such as `alias/app`.
-- column: alias_account_id: Its account, which is also its key's.
-- column: alias_region: Its Region.
-- column: key_arn: The key it named.
-- column: from_time: Begin of the stretch: the change, or the first call seen.
-- column: from_epoch: `from_time` in seconds.
-- column: until_time: When the alias was deleted or first seen naming another key; NULL for the last stretch.
-- column: until_epoch: `until_time` in seconds.
-- column: last_seen_time: Last evidence within the stretch.
-- column: how: What began the stretch: CreateAlias, UpdateAlias, or observed.
-- column: set_by: The principal of that change, or of the first call seen.
-- column: set_event_id: The event that shows the begin.
-- column: use_count: Successful calls that named the key by the alias.
-- column: previous_key_arn: The key that the alias named before.
-- column: previous_use_count: Successful calls by the alias while it named that key.
-- column: previous_last_epoch: Last evidence for the previous key, in seconds.
-- column: removed_epoch: When DeleteAlias came between the previous key and this one.
-- column: is_current: Nothing in the evidence ended the stretch.
WITH alias_changes AS (
  SELECT
    e.alias_name,
    COALESCE(e.target_key_arn, e.key_arn) AS step_key,
    e.account_id,
    e.region,
    e.event_name,
    e.event_epoch,
    e.event_time,
    e.event_id,
    e.principal
  FROM events AS e
  ANTI JOIN repeated_copies AS r ON r.repeated_id = e.event_id
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.outcome = 'ok'
    AND e.action_class = 'alias'
    AND e.event_name IN ('CreateAlias', 'UpdateAlias', 'DeleteAlias')
    AND e.alias_name IS NOT NULL
), seen_hours AS (
  SELECT
    h.alias_name,
    SPLIT_PART(h.key_arn, ':', 5) AS alias_account_id,
    SPLIT_PART(h.key_arn, ':', 4) AS alias_region,
    h.key_arn AS step_key,
    'observed' AS kind,
    h.first_epoch,
    h.last_epoch,
    h.first_time,
    h.last_time,
    h.use_count AS uses,
    h.principal AS step_by,
    h.event_id AS step_event_id
  FROM alias_sightings AS h
), change_steps AS (
  SELECT
    c.alias_name,
    CASE WHEN c.step_key IS NULL THEN c.account_id ELSE SPLIT_PART(c.step_key, ':', 5) END AS alias_account_id,
    CASE WHEN c.step_key IS NULL THEN c.region ELSE SPLIT_PART(c.step_key, ':', 4) END AS alias_region,
    CASE WHEN c.event_name = 'DeleteAlias' THEN '' ELSE c.step_key END AS step_key,
    c.event_name AS kind,
    c.event_epoch AS first_epoch,
    c.event_epoch AS last_epoch,
    c.event_time AS first_time,
    c.event_time AS last_time,
    CAST(0 AS BIGINT) AS uses,
    c.principal AS step_by,
    c.event_id AS step_event_id
  FROM alias_changes AS c
), steps AS (
  SELECT s.alias_name, s.alias_account_id, s.alias_region, s.step_key, s.kind, 4 AS kind_order, s.first_epoch, s.last_epoch,
         s.first_time, s.last_time,
         s.uses, s.step_by, s.step_event_id
  FROM seen_hours AS s
  UNION ALL
  SELECT g.alias_name, g.alias_account_id, g.alias_region, g.step_key, g.kind,
         CASE WHEN g.kind = 'DeleteAlias' THEN 1 WHEN g.kind = 'CreateAlias' THEN 2 ELSE 3 END AS kind_order,
         g.first_epoch, g.last_epoch, g.first_time, g.last_time, g.uses, g.step_by, g.step_event_id
  FROM change_steps AS g
  WHERE g.step_key IS NOT NULL
), ordered_steps AS (
  SELECT
    o.alias_name, o.alias_account_id, o.alias_region, o.step_key, o.kind, o.kind_order, o.first_epoch, o.last_epoch,
    o.first_time, o.last_time,
    o.uses, o.step_by, o.step_event_id,
    LAG(o.step_key) OVER (PARTITION BY o.alias_account_id, o.alias_region, o.alias_name ORDER BY o.first_epoch, o.kind_order, o.step_event_id) AS before_key
  FROM steps AS o
), marked_steps AS (
  SELECT
    m.alias_name, m.alias_account_id, m.alias_region, m.step_key, m.kind, m.kind_order, m.first_epoch, m.last_epoch,
    m.first_time, m.last_time,
    m.uses, m.step_by, m.step_event_id,
    CASE WHEN m.before_key IS NULL OR m.before_key <> m.step_key THEN 1 ELSE 0 END AS is_start
  FROM ordered_steps AS m
), numbered_steps AS (
  SELECT
    n.alias_name, n.alias_account_id, n.alias_region, n.step_key, n.kind, n.first_epoch, n.last_epoch, n.first_time,
    n.last_time,
    n.uses, n.step_by, n.step_event_id, n.is_start,
    CAST(SUM(n.is_start) OVER (PARTITION BY n.alias_account_id, n.alias_region, n.alias_name
                               ORDER BY n.first_epoch, n.kind_order, n.step_event_id
                               ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS stretch_no
  FROM marked_steps AS n
), stretches AS (
  SELECT
    t.alias_name,
    t.alias_account_id,
    t.alias_region,
    t.stretch_no,
    MIN(t.step_key) AS key_arn,
    MIN(t.first_time) AS from_time,
    MIN(t.first_epoch) AS from_epoch,
    MAX(t.last_time) AS last_seen_time,
    MAX(t.last_epoch) AS last_seen_epoch,
    MAX(CASE WHEN t.is_start = 1 THEN t.kind END) AS how,
    MAX(CASE WHEN t.is_start = 1 THEN t.step_by END) AS set_by,
    MAX(CASE WHEN t.is_start = 1 THEN t.step_event_id END) AS set_event_id,
    CAST(SUM(t.uses) AS BIGINT) AS use_count
  FROM numbered_steps AS t
  GROUP BY t.alias_name, t.alias_account_id, t.alias_region, t.stretch_no
), neighbors AS (
  SELECT
    w.alias_name, w.alias_account_id, w.alias_region, w.stretch_no, w.key_arn, w.from_time, w.from_epoch, w.last_seen_time,
    w.how,
    w.set_by, w.set_event_id, w.use_count,
    LAG(w.key_arn) OVER (PARTITION BY w.alias_account_id, w.alias_region, w.alias_name ORDER BY w.stretch_no) AS key_1,
    LAG(w.key_arn, 2) OVER (PARTITION BY w.alias_account_id, w.alias_region, w.alias_name ORDER BY w.stretch_no) AS key_2,
    LAG(w.use_count) OVER (PARTITION BY w.alias_account_id, w.alias_region, w.alias_name ORDER BY w.stretch_no) AS uses_1,
    LAG(w.use_count, 2) OVER (PARTITION BY w.alias_account_id, w.alias_region, w.alias_name ORDER BY w.stretch_no) AS uses_2,
    LAG(w.last_seen_epoch) OVER (PARTITION BY w.alias_account_id, w.alias_region, w.alias_name ORDER BY w.stretch_no) AS last_1,
    LAG(w.last_seen_epoch, 2) OVER (PARTITION BY w.alias_account_id, w.alias_region, w.alias_name ORDER BY w.stretch_no) AS last_2,
    LAG(w.from_epoch) OVER (PARTITION BY w.alias_account_id, w.alias_region, w.alias_name ORDER BY w.stretch_no) AS from_1,
    LEAD(w.from_time) OVER (PARTITION BY w.alias_account_id, w.alias_region, w.alias_name ORDER BY w.stretch_no) AS until_time,
    LEAD(w.from_epoch) OVER (PARTITION BY w.alias_account_id, w.alias_region, w.alias_name ORDER BY w.stretch_no) AS until_epoch
  FROM stretches AS w
)
SELECT
  z.alias_name,
  z.alias_account_id,
  z.alias_region,
  z.key_arn,
  z.from_time,
  z.from_epoch,
  z.until_time,
  z.until_epoch,
  z.last_seen_time,
  z.how,
  z.set_by,
  z.set_event_id,
  z.use_count,
  CASE WHEN z.key_1 = '' THEN z.key_2 ELSE z.key_1 END AS previous_key_arn,
  CASE WHEN z.key_1 = '' THEN z.uses_2 ELSE z.uses_1 END AS previous_use_count,
  CASE WHEN z.key_1 = '' THEN z.last_2 ELSE z.last_1 END AS previous_last_epoch,
  CASE WHEN z.key_1 = '' THEN z.from_1 END AS removed_epoch,
  CASE WHEN z.until_epoch IS NULL THEN TRUE ELSE FALSE END AS is_current
FROM neighbors AS z
WHERE z.key_arn <> ''
ORDER BY alias_name, alias_account_id, alias_region, from_epoch, set_event_id
