-- title: Aliases of keys
-- severity: low
-- description: Two kinds of subjects. A key: whether callers who choose a key name it by an alias, because a key named by
--   its id can only be replaced by changing every caller. An alias: whether it stayed on one key, because each move
--   changes what callers encrypt under without their knowing.
-- false-positives: Manual rotation moves an alias on purpose. A key that was only ever named by its id may be meant to
--   be. Left out: calls that a service made (services use ids), decryption (the ciphertext names the key), the aliases
--   and keys that AWS manages and keys of others.
-- blind-spots: Evidence in logs only: absence is not proof. An alias older than the evidence that nobody used is not
--   known, so a key older than the evidence without an alias is unknown. Deleting a key deletes its aliases without a
--   record.
-- reads: keys, aliases, use_hours
WITH home AS (
  SELECT h.account_id AS home_id FROM home_accounts AS h
), naming_hours AS (
  SELECT
    u.key_arn, u.principal, u.event_id, u.hour_epoch, u.direct_count, u.first_time, u.last_time,
    CAST(ROW_NUMBER() OVER (PARTITION BY u.key_arn ORDER BY u.hour_epoch, u.event_id) AS BIGINT) AS hour_no
  FROM use_hours AS u
  WHERE u.direct_count > 0
    AND u.operation NOT IN ('Decrypt', 'ReEncrypt')
    AND u.principal NOT LIKE 'service:%'
    AND u.principal NOT LIKE '%:role/aws-service-role/%'
), named_keys AS (
  SELECT
    n.key_arn AS named_key,
    MIN(n.first_time) AS first_time,
    MAX(n.last_time) AS last_time,
    CAST(SUM(n.direct_count) AS BIGINT) AS call_count,
    CASE WHEN MIN(n.principal) = MAX(n.principal) THEN MIN(n.principal) END AS principal,
    CAST(COUNT(DISTINCT n.principal) AS BIGINT) AS principal_count,
    STRING_AGG(CASE WHEN n.hour_no <= 1000 THEN n.event_id END, ',') AS event_ids
  FROM naming_hours AS n
  GROUP BY n.key_arn
), alias_rows AS (
  SELECT
    'arn:' || SPLIT_PART(a.key_arn, ':', 2) || ':kms:' || a.alias_region || ':' || a.alias_account_id || ':' || a.alias_name AS alias_arn,
    a.alias_account_id, a.alias_region, a.alias_name, a.key_arn, a.previous_key_arn, a.from_time, a.last_seen_time, a.set_by,
    a.set_event_id, a.use_count, a.is_current,
    CASE WHEN a.previous_key_arn IS NOT NULL AND a.previous_key_arn <> a.key_arn THEN 1 ELSE 0 END AS is_move,
    CASE WHEN a.previous_key_arn <> a.key_arn AND a.previous_use_count > 0 THEN 1 ELSE 0 END AS is_move_in_use
  FROM aliases AS a
  SEMI JOIN home AS o ON o.home_id = a.alias_account_id
  WHERE a.alias_name NOT LIKE 'alias/aws/%'
    AND a.key_arn IS NOT NULL
), alias_totals AS (
  SELECT
    t.alias_arn,
    MIN(t.alias_account_id) AS account_id,
    MIN(t.alias_region) AS region,
    MIN(t.from_time) AS all_first,
    MAX(t.last_seen_time) AS all_last,
    MIN(CASE WHEN t.is_move_in_use = 1 THEN t.from_time END) AS move_first,
    MAX(CASE WHEN t.is_move_in_use = 1 THEN t.from_time END) AS move_last,
    MIN(CASE WHEN t.is_move_in_use = 1 THEN t.set_by END) AS mover,
    MAX(CASE WHEN t.is_move_in_use = 1 THEN t.set_by END) AS mover_last,
    MAX(CASE WHEN t.is_current THEN t.key_arn END) AS current_key,
    CAST(SUM(t.use_count) AS BIGINT) AS use_count,
    CAST(COUNT(DISTINCT t.key_arn) AS BIGINT) AS key_count,
    CAST(COUNT(CASE WHEN t.is_move = 1 THEN 1 END) AS BIGINT) AS move_count,
    CAST(COUNT(CASE WHEN t.is_move_in_use = 1 THEN 1 END) AS BIGINT) AS used_move_count
  FROM alias_rows AS t
  GROUP BY t.alias_arn
), moves AS (
  SELECT
    m.alias_arn AS move_alias,
    m.set_event_id,
    CAST(ROW_NUMBER() OVER (PARTITION BY m.alias_arn ORDER BY m.set_event_id) AS BIGINT) AS move_no
  FROM alias_rows AS m
  WHERE m.is_move_in_use = 1
), move_lists AS (
  SELECT l.move_alias AS list_alias, STRING_AGG(l.set_event_id, ',') AS event_ids
  FROM moves AS l
  WHERE l.move_no <= 1000
  GROUP BY l.move_alias
), verdicts AS (
  SELECT
    d.first_time, d.last_time, k.key_account_id AS account_id, k.key_region AS region, k.key_arn, d.principal,
    d.call_count AS event_count,
    d.event_ids,
    k.key_arn AS subject,
    'key' AS subject_kind,
    CASE WHEN k.alias_count > 0 THEN 'pass' WHEN k.created_epoch IS NOT NULL THEN 'fail' ELSE 'unknown' END AS result,
    'Key ' || k.key_arn
      || CASE WHEN k.alias_count > 0 THEN ' has ' || CAST(k.alias_count AS STRING) || ' aliases (' || COALESCE(k.aliases, '') || ')'
              WHEN k.created_epoch IS NOT NULL THEN ' was made in the evidence and never got an alias'
              ELSE ' is older than the evidence and no alias of it was seen' END
      || '; calls that had to name it: ' || CAST(d.call_count AS STRING) || ' by ' || CAST(d.principal_count AS STRING) || ' principals.' AS summary,
    k.alias_count AS name_count,
    CAST(0 AS BIGINT) AS move_count
  FROM keys AS k
  JOIN named_keys AS d ON d.named_key = k.key_arn
  WHERE k.is_home
    AND NOT k.is_aws_managed
  UNION ALL
  SELECT
    COALESCE(x.move_first, x.all_first) AS first_time,
    COALESCE(x.move_last, x.all_last) AS last_time,
    x.account_id, x.region,
    x.current_key AS key_arn,
    CASE WHEN x.mover = x.mover_last THEN x.mover END AS principal,
    CASE WHEN x.used_move_count > 0 THEN x.used_move_count ELSE x.use_count END AS event_count,
    y.event_ids,
    x.alias_arn AS subject,
    'alias' AS subject_kind,
    CASE WHEN x.used_move_count > 0 THEN 'fail' ELSE 'pass' END AS result,
    'Alias ' || x.alias_arn || ' named ' || CAST(x.key_count AS STRING) || ' keys, was used in ' || CAST(x.use_count AS STRING)
      || ' calls and moved ' || CAST(x.move_count AS STRING) || ' times, ' || CAST(x.used_move_count AS STRING) || ' of them while in use'
      || CASE WHEN x.used_move_count = 0 THEN ''
              WHEN x.mover = x.mover_last THEN ', by ' || x.mover
              ELSE ', by several principals' END || '.' AS summary,
    x.key_count AS name_count,
    x.move_count
  FROM alias_totals AS x
  LEFT JOIN move_lists AS y ON y.list_alias = x.alias_arn
)
SELECT
  s.first_time,
  s.last_time,
  s.account_id,
  s.region,
  s.key_arn,
  s.principal,
  CAST(NULL AS STRING) AS source_ip,
  s.event_count,
  CASE WHEN s.result = 'fail' THEN 'low' ELSE 'info' END AS severity,
  s.summary,
  s.event_ids,
  s.subject,
  s.result,
  s.subject_kind,
  s.name_count,
  s.move_count
FROM verdicts AS s
ORDER BY subject_kind, subject
