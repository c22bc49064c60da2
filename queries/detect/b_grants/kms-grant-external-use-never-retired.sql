-- title: Grant used from another account and never ended
-- severity: high
-- attack: T1098, T1537
-- description: A grant was made for a principal of another account than its creator's, the grantee then used the key
--   as granted, and nothing ended the grant before the evidence ends. This is the whole life of a grant as a back
--   door. Critical when the first use came within minutes of the grant (a grant token in hand); low or medium when
--   the grantee's account is a home account.
-- false-positives: Long-lived integrations between accounts. Use is inferred: KMS never logs which grant a call used,
--   so a key policy may have allowed the same calls.
-- blind-spots: The encryption-context constraint is not compared. Grants made before the evidence begins. In the key
--   owner's copy a foreign caller may have no name; then any caller of the grantee's account counts. Grants to AWS
--   services are left out.
-- reads: grants
-- params: token_seconds = 300
WITH used_grants AS (
  SELECT
    g.grant_id,
    g.key_arn,
    g.created_time,
    g.created_epoch,
    g.create_event_id,
    g.account_id,
    g.region,
    g.creator,
    g.creator_source_ip,
    g.grantee_principal,
    g.grantee_account_id,
    g.is_grantee_home,
    g.grant_operations,
    g.grant_constraint,
    g.first_use_time,
    g.first_use_epoch,
    g.last_use_time,
    g.use_count,
    g.first_use_event_id,
    g.age_seconds,
    CASE WHEN g.first_use_epoch - g.created_epoch <= p.token_seconds THEN 1 ELSE 0 END AS is_immediate
  FROM grants AS g
  CROSS JOIN params AS p
  WHERE NOT g.is_service_grant
    AND g.is_open
    AND g.use_count > 0
    AND g.grantee_account_id IS NOT NULL
    AND (NOT g.is_grantee_home OR g.grantee_account_id <> g.creator_account_id)
)
SELECT
  u.created_time AS first_time,
  u.last_use_time AS last_time,
  u.account_id,
  u.region,
  u.key_arn,
  u.creator AS principal,
  u.creator_source_ip AS source_ip,
  u.use_count + 1 AS event_count,
  CASE
    WHEN NOT u.is_grantee_home AND u.is_immediate = 1 THEN 'critical'
    WHEN NOT u.is_grantee_home THEN 'high'
    WHEN u.is_immediate = 1 THEN 'medium'
    ELSE 'low'
  END AS severity,
  COALESCE(u.creator, 'An unnamed principal') || ' granted ' || COALESCE(u.grant_operations, 'unknown operations') || ' on ' || u.key_arn
    || ' to ' || u.grantee_principal || ' of account ' || u.grantee_account_id || '; inferred uses: ' || CAST(u.use_count AS STRING)
    || ', the first ' || CAST(u.first_use_epoch - u.created_epoch AS STRING)
    || ' seconds after the grant; no RetireGrant, RevokeGrant or DeleteKey in the evidence, so the grant is still open.' AS summary,
  u.create_event_id || ',' || u.first_use_event_id AS event_ids,
  u.grant_id,
  u.grantee_principal,
  u.grantee_account_id,
  u.grant_operations,
  u.grant_constraint,
  u.use_count AS inferred_use_count,
  u.first_use_time,
  u.first_use_epoch - u.created_epoch AS seconds_to_first_use,
  u.age_seconds
FROM used_grants AS u
ORDER BY first_time, grant_id
