-- title: Calls fail because their key is unusable
-- severity: high
-- attack: T1489
-- description: Cryptographic calls fail again and again because their key is disabled, without material, or unavailable: the
--   damage of a state change as its users feel it. The finding names the change that came before, who made it and when, or
--   says that the cause is not in the evidence. It takes three failures within an hour; failures of one key that lie less
--   than a day apart are one finding.
-- false-positives: Planned rests. Medium when the key had never been used before (material not yet imported), and when only
--   whoever made the change fails. A key pending deletion is another rule's. Administration that fails is not counted.
-- blind-spots: Services cache data keys and fail late or not at all. Refusals of an external key store's proxy name no state.
-- reads: failed_calls, admin_events, keys
-- params: failure_count = 3, window_seconds = 3600, gap_hours = 24
WITH failures AS (
  SELECT
    f.key_arn,
    f.key_state_error AS key_state,
    f.event_epoch,
    f.event_time,
    f.event_id,
    f.account_id,
    f.region,
    f.principal,
    f.source_ip,
    f.via,
    f.context_resource,
    f.custom_key_store_id
  FROM failed_calls AS f
  WHERE f.key_state_error IN ('disabled', 'pending_import', 'unavailable')
    AND f.action_class = 'crypto'
    AND f.key_arn IS NOT NULL
), failure_seconds AS (
  SELECT s.key_arn, s.key_state, s.event_epoch, CAST(COUNT(*) AS BIGINT) AS failures_then
  FROM failures AS s
  GROUP BY s.key_arn, s.key_state, s.event_epoch
), steps AS (
  SELECT a.key_arn, a.key_state, a.event_epoch AS step_epoch, a.failures_then AS change, CAST(1 AS BIGINT) AS started
  FROM failure_seconds AS a
  UNION ALL
  SELECT b.key_arn, b.key_state, b.event_epoch + p.window_seconds + 1 AS step_epoch, -b.failures_then AS change,
         CAST(0 AS BIGINT) AS started
  FROM failure_seconds AS b
  CROSS JOIN params AS p
), step_totals AS (
  SELECT
    t.key_arn,
    t.key_state,
    t.step_epoch,
    CAST(SUM(t.change) AS BIGINT) AS change,
    CAST(SUM(t.started) AS BIGINT) AS started
  FROM steps AS t
  GROUP BY t.key_arn, t.key_state, t.step_epoch
), levels AS (
  SELECT
    l.key_arn,
    l.key_state,
    l.step_epoch,
    l.started,
    CAST(SUM(l.change) OVER (PARTITION BY l.key_arn, l.key_state ORDER BY l.step_epoch
                             ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS failures_in_window
  FROM step_totals AS l
), following_seconds AS (
  SELECT
    m.key_arn,
    m.key_state,
    m.step_epoch,
    m.failures_in_window,
    LAG(m.step_epoch) OVER (PARTITION BY m.key_arn, m.key_state ORDER BY m.step_epoch) AS before_epoch
  FROM levels AS m
  WHERE m.started > 0
), marked_seconds AS (
  SELECT
    n.key_arn,
    n.key_state,
    n.step_epoch,
    n.failures_in_window,
    q.failure_count,
    CASE WHEN n.before_epoch IS NULL OR n.step_epoch - n.before_epoch > q.gap_hours * 3600 THEN 1 ELSE 0 END AS is_start
  FROM following_seconds AS n
  CROSS JOIN params AS q
), outage_seconds AS (
  SELECT
    o.key_arn AS second_key,
    o.key_state AS second_state,
    o.step_epoch AS second_epoch,
    o.failures_in_window,
    o.failure_count,
    CAST(SUM(o.is_start) OVER (PARTITION BY o.key_arn, o.key_state ORDER BY o.step_epoch
                               ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS outage_no
  FROM marked_seconds AS o
), full_outages AS (
  SELECT r.second_key AS full_key, r.second_state AS full_state, r.outage_no AS full_no
  FROM outage_seconds AS r
  GROUP BY r.second_key, r.second_state, r.outage_no
  HAVING MAX(r.failures_in_window) >= MAX(r.failure_count)
), outage_calls AS (
  SELECT
    c.key_arn, c.key_state, d.outage_no, c.event_epoch, c.event_time, c.event_id, c.account_id, c.region, c.principal,
    c.source_ip, c.via, c.context_resource, c.custom_key_store_id,
    CAST(ROW_NUMBER() OVER (PARTITION BY c.key_arn, c.key_state, d.outage_no ORDER BY c.event_epoch, c.event_id) AS BIGINT) AS call_no
  FROM failures AS c
  JOIN outage_seconds AS d ON d.second_key = c.key_arn AND d.second_state = c.key_state AND d.second_epoch = c.event_epoch
  SEMI JOIN full_outages AS e ON e.full_key = c.key_arn AND e.full_state = c.key_state AND e.full_no = d.outage_no
), outages AS (
  SELECT
    g.key_arn,
    g.key_state,
    g.outage_no,
    MIN(g.event_time) AS first_time,
    MAX(g.event_time) AS last_time,
    MIN(g.event_epoch) AS first_epoch,
    MAX(g.event_epoch) AS last_epoch,
    MIN(g.account_id) AS account_id,
    MIN(g.region) AS region,
    MIN(g.principal) AS first_caller,
    CAST(COUNT(DISTINCT g.principal) AS BIGINT) AS caller_count,
    MIN(g.source_ip) AS source_ip,
    CAST(COUNT(DISTINCT g.source_ip) AS BIGINT) AS source_ip_count,
    MIN(g.via) AS via,
    MIN(g.context_resource) AS first_resource,
    CAST(COUNT(DISTINCT g.context_resource) AS BIGINT) AS resource_count,
    MIN(g.custom_key_store_id) AS outage_store,
    CAST(COUNT(*) AS BIGINT) AS event_count
  FROM outage_calls AS g
  GROUP BY g.key_arn, g.key_state, g.outage_no
), outage_ids AS (
  SELECT i.key_arn AS id_key, i.key_state AS id_state, i.outage_no AS id_no, STRING_AGG(i.event_id, ',') AS event_ids
  FROM outage_calls AS i
  WHERE i.call_no <= 1000
  GROUP BY i.key_arn, i.key_state, i.outage_no
), changes AS (
  SELECT
    CASE WHEN h.event_name LIKE '%CustomKeyStore' THEN h.custom_key_store_id ELSE h.key_arn END AS changed_thing,
    CASE
      WHEN h.event_name IN ('DisableKey', 'CancelKeyDeletion') THEN 'disabled'
      WHEN h.event_name LIKE '%CustomKeyStore' THEN 'unavailable'
      ELSE 'pending_import'
    END AS changed_state,
    h.event_name AS change_name,
    h.event_time AS change_time,
    h.event_epoch AS change_epoch,
    -h.event_epoch AS negative_change_epoch,
    COALESCE(h.principal, 'KMS itself') AS change_by,
    h.event_id AS change_id
  FROM admin_events AS h
  WHERE h.event_source = 'kms.amazonaws.com'
    AND h.is_ok
    AND (h.event_name IN ('DisableKey', 'CancelKeyDeletion', 'DeleteImportedKeyMaterial', 'DeleteExpiredKeyMaterial',
                          'DisconnectCustomKeyStore', 'UpdateCustomKeyStore')
      OR (h.event_name = 'CreateKey' AND h.key_origin = 'EXTERNAL'))
), broken_things AS (
  SELECT
    j.key_arn AS broken_key,
    j.key_state AS broken_state,
    j.outage_no AS broken_no,
    CASE WHEN j.key_state = 'unavailable' THEN j.outage_store ELSE j.key_arn END AS broken_thing,
    j.first_epoch AS broken_epoch
  FROM outages AS j
), causes AS (
  SELECT
    k.broken_key, k.broken_state, k.broken_no, v.change_name, v.change_time, v.change_epoch, v.change_by, v.change_id,
    CAST(ROW_NUMBER() OVER (PARTITION BY k.broken_key, k.broken_state, k.broken_no
                            ORDER BY v.negative_change_epoch, v.change_id) AS BIGINT) AS cause_no
  FROM broken_things AS k
  JOIN changes AS v ON v.changed_thing = k.broken_thing AND v.changed_state = k.broken_state
  WHERE v.change_epoch <= k.broken_epoch
), last_causes AS (
  SELECT w.broken_key, w.broken_state, w.broken_no, w.change_name, w.change_time, w.change_epoch, w.change_by, w.change_id
  FROM causes AS w
  WHERE w.cause_no = 1
), first_uses AS (
  SELECT u.key_arn AS used_key, u.first_use_epoch, u.aliases FROM keys AS u
)
SELECT
  x.first_time,
  x.last_time,
  x.account_id,
  x.region,
  x.key_arn,
  CASE WHEN x.caller_count = 1 THEN x.first_caller END AS principal,
  CASE WHEN x.source_ip_count = 1 THEN x.source_ip END AS source_ip,
  x.event_count,
  CASE
    WHEN x.key_state = 'pending_import' AND y.first_use_epoch IS NULL THEN 'medium'
    WHEN x.caller_count = 1 AND x.first_caller = z.change_by THEN 'medium'
    ELSE 'high'
  END AS severity,
  'Calls that failed because ' || x.key_arn || COALESCE(' (' || y.aliases || ')', '') || ' was '
    || CASE WHEN x.key_state = 'pending_import' THEN 'without key material' ELSE x.key_state END || ': '
    || CAST(x.event_count AS STRING) || ' within ' || CAST(x.last_epoch - x.first_epoch AS STRING) || ' seconds by '
    || COALESCE(x.first_caller, 'an unnamed principal')
    || CASE WHEN x.caller_count > 1 THEN ' and others (' || CAST(x.caller_count AS STRING) || ' in all)' ELSE '' END
    || COALESCE(', needed for ' || x.first_resource, '')
    || CASE WHEN z.change_id IS NULL THEN '; the cause is not in the evidence.'
            ELSE '; ' || z.change_by || ' had called ' || z.change_name || ' ' || CAST(x.first_epoch - z.change_epoch AS STRING)
              || ' seconds before the first failure.' END AS summary,
  aa.event_ids,
  x.key_state,
  x.caller_count,
  x.resource_count,
  x.first_resource,
  x.via,
  z.change_name AS cause,
  z.change_by AS cause_by,
  z.change_time AS cause_time,
  z.change_id AS cause_event_id
FROM outages AS x
JOIN outage_ids AS aa ON aa.id_key = x.key_arn AND aa.id_state = x.key_state AND aa.id_no = x.outage_no
LEFT JOIN last_causes AS z ON z.broken_key = x.key_arn AND z.broken_state = x.key_state AND z.broken_no = x.outage_no
LEFT JOIN first_uses AS y ON y.used_key = x.key_arn
ORDER BY first_time, key_arn, key_state
