-- title: Grant that lets its grantee make grants
-- severity: high
-- attack: T1098, T1548.005
-- description: A grant to something other than an AWS service contains CreateGrant: its grantee may pass the access on
--   to anybody, and those grants live on when this one is revoked. The finding tells how many grants the grantee made
--   on the key afterwards.
-- false-positives: Platforms that delegate by design. Services that need it (Amazon MQ, EBS, Mainframe Modernization)
--   are grantees of their own, and grants to AWS services and to service-linked roles are left out. So are grants on
--   keys of outside accounts.
-- blind-spots: Grants made before the evidence begins. Passed-on grants are told by their creator: in the key owner's
--   copy a foreign creator may have no name, and then any creator of the grantee's account counts; grants that a single
--   session made for itself as the grantee are not followed.
-- reads: grants
WITH owner_homes AS (
  SELECT h.account_id AS owner_home_id FROM home_accounts AS h
), delegations AS (
  SELECT
    g.grant_id, g.key_arn, g.created_time, g.created_epoch, g.create_event_id, g.create_count, g.account_id, g.region,
    g.creator, g.creator_source_ip, g.creator_via, g.grantee_principal, g.grantee_account_id, g.grant_operations,
    g.grant_constraint, g.is_open,
    COALESCE(g.key_arn, '') || ' ' || COALESCE(g.creator, '') || ' ' || g.grantee_principal AS act_ref
  FROM grants AS g
  LEFT JOIN owner_homes AS o ON o.owner_home_id = g.key_account_id
  WHERE ',' || g.grant_operations || ',' LIKE '%,CreateGrant,%'
    AND NOT g.is_service_grant
    AND g.grantee_principal NOT LIKE '%:role/aws-service-role/%'
    AND (g.key_account_id IS NULL OR o.owner_home_id IS NOT NULL)
), numbered_delegations AS (
  SELECT
    n.act_ref, n.grant_id, n.key_arn, n.created_time, n.create_event_id, n.create_count, n.account_id, n.region, n.creator,
    n.creator_source_ip, n.creator_via, n.grantee_principal, n.grantee_account_id, n.grant_operations, n.grant_constraint, n.is_open,
    CAST(ROW_NUMBER() OVER (PARTITION BY n.act_ref ORDER BY n.created_epoch, n.create_event_id) AS BIGINT) AS grant_no
  FROM delegations AS n
), acts AS (
  SELECT
    d.act_ref,
    MIN(d.key_arn) AS key_arn,
    MIN(d.creator) AS creator,
    MIN(d.grantee_principal) AS grantee_principal,
    MIN(d.grantee_account_id) AS grantee_account_id,
    MIN(d.created_time) AS first_time,
    MAX(d.created_time) AS last_time,
    MIN(d.account_id) AS account_id,
    MIN(d.region) AS region,
    MIN(d.creator_source_ip) AS source_ip,
    MIN(d.creator_via) AS creator_via,
    CAST(COUNT(DISTINCT d.creator_source_ip) AS BIGINT) AS source_ip_count,
    CAST(SUM(d.create_count) AS BIGINT) AS event_count,
    CAST(COUNT(*) AS BIGINT) AS grant_count,
    CAST(COUNT(CASE WHEN d.is_open THEN 1 END) AS BIGINT) AS open_count,
    CAST(COUNT(CASE WHEN d.grant_constraint IS NULL THEN 1 END) AS BIGINT) AS unconstrained_count,
    MAX(CASE WHEN d.grant_no = 1 THEN d.grant_operations END) AS grant_operations,
    STRING_AGG(CASE WHEN d.grant_no <= 1000 THEN d.create_event_id END, ',') AS event_ids,
    STRING_AGG(CASE WHEN d.grant_no <= 1000 THEN d.grant_id END, ',') AS grant_ids
  FROM numbered_delegations AS d
  GROUP BY d.act_ref
), delegates AS (
  SELECT da.act_ref AS delegate_act, da.key_arn AS delegate_key, da.grantee_principal AS delegate_text, da.created_epoch AS from_epoch
  FROM delegations AS da
  UNION ALL
  SELECT db.act_ref AS delegate_act, db.key_arn AS delegate_key, 'account:' || db.grantee_account_id AS delegate_text,
         db.created_epoch AS from_epoch
  FROM delegations AS db
  WHERE db.grantee_account_id IS NOT NULL
), creators AS (
  SELECT
    c.grant_id AS passed_grant,
    c.key_arn AS passed_key,
    c.created_epoch AS passed_epoch,
    CASE WHEN c.creator LIKE 'account:%' THEN 'account:' || c.creator_account_id ELSE c.creator END AS creator_text
  FROM grants AS c
  SEMI JOIN delegations AS s ON s.key_arn = c.key_arn
  WHERE c.created_epoch IS NOT NULL
), passed_on AS (
  SELECT
    e.delegate_act,
    CAST(COUNT(DISTINCT x.passed_grant) AS BIGINT) AS passed_count
  FROM delegates AS e
  JOIN creators AS x ON x.passed_key = e.delegate_key AND x.creator_text = e.delegate_text
  WHERE x.passed_epoch >= e.from_epoch
  GROUP BY e.delegate_act
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
  'high' AS severity,
  COALESCE(a.creator, 'An unnamed principal') || ' granted ' || a.grant_operations || ' on '
    || COALESCE(a.key_arn, 'an unnamed key') || ' to ' || a.grantee_principal
    || ', who may now make grants on the key too (grants: ' || CAST(a.grant_count AS STRING) || ', without a constraint: '
    || CAST(a.unconstrained_count AS STRING) || ', still open: ' || CAST(a.open_count AS STRING)
    || '; grants that the grantee made since: ' || CAST(COALESCE(p.passed_count, 0) AS STRING) || ').' AS summary,
  a.event_ids,
  a.grantee_principal,
  a.grantee_account_id,
  a.grant_operations,
  a.grant_count,
  a.unconstrained_count,
  a.open_count,
  COALESCE(p.passed_count, 0) AS passed_count,
  a.creator_via,
  a.grant_ids
FROM acts AS a
LEFT JOIN passed_on AS p ON p.delegate_act = a.act_ref
ORDER BY first_time, key_arn, principal, grantee_principal
