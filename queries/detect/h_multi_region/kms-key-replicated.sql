-- title: Key replicated to another Region
-- severity: medium
-- attack: T1535, T1537
-- description: A multi-Region key got a replica: the same key material in another Region, with a policy, grants and a state
--   of its own. Data copied there can be opened there, past whatever watches the first Region. High for a Region in
--   which the account used and administered no key before. Replicas that one principal makes for one Region, with less
--   than a day between them, are one finding.
-- false-positives: Rollout of disaster recovery. Name the Regions where that is planned in the parameter
--   allowed_regions, separated by commas: they are medium at most.
-- blind-spots: A Region whose logs are not in the evidence looks unused, and where the evidence begins less than a day
--   before nothing is said about it.
-- reads: admin_events, pairs, policies
-- params: gap_hours = 24, history_hours = 24, settle_seconds = 300, allowed_regions = ''
WITH replications AS (
  SELECT
    e.event_id,
    e.event_time,
    e.event_epoch,
    e.account_id,
    COALESCE(e.region, 'an unnamed Region') AS region,
    e.key_arn,
    e.target_key_arn,
    COALESCE(e.replica_region, SPLIT_PART(e.target_key_arn, ':', 4), 'an unnamed Region') AS to_region,
    COALESCE(e.principal, 'an unnamed principal') AS caller,
    e.source_ip
  FROM admin_events AS e
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.event_name = 'ReplicateKey'
    AND e.is_ok
), region_sightings AS (
  SELECT u.key_account_id AS seen_account, SPLIT_PART(u.key_arn, ':', 4) AS seen_region, MIN(u.first_epoch) AS seen_epoch
  FROM pairs AS u
  GROUP BY u.key_account_id, SPLIT_PART(u.key_arn, ':', 4)
  UNION ALL
  SELECT a.account_id AS seen_account, a.region AS seen_region, MIN(a.event_epoch) AS seen_epoch
  FROM admin_events AS a
  WHERE a.event_source = 'kms.amazonaws.com'
    AND a.is_ok
  GROUP BY a.account_id, a.region
), region_starts AS (
  SELECT s.seen_account AS start_account, s.seen_region AS start_region, MIN(s.seen_epoch) AS start_epoch
  FROM region_sightings AS s
  GROUP BY s.seen_account, s.seen_region
), gaps AS (
  SELECT
    r.event_id, r.event_time, r.event_epoch, r.account_id, r.region, r.key_arn, r.target_key_arn, r.to_region, r.caller,
    r.source_ip,
    LAG(r.event_epoch) OVER (PARTITION BY r.account_id, r.caller, r.region, r.to_region ORDER BY r.event_epoch, r.event_id) AS before_epoch
  FROM replications AS r
), marks AS (
  SELECT
    g.event_id, g.event_time, g.event_epoch, g.account_id, g.region, g.key_arn, g.target_key_arn, g.to_region, g.caller,
    g.source_ip,
    CASE WHEN g.before_epoch IS NULL OR g.event_epoch - g.before_epoch > p.gap_hours * 3600 THEN CAST(1 AS BIGINT)
         ELSE CAST(0 AS BIGINT) END AS is_start
  FROM gaps AS g
  CROSS JOIN params AS p
), numbered AS (
  SELECT
    m.event_id, m.event_time, m.event_epoch, m.account_id, m.region, m.key_arn, m.target_key_arn, m.to_region, m.caller,
    m.source_ip,
    SUM(m.is_start) OVER (PARTITION BY m.account_id, m.caller, m.region, m.to_region ORDER BY m.event_epoch, m.event_id
                          ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS episode_no
  FROM marks AS m
), listed AS (
  SELECT
    n.event_id, n.account_id, n.caller, n.region, n.to_region, n.episode_no,
    CAST(ROW_NUMBER() OVER (PARTITION BY n.account_id, n.caller, n.region, n.to_region, n.episode_no
                            ORDER BY n.event_epoch, n.event_id) AS BIGINT) AS list_no
  FROM numbered AS n
), id_lists AS (
  SELECT
    i.account_id AS id_account, i.caller AS id_caller, i.region AS id_region, i.to_region AS id_to_region,
    i.episode_no AS id_episode, STRING_AGG(i.event_id, ',') AS event_ids
  FROM listed AS i
  WHERE i.list_no <= 1000
  GROUP BY i.account_id, i.caller, i.region, i.to_region, i.episode_no
), episodes AS (
  SELECT
    q.account_id,
    q.caller,
    q.region,
    q.to_region,
    q.episode_no,
    MIN(q.event_time) AS first_time,
    MAX(q.event_time) AS last_time,
    MIN(q.event_epoch) AS first_epoch,
    CAST(COUNT(*) AS BIGINT) AS event_count,
    CAST(COUNT(DISTINCT q.key_arn) AS BIGINT) AS key_count,
    MIN(q.key_arn) AS first_key,
    MIN(q.target_key_arn) AS first_replica,
    CASE WHEN MIN(q.source_ip) = MAX(q.source_ip) THEN MIN(q.source_ip) END AS source_ip,
    MIN(v.external_accounts) AS external_accounts,
    MAX(CASE WHEN v.is_public THEN 1 ELSE 0 END) AS is_public
  FROM numbered AS q
  LEFT JOIN policies AS v ON v.event_id = q.event_id
  GROUP BY q.account_id, q.caller, q.region, q.to_region, q.episode_no
), judged AS (
  SELECT
    x.account_id, x.caller, x.region, x.to_region, x.episode_no, x.first_time, x.last_time, x.event_count, x.key_count,
    x.first_key, x.first_replica, x.source_ip, x.external_accounts, x.is_public,
    CASE WHEN x.first_epoch - w.first_epoch < o.history_hours * 3600 THEN 0
         WHEN t.start_epoch < x.first_epoch - o.settle_seconds THEN 0
         ELSE 1 END AS is_new_region,
    CASE WHEN POSITION(',' || x.to_region || ',' IN ',' || REPLACE(o.allowed_regions, ' ', '') || ',') > 0 THEN 1 ELSE 0 END AS is_allowed
  FROM episodes AS x
  CROSS JOIN evidence AS w
  CROSS JOIN params AS o
  LEFT JOIN region_starts AS t ON t.start_account = x.account_id AND t.start_region = x.to_region
)
SELECT
  j.first_time,
  j.last_time,
  j.account_id,
  j.region,
  CASE WHEN j.key_count = 1 THEN j.first_key END AS key_arn,
  CASE WHEN j.caller = 'an unnamed principal' THEN NULL ELSE j.caller END AS principal,
  j.source_ip,
  j.event_count,
  CASE WHEN j.is_new_region = 1 AND j.is_allowed = 0 THEN 'high' ELSE 'medium' END AS severity,
  'Keys replicated from ' || j.region || ' to ' || j.to_region || ' by '
    || j.caller || ': ' || CAST(j.key_count AS STRING) || COALESCE(', such as ' || j.first_key, '')
    || CASE WHEN j.is_new_region = 1 THEN '; the account used and administered no key in that Region before' ELSE '' END
    || CASE WHEN j.is_public = 1 THEN '; a replica''s policy is open to everyone' ELSE '' END
    || COALESCE('; a replica''s policy names other accounts: ' || j.external_accounts, '') || '.' AS summary,
  l.event_ids,
  j.to_region AS replica_region,
  j.first_replica AS replica_key,
  j.key_count,
  CASE WHEN j.is_new_region = 1 THEN TRUE ELSE FALSE END AS is_new_region,
  j.external_accounts,
  CASE WHEN j.is_public = 1 THEN TRUE ELSE FALSE END AS is_public
FROM judged AS j
JOIN id_lists AS l ON l.id_account = j.account_id
    AND l.id_caller = j.caller
    AND l.id_region = j.region
    AND l.id_to_region = j.to_region
    AND l.id_episode = j.episode_no
ORDER BY first_time, account_id, principal, replica_region
