-- title: Grant ledger
-- description: One row per grant that the evidence names: who made it for whom, what it allows, when and how it
--   ended, and what use of it can be inferred. KMS never logs which grant a call used: a use is inferred when the
--   grantee successfully called a granted operation on the key while the grant lived, so a key policy may have
--   allowed the same call. The encryption-context constraint is not compared.
-- reads: grant_lives, grant_uses
-- partition: grant
-- column: grant_id: KMS grant id; the CreateGrant's event id when the response has none.
-- column: key_arn: The key.
-- column: key_account_id: The key's owner.
-- column: created_time: First CreateGrant that returned this grant; NULL when the grant is older than the evidence.
-- column: created_epoch: `created_time` in seconds.
-- column: create_event_id: That CreateGrant's event id.
-- column: create_count: CreateGrant calls that returned this grant; a retry under the same name returns the same one.
-- column: account_id: The account whose trail has the CreateGrant.
-- column: region: The Region of the CreateGrant.
-- column: creator: The principal of CreateGrant.
-- column: creator_account_id: The creator's account.
-- column: creator_via: The AWS service that made the call for the creator.
-- column: creator_source_ip: The creator's address.
-- column: grantee_principal: Whom the grant allows, as received.
-- column: grantee_account_id: The grantee's account.
-- column: is_grantee_home: The grantee's account is one of the home accounts; NULL when the grantee names no account.
-- column: retiring_principal: Who may retire the grant.
-- column: grant_operations: Granted operations, sorted, comma-separated.
-- column: grant_constraint: Constraint as JSON; NULL when there is none.
-- column: is_service_grant: The grantee is an AWS service or EC2's infrastructure role; NULL when the grant is older
--   than the evidence.
-- column: ended_time: First RetireGrant or RevokeGrant, or the key's deletion.
-- column: ended_epoch: `ended_time` in seconds.
-- column: ended_how: RetireGrant, RevokeGrant or DeleteKey; NULL while open.
-- column: ended_by: The principal that ended it.
-- column: end_event_id: The event that ended it.
-- column: is_open: Not ended in the evidence.
-- column: age_seconds: From the creation to the end, or to the last KMS event of the evidence.
-- column: first_use_time: First inferred use.
-- column: first_use_epoch: `first_use_time` in seconds.
-- column: last_use_time: Last inferred use.
-- column: last_use_epoch: `last_use_time` in seconds.
-- column: use_count: Inferred uses; NULL for service grants, whose users are services and are not matched.
-- column: first_use_event_id: The event of the first inferred use.
WITH home AS (
  SELECT h.account_id AS home_id FROM home_accounts AS h
), used_grants AS (
  SELECT
    u.grant_id AS used_grant,
    u.first_use_time,
    u.first_use_epoch,
    u.last_use_time,
    u.last_use_epoch,
    u.use_count,
    u.first_use_event_id
  FROM grant_uses AS u
)
SELECT
  l.grant_id,
  l.key_arn,
  l.key_account_id,
  l.created_time,
  l.created_epoch,
  l.create_event_id,
  l.create_count,
  l.account_id,
  l.region,
  l.creator,
  l.creator_account_id,
  l.creator_via,
  l.creator_source_ip,
  l.grantee_principal,
  l.grantee_account_id,
  CASE WHEN o.home_id IS NOT NULL THEN TRUE WHEN l.grantee_account_id IS NOT NULL THEN FALSE END AS is_grantee_home,
  l.retiring_principal,
  l.grant_operations,
  l.grant_constraint,
  l.is_service_grant,
  l.ended_time,
  l.ended_epoch,
  l.ended_how,
  l.ended_by,
  l.end_event_id,
  CASE WHEN l.ended_how IS NULL THEN TRUE ELSE FALSE END AS is_open,
  COALESCE(l.ended_epoch, p.last_epoch) - l.created_epoch AS age_seconds,
  y.first_use_time,
  y.first_use_epoch,
  y.last_use_time,
  y.last_use_epoch,
  CASE WHEN NOT l.is_service_grant THEN COALESCE(y.use_count, 0) END AS use_count,
  y.first_use_event_id
FROM grant_lives AS l
CROSS JOIN evidence AS p
LEFT JOIN home AS o ON o.home_id = l.grantee_account_id
LEFT JOIN used_grants AS y ON y.used_grant = l.grant_id
ORDER BY grant_id
