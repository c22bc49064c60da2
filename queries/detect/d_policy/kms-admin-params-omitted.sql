-- title: Administrative call without its parameters
-- severity: high
-- attack: T1562.008 / v19 T1685.002
-- description: An administrative KMS call succeeded, and its record lacks the parameters, says that they were omitted, or
--   holds a policy that cannot be read. CloudTrail leaves parameters out when they are too large, which can be provoked;
--   what the call did is then not in the evidence. Calls of one principal in one way are one finding.
-- false-positives: Exports that strip or cut parameters. RetireGrant, synchronization of multi-Region keys and what KMS
--   does by itself have none by design and are left out, and so are refused calls.
-- blind-spots: A list that an export cut short but left as valid JSON.
-- reads: admin_events
WITH bare_calls AS (
  SELECT
    e.event_id,
    e.event_name,
    e.event_time,
    e.event_epoch,
    e.account_id,
    e.region,
    e.key_arn,
    e.principal,
    e.source_ip,
    CASE
      WHEN e.request_parameters IS NULL OR e.request_parameters IN ('', 'null', '{}') THEN 'missing'
      WHEN REPLACE(e.request_parameters, ' ', '') LIKE '%"omitted":true%'
        OR e.request_parameters NOT LIKE '{%' THEN 'omitted'
      WHEN e.event_name IN ('CreateKey', 'PutKeyPolicy', 'ReplicateKey')
       AND e.policy_is_public IS NULL
       AND (e.event_name = 'PutKeyPolicy' OR e.request_parameters LIKE '%"policy"%') THEN 'unreadable policy'
    END AS reason
  FROM admin_events AS e
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.is_ok
    AND e.action_class IN ('policy', 'grant', 'lifecycle', 'alias', 'tag', 'multi_region', 'key_store')
    AND e.event_name NOT IN ('RetireGrant', 'SynchronizeMultiRegionKey')
    AND COALESCE(e.event_type, '') <> 'AwsServiceEvent'
    AND COALESCE(e.via, '') <> 'kms.amazonaws.com'
), reported_calls AS (
  SELECT
    b.event_id, b.event_name, b.event_time, b.account_id, b.region, b.key_arn, b.source_ip, b.reason,
    COALESCE(b.principal, 'an unnamed principal') AS caller,
    CAST(ROW_NUMBER() OVER (PARTITION BY b.account_id, b.principal, b.reason ORDER BY b.event_epoch, b.event_id) AS BIGINT) AS call_no
  FROM bare_calls AS b
  WHERE b.reason IS NOT NULL
    AND NOT (b.event_name = 'CreateKey' AND b.reason = 'missing')
), call_names AS (
  SELECT DISTINCT n.account_id, n.caller, n.reason, n.event_name
  FROM reported_calls AS n
), name_lists AS (
  SELECT l.account_id AS list_account, l.caller AS list_caller, l.reason AS list_reason, STRING_AGG(l.event_name, ',') AS actions
  FROM call_names AS l
  GROUP BY l.account_id, l.caller, l.reason
), id_lists AS (
  SELECT i.account_id AS id_account, i.caller AS id_caller, i.reason AS id_reason, STRING_AGG(i.event_id, ',') AS event_ids
  FROM reported_calls AS i
  WHERE i.call_no <= 1000
  GROUP BY i.account_id, i.caller, i.reason
), totals AS (
  SELECT
    t.account_id,
    t.caller,
    t.reason,
    MIN(t.event_time) AS first_time,
    MAX(t.event_time) AS last_time,
    CASE WHEN MIN(t.region) = MAX(t.region) THEN MIN(t.region) END AS region,
    CASE WHEN MIN(t.key_arn) = MAX(t.key_arn) THEN MIN(t.key_arn) END AS key_arn,
    MIN(t.key_arn) AS first_key,
    CAST(COUNT(DISTINCT t.key_arn) AS BIGINT) AS key_count,
    CASE WHEN MIN(t.source_ip) = MAX(t.source_ip) THEN MIN(t.source_ip) END AS source_ip,
    CAST(COUNT(*) AS BIGINT) AS event_count,
    MAX(CASE WHEN t.call_no = 1 THEN t.event_name END) AS first_action
  FROM reported_calls AS t
  GROUP BY t.account_id, t.caller, t.reason
)
SELECT
  x.first_time,
  x.last_time,
  x.account_id,
  x.region,
  x.key_arn,
  CASE WHEN x.caller = 'an unnamed principal' THEN NULL ELSE x.caller END AS principal,
  x.source_ip,
  x.event_count,
  'high' AS severity,
  'Administrative KMS calls of ' || x.caller || ' succeeded, and their records have '
    || CASE WHEN x.reason = 'missing' THEN 'no parameters' WHEN x.reason = 'omitted' THEN 'their parameters left out'
            ELSE 'a policy that cannot be read' END
    || ': ' || CAST(x.event_count AS STRING) || ', beginning with ' || x.first_action
    || COALESCE('; keys: ' || CAST(x.key_count AS STRING) || ', such as ' || x.first_key, '')
    || '; what they did is not in the evidence.' AS summary,
  i.event_ids,
  x.reason,
  l.actions,
  x.key_count
FROM totals AS x
JOIN id_lists AS i ON i.id_account = x.account_id AND i.id_caller = x.caller AND i.id_reason = x.reason
JOIN name_lists AS l ON l.list_account = x.account_id AND l.list_caller = x.caller AND l.list_reason = x.reason
ORDER BY first_time, account_id, principal, reason
