-- title: Grant on our key made by an outside account
-- severity: high
-- attack: T1537
-- description: A principal of an account that is not a home account made grants on one of our keys. That is what happens
--   when a shared encrypted snapshot or image is put to use elsewhere (the grant then has a constraint on the volume), and
--   whoever may make grants can keep the access for ever.
-- false-positives: Accounts with which images or keys are shared on purpose: name them with --home-account. Grants made by
--   AWS services' own principals and by other home accounts are left out. All grants of one account on one key are one
--   finding.
-- blind-spots: Refused attempts are logged in the caller's account only. The owner's copy of the call may not name the
--   caller, only the account.
-- reads: grants
WITH caller_homes AS (
  SELECT h.account_id AS caller_home_id FROM home_accounts AS h
), owner_homes AS (
  SELECT o.account_id AS owner_home_id FROM home_accounts AS o
), foreign_grants AS (
  SELECT
    g.grant_id, g.key_arn, g.key_account_id, g.created_time, g.create_event_id, g.create_count, g.account_id, g.region, g.creator,
    g.creator_account_id, g.creator_source_ip, g.creator_via, g.grantee_principal, g.grant_operations, g.grant_constraint,
    g.is_open,
    CAST(ROW_NUMBER() OVER (PARTITION BY g.key_arn, g.creator_account_id
                            ORDER BY g.created_epoch, g.create_event_id) AS BIGINT) AS grant_no
  FROM grants AS g
  JOIN owner_homes AS y ON y.owner_home_id = g.key_account_id
  LEFT JOIN caller_homes AS x ON x.caller_home_id = g.creator_account_id
  WHERE g.creator_account_id <> g.key_account_id
    AND g.creator NOT LIKE 'service:%'
    AND x.caller_home_id IS NULL
), acts AS (
  SELECT
    f.key_arn,
    f.creator_account_id,
    MIN(f.created_time) AS first_time,
    MAX(f.created_time) AS last_time,
    MIN(f.account_id) AS account_id,
    MIN(f.region) AS region,
    MIN(f.creator) AS creator,
    MAX(CASE WHEN f.grant_no = 1 THEN f.creator END) AS first_creator,
    CAST(COUNT(DISTINCT f.creator) AS BIGINT) AS creator_count,
    MIN(f.creator_source_ip) AS source_ip,
    CAST(COUNT(DISTINCT f.creator_source_ip) AS BIGINT) AS source_ip_count,
    MIN(f.creator_via) AS creator_via,
    CAST(SUM(f.create_count) AS BIGINT) AS event_count,
    CAST(COUNT(*) AS BIGINT) AS grant_count,
    CAST(COUNT(CASE WHEN f.is_open THEN 1 END) AS BIGINT) AS open_count,
    CAST(COUNT(CASE WHEN f.grant_constraint LIKE '%"aws:ebs:id"%' THEN 1 END) AS BIGINT) AS volume_count,
    CAST(COUNT(CASE WHEN f.grant_constraint IS NULL THEN 1 END) AS BIGINT) AS unconstrained_count,
    MAX(CASE WHEN f.grant_no = 1 THEN f.grantee_principal END) AS first_grantee,
    MAX(CASE WHEN f.grant_no = 1 THEN f.grant_operations END) AS first_operations,
    MAX(CASE WHEN f.grant_no = 1 THEN f.grant_constraint END) AS first_constraint,
    STRING_AGG(CASE WHEN f.grant_no <= 1000 THEN f.create_event_id END, ',') AS event_ids,
    STRING_AGG(CASE WHEN f.grant_no <= 1000 THEN f.grant_id END, ',') AS grant_ids
  FROM foreign_grants AS f
  GROUP BY f.key_arn, f.creator_account_id
)
SELECT
  a.first_time,
  a.last_time,
  a.account_id,
  a.region,
  a.key_arn,
  CASE WHEN a.creator_count = 1 THEN a.creator END AS principal,
  CASE WHEN a.source_ip_count = 1 THEN a.source_ip END AS source_ip,
  a.event_count,
  'high' AS severity,
  'The outside account ' || a.creator_account_id || ' made grants on our key ' || a.key_arn || ' (grants: '
    || CAST(a.grant_count AS STRING) || ', for EBS volumes or snapshots: ' || CAST(a.volume_count AS STRING)
    || ', without a constraint: ' || CAST(a.unconstrained_count AS STRING) || ', still open: ' || CAST(a.open_count AS STRING)
    || '), the first by ' || a.first_creator || ' for ' || COALESCE(a.first_grantee, 'an unnamed grantee') || '.' AS summary,
  a.event_ids,
  a.creator_account_id,
  a.creator_count,
  a.grant_count,
  a.volume_count,
  a.unconstrained_count,
  a.open_count,
  a.first_grantee AS grantee_principal,
  a.first_operations AS grant_operations,
  a.first_constraint AS grant_constraint,
  a.creator_via,
  a.grant_ids
FROM acts AS a
ORDER BY first_time, key_arn, creator_account_id
