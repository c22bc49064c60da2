-- title: Grant still open at the end of the evidence
-- severity: info
-- attack: T1098
-- description: A grant to something other than an AWS service was made and never ended within the evidence. Medium
--   when it is old, or when its grantee was never seen using it although there was time to; low when it opens data
--   without a constraint. A review list more than an alarm.
-- false-positives: Applications that live on grants. Grants to AWS services are left out.
-- blind-spots: Grants made before the evidence begins are invisible to CloudTrail: ListGrants on the key shows them.
--   Use is inferred from the grantee's calls; use through services that forward the grantee's rights is included, use
--   by an AWS service itself is not.
-- reads: grants
-- params: old_days = 90, unused_days = 7
WITH open_grants AS (
  SELECT
    g.grant_id, g.key_arn, g.created_time, g.create_event_id, g.create_count, g.account_id, g.region, g.creator,
    g.creator_source_ip,
    g.creator_via, g.grantee_principal, g.grantee_account_id, g.is_grantee_home, g.retiring_principal, g.grant_operations,
    g.grant_constraint, g.use_count, g.last_use_time, g.age_seconds,
    CAST(FLOOR(CAST(g.age_seconds AS DOUBLE) / 86400.0) AS BIGINT) AS age_days,
    CASE WHEN g.age_seconds > p.old_days * 86400 THEN 1 ELSE 0 END AS is_old,
    CASE WHEN g.use_count = 0 AND g.age_seconds >= p.unused_days * 86400 THEN 1 ELSE 0 END AS is_unused,
    CASE WHEN g.grant_constraint IS NULL
          AND (',' || g.grant_operations || ',' LIKE '%,Decrypt,%' OR ',' || g.grant_operations || ',' LIKE '%,ReEncryptFrom,%'

            OR ',' || g.grant_operations || ',' LIKE '%,GenerateDataKey,%' OR ',' || g.grant_operations || ',' LIKE '%,CreateGrant,%')
         THEN 1 ELSE 0 END AS is_wide
  FROM grants AS g
  CROSS JOIN params AS p
  WHERE NOT g.is_service_grant
    AND g.is_open
    AND g.created_time IS NOT NULL
)
SELECT
  o.created_time AS first_time,
  COALESCE(o.last_use_time, o.created_time) AS last_time,
  o.account_id,
  o.region,
  o.key_arn,
  o.creator AS principal,
  o.creator_source_ip AS source_ip,
  o.create_count AS event_count,
  CASE WHEN o.is_old = 1 OR o.is_unused = 1 THEN 'medium' WHEN o.is_wide = 1 THEN 'low' ELSE 'info' END AS severity,
  'The grant by ' || COALESCE(o.creator, 'an unnamed principal') || ' of ' || COALESCE(o.grant_operations, 'unknown operations') || ' on '
    || COALESCE(o.key_arn, 'an unnamed key') || ' to ' || COALESCE(o.grantee_principal, 'an unnamed grantee') || ' was still open after '
    || CAST(o.age_days AS STRING) || ' days; inferred uses: ' || CAST(o.use_count AS STRING)
    || CASE WHEN o.grant_constraint IS NULL THEN '; it has no constraint.' ELSE '; it has a constraint.' END AS summary,
  o.create_event_id AS event_ids,
  o.grant_id,
  o.grantee_principal,
  o.grantee_account_id,
  o.is_grantee_home,
  o.retiring_principal,
  o.grant_operations,
  o.grant_constraint,
  o.age_days,
  o.use_count AS inferred_use_count,
  o.last_use_time,
  o.creator_via
FROM open_grants AS o
ORDER BY first_time, grant_id
