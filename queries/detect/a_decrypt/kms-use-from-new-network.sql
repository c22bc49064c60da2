-- title: Key used from a new place
-- severity: medium
-- attack: T1078.004, T1599
-- description: Direct use of keys from where it never came: a principal calls from a network and with a kind of client
--   that are both new to it (after three days of use, or with a temporary access key that had been used elsewhere); or a
--   key that was reached only through VPC endpoints is reached without one; or a VPC endpoint's policy refused a call.
--   A credential that moves to another place is the usual sign of its theft.
-- false-positives: VPN, CI runners, a new workstation, a changed NAT gateway. A new network alone is left out, and so is
--   a new client alone. Calls through services are no use from a place.
-- blind-spots: An attacker on the same network, or with the same kind of client. Where the theft is older than the
--   evidence, its place is the known one.
-- reads: origin_days, failed_calls
-- params: min_days = 3, min_endpoint_uses = 20
WITH active_days AS (
  SELECT DISTINCT d.principal, d.day_epoch
  FROM origin_days AS d
  WHERE d.network IS NOT NULL
), numbered_days AS (
  SELECT
    n.principal AS day_who,
    n.day_epoch AS numbered_day,
    CAST(ROW_NUMBER() OVER (PARTITION BY n.principal ORDER BY n.day_epoch) AS BIGINT) AS day_no
  FROM active_days AS n
), beginnings AS (
  SELECT b.principal AS begin_who, MIN(b.first_epoch) AS begin_epoch
  FROM origin_days AS b
  WHERE b.network IS NOT NULL
  GROUP BY b.principal
), agent_beginnings AS (
  SELECT a.principal AS agent_who, a.agent AS known_agent, MIN(a.first_epoch) AS agent_epoch
  FROM origin_days AS a
  WHERE a.network IS NOT NULL
  GROUP BY a.principal, a.agent
), networks AS (
  SELECT
    w.principal,
    w.network,
    MIN(w.first_epoch) AS network_epoch,
    MIN(w.day_epoch) AS network_day
  FROM origin_days AS w
  WHERE w.network IS NOT NULL
  GROUP BY w.principal, w.network
), network_agents AS (
  SELECT
    g.principal AS user_who,
    g.network AS user_network,
    g.agent AS used_agent,
    MIN(g.first_epoch) AS used_epoch
  FROM origin_days AS g
  WHERE g.network IS NOT NULL
  GROUP BY g.principal, g.network, g.agent
), new_agents AS (
  SELECT
    u.user_who AS new_who,
    u.user_network AS new_network,
    MIN(u.used_agent) AS new_agent
  FROM network_agents AS u
  JOIN agent_beginnings AS f ON f.agent_who = u.user_who AND f.known_agent = u.used_agent AND f.agent_epoch = u.used_epoch
  GROUP BY u.user_who, u.user_network
), access_keys AS (
  -- What stands in one row only cannot have moved, and most temporary keys do.
  SELECT k.access_key_id AS begun_key, MIN(k.first_epoch) AS key_epoch
  FROM origin_days AS k
  WHERE k.network IS NOT NULL
    AND k.access_key_id LIKE 'ASIA%'
  GROUP BY k.access_key_id
  HAVING COUNT(*) > 1
), key_networks AS (
  SELECT
    m.access_key_id,
    m.principal,
    m.network,
    MIN(m.first_epoch) AS arrival_epoch
  FROM origin_days AS m
  SEMI JOIN access_keys AS o ON o.begun_key = m.access_key_id
  WHERE m.network IS NOT NULL
  GROUP BY m.access_key_id, m.principal, m.network
), moved_keys AS (
  SELECT
    q.principal AS moved_who,
    q.network AS moved_network,
    MIN(q.access_key_id) AS moved_key
  FROM key_networks AS q
  JOIN access_keys AS r ON r.begun_key = q.access_key_id
  WHERE r.key_epoch < q.arrival_epoch
  GROUP BY q.principal, q.network
), new_places AS (
  SELECT
    s.principal AS place_who,
    s.network AS place_network,
    t.new_agent,
    v.moved_key
  FROM networks AS s
  JOIN beginnings AS x ON x.begin_who = s.principal
  JOIN numbered_days AS y ON y.day_who = s.principal AND y.numbered_day = s.network_day
  JOIN new_agents AS t ON t.new_who = s.principal AND t.new_network = s.network
  LEFT JOIN moved_keys AS v ON v.moved_who = s.principal AND v.moved_network = s.network
  CROSS JOIN params AS p
  WHERE s.network_epoch > x.begin_epoch
    AND (y.day_no > p.min_days OR v.moved_key IS NOT NULL)
), key_days AS (
  SELECT
    c.key_arn,
    c.day_epoch,
    CAST(SUM(CASE WHEN c.vpc_endpoint_id IS NOT NULL THEN c.call_count ELSE CAST(0 AS BIGINT) END) AS BIGINT) AS inside_n,
    CAST(COUNT(CASE WHEN c.vpc_endpoint_id IS NULL THEN 1 END) AS BIGINT) AS outside_n
  FROM origin_days AS c
  WHERE c.network IS NOT NULL
  GROUP BY c.key_arn, c.day_epoch
), key_levels AS (
  SELECT
    e.key_arn,
    e.day_epoch,
    e.inside_n,
    e.outside_n,
    SUM(e.inside_n) OVER (PARTITION BY e.key_arn ORDER BY e.day_epoch
                          ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS total_inside_n,
    SUM(e.outside_n) OVER (PARTITION BY e.key_arn ORDER BY e.day_epoch
                           ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS total_outside_n
  FROM key_days AS e
), left_keys AS (
  -- The first day on which the key is reached from outside, if there was enough use from inside before it.
  SELECT l.key_arn AS left_key, l.day_epoch AS left_day, l.total_inside_n - l.inside_n AS inside_before
  FROM key_levels AS l
  CROSS JOIN params AS z
  WHERE l.outside_n > 0
    AND l.total_outside_n = l.outside_n
    AND l.total_inside_n - l.inside_n >= z.min_endpoint_uses
), outside_users AS (
  SELECT DISTINCT i.principal AS outside_who, i.network AS outside_network, j.left_key AS outside_key, j.inside_before
  FROM origin_days AS i
  JOIN left_keys AS j ON j.left_key = i.key_arn AND j.left_day = i.day_epoch
  WHERE i.network IS NOT NULL
    AND i.vpc_endpoint_id IS NULL
), judged_origins AS (
  -- Both joins are on the network: rows without one are left out.
  SELECT
    a.principal, a.network AS place, a.key_arn, a.account_id, a.region, a.call_count, a.first_time, a.last_time,
    a.first_epoch, a.source_ip, a.event_id, CAST(0 AS BIGINT) AS episode_day, a.agent, b.moved_key,
    1 AS is_new_place,
    CASE WHEN c.outside_key IS NOT NULL AND a.vpc_endpoint_id IS NULL THEN 1 ELSE 0 END AS is_outside,
    c.inside_before
  FROM origin_days AS a
  JOIN new_places AS b ON b.place_who = a.principal AND b.place_network = a.network
  LEFT JOIN outside_users AS c ON c.outside_who = a.principal AND c.outside_network = a.network AND c.outside_key = a.key_arn
  UNION ALL
  SELECT
    aa.principal, aa.network AS place, aa.key_arn, aa.account_id, aa.region, aa.call_count, aa.first_time, aa.last_time,
    aa.first_epoch, aa.source_ip, aa.event_id, CAST(0 AS BIGINT) AS episode_day, aa.agent, NULL AS moved_key,
    0 AS is_new_place,
    1 AS is_outside,
    cc.inside_before
  FROM origin_days AS aa
  JOIN outside_users AS cc ON cc.outside_who = aa.principal AND cc.outside_network = aa.network AND cc.outside_key = aa.key_arn
  ANTI JOIN new_places AS bb ON bb.place_who = aa.principal AND bb.place_network = aa.network
  WHERE aa.vpc_endpoint_id IS NULL
), finding_rows AS (
  SELECT
    d.principal, d.place, d.episode_day, d.key_arn, d.account_id, d.region, d.call_count, d.first_time, d.last_time,
    d.first_epoch, d.source_ip, d.event_id, d.agent, d.moved_key, d.is_new_place, d.is_outside, d.inside_before,
    0 AS is_refused
  FROM judged_origins AS d
  UNION ALL
  SELECT
    e.principal, e.vpc_endpoint_id AS place,
    e.event_epoch - (e.event_epoch % 86400) AS episode_day, e.key_arn, e.account_id, e.region, CAST(1 AS BIGINT) AS call_count,
    e.event_time AS first_time, e.event_time AS last_time, e.event_epoch AS first_epoch, e.source_ip, e.event_id,
    SPLIT_PART(e.user_agent, '/', 1) AS agent, NULL AS moved_key, 0 AS is_new_place, 0 AS is_outside, NULL AS inside_before,
    1 AS is_refused
  FROM failed_calls AS e
  WHERE e.error_code = 'VpceAccessDenied'
), numbered_rows AS (
  SELECT
    f.principal, COALESCE(f.place, 'an unnamed endpoint') AS place, f.episode_day, f.key_arn, f.account_id, f.region,
    f.call_count, f.first_time, f.last_time, f.source_ip, f.event_id, f.agent, f.moved_key, f.is_new_place, f.is_outside,
    f.inside_before, f.is_refused,
    CAST(ROW_NUMBER() OVER (PARTITION BY f.principal, f.place, f.episode_day, f.is_refused
                            ORDER BY f.first_epoch, f.event_id, f.agent) AS BIGINT) AS row_no
  FROM finding_rows AS f
), episodes AS (
  SELECT
    g.principal,
    g.place,
    g.episode_day,
    g.is_refused,
    MIN(g.first_time) AS first_time,
    MAX(g.last_time) AS last_time,
    MIN(g.account_id) AS account_id,
    MIN(g.region) AS region,
    MIN(g.key_arn) AS first_key,
    MIN(g.source_ip) AS source_ip,
    MIN(g.agent) AS agent,
    MIN(g.moved_key) AS moved_key,
    MIN(g.inside_before) AS inside_before,
    MAX(g.is_new_place) AS is_new_place,
    MAX(g.is_outside) AS is_outside,
    CAST(COUNT(DISTINCT g.region) AS BIGINT) AS region_count,
    CAST(COUNT(DISTINCT g.key_arn) AS BIGINT) AS key_count,
    CAST(COUNT(DISTINCT g.source_ip) AS BIGINT) AS source_ip_count,
    CAST(SUM(g.call_count) AS BIGINT) AS event_count,
    STRING_AGG(CASE WHEN g.row_no <= 1000 THEN g.event_id END, ',') AS event_ids
  FROM numbered_rows AS g
  GROUP BY g.principal, g.place, g.episode_day, g.is_refused
)
SELECT
  h.first_time,
  h.last_time,
  h.account_id,
  CASE WHEN h.region_count = 1 THEN h.region END AS region,
  CASE WHEN h.key_count = 1 THEN h.first_key END AS key_arn,
  h.principal,
  CASE WHEN h.source_ip_count = 1 THEN h.source_ip END AS source_ip,
  h.event_count,
  'medium' AS severity,
  CASE
    WHEN h.is_refused = 1 THEN 'The policy of VPC endpoint ' || h.place || ' refused KMS calls of ' || COALESCE(h.principal, 'an unnamed principal') || ' (calls: '
      || CAST(h.event_count AS STRING) || ')'
    ELSE h.principal || ' used keys directly from ' || h.place || ' with ' || COALESCE(h.agent, 'an unknown client') || ' (calls: '
      || CAST(h.event_count AS STRING) || ', keys: ' || CAST(h.key_count AS STRING) || ')'
      || CASE WHEN h.is_new_place = 1 THEN '; network and client are new to it' ELSE '' END
      || CASE WHEN h.moved_key IS NULL THEN '' ELSE '; its access key ' || h.moved_key || ' had been used elsewhere before' END
      || CASE WHEN h.is_outside = 0 THEN ''
              ELSE '; a key of these had been reached only through VPC endpoints before (calls: '
                || CAST(COALESCE(h.inside_before, 0) AS STRING) || ')' END
  END || '.' AS summary,
  h.event_ids,
  CASE
    WHEN h.is_refused = 1 THEN 'endpoint_refused'
    WHEN h.is_new_place = 1 AND h.is_outside = 1 THEN 'new_place_outside_endpoint'
    WHEN h.is_new_place = 1 THEN 'new_place'
    ELSE 'outside_endpoint'
  END AS reason,
  h.place,
  h.agent,
  h.moved_key,
  h.key_count
FROM episodes AS h
ORDER BY first_time, principal, place, reason, last_time
