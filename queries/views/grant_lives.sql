-- title: Lives of grants
-- description: One row per grant that the evidence names: who made it for whom, what it allows, when and how it ended.
--   `grants` adds what use of it can be inferred.
-- reads: grant_calls, key_ends
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
WITH create_rows AS (
  SELECT
    c.grant_id, c.key_arn, c.key_account_id, c.event_time, c.event_epoch, c.event_id, c.account_id, c.region, c.principal,
    c.principal_account_id, c.via, c.source_ip, c.grantee_principal, c.grantee_account_id, c.retiring_principal,
    c.grant_operations, c.grant_constraint, c.is_service_grant,
    CASE WHEN c.is_repeated THEN 1 ELSE 0 END AS repeated_no
  FROM grant_calls AS c
  WHERE c.event_name = 'CreateGrant'
), numbered_creates AS (
  SELECT
    n.grant_id, n.key_arn, n.key_account_id, n.event_time, n.event_epoch, n.event_id, n.account_id, n.region, n.principal,
    n.principal_account_id, n.via, n.source_ip, n.grantee_principal, n.grantee_account_id, n.retiring_principal,
    n.grant_operations, n.grant_constraint, n.is_service_grant,
    CAST(ROW_NUMBER() OVER (PARTITION BY n.grant_id ORDER BY n.repeated_no, n.event_epoch, n.event_id) AS BIGINT) AS create_no
  FROM create_rows AS n
), known_grants AS (
  SELECT
    g.grant_id, g.key_arn, g.key_account_id, g.event_time AS created_time, g.event_epoch AS created_epoch,
    g.event_id AS create_event_id, g.account_id, g.region, g.principal AS creator, g.principal_account_id AS creator_account_id,
    g.via AS creator_via, g.source_ip AS creator_source_ip, g.grantee_principal, g.grantee_account_id, g.retiring_principal,
    g.grant_operations, g.grant_constraint, g.is_service_grant
  FROM numbered_creates AS g
  WHERE g.create_no = 1
), create_counts AS (
  SELECT
    w.grant_id AS counted_grant,
    CAST(COUNT(*) AS BIGINT) AS create_count
  FROM grant_calls AS w
  WHERE w.event_name = 'CreateGrant'
    AND NOT w.is_repeated
  GROUP BY w.grant_id
), end_rows AS (
  SELECT
    x.grant_id AS ended_grant,
    x.key_arn AS ended_key,
    x.key_account_id AS ended_key_account,
    x.event_time AS ended_time,
    x.event_epoch AS ended_epoch,
    x.event_name AS ended_how,
    x.principal AS ended_by,
    x.event_id AS end_event_id,
    CAST(ROW_NUMBER() OVER (PARTITION BY x.grant_id ORDER BY x.event_epoch, x.event_id) AS BIGINT) AS end_no
  FROM grant_calls AS x
  WHERE x.event_name IN ('RetireGrant', 'RevokeGrant')
), first_ends AS (
  SELECT f.ended_grant, f.ended_key, f.ended_key_account, f.ended_time, f.ended_epoch, f.ended_how, f.ended_by, f.end_event_id
  FROM end_rows AS f
  WHERE f.end_no = 1
), grant_ids AS (
  SELECT DISTINCT i.grant_id AS ledger_id FROM grant_calls AS i
), deleted_keys AS (
  SELECT d.key_arn AS deleted_key, d.deleted_time, d.deleted_epoch, d.deleted_by, d.delete_event_id FROM key_ends AS d
)
SELECT
  j.ledger_id AS grant_id,
  COALESCE(g.key_arn, f.ended_key) AS key_arn,
  COALESCE(g.key_account_id, f.ended_key_account) AS key_account_id,
  g.created_time,
  g.created_epoch,
  g.create_event_id,
  COALESCE(n.create_count, 0) AS create_count,
  g.account_id,
  g.region,
  g.creator,
  g.creator_account_id,
  g.creator_via,
  g.creator_source_ip,
  g.grantee_principal,
  g.grantee_account_id,
  g.retiring_principal,
  g.grant_operations,
  g.grant_constraint,
  g.is_service_grant,
  COALESCE(f.ended_time, k.deleted_time) AS ended_time,
  COALESCE(f.ended_epoch, k.deleted_epoch) AS ended_epoch,
  CASE WHEN f.ended_grant IS NOT NULL THEN f.ended_how WHEN k.deleted_key IS NOT NULL THEN 'DeleteKey' END AS ended_how,
  CASE WHEN f.ended_grant IS NOT NULL THEN f.ended_by ELSE k.deleted_by END AS ended_by,
  COALESCE(f.end_event_id, k.delete_event_id) AS end_event_id
FROM grant_ids AS j
LEFT JOIN known_grants AS g ON g.grant_id = j.ledger_id
LEFT JOIN create_counts AS n ON n.counted_grant = j.ledger_id
LEFT JOIN first_ends AS f ON f.ended_grant = j.ledger_id
LEFT JOIN deleted_keys AS k ON k.deleted_key = g.key_arn
ORDER BY grant_id
