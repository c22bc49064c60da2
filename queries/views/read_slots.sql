-- title: Looking around, by ten minutes
-- description: How much each principal looked at keys, in slots of ten minutes: one row per principal and slot with
--   calls that only read. Attempts that were refused count too. Services' own principals, service-linked roles, calls
--   that a service made for somebody and Terraform are left out. Detections take it as an upper bound, so that they
--   look closely only where something can be found, and to know who looks around as a routine.
-- reads: events, repeated_copies
-- partition: hour
-- column: principal: Canonical principal.
-- column: slot_epoch: Start of the slot, seconds since 1970-01-01 UTC.
-- column: call_count: Calls that only read, of any outcome.
-- column: list_count: Those of them that list: ListKeys or ListAliases.
-- column: listed_region_count: Different Regions listed.
-- column: key_count: Different keys inspected, the console's pages left out.
-- column: policy_key_count: Different keys whose policy or grants were read.
-- column: tool_count: Calls whose user agent names an attacker's tool or system.
WITH looks AS (
  SELECT
    e.principal,
    e.event_epoch - (e.event_epoch % 600) AS slot_epoch,
    CASE WHEN e.event_name IN ('ListKeys', 'ListAliases') THEN 1 END AS list_mark,
    CASE WHEN e.event_name IN ('ListKeys', 'ListAliases') THEN e.region END AS listed_region,
    CASE WHEN e.event_name IN ('DescribeKey', 'GetKeyPolicy', 'ListGrants', 'GetKeyRotationStatus', 'ListResourceTags',
                               'GetKeyLastUsage', 'ListKeyRotations')
          AND COALESCE(e.user_agent, '') NOT LIKE '%AWS Internal%'
          AND COALESCE(e.user_agent, '') NOT LIKE '%console.amazonaws.com%'
          AND COALESCE(e.user_agent, '') NOT LIKE 'aws-internal/%'
          AND COALESCE(e.user_agent, '') NOT LIKE 'Mozilla/%' THEN COALESCE(e.key_arn, e.key_ref) END AS inspected_key,
    CASE WHEN e.event_name IN ('GetKeyPolicy', 'ListGrants') THEN COALESCE(e.key_arn, e.key_ref) END AS policy_key,
    CASE WHEN LOWER(e.user_agent) LIKE '%kali%'
           OR LOWER(e.user_agent) LIKE '%parrot%'
           OR LOWER(e.user_agent) LIKE '%pentoo%'
           OR LOWER(e.user_agent) LIKE '%pacu%'
           OR LOWER(e.user_agent) LIKE '%cloudfox%'
           OR LOWER(e.user_agent) LIKE '%scoutsuite%'
           OR LOWER(e.user_agent) LIKE '%scout suite%'
           OR LOWER(e.user_agent) LIKE '%stratus-red-team%' THEN 1 END AS tool_mark
  FROM events AS e
  ANTI JOIN repeated_copies AS r ON r.repeated_id = e.event_id
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.action_class = 'read'
    AND e.is_direct
    AND NOT COALESCE(e.is_dry_run, FALSE)
    AND e.principal NOT LIKE 'service:%'
    AND e.principal NOT LIKE '%:role/aws-service-role/%'
    AND COALESCE(e.user_agent, '') NOT LIKE '%Terraform%'
)
SELECT
  l.principal,
  l.slot_epoch,
  CAST(COUNT(*) AS BIGINT) AS call_count,
  CAST(COUNT(l.list_mark) AS BIGINT) AS list_count,
  CAST(COUNT(DISTINCT l.listed_region) AS BIGINT) AS listed_region_count,
  CAST(COUNT(DISTINCT l.inspected_key) AS BIGINT) AS key_count,
  CAST(COUNT(DISTINCT l.policy_key) AS BIGINT) AS policy_key_count,
  CAST(COUNT(l.tool_mark) AS BIGINT) AS tool_count
FROM looks AS l
GROUP BY l.principal, l.slot_epoch
ORDER BY slot_epoch, principal
