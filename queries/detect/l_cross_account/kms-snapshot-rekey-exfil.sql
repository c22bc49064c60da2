-- title: Snapshot shared outside after its key was changed or opened
-- severity: high
-- attack: T1537, T1578.001
-- description: A snapshot, database snapshot or image was shared with an outside account or with everybody, and the same
--   principal had in the day before copied one under a named key, written snapshot data keys, or opened a key of
--   disks or databases to an outside account by policy or grant. Which keys are such, their encryption contexts and
--   the copies tell; where no step concerns such a key, the last opening of any key counts. A snapshot under the
--   default AWS key cannot be shared, so whoever wants the data out must take this step. The finding also tells when
--   the other account then made a grant on one of our keys, which is how a shared snapshot is taken up. One finding
--   per principal and account shared with.
-- false-positives: Golden images and database copies for customers. Shares with home accounts are left out, and so are
--   shares without a change of keys that nobody took up.
-- blind-spots: Of the accounts that one call shares with, the first three are looked at. A key changed more than a day
--   before, or by another principal. Whether a key of disks is the shared snapshot's own is not seen.
-- reads: admin_events, use_hours, policy_entries
-- params: window_hours = 24
WITH share_calls AS (
  SELECT
    e.event_id, e.event_name, e.event_time, e.event_epoch, e.account_id, e.region, e.principal, e.source_ip,
    CASE WHEN e.event_source = 'rds.amazonaws.com'
         THEN SPLIT_PART(SPLIT_PART(REPLACE(e.request_parameters, '": ', '":'), '"valuesToAdd":[', 2), ']', 1)
         ELSE SPLIT_PART(SPLIT_PART(REPLACE(e.request_parameters, '": ', '":'), '"add":{', 2), '"remove":', 1) END AS added,
    CASE WHEN e.event_source = 'rds.amazonaws.com' THEN 1 ELSE 0 END AS is_database,
    COALESCE(
      NULLIF(SPLIT_PART(SPLIT_PART(e.request_parameters, '"snapshotId":"', 2), '"', 1), ''),
      NULLIF(SPLIT_PART(SPLIT_PART(e.request_parameters, '"imageId":"', 2), '"', 1), ''),
      NULLIF(SPLIT_PART(SPLIT_PART(e.request_parameters, 'SnapshotIdentifier":"', 2), '"', 1), '')) AS snapshot
  FROM admin_events AS e
  WHERE e.action_class = 'service_config'
    AND e.is_ok
    AND e.event_name IN ('ModifySnapshotAttribute', 'ModifyImageAttribute', 'ModifyDBSnapshotAttribute',
                         'ModifyDBClusterSnapshotAttribute')
    AND e.request_parameters IS NOT NULL
    AND e.principal IS NOT NULL
), share_targets AS (
  SELECT a.event_id AS target_id, CASE WHEN a.is_database = 1 THEN SPLIT_PART(a.added, '"', 2)
    ELSE SPLIT_PART(SPLIT_PART(a.added, '"userId":"', 2), '"', 1) END AS target
  FROM share_calls AS a
  UNION
  SELECT b.event_id AS target_id, CASE WHEN b.is_database = 1 THEN SPLIT_PART(b.added, '"', 4)
    ELSE SPLIT_PART(SPLIT_PART(b.added, '"userId":"', 3), '"', 1) END AS target
  FROM share_calls AS b
  UNION
  SELECT c.event_id AS target_id, CASE WHEN c.is_database = 1 THEN SPLIT_PART(c.added, '"', 6)
    ELSE SPLIT_PART(SPLIT_PART(c.added, '"userId":"', 4), '"', 1) END AS target
  FROM share_calls AS c
  UNION
  SELECT d.event_id AS target_id, 'all' AS target
  FROM share_calls AS d
  WHERE d.added LIKE '%"group":"all"%'
), shares AS (
  SELECT
    s.event_id, s.event_name, s.event_time, s.event_epoch, s.account_id, s.region, s.principal, s.source_ip, s.snapshot, t.target
  FROM share_calls AS s
  JOIN share_targets AS t ON t.target_id = s.event_id
  ANTI JOIN home_accounts AS h ON h.account_id = t.target
  WHERE t.target <> ''
), outside_policies AS (
  SELECT DISTINCT x.event_id AS outside_id
  FROM policy_entries AS x
  ANTI JOIN home_accounts AS y ON y.account_id = x.principal_account_id
  WHERE x.effect = 'Allow'
    AND x.key_arn IS NOT NULL
    AND x.principal_account_id IS NOT NULL
), copies AS (
  SELECT
    k.event_id, k.event_time, k.event_epoch, k.principal,
    COALESCE(
      NULLIF(SPLIT_PART(SPLIT_PART(REPLACE(k.request_parameters, '": ', '":'), 'kmsKeyId":"', 2), '"', 1), ''),
      NULLIF(SPLIT_PART(SPLIT_PART(REPLACE(k.request_parameters, '": ', '":'), 'KmsKeyId":"', 2), '"', 1), '')) AS named_key
  FROM admin_events AS k
  WHERE k.is_ok
    AND k.event_name IN ('CopySnapshot', 'CopyDBSnapshot', 'CopyDBClusterSnapshot', 'CopyImage')
    AND (k.request_parameters LIKE '%kmsKeyId":%' OR k.request_parameters LIKE '%KmsKeyId":%')
), disk_keys AS (
  SELECT SPLIT_PART(dk.key_arn, '/', 2) AS disk_key_id
  FROM use_hours AS dk
  WHERE dk.data_class IN ('ebs_volume', 'ebs_snapshot', 'rds')
  UNION
  SELECT CASE WHEN cp.named_key LIKE '%/%' THEN SPLIT_PART(cp.named_key, '/', 2) ELSE cp.named_key END AS disk_key_id
  FROM copies AS cp
  WHERE cp.named_key IS NOT NULL
), steps AS (
  SELECT
    cy.event_id AS step_id, cy.event_time AS step_time, cy.event_epoch AS step_epoch, cy.principal AS step_principal,
    'copied under a named key' AS step, CASE WHEN cy.named_key LIKE 'arn:%:key/%' THEN cy.named_key END AS step_key,
    1 AS is_certain
  FROM copies AS cy
  UNION ALL
  SELECT
    u.event_id AS step_id, u.first_time AS step_time, u.first_epoch AS step_epoch, u.principal AS step_principal,
    'wrote snapshot data keys' AS step, u.key_arn AS step_key, 1 AS is_certain
  FROM use_hours AS u
  WHERE u.data_class = 'ebs_snapshot'
    AND u.operation IN ('GenerateDataKeyWithoutPlaintext', 'ReEncrypt')
  UNION ALL
  SELECT
    q.event_id AS step_id, q.event_time AS step_time, q.event_epoch AS step_epoch, q.principal AS step_principal,
    'opened a key by policy' AS step, q.key_arn AS step_key, 0 AS is_certain
  FROM admin_events AS q
  JOIN outside_policies AS o ON o.outside_id = q.event_id
  WHERE q.is_ok
  UNION ALL
  SELECT
    g.event_id AS step_id, g.event_time AS step_time, g.event_epoch AS step_epoch, g.principal AS step_principal,
    'opened a key by grant' AS step, g.key_arn AS step_key, 0 AS is_certain
  FROM admin_events AS g
  ANTI JOIN home_accounts AS z ON z.account_id = g.grantee_account_id
  WHERE g.event_name = 'CreateGrant'
    AND g.is_ok
    AND g.grantee_account_id IS NOT NULL
    AND NOT COALESCE(g.is_service_grant, FALSE)
), step_keys AS (
  SELECT sk.step_id, sk.step_time, sk.step_epoch, sk.step_principal, sk.step, sk.step_key, sk.is_certain,
    SPLIT_PART(sk.step_key, '/', 2) AS step_key_id
  FROM steps AS sk
), judged_steps AS (
  SELECT
    js.step_id, js.step_time, js.step_epoch, js.step_principal, js.step, js.step_key,
    CASE WHEN js.is_certain = 1 OR ds.disk_key_id IS NOT NULL THEN 0 ELSE 1 END AS is_loose
  FROM step_keys AS js
  LEFT JOIN disk_keys AS ds ON ds.disk_key_id = js.step_key_id
), share_steps AS (
  SELECT
    s.principal AS p_principal, s.target AS p_target, s.event_id AS p_share,
    w.step_id, w.step_time, w.step, w.step_key, w.is_loose,
    s.event_epoch - w.step_epoch AS age
  FROM shares AS s
  JOIN judged_steps AS w ON w.step_principal = s.principal
  CROSS JOIN params AS p
  WHERE w.step_epoch <= s.event_epoch
    AND w.step_epoch >= s.event_epoch - p.window_hours * 3600
), near_steps AS (
  SELECT
    sp.p_principal, sp.p_target, sp.p_share, sp.step_id, sp.step_time, sp.step, sp.step_key, sp.is_loose,
    CAST(ROW_NUMBER() OVER (PARTITION BY sp.p_share, sp.p_target ORDER BY sp.is_loose, sp.age, sp.step_id) AS BIGINT) AS near_no
  FROM share_steps AS sp
), prepared AS (
  SELECT ne.p_principal, ne.p_target, ne.p_share, ne.step_id, ne.step_time, ne.step, ne.step_key
  FROM near_steps AS ne
  WHERE ne.is_loose = 0
     OR ne.near_no = 1
), foreign_grants AS (
  SELECT
    n.event_id AS grant_event_id, n.event_time AS grant_time, n.event_epoch AS grant_epoch, n.key_arn AS grant_key,
    n.principal_account_id AS grant_account, SPLIT_PART(n.key_arn, '/', 2) AS grant_key_id,
    CASE WHEN n.grant_constraint LIKE '%"aws:ebs:id"%' OR n.grant_constraint LIKE '%"aws:rds:%' THEN 1 ELSE 0 END AS is_disk_grant
  FROM admin_events AS n
  SEMI JOIN home_accounts AS m ON m.account_id = n.key_account_id
  WHERE n.event_name = 'CreateGrant'
    AND n.is_ok
    AND n.is_cross_account
), taken_up AS (
  -- The other account makes a grant on our key when it uses the snapshot.
  SELECT
    v.principal AS t_principal, v.target AS t_target, v.event_id AS t_share, fg.grant_event_id, fg.grant_time, fg.grant_key
  FROM shares AS v
  JOIN foreign_grants AS fg ON fg.grant_account = v.target
  LEFT JOIN disk_keys AS dg ON dg.disk_key_id = fg.grant_key_id
  CROSS JOIN params AS r
  WHERE (fg.is_disk_grant = 1 OR dg.disk_key_id IS NOT NULL)
    AND fg.grant_epoch >= v.event_epoch
    AND fg.grant_epoch <= v.event_epoch + r.window_hours * 3600
), proofs AS (
  SELECT pa.p_principal AS principal, pa.p_target AS target, pa.p_share AS share_id, pa.step_id AS proof_id,
    pa.step_time AS proof_time,
    pa.step, pa.step_key AS proof_key
  FROM prepared AS pa
  UNION
  SELECT ta.t_principal AS principal, ta.t_target AS target, ta.t_share AS share_id, ta.grant_event_id AS proof_id,
    ta.grant_time AS proof_time, 'taken up' AS step, ta.grant_key AS proof_key
  FROM taken_up AS ta
), proved_shares AS (
  SELECT DISTINCT pr.principal AS s_principal, pr.target AS s_target, pr.share_id AS s_share
  FROM proofs AS pr
), members AS (
  SELECT pd.principal, pd.target, pd.proof_id AS member_id, pd.proof_time AS member_time, pd.step, pd.proof_key AS member_key
  FROM proofs AS pd
  UNION
  SELECT sh.principal, sh.target, sh.event_id AS member_id, sh.event_time AS member_time, 'shared' AS step,
    CAST(NULL AS STRING) AS member_key
  FROM shares AS sh
  JOIN proved_shares AS ps ON ps.s_share = sh.event_id AND ps.s_target = sh.target
), numbered_members AS (
  SELECT
    mm.principal, mm.target, mm.member_id, mm.member_time, mm.step, mm.member_key,
    CAST(ROW_NUMBER() OVER (PARTITION BY mm.principal, mm.target
                            ORDER BY mm.member_time, mm.member_id, mm.step) AS BIGINT) AS member_no
  FROM members AS mm
), cases AS (
  SELECT
    nm.principal, nm.target,
    MIN(nm.member_time) AS first_time,
    MAX(nm.member_time) AS last_time,
    CASE WHEN MIN(nm.member_key) = MAX(nm.member_key) THEN MIN(nm.member_key) END AS key_arn,
    CAST(COUNT(DISTINCT nm.member_id) AS BIGINT) AS event_count,
    CAST(COUNT(CASE WHEN nm.step = 'taken up' THEN 1 END) AS BIGINT) AS taken_count,
    CAST(COUNT(CASE WHEN nm.step NOT IN ('taken up', 'shared') THEN 1 END) AS BIGINT) AS step_count,
    MIN(CASE WHEN nm.step NOT IN ('taken up', 'shared') THEN nm.step END) AS first_step
  FROM numbered_members AS nm
  GROUP BY nm.principal, nm.target
), case_shares AS (
  SELECT
    cs.principal AS c_principal, cs.target AS c_target,
    MIN(cs.account_id) AS account_id,
    CASE WHEN MIN(cs.region) = MAX(cs.region) THEN MIN(cs.region) END AS region,
    CASE WHEN MIN(cs.source_ip) = MAX(cs.source_ip) THEN MIN(cs.source_ip) END AS source_ip,
    CAST(COUNT(*) AS BIGINT) AS share_count,
    MIN(COALESCE(cs.snapshot, 'an unnamed snapshot')) AS snapshot
  FROM shares AS cs
  JOIN proved_shares AS cp ON cp.s_share = cs.event_id AND cp.s_target = cs.target
  GROUP BY cs.principal, cs.target
), case_lists AS (
  SELECT
    cl.principal AS l_principal, cl.target AS l_target,
    STRING_AGG(DISTINCT cl.member_id, ',') AS event_ids,
    STRING_AGG(DISTINCT cl.step, ',') AS steps
  FROM numbered_members AS cl
  WHERE cl.member_no <= 1000
  GROUP BY cl.principal, cl.target
)
SELECT
  c.first_time,
  c.last_time,
  s.account_id,
  s.region,
  c.key_arn,
  c.principal,
  s.source_ip,
  c.event_count,
  'high' AS severity,
  c.principal || ' shared ' || s.snapshot
    || CASE WHEN s.share_count > 1 THEN ' and others (shares: ' || CAST(s.share_count AS STRING) || ')' ELSE '' END
    || CASE WHEN c.target = 'all' THEN ' with everybody' ELSE ' with the outside account ' || c.target END
    || CASE WHEN c.step_count > 0 THEN ', having ' || COALESCE(c.first_step, 'changed keys') || ' within the day before (steps: '
      || CAST(c.step_count AS STRING) || COALESCE(', key: ' || c.key_arn, '') || ')' ELSE '' END
    || CASE WHEN c.taken_count > 0 THEN '; that account then made grants on our keys: ' || CAST(c.taken_count AS STRING) || '.'
            ELSE '.' END AS summary,
  l.event_ids,
  c.target AS shared_with,
  s.snapshot,
  s.share_count,
  l.steps,
  c.taken_count
FROM cases AS c
JOIN case_shares AS s ON s.c_principal = c.principal AND s.c_target = c.target
JOIN case_lists AS l ON l.l_principal = c.principal AND l.l_target = c.target
ORDER BY first_time, principal, shared_with
