-- title: Replica opened to others than its primary
-- severity: high
-- attack: T1098, T1537
-- description: A multi-Region key has one key material and a policy for each Region. A replica's policy was set that names
--   somebody whom no policy of the same key in another Region names, or a young replica is used by somebody who never used
--   the key elsewhere. Either way the data of all Regions can be opened in a Region that nobody may be watching. Use alone
--   is medium, unless the user is a stranger or is who made the replica.
-- false-positives: Roles made for one Region. Left out are the owner's principals whose names contain the Region, AWS
--   services, principals that the other Region gets within the hour, use through AWS services, and keys that nobody uses
--   elsewhere.
-- blind-spots: Where no other policy of the key is in the evidence, there is nothing to compare. Actions and conditions are
--   not compared, nor are grants, and of a primary only what it was made with if it is not changed.
-- reads: admin_events, policies, policy_entries, pairs
-- params: settle_minutes = 60, young_days = 7
WITH replications AS (
  SELECT
    e.target_key_arn AS replica_key,
    MIN(SPLIT_PART(e.target_key_arn, ':', 5) || ':' || SPLIT_PART(e.target_key_arn, ':', 6)) AS replica_family,
    MIN(e.event_epoch) AS replica_epoch, MIN(e.event_id) AS replica_event_id,
    MIN(e.principal) AS replicator
  FROM admin_events AS e
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.event_name = 'ReplicateKey'
    AND e.is_ok
    AND e.target_key_arn IS NOT NULL
  GROUP BY e.target_key_arn
), primaries AS (
  SELECT DISTINCT o.key_arn AS primary_key
  FROM admin_events AS o
  WHERE o.event_source = 'kms.amazonaws.com'
    AND o.event_name = 'ReplicateKey'
    AND o.is_ok
    AND o.key_arn IS NOT NULL
), versions AS (
  SELECT
    p.event_id, p.key_arn, p.key_account_id || ':' || SPLIT_PART(p.key_arn, ':', 6) AS family, SPLIT_PART(p.key_arn, ':', 4) AS key_region,
    p.event_epoch, p.until_epoch, p.previous_event_id, p.action,
    CASE WHEN p.is_default THEN 1 ELSE 0 END AS is_default
  FROM policies AS p
  WHERE p.key_arn LIKE '%:key/mrk-%'
    AND p.is_known
), named AS (
  SELECT DISTINCT
    y.event_id AS named_id,
    y.principal_account_id AS named_account,
    y.principal AS named_as,
    CASE WHEN y.principal = y.principal_account_id OR y.principal LIKE '%:root' THEN y.principal_account_id
         ELSE y.principal END AS who
  FROM policy_entries AS y
  JOIN versions AS v ON v.event_id = y.event_id
  WHERE y.effect = 'Allow'
    AND y.principal NOT LIKE 'service:%'
    AND y.principal NOT LIKE '!%'
), suspects AS (
  -- The replicas' policies: what each names that the policy before it on the same replica did not.
  SELECT c.event_id, c.key_arn, c.family, c.event_epoch, n.who, n.named_as, n.named_account
  FROM versions AS c
  JOIN named AS n ON n.named_id = c.event_id
  LEFT JOIN named AS f ON f.named_id = c.previous_event_id AND f.who = n.who
  LEFT JOIN primaries AS q ON q.primary_key = c.key_arn
  WHERE f.who IS NULL
    AND q.primary_key IS NULL
    AND NOT (POSITION(c.key_region IN n.named_as) > 0 AND COALESCE(n.named_account, '') = SPLIT_PART(c.family, ':', 1))
), siblings AS (
  SELECT DISTINCT s.event_id AS judged_id, g.event_id AS sibling_id
  FROM versions AS s
  JOIN versions AS g ON g.family = s.family
  CROSS JOIN params AS m
  WHERE g.key_arn <> s.key_arn
    AND g.event_epoch <= s.event_epoch + m.settle_minutes * 60
    AND COALESCE(g.until_epoch, 9999999999) >= s.event_epoch
), compared AS (
  SELECT DISTINCT h.judged_id AS compared_id
  FROM siblings AS h
), covered AS (
  SELECT DISTINCT i.judged_id AS covered_id, k.who AS covered_who
  FROM siblings AS i
  JOIN named AS k ON k.named_id = i.sibling_id
  UNION
  SELECT DISTINCT d.judged_id AS covered_id, SPLIT_PART(w.family, ':', 1) AS covered_who
  FROM siblings AS d
  JOIN versions AS w ON w.event_id = d.sibling_id
  WHERE w.is_default = 1
), divergent AS (
  SELECT x.event_id, x.key_arn, x.who, x.named_as, x.named_account
  FROM suspects AS x
  JOIN compared AS z ON z.compared_id = x.event_id
  LEFT JOIN covered AS r ON r.covered_id = x.event_id AND r.covered_who = x.who
  WHERE r.covered_id IS NULL
), divergent_lists AS (
  SELECT
    l.event_id AS list_event_id,
    MIN(l.named_as) AS first_principal,
    CAST(COUNT(DISTINCT l.named_as) AS BIGINT) AS principal_count,
    MIN(l.named_account) AS first_account
  FROM divergent AS l
  GROUP BY l.event_id
), family_users AS (
  SELECT
    u.principal AS user_principal, u.key_arn AS used_key, u.key_account_id || ':' || SPLIT_PART(u.key_arn, ':', 6) AS used_family,
    u.principal_account_id AS user_account, u.key_account_id AS owner_account, u.first_epoch, u.first_time, u.last_time,
    u.reveal_count, u.direct_count, u.account_id, u.region, u.event_id, u.source_ip
  FROM pairs AS u
  WHERE u.key_arn LIKE '%:key/mrk-%'
), elsewhere AS (
  SELECT b.used_family AS busy_family, b.used_key AS busy_key, b.user_principal AS busy_principal, MIN(b.first_epoch) AS busy_epoch
  FROM family_users AS b
  GROUP BY b.used_family, b.used_key, b.user_principal
), known_elsewhere AS (
  SELECT DISTINCT t.used_key AS known_key, t.user_principal AS known_principal
  FROM family_users AS t
  JOIN elsewhere AS v2 ON v2.busy_family = t.used_family AND v2.busy_principal = t.user_principal
  WHERE v2.busy_key <> t.used_key
), busy_families AS (
  SELECT j.replica_key AS busy_replica, MIN(e2.busy_epoch) AS others_epoch
  FROM replications AS j
  JOIN elsewhere AS e2 ON e2.busy_family = j.replica_family
  WHERE e2.busy_key <> j.replica_key
  GROUP BY j.replica_key
), strange_uses AS (
  SELECT
    a.user_principal, a.used_key, a.user_account, a.owner_account, a.first_epoch, a.first_time, a.last_time, a.reveal_count,
    a.account_id, a.region, a.event_id, a.source_ip, rr.replica_event_id,
    CASE WHEN a.user_principal = rr.replicator OR a.user_account <> a.owner_account THEN 1 ELSE 0 END AS is_telling
  FROM family_users AS a
  JOIN replications AS rr ON rr.replica_key = a.used_key
  JOIN busy_families AS bb ON bb.busy_replica = a.used_key
  CROSS JOIN params AS mm
  LEFT JOIN known_elsewhere AS ke ON ke.known_key = a.used_key AND ke.known_principal = a.user_principal
  WHERE ke.known_key IS NULL
    AND a.reveal_count > 0
    AND a.direct_count > 0
    AND a.user_principal NOT LIKE 'service:%'
    AND a.user_principal NOT LIKE '%:role/aws-service-role/%'
    AND bb.others_epoch < a.first_epoch
    AND a.first_epoch <= rr.replica_epoch + mm.young_days * 86400
)
SELECT
  dd.event_time AS first_time,
  dd.event_time AS last_time,
  dd.account_id,
  SPLIT_PART(dd.key_arn, ':', 4) AS region,
  dd.key_arn,
  dd.principal,
  dd.source_ip,
  CAST(1 AS BIGINT) AS event_count,
  'high' AS severity,
  COALESCE(dd.principal, 'An unnamed principal') || ' set a policy with ' || dd.action || ' on the replica ' || dd.key_arn
    || ' that names principals whom no policy of the key in another Region names: ' || CAST(ll.principal_count AS STRING)
    || ', such as ' || ll.first_principal || '.' AS summary,
  dd.event_id AS event_ids,
  'policy' AS how,
  ll.first_principal AS strange_principal,
  ll.principal_count,
  CAST(NULL AS BIGINT) AS reveal_count
FROM policies AS dd
JOIN divergent_lists AS ll ON ll.list_event_id = dd.event_id
UNION ALL
SELECT
  ss.first_time,
  ss.last_time,
  ss.account_id,
  SPLIT_PART(ss.used_key, ':', 4) AS region,
  ss.used_key AS key_arn,
  ss.user_principal AS principal,
  ss.source_ip,
  ss.reveal_count AS event_count,
  CASE WHEN ss.is_telling = 1 THEN 'high' ELSE 'medium' END AS severity,
  ss.user_principal || ' opened data with the young replica ' || ss.used_key || ' (calls: ' || CAST(ss.reveal_count AS STRING)
    || ') and never used the key in another Region, where others do'
    || CASE WHEN ss.is_telling = 1 THEN '; it made the replica or belongs to another account.' ELSE '.' END AS summary,
  ss.event_id || ',' || ss.replica_event_id AS event_ids,
  'use' AS how,
  ss.user_principal AS strange_principal,
  CAST(1 AS BIGINT) AS principal_count,
  ss.reveal_count
FROM strange_uses AS ss
ORDER BY first_time, key_arn, how, strange_principal
