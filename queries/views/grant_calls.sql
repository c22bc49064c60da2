-- title: Calls that make and end grants
-- description: One row per successful CreateGrant, RetireGrant and RevokeGrant that was no dry run, with the grant it made
--   or ended. An end that names no grant is left out. `grant_lives` is made of these rows, which
--   are few and can be cut between grants.
-- reads: events, repeated_copies
-- partition: hour
-- column: event_id: CloudTrail `eventID`.
-- column: event_time: When the request completed.
-- column: event_epoch: `event_time` in seconds.
-- column: event_name: CreateGrant, RetireGrant or RevokeGrant.
-- column: grant_id: The grant: KMS grant id; the event id of a CreateGrant whose response has none.
-- column: is_repeated: The second copy of a cross-account call, whose first copy is there, too.
-- column: key_arn: The key.
-- column: key_account_id: The key's owner.
-- column: account_id: The account whose trail has the call.
-- column: region: The Region called.
-- column: principal: Canonical principal.
-- column: principal_account_id: The principal's account.
-- column: via: The AWS service that made the call for the principal.
-- column: source_ip: The principal's address.
-- column: grantee_principal: Whom the grant allows, as received.
-- column: grantee_account_id: The grantee's account.
-- column: retiring_principal: Who may retire the grant.
-- column: grant_operations: Granted operations, sorted, comma-separated.
-- column: grant_constraint: Constraint as JSON; NULL when there is none.
-- column: is_service_grant: The grantee is an AWS service or EC2's infrastructure role; NULL where a grant ends.
SELECT
  e.event_id,
  e.event_time,
  e.event_epoch,
  e.event_name,
  CASE WHEN e.event_name = 'CreateGrant' THEN COALESCE(e.grant_id, e.event_id) ELSE e.grant_id END AS grant_id,
  CASE WHEN r.repeated_id IS NULL THEN FALSE ELSE TRUE END AS is_repeated,
  e.key_arn,
  e.key_account_id,
  e.account_id,
  e.region,
  e.principal,
  e.principal_account_id,
  e.via,
  e.source_ip,
  e.grantee_principal,
  e.grantee_account_id,
  e.retiring_principal,
  e.grant_operations,
  e.grant_constraint,
  CASE WHEN e.is_service_grant OR e.grantee_principal LIKE '%:assumed-role/aws:ec2-infrastructure/%' THEN TRUE
       WHEN e.event_name = 'CreateGrant' THEN FALSE END AS is_service_grant
FROM events AS e
LEFT JOIN repeated_copies AS r ON r.repeated_id = e.event_id
WHERE e.event_source = 'kms.amazonaws.com'
  AND e.event_name IN ('CreateGrant', 'RetireGrant', 'RevokeGrant')
  AND e.outcome = 'ok'
  AND NOT COALESCE(e.is_dry_run, FALSE)
  AND (e.event_name = 'CreateGrant' OR e.grant_id IS NOT NULL)
ORDER BY event_epoch, event_id
