-- title: Failed KMS calls
-- description: Every KMS call that was refused or failed, of any kind, with what the error says about the key and the
--   action. Throttled calls and dry runs are left out, and so are the second copies of cross-account calls. A refused
--   call from another account is logged in the caller's account only: the owner of a key never sees a stranger's.
-- reads: events, repeated_copies
-- partition: day
-- column: event_id: CloudTrail `eventID`.
-- column: event_time: When the request completed.
-- column: event_epoch: `event_time` in seconds.
-- column: event_name: Operation.
-- column: action_class: Class of operation.
-- column: outcome: denied or failed.
-- column: error_code: CloudTrail `errorCode`.
-- column: error_message: CloudTrail `errorMessage`.
-- column: denied_action: The IAM action that a denial names, else `kms:` and the operation.
-- column: key_state_error: Why the key was unusable: disabled, pending_deletion, pending_import, unavailable, creating,
--   updating.
-- column: account_id: The account whose trail has the event.
-- column: region: The Region called.
-- column: key_arn: The key, often from the error message.
-- column: alias_name: The alias named.
-- column: custom_key_store_id: Custom key store id.
-- column: xks_key_id: Id of the key in the external key store.
-- column: context_class: Kind of data that the encryption context names.
-- column: context_resource: The resource the context names.
-- column: context_keys: The names in the encryption context, sorted, comma-separated.
-- column: principal: Canonical principal.
-- column: principal_account_id: The caller's account.
-- column: access_key_id: The access key.
-- column: via: The AWS service that made the call for the principal.
-- column: is_direct: No service in between.
-- column: source_ip: Source address.
-- column: user_agent: CloudTrail `userAgent`.
-- column: vpc_endpoint_id: The VPC endpoint used.
SELECT
  e.event_id,
  e.event_time,
  e.event_epoch,
  e.event_name,
  e.action_class,
  e.outcome,
  e.error_code,
  e.error_message,
  COALESCE(e.denied_action, 'kms:' || e.event_name) AS denied_action,
  e.key_state_error,
  e.account_id,
  e.region,
  e.key_arn,
  e.alias_name,
  e.custom_key_store_id,
  e.xks_key_id,
  e.context_class,
  e.context_resource,
  e.context_keys,
  e.principal,
  e.principal_account_id,
  e.access_key_id,
  e.via,
  e.is_direct,
  e.source_ip,
  e.user_agent,
  e.vpc_endpoint_id
FROM events AS e
ANTI JOIN repeated_copies AS r ON r.repeated_id = e.event_id
WHERE e.event_source = 'kms.amazonaws.com'
  AND e.outcome IN ('denied', 'failed')
  AND NOT COALESCE(e.is_dry_run, FALSE)
ORDER BY event_time, event_id
