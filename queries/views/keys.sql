-- title: KMS keys
-- description: One row per key that the evidence names, also as the replica that a ReplicateKey made: what it is, who made
--   it, when and by how many it was used, for which services and data, its rotation and tags, and the last state change
--   seen. State, rotation and tags are hints: what happened before the evidence or was never logged is not in them.
-- reads: events, key_use_days, aliases, admin_events, tag_entries, pair_operations, exposure
-- column: key_arn: Canonical ARN of the key.
-- column: key_account_id: The account that owns the key.
-- column: key_region: The Region in the ARN.
-- column: key_id: UUID or `mrk-...`.
-- column: mrk_id: The multi-Region key id, which replicas share; NULL for single-Region keys.
-- column: is_home: The owner is one of the home accounts.
-- column: is_aws_managed: An alias under `alias/aws/` was seen on the key.
-- column: aliases: The first five aliases seen on the key, in alphabetical order, comma-separated.
-- column: alias_count: How many aliases were seen on the key.
-- column: created_time: When CreateKey succeeded; NULL when that is not in the evidence.
-- column: created_epoch: `created_time` in seconds.
-- column: creator: The principal of CreateKey.
-- column: key_origin: AWS_KMS, EXTERNAL, AWS_CLOUDHSM or EXTERNAL_KEY_STORE, from CreateKey.
-- column: key_spec: Key spec, from CreateKey.
-- column: key_usage: Key usage, from CreateKey.
-- column: is_multi_region: The key is a multi-Region key.
-- column: state: enabled, disabled, pending_deletion, pending_import or deleted after the last state change seen;
--   NULL when none was seen.
-- column: state_time: When that change happened.
-- column: state_by: The principal that made that change.
-- column: deletion_time: Earliest deletion, while the state is pending_deletion.
-- column: is_rotation_enabled: What the last EnableKeyRotation or DisableKeyRotation seen left; NULL when none was seen.
-- column: rotation_period_days: The period that it set; NULL after DisableKeyRotation.
-- column: last_rotation_time: The last RotateKey, or RotateKeyOnDemand, seen.
-- column: rotation_count: Rotations that KMS carried out (RotateKey).
-- column: tags: The first five tags as last set, `key=value`, in alphabetical order, comma-separated.
-- column: tag_count: Tags as last set.
-- column: services: The first five AWS services that used the key for somebody, in alphabetical order, comma-separated.
-- column: service_count: How many services did.
-- column: data_classes: The first five kinds of data opened or written with the key, in alphabetical order, comma-separated.
-- column: data_class_count: How many kinds.
-- column: first_time: First event about the key; of a replica of which nothing else is known, its ReplicateKey.
-- column: last_time: Last event about the key, likewise.
-- column: first_use_time: First successful cryptographic use.
-- column: last_use_time: Last successful cryptographic use.
-- column: first_use_epoch: `first_use_time` in seconds.
-- column: last_use_epoch: `last_use_time` in seconds.
-- column: event_count: Actions about the key, of any kind.
-- column: use_count: Successful cryptographic uses, dry runs left out.
-- column: reveal_count: Those of them that gave plaintext or a plaintext key.
-- column: direct_use_count: Those uses that no AWS service made for the principal.
-- column: admin_count: Successful actions that are neither use nor reading.
-- column: denied_count: Refused actions, dry runs left out.
-- column: failed_count: Actions that failed for another reason than refusal or throttling, dry runs left out.
-- column: user_count: Principals that used the key.
-- column: sole_user: The principal that used the key, when there was only one.
-- column: user_account_count: Accounts whose principals used the key.
-- column: principal_count: Principals with any event about the key.
WITH key_sums AS (
  SELECT
    a.key_arn AS total_key,
    MIN(a.first_time) AS first_time,
    MAX(a.last_time) AS last_time,
    MIN(a.first_use_time) AS first_use_time,
    MAX(a.last_use_time) AS last_use_time,
    MIN(a.first_use_epoch) AS first_use_epoch,
    MAX(a.last_use_epoch) AS last_use_epoch,
    CAST(SUM(a.event_count) AS BIGINT) AS event_count,
    CAST(SUM(a.use_count) AS BIGINT) AS use_count,
    CAST(SUM(a.reveal_count) AS BIGINT) AS reveal_count,
    CAST(SUM(a.direct_use_count) AS BIGINT) AS direct_use_count,
    CAST(SUM(a.admin_count) AS BIGINT) AS admin_count,
    CAST(SUM(a.denied_count) AS BIGINT) AS denied_count,
    CAST(SUM(a.failed_count) AS BIGINT) AS failed_count,
    CAST(COUNT(DISTINCT CASE WHEN a.use_count > 0 THEN a.principal END) AS BIGINT) AS user_count,
    MIN(CASE WHEN a.use_count > 0 THEN a.principal END) AS first_user,
    CAST(COUNT(DISTINCT CASE WHEN a.use_count > 0 THEN a.principal_account_id END) AS BIGINT) AS user_account_count,
    CAST(COUNT(DISTINCT a.principal) AS BIGINT) AS principal_count
  FROM key_use_days AS a
  GROUP BY a.key_arn
), replicas AS (
  SELECT g.target_key_arn AS replica_key, MIN(g.event_time) AS first_time, MAX(g.event_time) AS last_time
  FROM events AS g
  WHERE g.event_source = 'kms.amazonaws.com'
    AND g.event_name = 'ReplicateKey'
    AND g.outcome = 'ok'
    AND NOT COALESCE(g.is_dry_run, FALSE)
    AND g.target_key_arn IS NOT NULL
  GROUP BY g.target_key_arn
), all_keys AS (
  SELECT
    d.total_key,
    d.first_time, d.last_time, d.first_use_time, d.last_use_time, d.first_use_epoch, d.last_use_epoch,
    d.event_count, d.use_count, d.reveal_count, d.direct_use_count, d.admin_count, d.denied_count, d.failed_count,
    d.user_count, d.first_user, d.user_account_count, d.principal_count
  FROM key_sums AS d
  UNION ALL
  SELECT
    e.replica_key AS total_key,
    e.first_time, e.last_time, NULL AS first_use_time, NULL AS last_use_time, NULL AS first_use_epoch,
    NULL AS last_use_epoch, 0 AS event_count, 0 AS use_count, 0 AS reveal_count, 0 AS direct_use_count, 0 AS admin_count,
    0 AS denied_count, 0 AS failed_count, 0 AS user_count, NULL AS first_user, 0 AS user_account_count, 0 AS principal_count
  FROM replicas AS e
  ANTI JOIN key_sums AS f ON f.total_key = e.replica_key
), creation_rows AS (
  SELECT
    c.key_arn AS created_key,
    c.event_time AS created_time,
    c.event_epoch AS created_epoch,
    c.principal AS creator,
    c.key_origin,
    c.key_spec,
    c.key_usage,
    CAST(ROW_NUMBER() OVER (PARTITION BY c.key_arn ORDER BY c.event_epoch, c.event_id) AS BIGINT) AS creation_no
  FROM events AS c
  WHERE c.event_source = 'kms.amazonaws.com'
    AND c.event_name = 'CreateKey'
    AND c.outcome = 'ok'
    AND c.key_arn IS NOT NULL
), creations AS (
  SELECT n.created_key, n.created_time, n.created_epoch, n.creator, n.key_origin, n.key_spec, n.key_usage
  FROM creation_rows AS n
  WHERE n.creation_no = 1
), state_rows AS (
  SELECT
    s.key_arn AS state_key,
    s.event_time AS state_time,
    s.principal AS state_by,
    s.deletion_time AS planned_deletion,
    CASE
      WHEN s.event_name = 'CreateKey' AND s.key_origin = 'EXTERNAL' THEN 'pending_import'
      WHEN s.event_name IN ('CreateKey', 'EnableKey', 'ImportKeyMaterial') THEN 'enabled'
      WHEN s.event_name IN ('DisableKey', 'CancelKeyDeletion') THEN 'disabled'
      WHEN s.event_name = 'ScheduleKeyDeletion' THEN 'pending_deletion'
      WHEN s.event_name = 'DeleteKey' THEN 'deleted'
      ELSE 'pending_import'
    END AS state,
    -s.event_epoch AS negative_epoch,
    s.event_id AS state_event_id
  FROM events AS s
  WHERE s.event_source = 'kms.amazonaws.com'
    AND s.outcome = 'ok'
    AND s.key_arn IS NOT NULL
    AND s.event_name IN ('CreateKey', 'EnableKey', 'ImportKeyMaterial', 'DisableKey', 'CancelKeyDeletion',
    'ScheduleKeyDeletion',
                         'DeleteKey', 'DeleteImportedKeyMaterial', 'DeleteExpiredKeyMaterial')
), ranked_states AS (
  SELECT
    q.state_key,
    q.state_time,
    q.state_by,
    q.planned_deletion,
    q.state,
    CAST(ROW_NUMBER() OVER (PARTITION BY q.state_key ORDER BY q.negative_epoch, q.state_event_id) AS BIGINT) AS state_no
  FROM state_rows AS q
), last_states AS (
  SELECT z.state_key, z.state_time, z.state_by, z.planned_deletion, z.state
  FROM ranked_states AS z
  WHERE z.state_no = 1
), alias_pairs AS (
  SELECT DISTINCT l.key_arn AS alias_key, l.alias_name
  FROM aliases AS l
), alias_ranks AS (
  SELECT
    b.alias_key,
    b.alias_name,
    CAST(ROW_NUMBER() OVER (PARTITION BY b.alias_key ORDER BY b.alias_name) AS BIGINT) AS alias_no
  FROM alias_pairs AS b
), alias_lists AS (
  SELECT
    v.alias_key,
    CAST(COUNT(*) AS BIGINT) AS alias_count,
    MAX(CASE WHEN v.alias_name LIKE 'alias/aws/%' THEN 1 ELSE 0 END) AS has_aws_alias,
    MAX(CASE WHEN v.alias_no = 1 THEN v.alias_name END) AS alias_1,
    MAX(CASE WHEN v.alias_no = 2 THEN v.alias_name END) AS alias_2,
    MAX(CASE WHEN v.alias_no = 3 THEN v.alias_name END) AS alias_3,
    MAX(CASE WHEN v.alias_no = 4 THEN v.alias_name END) AS alias_4,
    MAX(CASE WHEN v.alias_no = 5 THEN v.alias_name END) AS alias_5
  FROM alias_ranks AS v
  GROUP BY v.alias_key
), rotation_rows AS (
  SELECT
    ra.key_arn AS rotation_key,
    ra.event_name,
    ra.event_time,
    ra.rotation_period_days,
    -ra.event_epoch AS negative_epoch,
    ra.event_id
  FROM admin_events AS ra
  WHERE ra.is_ok
    AND ra.key_arn IS NOT NULL
    AND ra.event_name IN ('EnableKeyRotation', 'DisableKeyRotation', 'RotateKey', 'RotateKeyOnDemand')
), ranked_switches AS (
  SELECT
    rb.rotation_key,
    rb.event_name,
    rb.rotation_period_days,
    CAST(ROW_NUMBER() OVER (PARTITION BY rb.rotation_key ORDER BY rb.negative_epoch, rb.event_id) AS BIGINT) AS switch_no
  FROM rotation_rows AS rb
  WHERE rb.event_name IN ('EnableKeyRotation', 'DisableKeyRotation')
), rotation_switches AS (
  SELECT
    rc.rotation_key AS switch_key,
    MAX(CASE WHEN rc.switch_no = 1 AND rc.event_name = 'EnableKeyRotation' THEN 1 ELSE 0 END) AS is_enabled,
    MAX(CASE WHEN rc.switch_no = 1 THEN rc.rotation_period_days END) AS rotation_period_days
  FROM ranked_switches AS rc
  GROUP BY rc.rotation_key
), rotations AS (
  SELECT
    rd.rotation_key AS rotated_key,
    MAX(rd.event_time) AS last_rotation_time,
    CAST(COUNT(CASE WHEN rd.event_name = 'RotateKey' THEN 1 END) AS BIGINT) AS rotation_count
  FROM rotation_rows AS rd
  WHERE rd.event_name IN ('RotateKey', 'RotateKeyOnDemand')
  GROUP BY rd.rotation_key
), tag_times AS (
  SELECT ta.key_arn AS tagged_key, ta.tag_key AS tagged_name, MAX(ta.event_time) AS tag_time
  FROM tag_entries AS ta
  WHERE ta.key_arn IS NOT NULL
  GROUP BY ta.key_arn, ta.tag_key
), tag_pairs AS (
  SELECT DISTINCT tc.key_arn, tc.tag_key || '=' || COALESCE(tc.tag_value, '') AS tag
  FROM tag_entries AS tc
  JOIN tag_times AS td ON td.tagged_key = tc.key_arn AND td.tagged_name = tc.tag_key AND td.tag_time = tc.event_time
  WHERE tc.change = 'set'
), tag_ranks AS (
  SELECT
    tb.key_arn,
    tb.tag,
    CAST(ROW_NUMBER() OVER (PARTITION BY tb.key_arn ORDER BY tb.tag) AS BIGINT) AS place_no
  FROM tag_pairs AS tb
), tag_lists AS (
  SELECT
    tb2.key_arn AS tag_list_key,
    CAST(COUNT(*) AS BIGINT) AS tag_count,
    MAX(CASE WHEN tb2.place_no = 1 THEN tb2.tag END) AS tag_1,
    MAX(CASE WHEN tb2.place_no = 2 THEN tb2.tag END) AS tag_2,
    MAX(CASE WHEN tb2.place_no = 3 THEN tb2.tag END) AS tag_3,
    MAX(CASE WHEN tb2.place_no = 4 THEN tb2.tag END) AS tag_4,
    MAX(CASE WHEN tb2.place_no = 5 THEN tb2.tag END) AS tag_5
  FROM tag_ranks AS tb2
  GROUP BY tb2.key_arn
), service_pairs AS (
  SELECT DISTINCT sb.key_arn, sb.via
  FROM pair_operations AS sb
  WHERE sb.via IS NOT NULL
), service_ranks AS (
  SELECT
    sa.key_arn,
    sa.via,
    CAST(ROW_NUMBER() OVER (PARTITION BY sa.key_arn ORDER BY sa.via) AS BIGINT) AS place_no
  FROM service_pairs AS sa
), service_lists AS (
  SELECT
    sa2.key_arn AS service_list_key,
    CAST(COUNT(*) AS BIGINT) AS service_count,
    MAX(CASE WHEN sa2.place_no = 1 THEN sa2.via END) AS service_1,
    MAX(CASE WHEN sa2.place_no = 2 THEN sa2.via END) AS service_2,
    MAX(CASE WHEN sa2.place_no = 3 THEN sa2.via END) AS service_3,
    MAX(CASE WHEN sa2.place_no = 4 THEN sa2.via END) AS service_4,
    MAX(CASE WHEN sa2.place_no = 5 THEN sa2.via END) AS service_5
  FROM service_ranks AS sa2
  GROUP BY sa2.key_arn
), data_pairs AS (
  SELECT DISTINCT db.key_arn, db.context_class
  FROM exposure AS db
  WHERE db.key_arn IS NOT NULL
    AND db.context_class <> 'none'
), data_ranks AS (
  SELECT
    da.key_arn,
    da.context_class,
    CAST(ROW_NUMBER() OVER (PARTITION BY da.key_arn ORDER BY da.context_class) AS BIGINT) AS place_no
  FROM data_pairs AS da
), data_lists AS (
  SELECT
    da2.key_arn AS data_list_key,
    CAST(COUNT(*) AS BIGINT) AS data_count,
    MAX(CASE WHEN da2.place_no = 1 THEN da2.context_class END) AS data_1,
    MAX(CASE WHEN da2.place_no = 2 THEN da2.context_class END) AS data_2,
    MAX(CASE WHEN da2.place_no = 3 THEN da2.context_class END) AS data_3,
    MAX(CASE WHEN da2.place_no = 4 THEN da2.context_class END) AS data_4,
    MAX(CASE WHEN da2.place_no = 5 THEN da2.context_class END) AS data_5
  FROM data_ranks AS da2
  GROUP BY da2.key_arn
), home AS (
  SELECT h.account_id AS home_id FROM home_accounts AS h
), named_keys AS (
  SELECT
    k.total_key,
    SPLIT_PART(k.total_key, ':', 5) AS key_account_id,
    SPLIT_PART(k.total_key, ':', 4) AS key_region,
    SPLIT_PART(k.total_key, '/', 2) AS key_id,
    k.first_time, k.last_time, k.first_use_time, k.last_use_time, k.first_use_epoch, k.last_use_epoch,
    k.event_count, k.use_count, k.reveal_count, k.direct_use_count, k.admin_count, k.denied_count, k.failed_count,
    k.user_count, k.first_user, k.user_account_count, k.principal_count
  FROM all_keys AS k
)
SELECT
  m.total_key AS key_arn,
  m.key_account_id,
  m.key_region,
  m.key_id,
  CASE WHEN m.key_id LIKE 'mrk-%' THEN m.key_id END AS mrk_id,
  CASE WHEN o.home_id IS NULL THEN FALSE ELSE TRUE END AS is_home,
  CASE WHEN y.has_aws_alias = 1 THEN TRUE ELSE FALSE END AS is_aws_managed,
  y.alias_1 || COALESCE(',' || y.alias_2, '') || COALESCE(',' || y.alias_3, '') || COALESCE(',' || y.alias_4, '') ||
  COALESCE(',' || y.alias_5, '') AS aliases,
  COALESCE(y.alias_count, 0) AS alias_count,
  x.created_time,
  x.created_epoch,
  x.creator,
  x.key_origin,
  x.key_spec,
  x.key_usage,
  CASE WHEN m.key_id LIKE 'mrk-%' THEN TRUE ELSE FALSE END AS is_multi_region,
  w.state,
  w.state_time,
  w.state_by,
  CASE WHEN w.state = 'pending_deletion' THEN w.planned_deletion END AS deletion_time,
  CASE WHEN ro.is_enabled = 1 THEN TRUE WHEN ro.is_enabled = 0 THEN FALSE END AS is_rotation_enabled,
  ro.rotation_period_days,
  rt.last_rotation_time,
  COALESCE(rt.rotation_count, 0) AS rotation_count,
  tl.tag_1 || COALESCE(',' || tl.tag_2, '') || COALESCE(',' || tl.tag_3, '') || COALESCE(',' || tl.tag_4, '')
    || COALESCE(',' || tl.tag_5, '') AS tags,
  COALESCE(tl.tag_count, 0) AS tag_count,
  sl.service_1 || COALESCE(',' || sl.service_2, '') || COALESCE(',' || sl.service_3, '') || COALESCE(',' || sl.service_4, '')
    || COALESCE(',' || sl.service_5, '') AS services,
  COALESCE(sl.service_count, 0) AS service_count,
  dl.data_1 || COALESCE(',' || dl.data_2, '') || COALESCE(',' || dl.data_3, '') || COALESCE(',' || dl.data_4, '')
    || COALESCE(',' || dl.data_5, '') AS data_classes,
  COALESCE(dl.data_count, 0) AS data_class_count,
  m.first_time,
  m.last_time,
  m.first_use_time,
  m.last_use_time,
  m.first_use_epoch,
  m.last_use_epoch,
  m.event_count,
  m.use_count,
  m.reveal_count,
  m.direct_use_count,
  m.admin_count,
  m.denied_count,
  m.failed_count,
  m.user_count,
  CASE WHEN m.user_count = 1 THEN m.first_user END AS sole_user,
  m.user_account_count,
  m.principal_count
FROM named_keys AS m
LEFT JOIN home AS o ON o.home_id = m.key_account_id
LEFT JOIN creations AS x ON x.created_key = m.total_key
LEFT JOIN last_states AS w ON w.state_key = m.total_key
LEFT JOIN alias_lists AS y ON y.alias_key = m.total_key
LEFT JOIN rotation_switches AS ro ON ro.switch_key = m.total_key
LEFT JOIN rotations AS rt ON rt.rotated_key = m.total_key
LEFT JOIN tag_lists AS tl ON tl.tag_list_key = m.total_key
LEFT JOIN service_lists AS sl ON sl.service_list_key = m.total_key
LEFT JOIN data_lists AS dl ON dl.data_list_key = m.total_key
ORDER BY key_arn
