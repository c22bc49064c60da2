-- title: Service told to encrypt with an outside account's key
-- severity: high
-- attack: T1486, T1537, T1565
-- description: A call to another service than KMS names a KMS key of an account that is not a home account: bucket
--   encryption, copied snapshots and objects, default keys, volumes, exports, secrets. What is written so can be opened
--   only as long as the other account allows it. One finding per principal and key. Medium when all calls were refused,
--   or when only a service's own role called.
-- false-positives: Backup and log archive accounts of the organization: name them with --home-account. Vendors that
--   receive data under their own key. Calls that only read, and keys named in policies and tags, are left out.
-- blind-spots: A bare key id or alias is the caller's own. S3 objects are seen only where data events are recorded; the
--   use of the key from our side is then another rule's finding.
-- reads: admin_events, foreign_keys
WITH outside_keys AS (
  SELECT
    f.event_id AS named_id,
    f.key_arn,
    f.key_account_id,
    MIN(f.parameter_path) AS parameter_path
  FROM foreign_keys AS f
  ANTI JOIN home_accounts AS h ON h.account_id = f.key_account_id
  GROUP BY f.event_id, f.key_arn, f.key_account_id
), calls AS (
  SELECT
    e.event_id, e.event_time, e.event_epoch, e.event_source, e.event_name, e.account_id, e.region, e.principal, e.source_ip,
    COALESCE(e.account_id, '') || '|' || COALESCE(e.principal, '') AS actor,
    CASE WHEN e.is_ok THEN 1 ELSE 0 END AS is_done,
    CASE WHEN e.principal LIKE 'service:%' OR e.principal LIKE '%:role/aws-service-role/%' THEN 0 ELSE 1 END AS is_own
  FROM admin_events AS e
  WHERE e.event_source <> 'kms.amazonaws.com'
    AND e.event_name NOT LIKE 'Get%'
    AND e.event_name NOT LIKE 'BatchGet%'
    AND e.event_name NOT LIKE 'Head%'
    AND e.event_name NOT LIKE 'List%'
    AND e.event_name NOT LIKE 'Describe%'
    AND e.event_name NOT LIKE 'Lookup%'
    AND e.event_name NOT LIKE 'Search%'
), named_keys AS (
  SELECT
    c.actor, o.key_arn, o.key_account_id, o.parameter_path, c.event_id, c.event_time, c.event_source, c.event_name, c.account_id,
    c.region, c.principal, c.source_ip, c.is_done, c.is_own,
    CAST(ROW_NUMBER() OVER (PARTITION BY c.actor, o.key_arn ORDER BY c.event_epoch, c.event_id) AS BIGINT) AS call_no
  FROM calls AS c
  JOIN outside_keys AS o ON o.named_id = c.event_id
), uses AS (
  SELECT
    n.actor, n.key_arn,
    MIN(n.key_account_id) AS key_account_id,
    MIN(n.event_time) AS first_time,
    MAX(n.event_time) AS last_time,
    MIN(n.account_id) AS account_id,
    CASE WHEN MIN(n.region) = MAX(n.region) THEN MIN(n.region) END AS region,
    MIN(n.principal) AS principal,
    CASE WHEN MIN(n.source_ip) = MAX(n.source_ip) THEN MIN(n.source_ip) END AS source_ip,
    CAST(COUNT(*) AS BIGINT) AS event_count,
    CAST(SUM(n.is_done) AS BIGINT) AS done_count,
    MAX(n.is_done * n.is_own) AS is_grave,
    MIN(CASE WHEN n.call_no = 1 THEN n.event_source || ' ' || n.event_name END) AS first_call,
    MIN(CASE WHEN n.call_no = 1 THEN n.parameter_path END) AS parameter_path
  FROM named_keys AS n
  GROUP BY n.actor, n.key_arn
), lists AS (
  SELECT
    l.actor AS list_actor, l.key_arn AS list_key,
    STRING_AGG(l.event_id, ',') AS event_ids,
    STRING_AGG(DISTINCT l.event_name, ',') AS actions
  FROM named_keys AS l
  WHERE l.call_no <= 1000
  GROUP BY l.actor, l.key_arn
)
SELECT
  u.first_time,
  u.last_time,
  u.account_id,
  u.region,
  u.key_arn,
  u.principal,
  u.source_ip,
  u.event_count,
  CASE WHEN u.is_grave = 1 THEN 'high' ELSE 'medium' END AS severity,
  COALESCE(u.principal, 'An unnamed principal') || ' named ' || u.key_arn || ', a key of the outside account '
    || COALESCE(u.key_account_id, 'unknown') || ', in calls to services: ' || CAST(u.event_count AS STRING) || ', of which succeeded: '
    || CAST(u.done_count AS STRING) || '; the first was ' || COALESCE(u.first_call, 'unnamed') || ' (' || COALESCE(u.parameter_path, 'unknown')
    || ').' AS summary,
  l.event_ids,
  u.key_account_id,
  l.actions,
  u.done_count,
  u.parameter_path
FROM uses AS u
JOIN lists AS l ON l.list_actor = u.actor AND l.list_key = u.key_arn
ORDER BY first_time, account_id, principal NULLS LAST, key_arn
