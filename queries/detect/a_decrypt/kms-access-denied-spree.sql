-- title: Principal refused across many actions or keys
-- severity: medium
-- attack: T1526, T1580
-- description: Within a quarter of an hour a principal was refused for many different KMS actions or on many
--   different keys, or asked for keys that do not exist. That is how a stolen credential finds out what it can do.
-- false-positives: Broken infrastructure code, and roles that lost a policy. AWS Config's denied Decrypt calls on
--   Lambda environments, services' own principals and service-linked roles are left out.
-- blind-spots: A denied cross-account call is logged only in the caller's account, so the owner of a key never sees
--   foreign probing. A denial whose message names no key counts only by action.
-- reads: events
-- params: action_count = 5, key_count = 5, window_seconds = 900
WITH refused_calls AS (
  SELECT
    e.principal,
    e.event_epoch,
    e.event_time,
    e.event_id,
    e.account_id,
    e.region,
    e.key_arn,
    e.source_ip,
    e.via,
    COALESCE(e.denied_action, 'kms:' || e.event_name) AS refused_action,
    COALESCE(e.key_arn, e.key_ref) AS refused_key,
    CASE WHEN e.outcome = 'denied' THEN 0 ELSE 1 END AS is_missing_key
  FROM events AS e
  WHERE e.event_source = 'kms.amazonaws.com'
    AND (e.outcome = 'denied' OR e.error_code IN ('NotFoundException', 'NotFound'))
    AND NOT COALESCE(e.is_dry_run, FALSE)
    AND e.principal NOT LIKE 'service:%'
    AND e.principal NOT LIKE '%:role/aws-service-role/%'
    AND COALESCE(e.via, '') <> 'config.amazonaws.com'
), refused_things AS (
  SELECT DISTINCT a.principal, 'action' AS kind, a.refused_action AS thing, a.event_epoch
  FROM refused_calls AS a
  UNION ALL
  SELECT DISTINCT k.principal, 'key' AS kind, k.refused_key AS thing, k.event_epoch
  FROM refused_calls AS k
  WHERE k.refused_key IS NOT NULL
), following_things AS (
  SELECT
    f.principal,
    f.kind,
    f.event_epoch,
    p.window_seconds,
    LEAD(f.event_epoch) OVER (PARTITION BY f.principal, f.kind, f.thing ORDER BY f.event_epoch) AS again_epoch
  FROM refused_things AS f
  CROSS JOIN params AS p
), steps AS (
  -- A thing counts from its refusal until the window has passed over it or it is refused again: so each counts once.
  SELECT s.principal, s.kind, s.event_epoch AS step_epoch, CAST(1 AS BIGINT) AS change, CAST(1 AS BIGINT) AS started
  FROM following_things AS s
  UNION ALL
  SELECT
    t.principal,
    t.kind,
    CASE WHEN t.again_epoch <= t.event_epoch + t.window_seconds THEN t.again_epoch
         ELSE t.event_epoch + t.window_seconds + 1 END AS step_epoch,
    CAST(-1 AS BIGINT) AS change,
    CAST(0 AS BIGINT) AS started
  FROM following_things AS t
), step_totals AS (
  SELECT
    x.principal,
    x.step_epoch,
    CAST(SUM(CASE WHEN x.kind = 'action' THEN x.change ELSE 0 END) AS BIGINT) AS action_change,
    CAST(SUM(CASE WHEN x.kind = 'key' THEN x.change ELSE 0 END) AS BIGINT) AS key_change,
    CAST(SUM(x.started) AS BIGINT) AS started
  FROM steps AS x
  GROUP BY x.principal, x.step_epoch
), levels AS (
  SELECT
    q.principal,
    q.step_epoch,
    q.started,
    CAST(SUM(q.action_change) OVER (PARTITION BY q.principal ORDER BY q.step_epoch
                                    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS actions_in_window,
    CAST(SUM(q.key_change) OVER (PARTITION BY q.principal ORDER BY q.step_epoch
                                 ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS keys_in_window
  FROM step_totals AS q
), marks AS (
  SELECT
    m.principal,
    m.step_epoch,
    -m.step_epoch AS negative_epoch,
    l.window_seconds,
    m.actions_in_window,
    m.keys_in_window,
    CASE WHEN m.actions_in_window >= l.action_count OR m.keys_in_window >= l.key_count THEN m.step_epoch
         ELSE 9999999999 END AS full_epoch
  FROM levels AS m
  CROSS JOIN params AS l
  WHERE m.started > 0
), reaches AS (
  SELECT
    j.principal,
    j.step_epoch,
    j.window_seconds,
    j.actions_in_window,
    j.keys_in_window,
    MIN(j.full_epoch) OVER (PARTITION BY j.principal ORDER BY j.negative_epoch
                            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS next_full_epoch
  FROM marks AS j
), members AS (
  SELECT
    z.principal,
    z.step_epoch,
    z.window_seconds,
    z.actions_in_window,
    z.keys_in_window,
    LAG(z.step_epoch) OVER (PARTITION BY z.principal ORDER BY z.step_epoch) AS before_epoch
  FROM reaches AS z
  WHERE z.next_full_epoch - z.step_epoch <= z.window_seconds
), starts AS (
  SELECT
    b.principal,
    b.step_epoch,
    b.actions_in_window,
    b.keys_in_window,
    CASE WHEN b.before_epoch IS NULL OR b.step_epoch - b.before_epoch > b.window_seconds THEN 1 ELSE 0 END AS is_start
  FROM members AS b
), spree_seconds AS (
  SELECT
    c.principal AS spree_principal,
    c.step_epoch AS spree_second,
    c.actions_in_window,
    c.keys_in_window,
    CAST(SUM(c.is_start) OVER (PARTITION BY c.principal ORDER BY c.step_epoch
                               ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS spree_no
  FROM starts AS c
), spree_calls AS (
  SELECT
    v.principal, g.spree_no, g.actions_in_window, g.keys_in_window, v.event_epoch, v.event_time, v.event_id, v.account_id,
    v.region,
    v.key_arn, v.source_ip, v.via, v.refused_action, v.refused_key, v.is_missing_key,
    CAST(ROW_NUMBER() OVER (PARTITION BY v.principal, g.spree_no ORDER BY v.event_epoch, v.event_id) AS BIGINT) AS call_no
  FROM refused_calls AS v
  JOIN spree_seconds AS g ON g.spree_principal = v.principal AND g.spree_second = v.event_epoch
), sprees AS (
  SELECT
    w.principal,
    w.spree_no,
    MIN(w.event_time) AS first_time,
    MAX(w.event_time) AS last_time,
    MIN(w.event_epoch) AS first_epoch,
    MAX(w.event_epoch) AS last_epoch,
    MIN(w.account_id) AS account_id,
    MIN(w.region) AS region,
    MIN(w.key_arn) AS key_arn,
    MIN(w.source_ip) AS source_ip,
    MIN(w.via) AS via,
    CAST(COUNT(DISTINCT w.region) AS BIGINT) AS region_count,
    CAST(COUNT(DISTINCT w.source_ip) AS BIGINT) AS source_ip_count,
    CAST(COUNT(DISTINCT w.refused_action) AS BIGINT) AS refused_action_count,
    CAST(COUNT(DISTINCT w.refused_key) AS BIGINT) AS refused_key_count,
    MIN(w.refused_action) AS first_action,
    CAST(SUM(w.is_missing_key) AS BIGINT) AS missing_key_count,
    CAST(COUNT(*) AS BIGINT) AS event_count
  FROM spree_calls AS w
  GROUP BY w.principal, w.spree_no
), spree_ids AS (
  SELECT
    i.principal AS id_principal,
    i.spree_no AS id_spree_no,
    STRING_AGG(i.event_id, ',') AS event_ids
  FROM spree_calls AS i
  WHERE i.call_no <= 1000
  GROUP BY i.principal, i.spree_no
), spree_actions AS (
  SELECT DISTINCT n.principal AS action_principal, n.spree_no AS action_spree_no, n.refused_action
  FROM spree_calls AS n
), action_lists AS (
  SELECT
    o.action_principal,
    o.action_spree_no,
    STRING_AGG(o.refused_action, ',') AS refused_actions
  FROM spree_actions AS o
  GROUP BY o.action_principal, o.action_spree_no
)
SELECT
  y.first_time,
  y.last_time,
  y.account_id,
  CASE WHEN y.region_count = 1 THEN y.region END AS region,
  CASE WHEN y.refused_key_count = 1 THEN y.key_arn END AS key_arn,
  y.principal,
  CASE WHEN y.source_ip_count = 1 THEN y.source_ip END AS source_ip,
  y.event_count,
  'medium' AS severity,
  y.principal || ' was refused ' || CAST(y.event_count AS STRING) || ' times within ' ||
  CAST(y.last_epoch - y.first_epoch AS STRING)
    || ' seconds (different actions: ' || CAST(y.refused_action_count AS STRING) || ', such as ' || y.first_action
    || '; different keys: ' || CAST(y.refused_key_count AS STRING) || '; calls for keys that do not exist: '
    || CAST(y.missing_key_count AS STRING) || ').' AS summary,
  h.event_ids,
  y.refused_action_count,
  y.refused_key_count,
  y.missing_key_count,
  k.refused_actions,
  y.via
FROM sprees AS y
JOIN spree_ids AS h ON h.id_principal = y.principal AND h.id_spree_no = y.spree_no
JOIN action_lists AS k ON k.action_principal = y.principal AND k.action_spree_no = y.spree_no
ORDER BY first_time, principal, last_time
