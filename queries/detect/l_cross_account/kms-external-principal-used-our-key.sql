-- title: Outside account uses our key
-- severity: medium
-- attack: T1537, T1199
-- description: Principals of another account used one of our keys, took its public half or made grants on it. High when an
--   account outside the organization got plaintext or plaintext data keys. Lower when that account used the key on several
--   days from the beginning of the evidence; another home account is told of only when it is new on the key.
-- false-positives: Data lakes with hub and spokes, and vendors that were let in. AWS services' own principals have no account
--   and are left out. Name further accounts of the organization with --home-account.
-- blind-spots: Refused attempts stand only in the caller's account. A public key that was taken can be used outside KMS
--   without a trace. In short evidence everything is new. Service-linked roles of an outside account are its principals.
-- reads: use_hours, admin_events
-- params: training_days = 14, steady_days = 3
WITH owner_homes AS (
  SELECT o.account_id AS owner_home_id FROM home_accounts AS o
), caller_homes AS (
  SELECT c.account_id AS caller_home_id FROM home_accounts AS c
), foreign_calls AS (
  SELECT
    u.principal_account_id AS caller_account_id, u.principal, u.key_arn, SPLIT_PART(u.key_arn, ':', 5) AS owner_account_id,
    u.operation, u.via, u.account_id, u.region, u.source_ip, u.event_id, u.first_time, u.last_time, u.first_epoch, u.last_epoch,
    u.call_count,
    CASE WHEN u.is_reveal THEN u.call_count ELSE CAST(0 AS BIGINT) END AS reveal_count,
    u.data_resource
  FROM use_hours AS u
  WHERE u.principal_account_id <> SPLIT_PART(u.key_arn, ':', 5)
  UNION ALL
  SELECT
    a.principal_account_id AS caller_account_id, a.principal, a.key_arn, a.key_account_id AS owner_account_id,
    a.event_name AS operation, a.via, a.account_id, a.region,
    a.source_ip, a.event_id, a.event_time AS first_time, a.event_time AS last_time, a.event_epoch AS first_epoch,
    a.event_epoch AS last_epoch, CAST(1 AS BIGINT) AS call_count, CAST(0 AS BIGINT) AS reveal_count, NULL AS data_resource
  FROM admin_events AS a
  WHERE a.event_source = 'kms.amazonaws.com'
    AND a.event_name = 'CreateGrant'
    AND a.is_ok
    AND a.principal_account_id <> a.key_account_id
), our_key_calls AS (
  SELECT
    f.caller_account_id, f.principal, f.key_arn, f.operation, f.via, f.account_id, f.region, f.source_ip, f.event_id, f.first_time,
    f.last_time, f.first_epoch, f.last_epoch, f.call_count, f.reveal_count, f.data_resource,
    CASE WHEN h.caller_home_id IS NULL THEN 1 ELSE 0 END AS is_outside,
    CASE WHEN v.last_epoch - v.first_epoch < 2 * p.training_days * 86400
         THEN v.first_epoch + CAST(FLOOR(CAST(v.last_epoch - v.first_epoch AS DOUBLE) / 2.0) AS BIGINT)
         ELSE v.first_epoch + p.training_days * 86400 END AS trained_epoch,
    p.steady_days,
    CAST(ROW_NUMBER() OVER (PARTITION BY f.caller_account_id, f.key_arn ORDER BY f.first_epoch, f.event_id, f.operation) AS BIGINT)
      AS call_no
  FROM foreign_calls AS f
  JOIN owner_homes AS w ON w.owner_home_id = f.owner_account_id
  LEFT JOIN caller_homes AS h ON h.caller_home_id = f.caller_account_id
  CROSS JOIN evidence AS v
  CROSS JOIN params AS p
  WHERE COALESCE(f.principal, '') NOT LIKE 'service:%'
), uses AS (
  SELECT
    s.caller_account_id,
    s.key_arn,
    MIN(s.is_outside) AS is_outside,
    MIN(s.trained_epoch) AS trained_epoch,
    MIN(s.steady_days) AS steady_days,
    MIN(s.first_time) AS first_time,
    MAX(s.last_time) AS last_time,
    MIN(s.first_epoch) AS first_epoch,
    MIN(s.account_id) AS account_id,
    CAST(COUNT(DISTINCT s.account_id) AS BIGINT) AS account_count,
    MIN(s.region) AS region,
    MIN(s.principal) AS first_principal,
    CAST(COUNT(DISTINCT s.principal) AS BIGINT) AS principal_count,
    MIN(s.source_ip) AS source_ip,
    CAST(COUNT(DISTINCT s.source_ip) AS BIGINT) AS source_ip_count,
    MIN(s.via) AS via,
    MIN(s.data_resource) AS data_resource,
    CAST(SUM(s.call_count) AS BIGINT) AS event_count,
    CAST(SUM(s.reveal_count) AS BIGINT) AS reveal_count,
    CAST(COUNT(DISTINCT CASE WHEN s.first_epoch <= s.trained_epoch THEN s.first_epoch - (s.first_epoch % 86400) END) AS BIGINT)
      AS trained_days,
    STRING_AGG(CASE WHEN s.call_no <= 1000 THEN s.event_id END, ',') AS event_ids
  FROM our_key_calls AS s
  GROUP BY s.caller_account_id, s.key_arn
), used_operations AS (
  SELECT DISTINCT d.caller_account_id AS op_account, d.key_arn AS op_key, d.operation
  FROM our_key_calls AS d
), operation_lists AS (
  SELECT x.op_account, x.op_key, STRING_AGG(x.operation, ',') AS operations
  FROM used_operations AS x
  GROUP BY x.op_account, x.op_key
), judged AS (
  SELECT
    j.caller_account_id, j.key_arn, j.is_outside, j.first_time, j.last_time, j.account_id, j.account_count, j.region,
    j.first_principal, j.principal_count, j.source_ip, j.source_ip_count, j.via, j.data_resource, j.event_count, j.reveal_count,
    j.event_ids,
    CASE WHEN j.first_epoch > j.trained_epoch THEN 1 ELSE 0 END AS is_new,
    CASE WHEN j.trained_days >= j.steady_days THEN 1 ELSE 0 END AS is_steady
  FROM uses AS j
)
SELECT
  q.first_time,
  q.last_time,
  CASE WHEN q.account_count = 1 THEN q.account_id END AS account_id,
  q.region,
  q.key_arn,
  CASE WHEN q.principal_count = 1 THEN q.first_principal END AS principal,
  CASE WHEN q.source_ip_count = 1 THEN q.source_ip END AS source_ip,
  q.event_count,
  CASE
    WHEN q.is_outside = 1 AND q.reveal_count > 0 AND q.is_steady = 0 THEN 'high'
    WHEN q.is_outside = 1 AND q.reveal_count = 0 AND q.is_steady = 1 THEN 'low'
    ELSE 'medium'
  END AS severity,
  CASE WHEN q.is_outside = 1 THEN 'The outside account ' ELSE 'The home account ' END || q.caller_account_id || ' used our key '
    || q.key_arn || ' (calls: ' || CAST(q.event_count AS STRING) || ', with plaintext for the caller: '
    || CAST(q.reveal_count AS STRING) || ', principals: ' || CAST(q.principal_count AS STRING)
    || COALESCE(', such as ' || q.first_principal, '') || ')'
    || CASE WHEN q.is_steady = 1 THEN ', on several days from the beginning of the evidence.'
            WHEN q.is_new = 1 THEN '; it had not used it in the first part of the evidence.'
            ELSE '.' END AS summary,
  q.event_ids,
  q.caller_account_id,
  CASE WHEN q.is_outside = 1 THEN FALSE ELSE TRUE END AS is_caller_home,
  CASE WHEN q.is_new = 1 THEN TRUE ELSE FALSE END AS is_first_seen,
  l.operations,
  q.reveal_count,
  q.principal_count,
  q.via,
  q.data_resource
FROM judged AS q
JOIN operation_lists AS l ON l.op_account = q.caller_account_id AND l.op_key = q.key_arn
WHERE q.is_outside = 1
   OR q.is_new = 1
ORDER BY first_time, key_arn, caller_account_id
