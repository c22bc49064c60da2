-- title: Principal gave itself access to a key
-- severity: high
-- attack: T1098.003, T1548.005
-- description: A principal set a key policy, or made a grant, that names itself for opening data or administering a key,
--   which it was not named for before. Whoever may change a policy can so turn administration into access to the data.
--   Medium when it named itself for administration only, which it had in some form already.
-- false-positives: The console and infrastructure code name the maker of a key as its administrator: keys that the caller
--   made itself are left out. So is opening data where the caller had already opened data with that key, and grants
--   to AWS services.
-- blind-spots: Access given through a role or account that the caller can become, by everyone's statement, or by IAM. Where
--   the policy before is not in the evidence, only a caller that had been refused on the key within the days before is
--   reported.
-- reads: admin_events, policies, policy_entries, pairs, keys, failed_calls
-- params: refused_days = 7
WITH calls AS (
  SELECT
    p.event_id, p.action, p.event_time, p.event_epoch, p.account_id, p.region, p.key_arn, p.principal, p.principal_arn, p.via,
    p.source_ip, p.previous_event_id,
    CASE WHEN p.has_baseline THEN 1 ELSE 0 END AS is_compared
  FROM policies AS p
  WHERE p.action = 'PutKeyPolicy'
    AND p.principal NOT LIKE '%:root'
), own_rows AS (
  SELECT y.event_id AS row_event_id, y.principal AS row_principal, y.action AS row_action
  FROM policy_entries AS y
  JOIN calls AS c ON c.event_id = y.event_id
  WHERE y.effect = 'Allow'
    AND (y.principal = c.principal OR y.principal = c.principal_arn)
), former_rows AS (
  -- What the policy before allowed the same caller, whatever it is called there.
  SELECT
    f.event_id AS former_event_id,
    LOWER(x.action) AS former_action
  FROM policy_entries AS x
  JOIN calls AS f ON f.previous_event_id = x.event_id
  WHERE x.effect = 'Allow'
    AND (x.principal = f.principal OR x.principal = f.principal_arn)
), covered_rows AS (
  SELECT DISTINCT n.row_event_id AS covered_event_id, n.row_action AS covered_action
  FROM own_rows AS n
  JOIN former_rows AS g ON g.former_event_id = n.row_event_id
  WHERE g.former_action IN ('*', 'kms:*')
     OR g.former_action = LOWER(n.row_action)
     OR (g.former_action LIKE 'kms:%*' AND POSITION(SPLIT_PART(g.former_action, '*', 1) IN LOWER(n.row_action)) = 1)
), new_rows AS (
  -- As a text to look for in a list: a whole name, or for a wildcard the begin of one.
  SELECT
    o.row_event_id,
    o.row_action,
    CASE WHEN o.row_action LIKE '!%' THEN ','
         WHEN o.row_action LIKE '%*%' THEN ',' || SPLIT_PART(LOWER(o.row_action), '*', 1)
         ELSE ',' || LOWER(o.row_action) || ',' END AS wanted
  FROM own_rows AS o
  LEFT JOIN covered_rows AS l ON l.covered_event_id = o.row_event_id AND l.covered_action = o.row_action
  WHERE l.covered_event_id IS NULL
), weighed_rows AS (
  SELECT
    q1.row_event_id,
    q1.row_action,
    POSITION(q1.wanted IN ',kms:decrypt,kms:reencryptfrom,kms:generatedatakey,kms:generatedatakeypair,'
      || 'kms:derivesharedsecret,kms:decapsulate,') AS opening_place,
    POSITION(q1.wanted IN ',kms:creategrant,kms:putkeypolicy,kms:schedulekeydeletion,kms:disablekey,'
      || 'kms:replicatekey,kms:importkeymaterial,kms:deleteimportedkeymaterial,'
      || 'kms:updateprimaryregion,kms:revokegrant,kms:tagresource,kms:updatealias,') AS administration_place
  FROM new_rows AS q1
), granted_calls AS (
  SELECT
    e.event_id, e.event_name AS action, e.event_time, e.event_epoch, e.account_id, e.region, e.key_arn, e.principal,
    e.via, e.source_ip, e.grant_operations,
    CAST(ROW_NUMBER() OVER (PARTITION BY COALESCE(e.grant_id, e.event_id) ORDER BY e.event_epoch, e.event_id) AS BIGINT) AS grant_no
  FROM admin_events AS e
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.event_name = 'CreateGrant'
    AND e.is_ok
    AND NOT COALESCE(e.is_service_grant, FALSE)
    AND (e.grantee_principal = e.principal OR e.grantee_principal = e.principal_arn)
    AND e.grantee_principal NOT LIKE '%:assumed-role/aws:ec2-infrastructure/%'
), gains AS (
  SELECT
    u.row_event_id AS gain_event_id,
    MAX(CASE WHEN u.opening_place > 0 THEN 1 ELSE 0 END) AS opens_data,
    MAX(CASE WHEN u.administration_place > 0 THEN 1 ELSE 0 END) AS administers,
    MIN(u.row_action) AS first_action,
    CAST(COUNT(DISTINCT u.row_action) AS BIGINT) AS action_count
  FROM weighed_rows AS u
  GROUP BY u.row_event_id
), escalations AS (
  SELECT
    v.event_id, v.action, v.event_time, v.event_epoch, v.account_id, v.region, v.key_arn, v.principal, v.via, v.source_ip,
    v.is_compared, h.opens_data, h.administers, h.action_count, h.first_action
  FROM calls AS v
  JOIN gains AS h ON h.gain_event_id = v.event_id
  UNION ALL
  SELECT
    w.event_id, w.action, w.event_time, w.event_epoch, w.account_id, w.region, w.key_arn, w.principal, w.via, w.source_ip,
    1 AS is_compared,
    CASE WHEN ',' || w.grant_operations || ',' LIKE '%,Decrypt,%'
           OR ',' || w.grant_operations || ',' LIKE '%,ReEncryptFrom,%'
           OR ',' || w.grant_operations || ',' LIKE '%,GenerateDataKey,%'
           OR ',' || w.grant_operations || ',' LIKE '%,GenerateDataKeyPair,%'
           OR ',' || w.grant_operations || ',' LIKE '%,DeriveSharedSecret,%'
           OR ',' || w.grant_operations || ',' LIKE '%,Decapsulate,%' THEN 1 ELSE 0 END AS opens_data,
    CASE WHEN ',' || w.grant_operations || ',' LIKE '%,CreateGrant,%' THEN 1 ELSE 0 END AS administers,
    CAST(LENGTH(w.grant_operations) AS BIGINT) - CAST(LENGTH(REPLACE(w.grant_operations, ',', '')) AS BIGINT) + 1 AS action_count,
    SPLIT_PART(w.grant_operations, ',', 1) AS first_action
  FROM granted_calls AS w
  WHERE w.grant_no = 1
), own_keys AS (
  SELECT k.key_arn AS own_key, k.creator AS own_creator
  FROM keys AS k
  WHERE k.creator IS NOT NULL
), former_users AS (
  SELECT d.principal AS user_principal, d.key_arn AS user_key, d.first_epoch AS user_epoch
  FROM pairs AS d
  WHERE d.reveal_count > 0
), judged AS (
  SELECT
    q.event_id, q.action, q.event_time, q.event_epoch, q.account_id, q.region, q.key_arn, q.principal, q.via, q.source_ip,
    q.is_compared, q.opens_data, q.administers, q.action_count, q.first_action,
    CASE WHEN i.user_epoch < q.event_epoch THEN 1 ELSE 0 END AS is_user
  FROM escalations AS q
  LEFT JOIN own_keys AS j ON j.own_key = q.key_arn AND j.own_creator = q.principal
  LEFT JOIN former_users AS i ON i.user_principal = q.principal AND i.user_key = q.key_arn
  WHERE j.own_key IS NULL
), refusals AS (
  SELECT
    z.event_id AS refused_event_id,
    CAST(COUNT(*) AS BIGINT) AS refused_count,
    MAX(r.denied_action) AS refused_action
  FROM judged AS z
  JOIN failed_calls AS r ON r.key_arn = z.key_arn AND r.principal = z.principal
  CROSS JOIN params AS m
  WHERE r.outcome = 'denied'
    AND r.event_epoch <= z.event_epoch
    AND r.event_epoch >= z.event_epoch - m.refused_days * 86400
  GROUP BY z.event_id
)
SELECT
  s.event_time AS first_time,
  s.event_time AS last_time,
  s.account_id,
  s.region,
  s.key_arn,
  s.principal,
  s.source_ip,
  CAST(1 AS BIGINT) AS event_count,
  CASE WHEN s.opens_data = 1 AND s.is_user = 0 THEN 'high' ELSE 'medium' END AS severity,
  s.principal || CASE WHEN s.action = 'CreateGrant' THEN ' made a grant on ' ELSE ' set a policy on ' END || COALESCE(s.key_arn, 'an unnamed key')
    || ' that names itself for actions it was not named for before: ' || CAST(s.action_count AS STRING) || ', such as ' || s.first_action
    || CASE WHEN s.is_user = 0 THEN '; the evidence has no earlier opening of data by it with this key' ELSE '' END
    || COALESCE('; it had been refused on the key ' || CAST(t.refused_count AS STRING) || ' times before, such as ' || t.refused_action, '')
    || CASE WHEN s.is_compared = 0 THEN '; the policy before is not in the evidence.' ELSE '.' END AS summary,
  s.event_id AS event_ids,
  s.action,
  s.first_action,
  s.action_count,
  CASE WHEN s.opens_data = 1 THEN TRUE ELSE FALSE END AS opens_data,
  t.refused_count,
  s.via
FROM judged AS s
LEFT JOIN refusals AS t ON t.refused_event_id = s.event_id
WHERE ((s.opens_data = 1 AND s.is_user = 0) OR s.administers = 1)
  AND (s.is_compared = 1 OR t.refused_count > 0)
ORDER BY first_time, event_ids
