-- title: Keys administered by a principal that never did so before
-- severity: medium
-- attack: T1078.004, T1098
-- description: A principal that had administered no key through the training period, the first two weeks of its
--   account's evidence or the first half if that is shorter, begins to change policies, grants, states, aliases or tags
--   of keys. What it did in the first day is one finding. High when it is also a user of such a key's data.
-- false-positives: New pipelines and new administrators. Left out are acts on keys that the principal made itself,
--   grants to AWS services and those that a service makes for a principal of its own account, service-linked roles, and
--   retired grants, which any grantee may retire.
-- blind-spots: Who administered keys before the evidence begins is not known, so evidence of less than three days gives
--   nothing. Whoever acted first within the training period is taken for an administrator.
-- reads: admin_events, pairs, keys
-- params: training_days = 14, min_days = 3, episode_hours = 24
WITH account_sightings AS (
  SELECT a.account_id AS sighted_account, MIN(a.event_epoch) AS sighted_epoch
  FROM admin_events AS a
  WHERE a.event_source = 'kms.amazonaws.com'
    AND a.account_id IS NOT NULL
  GROUP BY a.account_id
  UNION ALL
  SELECT u.account_id AS sighted_account, MIN(u.first_epoch) AS sighted_epoch
  FROM pairs AS u
  WHERE u.account_id IS NOT NULL
  GROUP BY u.account_id
), account_starts AS (
  SELECT s.sighted_account AS started_account, MIN(s.sighted_epoch) AS start_epoch
  FROM account_sightings AS s
  GROUP BY s.sighted_account
), acts AS (
  SELECT
    e.principal,
    e.event_id,
    e.event_name,
    e.event_time,
    e.event_epoch,
    e.account_id,
    e.region,
    e.key_arn,
    e.source_ip
  FROM admin_events AS e
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.is_ok
    AND e.action_class IN ('policy', 'grant', 'lifecycle', 'alias', 'tag', 'multi_region', 'key_store')
    AND e.event_name NOT IN ('RetireGrant', 'SynchronizeMultiRegionKey')
    AND COALESCE(e.event_type, '') <> 'AwsServiceEvent'
    AND e.principal NOT LIKE 'service:%'
    AND e.principal NOT LIKE '%:role/aws-service-role/%'
    AND NOT COALESCE(e.is_service_grant, FALSE)
    AND COALESCE(e.grantee_principal, '') NOT LIKE '%:assumed-role/aws:ec2-infrastructure/%'
    AND NOT (e.event_name = 'CreateGrant'
         AND e.via IS NOT NULL
         AND COALESCE(e.grantee_account_id, '') = COALESCE(e.principal_account_id, ''))
), first_acts AS (
  SELECT f.principal AS new_principal, MIN(f.event_epoch) AS new_epoch, MIN(f.account_id) AS new_account
  FROM acts AS f
  GROUP BY f.principal
), newcomers AS (
  SELECT n.new_principal, n.new_epoch, n.new_epoch - t.start_epoch AS quiet_seconds
  FROM first_acts AS n
  JOIN account_starts AS t ON t.started_account = n.new_account
  CROSS JOIN evidence AS v
  CROSS JOIN params AS p
  WHERE v.last_epoch - t.start_epoch >= p.min_days * 86400
    AND (n.new_epoch - t.start_epoch >= p.training_days * 86400
      OR (n.new_epoch - t.start_epoch) * 2 >= v.last_epoch - t.start_epoch)
), own_keys AS (
  SELECT k.key_arn AS own_key, k.creator AS own_creator
  FROM keys AS k
  WHERE k.creator IS NOT NULL
), new_acts AS (
  SELECT
    c.principal, c.event_id, c.event_name, c.event_time, c.event_epoch, c.account_id, c.region, c.key_arn, c.source_ip,
    w.quiet_seconds
  FROM acts AS c
  JOIN newcomers AS w ON w.new_principal = c.principal
  LEFT JOIN own_keys AS o ON o.own_key = c.key_arn AND o.own_creator = c.principal
  WHERE o.own_key IS NULL
    AND c.event_name <> 'CreateKey'
), begins AS (
  SELECT b.principal AS begin_principal, MIN(b.event_epoch) AS begin_epoch
  FROM new_acts AS b
  GROUP BY b.principal
), data_users AS (
  SELECT d.principal AS user_principal, d.key_arn AS user_key, d.first_epoch AS user_epoch
  FROM pairs AS d
  WHERE d.reveal_count > 0
), episode_acts AS (
  SELECT
    x.principal, x.event_id, x.event_name, x.event_time, x.account_id, x.region, x.key_arn, x.source_ip, x.quiet_seconds,
    CASE WHEN q.user_epoch <= x.event_epoch THEN x.key_arn END AS used_key,
    CAST(ROW_NUMBER() OVER (PARTITION BY x.principal ORDER BY x.event_epoch, x.event_id) AS BIGINT) AS act_no
  FROM new_acts AS x
  JOIN begins AS g ON g.begin_principal = x.principal
  CROSS JOIN params AS m
  LEFT JOIN data_users AS q ON q.user_principal = x.principal AND q.user_key = x.key_arn
  WHERE x.event_epoch <= g.begin_epoch + m.episode_hours * 3600
), act_names AS (
  SELECT DISTINCT y.principal AS name_principal, y.event_name
  FROM episode_acts AS y
), name_lists AS (
  SELECT z.name_principal AS list_principal, STRING_AGG(z.event_name, ',') AS actions
  FROM act_names AS z
  GROUP BY z.name_principal
), id_lists AS (
  SELECT i.principal AS id_principal, STRING_AGG(i.event_id, ',') AS event_ids
  FROM episode_acts AS i
  WHERE i.act_no <= 1000
  GROUP BY i.principal
), episodes AS (
  SELECT
    r.principal,
    MIN(r.event_time) AS first_time,
    MAX(r.event_time) AS last_time,
    MIN(r.account_id) AS account_id,
    CASE WHEN MIN(r.region) = MAX(r.region) THEN MIN(r.region) END AS region,
    MIN(r.key_arn) AS first_key,
    MAX(r.key_arn) AS last_key,
    CASE WHEN MIN(r.source_ip) = MAX(r.source_ip) THEN MIN(r.source_ip) END AS source_ip,
    CAST(COUNT(*) AS BIGINT) AS event_count,
    CAST(COUNT(DISTINCT r.key_arn) AS BIGINT) AS key_count,
    CAST(COUNT(DISTINCT r.used_key) AS BIGINT) AS used_key_count,
    MAX(CASE WHEN r.act_no = 1 THEN r.event_name END) AS first_action,
    MIN(r.quiet_seconds) AS quiet_seconds
  FROM episode_acts AS r
  GROUP BY r.principal
)
SELECT
  h.first_time,
  h.last_time,
  h.account_id,
  h.region,
  CASE WHEN h.first_key = h.last_key THEN h.first_key END AS key_arn,
  h.principal,
  h.source_ip,
  h.event_count,
  CASE WHEN h.used_key_count > 0 THEN 'high' ELSE 'medium' END AS severity,
  h.principal || ' administered no key in the first ' || CAST(CAST(FLOOR(CAST(h.quiet_seconds AS DOUBLE) / 3600) AS BIGINT) AS STRING)
    || ' hours of evidence, and then made ' || CAST(h.event_count AS STRING) || ' administrative calls within a day, beginning with '
    || h.first_action || COALESCE('; keys: ' || CAST(h.key_count AS STRING) || ', such as ' || h.first_key, '')
    || CASE WHEN h.used_key_count > 0 THEN '; it also uses the data of ' || CAST(h.used_key_count AS STRING) || ' of them.' ELSE '.' END AS summary,
  l.event_ids,
  j.actions,
  h.key_count,
  h.used_key_count
FROM episodes AS h
JOIN id_lists AS l ON l.id_principal = h.principal
JOIN name_lists AS j ON j.list_principal = h.principal
ORDER BY first_time, principal
