-- title: Grant to an account outside the organization
-- severity: high
-- attack: T1098.003, T1537
-- description: A grant on one of our keys allows a principal of an account that is not a home account, or lets such a
--   principal retire it. A grant never expires, does not show in the key policy, and outlives the credential that
--   made it. Critical when it allows opening data, minting data keys or passing on more grants.
-- false-positives: Auto Scaling and EBS across accounts (the grantee is then a service-linked role, and the finding
--   is high at most), backup vendors, marketplace products. Medium is a grant that EC2 made for a principal of the
--   grantee's account and that is bound to a volume or snapshot, as when a shared snapshot is put to use: the rule
--   kms-grant-created-by-external-caller has it as high. Grants to AWS services are left out. Name further accounts
--   with --home-account.
-- blind-spots: Grants made before the evidence begins. A grantee given as a bare unique id names no account.
-- reads: events, repeated_copies
WITH made_grants AS (
  SELECT
    COALESCE(e.grant_id, e.event_id) AS grant_ref,
    e.event_id,
    e.event_time,
    e.event_epoch,
    e.account_id,
    e.region,
    e.key_arn,
    e.key_account_id,
    e.principal,
    e.principal_account_id,
    e.via,
    e.source_ip,
    e.grantee_principal,
    e.grantee_account_id,
    e.retiring_principal,
    CASE WHEN e.retiring_principal LIKE 'arn:%' THEN SPLIT_PART(e.retiring_principal, ':', 5) END AS retiring_account_id,
    e.grant_operations,
    e.grant_constraint
  FROM events AS e
  ANTI JOIN repeated_copies AS r ON r.repeated_id = e.event_id
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.event_name = 'CreateGrant'
    AND e.outcome = 'ok'
    AND NOT COALESCE(e.is_dry_run, FALSE)
    AND NOT COALESCE(e.is_service_grant, FALSE)
    AND e.grantee_principal NOT LIKE '%:assumed-role/aws:ec2-infrastructure/%'
), grantee_homes AS (
  SELECT h.account_id AS grantee_home_id FROM home_accounts AS h
), retiring_homes AS (
  SELECT h.account_id AS retiring_home_id FROM home_accounts AS h
), owner_homes AS (
  SELECT h.account_id AS owner_home_id FROM home_accounts AS h
), outside_grants AS (
  SELECT
    g.grant_ref, g.event_id, g.event_time, g.event_epoch, g.account_id, g.region, g.key_arn, g.principal, g.via, g.source_ip,
    g.grantee_principal, g.grantee_account_id, g.retiring_principal, g.retiring_account_id, g.grant_operations,
    g.grant_constraint,
    CASE WHEN g.grantee_account_id IS NOT NULL AND x.grantee_home_id IS NULL THEN 1 ELSE 0 END AS is_grantee_outside,
    CASE WHEN g.grantee_principal LIKE '%:role/aws-service-role/%' THEN 1 ELSE 0 END AS is_service_role,
    CASE WHEN g.via IS NOT NULL
          AND g.principal_account_id = g.grantee_account_id
          AND g.grant_constraint LIKE '%"aws:ebs:id"%' THEN 1 ELSE 0 END AS is_taken_up,
    CASE WHEN ',' || g.grant_operations || ',' LIKE '%,Decrypt,%'
           OR ',' || g.grant_operations || ',' LIKE '%,GenerateDataKey,%'
           OR ',' || g.grant_operations || ',' LIKE '%,ReEncryptFrom,%'
           OR ',' || g.grant_operations || ',' LIKE '%,CreateGrant,%' THEN 1 ELSE 0 END AS is_dangerous,
    CAST(ROW_NUMBER() OVER (PARTITION BY g.grant_ref ORDER BY g.event_epoch, g.event_id) AS BIGINT) AS create_no
  FROM made_grants AS g
  LEFT JOIN grantee_homes AS x ON x.grantee_home_id = g.grantee_account_id
  LEFT JOIN retiring_homes AS y ON y.retiring_home_id = g.retiring_account_id
  LEFT JOIN owner_homes AS z ON z.owner_home_id = g.key_account_id
  WHERE (g.key_account_id IS NULL OR z.owner_home_id IS NOT NULL)
    AND ((g.grantee_account_id IS NOT NULL AND x.grantee_home_id IS NULL)
      OR (g.retiring_account_id IS NOT NULL AND g.retiring_account_id <> '' AND y.retiring_home_id IS NULL))
), grant_ids AS (
  SELECT
    i.grant_ref AS id_grant_ref,
    MIN(i.event_time) AS first_time,
    MAX(i.event_time) AS last_time,
    CAST(COUNT(*) AS BIGINT) AS event_count,
    STRING_AGG(i.event_id, ',') AS event_ids
  FROM outside_grants AS i
  WHERE i.create_no <= 1000
  GROUP BY i.grant_ref
)
SELECT
  n.first_time,
  n.last_time,
  o.account_id,
  o.region,
  o.key_arn,
  o.principal,
  o.source_ip,
  n.event_count,
  CASE WHEN o.is_taken_up = 1 AND o.is_grantee_outside = 1 THEN 'medium'
       WHEN o.is_dangerous = 1 AND o.is_grantee_outside = 1 AND o.is_service_role = 0 THEN 'critical'
       ELSE 'high' END AS severity,
  COALESCE(o.principal, 'An unnamed principal') || ' granted '
    || COALESCE(o.grant_operations, 'unknown operations') || ' on ' || COALESCE(o.key_arn, 'an unnamed key') || ' to '
    || COALESCE(o.grantee_principal, 'an unnamed grantee')
    || CASE WHEN o.is_grantee_outside = 1 THEN ', a principal of the outside account ' || o.grantee_account_id
            ELSE '; the outside account ' || o.retiring_account_id || ' may retire the grant' END
    || CASE WHEN o.grant_constraint IS NULL THEN ', without a constraint.' ELSE ', with a constraint.' END AS summary,
  n.event_ids,
  o.grant_ref AS grant_id,
  o.grantee_principal,
  o.grantee_account_id,
  o.retiring_principal,
  o.grant_operations,
  o.grant_constraint,
  o.via
FROM outside_grants AS o
JOIN grant_ids AS n ON n.id_grant_ref = o.grant_ref
WHERE o.create_no = 1
ORDER BY first_time, grant_id
