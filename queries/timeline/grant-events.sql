-- title: The life of one grant
-- description: The creation, retirement and revocation of a grant. KMS logs no grant id on use; inferred uses stand in the
--   grants view.
-- reads: events
-- params: subject = ''
SELECT e.event_time, e.event_name, e.outcome, e.principal, e.via, e.source_ip, e.grantee_principal, e.retiring_principal,
  e.grant_operations, e.grant_constraint, e.is_service_grant, e.key_arn, e.error_code, e.region, e.event_id
FROM events AS e CROSS JOIN params AS p
WHERE e.event_source = 'kms.amazonaws.com' AND e.grant_id = p.subject
ORDER BY e.event_time, e.event_id
