-- title: Tag or alias of a key changed, then a new principal used the key
-- severity: low
-- attack: T1098, T1548.005
-- description: Policies may allow keys by their tags or aliases, so whoever may tag a key may let others in without
--   touching a policy. Within a day of such a change a principal used the key that never had before, or that had been
--   refused the same action. High within the hour, unless the change was one of many by the same principal, as of a
--   governance bot, and the user had not been refused.
-- false-positives: Tag governance, and deployments that tag a key and put it to use. Left out are changes that set what was
--   set already, keys not in use for a day before the change, users that are AWS services, and uses that a key policy
--   or a grant of the day before explains.
-- blind-spots: Whether any policy looks at the tag or alias is not in the evidence. Of an UpdateAlias only the key that
--   the alias names now is looked at. A refusal that names no key is not matched.
-- reads: admin_events, tag_entries, pairs, use_hours, failed_calls
-- params: use_seconds = 3600, late_hours = 24, history_hours = 24, refused_days = 7, sweep_keys = 10
WITH tag_states AS (
  SELECT y.event_id, y.event_time, y.key_arn, y.tag_key, y.change || ' ' || COALESCE(y.tag_value, '') AS state
  FROM tag_entries AS y
  WHERE y.key_arn IS NOT NULL
), tag_steps AS (
  SELECT
    t.event_id, t.state,
    LAG(t.state) OVER (PARTITION BY t.key_arn, t.tag_key ORDER BY t.event_time, t.event_id) AS state_before
  FROM tag_states AS t
), idle_changes AS (
  SELECT q1.event_id AS idle_id
  FROM tag_steps AS q1
  GROUP BY q1.event_id
  HAVING MIN(CASE WHEN q1.state_before = q1.state THEN 1 ELSE 0 END) = 1
), changes AS (
  SELECT
    e.event_id, e.event_name, e.event_time, e.event_epoch, e.account_id, e.region, e.key_arn, e.alias_name, e.principal,
    e.source_ip, e.event_epoch - (e.event_epoch % 3600) AS hour_epoch
  FROM admin_events AS e
  ANTI JOIN idle_changes AS i ON i.idle_id = e.event_id
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.event_name IN ('TagResource', 'UntagResource', 'CreateAlias', 'UpdateAlias', 'DeleteAlias')
    AND e.is_ok
    AND e.key_arn IS NOT NULL
), sweeps AS (
  SELECT s.principal AS sweep_principal, s.hour_epoch AS sweep_hour, CAST(COUNT(DISTINCT s.key_arn) AS BIGINT) AS swept_count
  FROM changes AS s
  GROUP BY s.principal, s.hour_epoch
), key_uses AS (
  SELECT k.key_arn AS used_key, MIN(k.first_epoch) AS key_use_epoch
  FROM pairs AS k
  GROUP BY k.key_arn
), newcomers AS (
  SELECT
    c.event_id AS change_id, c.event_epoch AS change_epoch, p.key_arn, p.principal AS user_principal, p.first_epoch AS use_epoch,
    p.last_time AS use_time, p.event_id AS use_id, 'kms:*' AS used_action, CAST(0 AS BIGINT) AS refused_count
  FROM changes AS c
  JOIN pairs AS p ON p.key_arn = c.key_arn
  JOIN key_uses AS u ON u.used_key = c.key_arn
  CROSS JOIN params AS m
  WHERE p.first_epoch >= c.event_epoch
    AND p.first_epoch <= c.event_epoch + m.late_hours * 3600
    AND u.key_use_epoch <= c.event_epoch - m.history_hours * 3600
    AND p.principal NOT LIKE 'service:%'
    AND p.principal NOT LIKE '%:role/aws-service-role/%'
), refusals AS (
  SELECT f.principal AS refused_principal, f.key_arn AS refused_key, f.denied_action, f.event_epoch AS refused_epoch
  FROM failed_calls AS f
  SEMI JOIN changes AS h ON h.key_arn = f.key_arn
  WHERE f.outcome = 'denied'
    AND f.principal IS NOT NULL
), refused_before AS (
  SELECT
    g.event_id AS change_id, g.event_epoch AS change_epoch, r.refused_principal, r.refused_key, r.denied_action,
    MAX(r.refused_epoch) AS refused_epoch, CAST(COUNT(*) AS BIGINT) AS refused_count
  FROM changes AS g
  JOIN refusals AS r ON r.refused_key = g.key_arn
  CROSS JOIN params AS q
  WHERE r.refused_epoch <= g.event_epoch
    AND r.refused_epoch >= g.event_epoch - q.refused_days * 86400
  GROUP BY g.event_id, g.event_epoch, r.refused_principal, r.refused_key, r.denied_action
), uses AS (
  SELECT
    w.principal AS ok_principal, w.key_arn AS ok_key,
    CASE WHEN w.operation = 'ReEncrypt' THEN 'kms:ReEncryptFrom' ELSE 'kms:' || w.operation END AS ok_action,
    w.first_epoch, w.last_epoch, w.last_time, w.event_id
  FROM use_hours AS w
  SEMI JOIN refusals AS z ON z.refused_principal = w.principal AND z.refused_key = w.key_arn
), allowed_before AS (
  SELECT DISTINCT a.change_id AS allowed_change, a.refused_principal AS allowed_principal, a.denied_action AS allowed_action
  FROM refused_before AS a
  JOIN uses AS o ON o.ok_principal = a.refused_principal AND o.ok_key = a.refused_key AND o.ok_action = a.denied_action
  WHERE o.last_epoch > a.refused_epoch
    AND o.first_epoch < a.change_epoch
), turned AS (
  SELECT
    b.change_id, b.change_epoch, b.refused_key AS key_arn, b.refused_principal AS user_principal, v.first_epoch AS use_epoch,
    v.last_time AS use_time, v.event_id AS use_id, b.denied_action AS used_action, b.refused_count
  FROM refused_before AS b
  JOIN uses AS v ON v.ok_principal = b.refused_principal AND v.ok_key = b.refused_key AND v.ok_action = b.denied_action
  CROSS JOIN params AS n
  LEFT JOIN allowed_before AS d ON d.allowed_change = b.change_id
      AND d.allowed_principal = b.refused_principal
      AND d.allowed_action = b.denied_action
  WHERE d.allowed_change IS NULL
    AND v.first_epoch >= b.change_epoch
    AND v.first_epoch <= b.change_epoch + n.late_hours * 3600
), followed AS (
  SELECT x1.change_id, x1.change_epoch, x1.key_arn, x1.user_principal, x1.use_epoch, x1.use_time, x1.use_id, x1.used_action, x1.refused_count,
         -x1.change_epoch AS change_rank, -x1.refused_count AS refused_rank
  FROM newcomers AS x1
  UNION ALL
  SELECT x2.change_id, x2.change_epoch, x2.key_arn, x2.user_principal, x2.use_epoch, x2.use_time, x2.use_id, x2.used_action, x2.refused_count,
         -x2.change_epoch AS change_rank, -x2.refused_count AS refused_rank
  FROM turned AS x2
), other_causes AS (
  SELECT j.key_arn AS caused_key, j.event_epoch AS cause_epoch
  FROM admin_events AS j
  WHERE j.event_source = 'kms.amazonaws.com'
    AND j.event_name IN ('PutKeyPolicy', 'CreateGrant')
    AND j.is_ok
    AND NOT COALESCE(j.is_service_grant, FALSE)
    AND j.key_arn IS NOT NULL
), explained AS (
  SELECT DISTINCT l.use_id AS explained_id
  FROM followed AS l
  JOIN other_causes AS y2 ON y2.caused_key = l.key_arn
  CROSS JOIN params AS n2
  WHERE y2.cause_epoch <= l.use_epoch
    AND y2.cause_epoch >= l.use_epoch - n2.late_hours * 3600
), ranked AS (
  -- Of several changes before one use the last counts, and a refusal weighs more than mere novelty.
  SELECT
    aa.change_id, aa.change_epoch, aa.user_principal, aa.use_epoch, aa.use_time, aa.use_id, aa.refused_count,
    CAST(ROW_NUMBER() OVER (PARTITION BY aa.key_arn, aa.user_principal
                            ORDER BY aa.change_rank, aa.refused_rank, aa.use_epoch, aa.change_id, aa.use_id) AS BIGINT) AS follow_no
  FROM followed AS aa
  LEFT JOIN explained AS bb ON bb.explained_id = aa.use_id
  WHERE bb.explained_id IS NULL
), follow_totals AS (
  SELECT
    cc.change_id AS followed_id,
    CAST(COUNT(*) AS BIGINT) AS user_count,
    MIN(cc.user_principal) AS first_user,
    MIN(cc.use_epoch - cc.change_epoch) AS wait_seconds,
    MIN(CASE WHEN cc.refused_count > 0 THEN cc.use_epoch - cc.change_epoch END) AS refused_wait_seconds,
    MAX(cc.use_time) AS last_time,
    CAST(SUM(cc.refused_count) AS BIGINT) AS refused_count,
    MIN(cc.use_id) AS use_id
  FROM ranked AS cc
  WHERE cc.follow_no = 1
  GROUP BY cc.change_id
)
SELECT
  dd.event_time AS first_time,
  ee.last_time,
  dd.account_id,
  dd.region,
  dd.key_arn,
  dd.principal,
  dd.source_ip,
  CAST(1 AS BIGINT) AS event_count,
  CASE WHEN ee.refused_wait_seconds <= gg.use_seconds THEN 'high'
       WHEN ee.wait_seconds <= gg.use_seconds AND COALESCE(ff.swept_count, 1) < gg.sweep_keys THEN 'high'
       ELSE 'low' END AS severity,
  COALESCE(dd.principal, 'An unnamed principal') || ' changed '
    || CASE WHEN dd.event_name IN ('TagResource', 'UntagResource') THEN 'the tags' ELSE COALESCE('the alias ' || dd.alias_name, 'an alias') END
    || ' of ' || dd.key_arn || ' with ' || dd.event_name || '; within ' || CAST(ee.wait_seconds AS STRING)
    || ' seconds the key was used by principals that had not used it before or had been refused: ' || CAST(ee.user_count AS STRING)
    || ', such as ' || ee.first_user || ' (refusals before: ' || CAST(ee.refused_count AS STRING) || ').' AS summary,
  dd.event_id || ',' || ee.use_id AS event_ids,
  dd.event_name AS action,
  dd.alias_name,
  ee.first_user,
  ee.user_count,
  ee.wait_seconds,
  ee.refused_count,
  ff.swept_count AS keys_changed_in_hour,
  dd.event_id AS change_event_id
FROM changes AS dd
JOIN follow_totals AS ee ON ee.followed_id = dd.event_id
LEFT JOIN sweeps AS ff ON ff.sweep_principal = dd.principal AND ff.sweep_hour = dd.hour_epoch
CROSS JOIN params AS gg
ORDER BY first_time, change_event_id
