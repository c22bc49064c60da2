-- title: Grant that is too broad
-- severity: medium
-- attack: T1098
-- description: A grant was made by hand that opens data or mints data keys without any constraint, or its grantee is a
--   whole account, everybody, or the bare unique id of a principal, which names nobody. Such a grant opens all that the
--   key protects, does not show in the key policy, and never expires. High when the grantee is an account or everybody.
-- false-positives: Platforms that live on grants, and infrastructure code that makes them for roles. Grants to AWS
--   services and to service-linked roles are left out, and so are constrained grants and grants that a service made for
--   its user, unless the grantee is an account or everybody. Grants on keys of outside accounts are left out.
-- blind-spots: Grants made before the evidence begins. A constraint may be there and exclude nothing. Constraints on the
--   encryption context do not exist for asymmetric and HMAC keys, so every grant on those that opens data counts.
-- reads: grants
WITH owner_homes AS (
  SELECT h.account_id AS owner_home_id FROM home_accounts AS h
), shaped_grants AS (
  SELECT
    g.grant_id, g.key_arn, g.created_time, g.created_epoch, g.create_event_id, g.create_count, g.account_id, g.region,
    g.creator, g.creator_source_ip, g.grantee_principal, g.grant_operations, g.grant_constraint, g.is_open,
    CASE WHEN g.grantee_principal = '*' OR g.grantee_principal LIKE 'arn:%:root' OR g.grantee_principal = g.grantee_account_id
         THEN 'account'
         WHEN g.grantee_principal LIKE 'AROA%' OR g.grantee_principal LIKE 'AIDA%' THEN 'unique_id'
         ELSE 'principal' END AS grantee_kind,
    CASE WHEN g.creator_via IS NULL
          AND COALESCE(g.creator, '') NOT LIKE 'service:%'
          AND COALESCE(g.creator, '') NOT LIKE '%:role/aws-service-role/%' THEN 1 ELSE 0 END AS is_by_hand,
    CASE WHEN ',' || g.grant_operations || ',' LIKE '%,Decrypt,%'
           OR ',' || g.grant_operations || ',' LIKE '%,ReEncryptFrom,%'
           OR ',' || g.grant_operations || ',' LIKE '%,GenerateDataKey,%'
           OR ',' || g.grant_operations || ',' LIKE '%,GenerateDataKeyPair,%'
           OR ',' || g.grant_operations || ',' LIKE '%,DeriveSharedSecret,%'
           OR ',' || g.grant_operations || ',' LIKE '%,Decapsulate,%' THEN 1 ELSE 0 END AS is_revealing
  FROM grants AS g
  LEFT JOIN owner_homes AS o ON o.owner_home_id = g.key_account_id
  WHERE g.created_time IS NOT NULL
    AND NOT g.is_service_grant
    AND g.grantee_principal NOT LIKE '%:role/aws-service-role/%'
    AND (g.key_account_id IS NULL OR o.owner_home_id IS NOT NULL)
), named_acts AS (
  -- The grants of one principal on one key for grantees of one kind are one act: whoever means ill rarely stops at one.
  SELECT
    n.grant_id, n.key_arn, n.created_time, n.created_epoch, n.create_event_id, n.create_count, n.account_id, n.region, n.creator,
    n.creator_source_ip, n.grantee_principal, n.grant_operations, n.grant_constraint, n.is_open, n.grantee_kind, n.is_by_hand,
    n.is_revealing,
    COALESCE(n.key_arn, '') || ' ' || COALESCE(n.creator, '') || ' ' || n.grantee_kind AS act_ref
  FROM shaped_grants AS n
), broad_grants AS (
  SELECT
    s.grant_id, s.key_arn, s.created_time, s.create_event_id, s.create_count, s.account_id, s.region, s.creator,
    s.creator_source_ip, s.grantee_principal, s.grant_operations, s.grant_constraint, s.is_open, s.grantee_kind, s.act_ref,
    CAST(ROW_NUMBER() OVER (PARTITION BY s.act_ref ORDER BY s.created_epoch, s.create_event_id) AS BIGINT) AS grant_no
  FROM named_acts AS s
  WHERE s.grantee_kind = 'account'
     OR (s.is_by_hand = 1 AND s.grantee_kind = 'unique_id')
     OR (s.is_by_hand = 1 AND s.is_revealing = 1 AND s.grant_constraint IS NULL)
), acts AS (
  SELECT
    b.act_ref,
    MIN(b.key_arn) AS key_arn,
    MIN(b.creator) AS creator,
    MIN(b.grantee_kind) AS grantee_kind,
    MIN(b.created_time) AS first_time,
    MAX(b.created_time) AS last_time,
    MIN(b.account_id) AS account_id,
    MIN(b.region) AS region,
    MIN(b.creator_source_ip) AS source_ip,
    CAST(COUNT(DISTINCT b.creator_source_ip) AS BIGINT) AS source_ip_count,
    CAST(SUM(b.create_count) AS BIGINT) AS event_count,
    CAST(COUNT(*) AS BIGINT) AS grant_count,
    CAST(COUNT(CASE WHEN b.is_open THEN 1 END) AS BIGINT) AS open_count,
    CAST(COUNT(CASE WHEN b.grant_constraint IS NULL THEN 1 END) AS BIGINT) AS unconstrained_count,
    CAST(COUNT(DISTINCT b.grantee_principal) AS BIGINT) AS grantee_count,
    MAX(CASE WHEN b.grant_no = 1 THEN b.grantee_principal END) AS first_grantee,
    MAX(CASE WHEN b.grant_no = 1 THEN b.grant_operations END) AS first_operations,
    STRING_AGG(CASE WHEN b.grant_no <= 1000 THEN b.create_event_id END, ',') AS event_ids,
    STRING_AGG(CASE WHEN b.grant_no <= 1000 THEN b.grant_id END, ',') AS grant_ids
  FROM broad_grants AS b
  GROUP BY b.act_ref
)
SELECT
  a.first_time,
  a.last_time,
  a.account_id,
  a.region,
  a.key_arn,
  a.creator AS principal,
  CASE WHEN a.source_ip_count = 1 THEN a.source_ip END AS source_ip,
  a.event_count,
  CASE WHEN a.grantee_kind = 'account' THEN 'high' ELSE 'medium' END AS severity,
  COALESCE(a.creator, 'An unnamed principal') || ' granted ' || COALESCE(a.first_operations, 'unknown operations') || ' on '
    || COALESCE(a.key_arn, 'an unnamed key') || ' to ' || a.first_grantee
    || CASE WHEN a.grantee_kind = 'account' THEN ', which is not one principal but a whole account or everybody'
            WHEN a.grantee_kind = 'unique_id' THEN ', a unique id that names no principal' ELSE '' END
    || ' (grants: ' || CAST(a.grant_count AS STRING) || ', without a constraint: ' || CAST(a.unconstrained_count AS STRING)
    || ', different grantees: ' || CAST(a.grantee_count AS STRING) || ', still open: ' || CAST(a.open_count AS STRING) || ').'
    AS summary,
  a.event_ids,
  a.grantee_kind,
  a.first_grantee AS grantee_principal,
  a.first_operations AS grant_operations,
  a.grant_count,
  a.grantee_count,
  a.unconstrained_count,
  a.open_count,
  a.grant_ids
FROM acts AS a
ORDER BY first_time, key_arn, principal, grantee_kind
