-- title: Logging tampered with around an attack on keys
-- severity: critical
-- attack: T1562.008 / v19 T1685.002, T1485, T1486
-- description: Within a day, in either order, one principal or one source address both blinded the recording (stopped,
--   limited or weakened a trail, removed monitoring of KMS, broke the key of the audit logs) and attacked keys: disabled
--   them, scheduled deletion, deleted material or let it expire soon, opened a policy to everybody or to an outside
--   account, locked the owner out, or brought in a key store. Each alone may be administration; together they are the
--   pattern of an attack that hides. One finding per actor and episode.
-- false-positives: Teardown of an account, where a pipeline removes trails and keys in one run. Refused calls and the
--   services' own calls are left out. Two people behind one address look like one actor.
-- blind-spots: An actor who changes both principal and address between the two. Watchers whose names do not mention KMS.
-- reads: admin_events, trails, audit_keys, policy_entries
-- params: window_hours = 24, expiry_days = 30
WITH outside_entries AS (
  SELECT
    x.event_id, x.key_arn, x.principal_account_id,
    CAST(ROW_NUMBER() OVER (PARTITION BY x.key_arn, x.principal_account_id ORDER BY x.event_time, x.event_id, x.action) AS BIGINT) AS seen_no
  FROM policy_entries AS x
  ANTI JOIN home_accounts AS h ON h.account_id = x.principal_account_id
  WHERE x.effect = 'Allow'
    AND x.key_arn IS NOT NULL
    AND x.principal_account_id IS NOT NULL
), outside_policies AS (
  SELECT DISTINCT o.event_id AS outside_id
  FROM outside_entries AS o
  WHERE o.seen_no = 1
), recorded_acts AS (
  SELECT
    e.event_id, e.event_time, e.event_epoch, e.account_id, e.region, e.key_arn, e.principal, e.source_ip, e.event_name,
    e.event_source, e.key_origin, e.material_expires_epoch, e.policy_is_public, e.policy_bypasses_lockout,
    e.policy_locks_out_owner, e.policy,
    LOWER(COALESCE(e.request_parameters, '')) AS lower_text
  FROM admin_events AS e
  WHERE e.is_ok
    AND e.event_name IN ('DisableKey', 'ScheduleKeyDeletion', 'DeleteImportedKeyMaterial', 'ImportKeyMaterial', 'PutKeyPolicy',
                         'CreateKey', 'ReplicateKey', 'CreateCustomKeyStore', 'UpdateCustomKeyStore', 'DisconnectCustomKeyStore',
                         'DeleteAlarms', 'DisableAlarmActions', 'DeleteMetricFilter', 'DeleteRule', 'DisableRule',
                         'RemoveTargets', 'DeleteConfigRule', 'DisassociateKmsKey')
    AND e.principal NOT LIKE 'service:%'
    AND e.principal NOT LIKE '%:role/aws-service-role/%'
), key_acts AS (
  SELECT
    k.event_id, k.event_time, k.event_epoch, k.account_id, k.region, k.key_arn, k.principal, k.source_ip, k.event_name,
    COALESCE(k.key_arn, k.event_id) AS subject,
    CASE WHEN a.key_arn IS NULL THEN 0 ELSE 1 END AS is_audit
  FROM recorded_acts AS k
  CROSS JOIN params AS p
  LEFT JOIN audit_keys AS a ON a.key_arn = k.key_arn
  LEFT JOIN outside_policies AS o ON o.outside_id = k.event_id
  WHERE k.event_source = 'kms.amazonaws.com'
    AND (k.event_name IN ('DisableKey', 'ScheduleKeyDeletion', 'DeleteImportedKeyMaterial', 'CreateCustomKeyStore',
                          'UpdateCustomKeyStore', 'DisconnectCustomKeyStore')
      OR (k.event_name = 'ImportKeyMaterial' AND k.material_expires_epoch < k.event_epoch + p.expiry_days * 86400)
      OR (k.event_name = 'CreateKey' AND k.key_origin = 'EXTERNAL_KEY_STORE')
      OR k.policy_is_public OR k.policy_bypasses_lockout OR k.policy_locks_out_owner
      OR o.outside_id IS NOT NULL)
), blinding_acts AS (
  SELECT
    t.event_id, t.event_time, t.event_epoch, t.account_id, t.region, CAST(NULL AS STRING) AS key_arn, t.principal, t.source_ip,
    t.event_name,
    COALESCE(t.trail_name, 'an unnamed trail') AS subject, 0 AS is_audit
  FROM trails AS t
  WHERE t.principal NOT LIKE 'service:%'
    AND t.event_name <> 'CreateEventDataStore'
    AND (t.blinds_key_use OR t.blinds_key_admin
      OR (t.weakened IS NOT NULL AND (t.is_weakening_known OR NOT t.sets_all)))
  UNION ALL
  SELECT
    m.event_id, m.event_time, m.event_epoch, m.account_id, m.region, CAST(NULL AS STRING) AS key_arn, m.principal, m.source_ip,
    m.event_name, m.event_source AS subject, 0 AS is_audit
  FROM recorded_acts AS m
  WHERE m.event_name = 'DisassociateKmsKey'
     OR (m.event_source <> 'kms.amazonaws.com'
       AND (m.lower_text LIKE '%kms%' OR m.lower_text LIKE '%cmk%' OR m.lower_text LIKE '%disablekey%'
         OR m.lower_text LIKE '%schedulekeydeletion%' OR m.lower_text LIKE '%cis_3.7%' OR m.lower_text LIKE '%cis_4.7%'))
  UNION ALL
  SELECT
    u.event_id, u.event_time, u.event_epoch, u.account_id, u.region, u.key_arn, u.principal, u.source_ip, u.event_name,
    u.key_arn AS subject, 1 AS is_audit
  FROM recorded_acts AS u
  JOIN audit_keys AS d ON d.key_arn = u.key_arn
  WHERE u.event_epoch >= d.known_epoch
    AND (u.event_name IN ('DisableKey', 'ScheduleKeyDeletion', 'DeleteImportedKeyMaterial')
      OR (u.event_name = 'PutKeyPolicy' AND POSITION(d.main_service || '.' IN COALESCE(u.policy, '')) = 0))
), principal_pairs AS (
  -- Breaking two keys of the logs is one thing, not a sequence of two.
  SELECT b.principal AS actor, b.event_id AS blinding_id, c.event_id AS key_act_id
  FROM blinding_acts AS b
  JOIN key_acts AS c ON c.principal = b.principal
  CROSS JOIN params AS q
  WHERE c.event_epoch >= b.event_epoch - q.window_hours * 3600
    AND c.event_epoch <= b.event_epoch + q.window_hours * 3600
    AND b.is_audit + c.is_audit < 2
), address_pairs AS (
  SELECT f.source_ip AS actor, f.event_id AS blinding_id, g.event_id AS key_act_id
  FROM blinding_acts AS f
  JOIN key_acts AS g ON g.source_ip = f.source_ip
  CROSS JOIN params AS r
  WHERE g.principal <> f.principal
    AND g.event_epoch >= f.event_epoch - r.window_hours * 3600
    AND g.event_epoch <= f.event_epoch + r.window_hours * 3600
    AND f.is_audit + g.is_audit < 2
), explained AS (
  SELECT pa.blinding_id AS explained_id FROM principal_pairs AS pa
  UNION
  SELECT pb.key_act_id AS explained_id FROM principal_pairs AS pb
), new_address_pairs AS (
  -- What one principal did by itself is that principal's finding, not also its address's.
  SELECT i.actor, i.blinding_id, i.key_act_id
  FROM address_pairs AS i
  LEFT JOIN explained AS j ON j.explained_id = i.blinding_id
  LEFT JOIN explained AS l ON l.explained_id = i.key_act_id
  WHERE j.explained_id IS NULL
     OR l.explained_id IS NULL
), roles AS (
  SELECT 'principal' AS linked_by, n.actor, n.blinding_id AS member_id, 1 AS is_blinding FROM principal_pairs AS n
  UNION
  SELECT 'principal' AS linked_by, v.actor, v.key_act_id AS member_id, 0 AS is_blinding FROM principal_pairs AS v
  UNION
  SELECT 'address' AS linked_by, w.actor, w.blinding_id AS member_id, 1 AS is_blinding FROM new_address_pairs AS w
  UNION
  SELECT 'address' AS linked_by, y.actor, y.key_act_id AS member_id, 0 AS is_blinding FROM new_address_pairs AS y
), members AS (
  -- A broken key of the logs may stand on both sides: it then counts as the attack.
  SELECT ro.linked_by, ro.actor, ro.member_id, MIN(ro.is_blinding) AS is_blinding
  FROM roles AS ro
  GROUP BY ro.linked_by, ro.actor, ro.member_id
), all_acts AS (
  SELECT aa.event_id, aa.event_time, aa.event_epoch, aa.account_id, aa.region, aa.key_arn, aa.principal, aa.source_ip,
    aa.event_name, aa.subject
  FROM key_acts AS aa
  UNION
  SELECT ab.event_id, ab.event_time, ab.event_epoch, ab.account_id, ab.region, ab.key_arn, ab.principal, ab.source_ip,
    ab.event_name, ab.subject
  FROM blinding_acts AS ab
), member_acts AS (
  SELECT
    s.linked_by, s.actor, s.is_blinding, z.event_id, z.event_time, z.event_epoch, z.account_id, z.region, z.key_arn, z.principal,
    z.source_ip, z.event_name, z.subject,
    LAG(z.event_epoch) OVER (PARTITION BY s.linked_by, s.actor ORDER BY z.event_epoch, z.event_id) AS previous_epoch
  FROM members AS s
  JOIN all_acts AS z ON z.event_id = s.member_id
), started_acts AS (
  SELECT
    ma.linked_by, ma.actor, ma.is_blinding, ma.event_id, ma.event_time, ma.event_epoch, ma.account_id, ma.region, ma.key_arn,
    ma.principal, ma.source_ip, ma.event_name, ma.subject,
    CASE WHEN ma.previous_epoch IS NULL OR ma.event_epoch - ma.previous_epoch > pp.window_hours * 3600 THEN 1 ELSE 0 END AS is_start
  FROM member_acts AS ma
  CROSS JOIN params AS pp
), episode_acts AS (
  SELECT
    sa.linked_by, sa.actor, sa.is_blinding, sa.event_id, sa.event_time, sa.event_epoch, sa.account_id, sa.region, sa.key_arn,
    sa.principal, sa.source_ip, sa.event_name, sa.subject,
    SUM(sa.is_start) OVER (PARTITION BY sa.linked_by, sa.actor ORDER BY sa.event_epoch, sa.event_id
                           ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS episode_no
  FROM started_acts AS sa
), numbered_acts AS (
  SELECT
    ea.linked_by, ea.actor, ea.episode_no, ea.is_blinding, ea.event_id, ea.event_time, ea.event_epoch, ea.account_id, ea.region,
    ea.key_arn, ea.principal, ea.source_ip, ea.event_name, ea.subject,
    CAST(ROW_NUMBER() OVER (PARTITION BY ea.linked_by, ea.actor, ea.episode_no ORDER BY ea.event_epoch, ea.event_id) AS BIGINT) AS act_no,
    CAST(ROW_NUMBER() OVER (PARTITION BY ea.linked_by, ea.actor, ea.episode_no, ea.is_blinding
                            ORDER BY ea.event_epoch, ea.event_id) AS BIGINT) AS kind_no
  FROM episode_acts AS ea
), episodes AS (
  SELECT
    na.linked_by, na.actor, na.episode_no,
    MIN(na.event_time) AS first_time,
    MAX(na.event_time) AS last_time,
    CASE WHEN MIN(na.account_id) = MAX(na.account_id) THEN MIN(na.account_id) END AS account_id,
    CASE WHEN MIN(na.region) = MAX(na.region) THEN MIN(na.region) END AS region,
    CASE WHEN MIN(na.key_arn) = MAX(na.key_arn) THEN MIN(na.key_arn) END AS key_arn,
    CASE WHEN MIN(na.principal) = MAX(na.principal) THEN MIN(na.principal) END AS principal,
    CASE WHEN MIN(na.source_ip) = MAX(na.source_ip) THEN MIN(na.source_ip) END AS source_ip,
    CAST(COUNT(*) AS BIGINT) AS event_count,
    CAST(COUNT(DISTINCT na.principal) AS BIGINT) AS principal_count,
    CAST(COUNT(DISTINCT na.key_arn) AS BIGINT) AS key_count,
    CAST(SUM(na.is_blinding) AS BIGINT) AS blinding_count,
    MAX(na.event_epoch) - MIN(na.event_epoch) AS spread_seconds,
    MIN(CASE WHEN na.is_blinding = 1 AND na.kind_no = 1 THEN na.event_name || ' on ' || na.subject END) AS first_blinding,
    MIN(CASE WHEN na.is_blinding = 0 AND na.kind_no = 1 THEN na.event_name || COALESCE(' on ' || na.key_arn, '') END) AS first_attack
  FROM numbered_acts AS na
  GROUP BY na.linked_by, na.actor, na.episode_no
), episode_lists AS (
  SELECT
    ne.linked_by AS list_linked_by, ne.actor AS list_actor, ne.episode_no AS list_episode,
    STRING_AGG(ne.event_id, ',') AS event_ids,
    STRING_AGG(DISTINCT ne.event_name, ',') AS actions
  FROM numbered_acts AS ne
  WHERE ne.act_no <= 1000
  GROUP BY ne.linked_by, ne.actor, ne.episode_no
)
SELECT
  ep.first_time,
  ep.last_time,
  ep.account_id,
  ep.region,
  ep.key_arn,
  ep.principal,
  ep.source_ip,
  ep.event_count,
  'critical' AS severity,
  CASE WHEN ep.linked_by = 'principal' THEN ep.actor
       ELSE CAST(ep.principal_count AS STRING) || ' principals at ' || ep.actor END
    || ' blinded the recording (calls: ' || CAST(ep.blinding_count AS STRING) || ', first ' || COALESCE(ep.first_blinding, 'unknown')
    || ') and attacked keys (calls: ' || CAST(ep.event_count - ep.blinding_count AS STRING) || ', first '
    || COALESCE(ep.first_attack, 'unknown') || ') within ' || CAST(ep.spread_seconds AS STRING) || ' seconds.' AS summary,
  el.event_ids,
  ep.linked_by,
  el.actions,
  ep.blinding_count,
  ep.event_count - ep.blinding_count AS attack_count,
  ep.key_count
FROM episodes AS ep
JOIN episode_lists AS el ON el.list_linked_by = ep.linked_by AND el.list_actor = ep.actor AND el.list_episode = ep.episode_no
ORDER BY first_time, linked_by, principal NULLS LAST, source_ip NULLS LAST, summary
