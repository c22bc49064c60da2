-- title: Administration
-- description: Everything that changes or inspects no data but keys, grants, policies, trails, monitoring, identities
--   and the services' use of keys: KMS calls that are neither cryptographic nor reading, and the adjacent calls of other
--   services; successful or not. The second copies of cross-account calls are left out. Rules about acts of
--   administration read this small table instead of all events.
-- reads: events, repeated_copies
-- partition: day
-- column: event_id: CloudTrail `eventID`.
-- column: event_time: When the request completed.
-- column: event_epoch: `event_time` in seconds.
-- column: event_source: Service, such as `kms.amazonaws.com`.
-- column: event_name: Operation.
-- column: event_type: CloudTrail `eventType`; `AwsServiceEvent` for what KMS does by itself.
-- column: request_id: CloudTrail `requestID`.
-- column: shared_event_id: Links the copies of one action in several accounts.
-- column: account_id: The account whose trail has the event.
-- column: region: The Region called.
-- column: action_class: grant, lifecycle, policy, alias, tag, multi_region, key_store, trail, monitoring, identity,
--   service_config or unknown.
-- column: is_ok: It succeeded, and was no dry run.
-- column: outcome: ok, denied, throttled or failed.
-- column: error_code: CloudTrail `errorCode`.
-- column: error_message: CloudTrail `errorMessage`.
-- column: denied_action: The IAM action that a denial names.
-- column: key_arn: The key.
-- column: key_account_id: The key's owner.
-- column: key_region: The Region in the key's ARN.
-- column: mrk_id: The multi-Region key id.
-- column: alias_name: The alias named.
-- column: target_key_arn: The alias's new target, or the replica.
-- column: principal: Canonical principal.
-- column: principal_type: CloudTrail identity type.
-- column: principal_account_id: The caller's account.
-- column: principal_arn: The caller's ARN as received.
-- column: session_name: Role session name.
-- column: access_key_id: The access key.
-- column: mfa: The session had MFA.
-- column: via: The AWS service that made the call for the principal.
-- column: is_direct: No service in between.
-- column: is_cross_account: Caller, key owner and recipient are not all one account.
-- column: source_ip: Source address.
-- column: network: Its /24 or /48 network.
-- column: user_agent: CloudTrail `userAgent`.
-- column: vpc_endpoint_id: The VPC endpoint used.
-- column: grant_id: Grant id.
-- column: grantee_principal: Whom the grant allows.
-- column: grantee_account_id: The grantee's account.
-- column: retiring_principal: Who may retire the grant.
-- column: grant_operations: Granted operations, sorted, comma-separated.
-- column: grant_constraint: Constraint as JSON.
-- column: is_service_grant: The grantee is an AWS service.
-- column: key_origin: AWS_KMS, EXTERNAL, AWS_CLOUDHSM or EXTERNAL_KEY_STORE.
-- column: key_spec: Key spec.
-- column: key_usage: Key usage.
-- column: is_multi_region: The key is a multi-Region key.
-- column: replica_region: Where a replica was made.
-- column: primary_region: The new primary Region.
-- column: pending_window_days: Waiting period of a deletion, days.
-- column: deletion_time: Earliest deletion.
-- column: deletion_epoch: `deletion_time` in seconds.
-- column: rotation_period_days: Rotation period, days.
-- column: material_expires_at: When imported material expires.
-- column: material_expires_epoch: `material_expires_at` in seconds.
-- column: key_material_id: Key material id.
-- column: custom_key_store_id: Custom key store id.
-- column: xks_key_id: Id of the key in the external key store.
-- column: policy: The key policy set, canonical JSON.
-- column: policy_is_public: An Allow for everyone that no condition fences.
-- column: policy_external_accounts: Accounts other than the owner that an Allow names, sorted, comma-separated.
-- column: policy_bypasses_lockout: The caller asked to skip the lockout safety check.
-- column: policy_locks_out_owner: Nobody in the owner's account may change the policy any more.
-- column: trail_name: The trail or event data store.
-- column: excludes_kms: The selectors set exclude KMS events.
-- column: blinds_key_use: Key use is no longer recorded after this call.
-- column: blinds_key_admin: Key administration is no longer recorded after this call.
-- column: request_parameters: Parameters as received.
-- column: response_elements: Response as received.
-- column: additional_event_data: Additional or service event data as received.
SELECT
  e.event_id,
  e.event_time,
  e.event_epoch,
  e.event_source,
  e.event_name,
  e.event_type,
  e.request_id,
  e.shared_event_id,
  e.account_id,
  e.region,
  e.action_class,
  CASE WHEN e.outcome = 'ok' AND NOT COALESCE(e.is_dry_run, FALSE) THEN TRUE ELSE FALSE END AS is_ok,
  e.outcome,
  e.error_code,
  e.error_message,
  e.denied_action,
  e.key_arn,
  e.key_account_id,
  e.key_region,
  e.mrk_id,
  e.alias_name,
  e.target_key_arn,
  e.principal,
  e.principal_type,
  e.principal_account_id,
  e.principal_arn,
  e.session_name,
  e.access_key_id,
  e.mfa,
  e.via,
  e.is_direct,
  e.is_cross_account,
  e.source_ip,
  e.network,
  e.user_agent,
  e.vpc_endpoint_id,
  e.grant_id,
  e.grantee_principal,
  e.grantee_account_id,
  e.retiring_principal,
  e.grant_operations,
  e.grant_constraint,
  e.is_service_grant,
  e.key_origin,
  e.key_spec,
  e.key_usage,
  e.is_multi_region,
  e.replica_region,
  e.primary_region,
  e.pending_window_days,
  e.deletion_time,
  e.deletion_epoch,
  e.rotation_period_days,
  e.material_expires_at,
  e.material_expires_epoch,
  e.key_material_id,
  e.custom_key_store_id,
  e.xks_key_id,
  e.policy,
  e.policy_is_public,
  e.policy_external_accounts,
  e.policy_bypasses_lockout,
  e.policy_locks_out_owner,
  e.trail_name,
  e.excludes_kms,
  e.blinds_key_use,
  e.blinds_key_admin,
  e.request_parameters,
  e.response_elements,
  e.additional_event_data
FROM events AS e
ANTI JOIN repeated_copies AS r ON r.repeated_id = e.event_id
WHERE e.action_class NOT IN ('crypto', 'read')
ORDER BY event_time, event_id
