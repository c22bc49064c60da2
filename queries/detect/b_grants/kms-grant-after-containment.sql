-- title: Grant that outlives a contained principal
-- severity: high
-- attack: T1098, T1078.004
-- description: A principal was contained (access key deactivated or deleted, quarantine or deny policy attached, sessions
--   revoked, user or role deleted, taken out of the key policy), and a grant that it made or received is still open at the
--   end of the evidence. Taking away a credential ends no grant: list and revoke the grants too. Medium when the maker of
--   the grant was only deleted and the grant was not used since.
-- false-positives: Users and roles that are deleted in the ordinary course, and access keys that are put away. An access
--   key is not taken for contained when it was activated again, or when the user has a newer key that still works, as in a
--   rotation. A deleted grantee counts only when the grant was used afterwards, because a grant is bound to the deleted
--   principal's unique id. Removal from the key policy counts only when the grantee used the key afterwards. Grants to
--   AWS services are left out.
-- blind-spots: Findings of other rules cannot be read here: name principals under suspicion with --set
--   suspects=ARN,ARN. Names are taken from the IAM calls, and paths of more than three parts are not followed. A
--   quarantine that was lifted later still counts. Grants older than the evidence are invisible, and use is inferred. An
--   intruder's own new access key looks like a rotation.
-- reads: admin_events, grants, policy_entries
-- params: suspects = '', settle_minutes = 5
WITH open_grants AS (
  SELECT
    g.grant_id, g.key_arn, g.created_time, g.created_epoch, g.create_event_id, g.account_id, g.region, g.creator,
    g.creator_account_id, g.grantee_principal, g.grantee_account_id, g.last_use_time, g.last_use_epoch, g.first_use_event_id
  FROM grants AS g
  WHERE g.is_open
    AND g.created_time IS NOT NULL
    AND NOT g.is_service_grant
), parties AS (
  SELECT ca.grant_id AS party_grant, 'creator' AS party_role, ca.creator AS party, ca.creator_account_id AS party_account_id
  FROM open_grants AS ca
  WHERE ca.creator IS NOT NULL
  UNION ALL
  SELECT cb.grant_id AS party_grant, 'grantee' AS party_role, cb.grantee_principal AS party, cb.grantee_account_id AS party_account_id
  FROM open_grants AS cb
), named_parties AS (
  SELECT
    n.party_grant, n.party_role, n.party, n.party_account_id,
    CASE WHEN n.party LIKE 'arn:%:user/%' THEN 'user/' WHEN n.party LIKE 'arn:%role/%' THEN 'role/' END
      || CASE WHEN n.party LIKE 'arn:%:assumed-role/%' THEN SPLIT_PART(n.party, '/', 2)
              WHEN n.party LIKE '%/%/%/%/%' THEN SPLIT_PART(n.party, '/', 5)
              WHEN n.party LIKE '%/%/%/%' THEN SPLIT_PART(n.party, '/', 4)
              WHEN n.party LIKE '%/%/%' THEN SPLIT_PART(n.party, '/', 3)
              ELSE SPLIT_PART(n.party, '/', 2) END AS party_name
  FROM parties AS n
), deny_policies AS (
  SELECT
    d.event_id AS deny_id,
    MAX(CASE WHEN d.is_conditioned THEN 0 ELSE 1 END) AS is_total
  FROM policy_entries AS d
  WHERE d.key_arn IS NULL
    AND d.effect = 'Deny'
    AND d.action IN ('*', 'kms:*')
    AND d.resource = '*'
    AND (NOT d.is_conditioned OR d.condition_keys = 'aws:TokenIssueTime')
  GROUP BY d.event_id
), iam_calls AS (
  -- JSON is cut by its quotes: names of users, roles and keys have none.
  SELECT
    i.event_id, i.event_time, i.event_epoch, i.event_name, i.account_id, i.principal,
    REPLACE(COALESCE(i.request_parameters, ''), '": "', '":"') AS asked,
    REPLACE(COALESCE(i.response_elements, ''), '": "', '":"') AS answered
  FROM admin_events AS i
  WHERE i.event_source = 'iam.amazonaws.com'
    AND i.is_ok
    AND i.event_name IN ('CreateAccessKey', 'UpdateAccessKey', 'DeleteAccessKey', 'DeleteUser', 'DeleteRole', 'AttachUserPolicy',
      'AttachRolePolicy', 'PutUserPolicy', 'PutRolePolicy', 'PutUserPermissionsBoundary', 'PutRolePermissionsBoundary')
), iam_acts AS (
  SELECT
    a.event_id, a.event_time, a.event_epoch, a.event_name, a.account_id,
    CASE WHEN a.asked LIKE '%"roleName":"%' THEN 'role/' || SPLIT_PART(SPLIT_PART(a.asked, '"roleName":"', 2), '"', 1)
         WHEN a.asked LIKE '%"userName":"%' THEN 'user/' || SPLIT_PART(SPLIT_PART(a.asked, '"userName":"', 2), '"', 1)
         WHEN a.principal LIKE 'arn:%:user/%/%' THEN NULL
         WHEN a.principal LIKE 'arn:%:user/%' THEN 'user/' || SPLIT_PART(a.principal, '/', 2) END AS subject,
    CASE WHEN a.event_name = 'CreateAccessKey' THEN SPLIT_PART(SPLIT_PART(a.answered, '"accessKeyId":"', 2), '"', 1)
         WHEN a.event_name IN ('UpdateAccessKey', 'DeleteAccessKey')
         THEN SPLIT_PART(SPLIT_PART(a.asked, '"accessKeyId":"', 2), '"', 1) END AS touched_key,
    CASE WHEN a.event_name = 'UpdateAccessKey' AND a.asked LIKE '%"status":"Inactive"%' THEN 'access key deactivated'
         WHEN a.event_name = 'DeleteAccessKey' THEN 'access key deleted'
         WHEN a.event_name = 'DeleteUser' THEN 'user deleted'
         WHEN a.event_name = 'DeleteRole' THEN 'role deleted'
         WHEN p.is_total = 1 THEN 'denied by a policy'
         WHEN p.is_total = 0 THEN 'sessions revoked'
         WHEN a.event_name NOT LIKE '%AccessKey' AND (a.asked ILIKE '%quarantine%' OR a.asked ILIKE '%denyall%')
         THEN 'quarantined by a policy' END AS how
  FROM iam_calls AS a
  LEFT JOIN deny_policies AS p ON p.deny_id = a.event_id
), key_states AS (
  SELECT
    k.account_id AS key_account, k.subject AS key_subject, k.touched_key AS state_key, k.event_name AS state_name, k.how AS state_how,
    CAST(ROW_NUMBER() OVER (PARTITION BY k.account_id, k.touched_key ORDER BY k.event_epoch, k.event_id) AS BIGINT) AS state_no
  FROM iam_acts AS k
  WHERE k.touched_key IS NOT NULL
), last_state_numbers AS (
  SELECT
    ln.key_account AS last_account, ln.state_key AS last_key, MAX(ln.state_no) AS last_no,
    MAX(CASE WHEN ln.state_name = 'CreateAccessKey' THEN 1 ELSE 0 END) AS is_new
  FROM key_states AS ln
  GROUP BY ln.key_account, ln.state_key
), working_keys AS (
  SELECT w.key_account, w.key_subject, w.state_key, l.is_new
  FROM key_states AS w
  JOIN last_state_numbers AS l ON l.last_account = w.key_account AND l.last_key = w.state_key AND l.last_no = w.state_no
  WHERE w.state_how IS NULL
), rotated_users AS (
  SELECT DISTINCT r.key_account AS rotated_account, r.key_subject AS rotated_subject FROM working_keys AS r WHERE r.is_new = 1
), other_acts AS (
  SELECT o.event_id, o.event_time, o.event_epoch, o.account_id, o.subject, o.how
  FROM iam_acts AS o
  WHERE o.how IS NOT NULL
    AND o.touched_key IS NULL
  UNION ALL
  SELECT t.event_id, t.event_time, t.event_epoch, t.account_id, t.subject, t.how
  FROM iam_acts AS t
  ANTI JOIN working_keys AS y ON y.key_account = t.account_id AND y.state_key = t.touched_key
  ANTI JOIN rotated_users AS z ON z.rotated_account = t.account_id AND z.rotated_subject = t.subject
  WHERE t.how IS NOT NULL
    AND t.touched_key IS NOT NULL
), key_policies AS (
  SELECT
    kp.event_id AS policy_id, kp.event_time AS policy_time, kp.event_epoch AS policy_epoch, kp.key_arn AS policy_key
  FROM admin_events AS kp
  SEMI JOIN open_grants AS og ON og.key_arn = kp.key_arn
  WHERE kp.event_source = 'kms.amazonaws.com'
    AND kp.event_name IN ('CreateKey', 'PutKeyPolicy')
    AND kp.is_ok
    AND kp.policy IS NOT NULL
), allowed_texts AS (
  SELECT DISTINCT
    v.policy_key AS allowed_key,
    v.policy_epoch AS allowed_epoch,
    CASE WHEN e.principal LIKE 'arn:%:root' THEN e.principal_account_id ELSE e.principal END AS allowed_text
  FROM policy_entries AS e
  JOIN key_policies AS v ON v.policy_id = e.event_id
  WHERE e.effect = 'Allow'
), grantee_texts AS (
  SELECT ga.grant_id AS text_grant, ga.key_arn AS text_key, ga.grantee_principal AS grantee_text FROM open_grants AS ga
  UNION ALL
  SELECT gb.grant_id AS text_grant, gb.key_arn AS text_key, gb.grantee_account_id AS grantee_text FROM open_grants AS gb
  UNION ALL
  SELECT gc.grant_id AS text_grant, gc.key_arn AS text_key, '*' AS grantee_text FROM open_grants AS gc
), last_allowances AS (
  SELECT
    x.text_grant,
    x.text_key,
    MAX(m.allowed_epoch) AS last_allowed_epoch
  FROM grantee_texts AS x
  JOIN allowed_texts AS m ON m.allowed_key = x.text_key AND m.allowed_text = x.grantee_text
  GROUP BY x.text_grant, x.text_key
), closings AS (
  SELECT
    la.text_grant AS closed_grant,
    q.policy_id, q.policy_time, q.policy_epoch,
    CAST(ROW_NUMBER() OVER (PARTITION BY la.text_grant ORDER BY q.policy_epoch, q.policy_id) AS BIGINT) AS closing_no
  FROM last_allowances AS la
  JOIN key_policies AS q ON q.policy_key = la.text_key
  WHERE q.policy_epoch > la.last_allowed_epoch
), flags AS (
  SELECT fa.party_grant, fa.party_role, fa.party, oa.how, oa.event_id AS act_id, oa.event_time AS act_time, oa.event_epoch AS act_epoch
  FROM named_parties AS fa
  JOIN other_acts AS oa ON oa.account_id = fa.party_account_id AND oa.subject = fa.party_name
  UNION ALL
  SELECT fb.party_grant, fb.party_role, fb.party, 'removed from the key policy' AS how, cl.policy_id AS act_id,
         cl.policy_time AS act_time, cl.policy_epoch AS act_epoch
  FROM parties AS fb
  JOIN closings AS cl ON cl.closed_grant = fb.party_grant
  WHERE fb.party_role = 'grantee'
    AND cl.closing_no = 1
  UNION ALL
  SELECT fc.party_grant, fc.party_role, fc.party, 'named as a suspect' AS how, NULL AS act_id, NULL AS act_time, NULL AS act_epoch
  FROM parties AS fc
  CROSS JOIN params AS pc
  WHERE POSITION(',' || fc.party || ',' IN ',' || REPLACE(pc.suspects, ' ', '') || ',') > 0
), judged AS (
  SELECT
    j.party, j.party_role, j.how, j.act_id, j.act_time, j.act_epoch, u.grant_id, u.key_arn, u.created_time, u.created_epoch,
    u.create_event_id, u.account_id, u.region, u.creator, u.grantee_principal, u.last_use_time,
    COALESCE(u.key_arn, '') || ' ' || j.party AS finding_ref,
    CASE WHEN u.last_use_epoch > j.act_epoch + b.settle_minutes * 60 THEN 1 ELSE 0 END AS is_used_since,
    CASE WHEN j.how IN ('user deleted', 'role deleted') THEN 1 ELSE 0 END AS is_deletion
  FROM flags AS j
  JOIN open_grants AS u ON u.grant_id = j.party_grant
  CROSS JOIN params AS b
), survivors AS (
  SELECT
    s.party, s.party_role, s.how, s.act_id, s.act_time, s.act_epoch, s.grant_id, s.key_arn, s.created_time, s.created_epoch,
    s.create_event_id,
    s.account_id, s.region, s.creator, s.grantee_principal, s.last_use_time, s.finding_ref, s.is_used_since, s.is_deletion,
    CAST(ROW_NUMBER() OVER (PARTITION BY s.finding_ref ORDER BY s.is_deletion, s.act_epoch, s.act_id, s.created_epoch, s.grant_id,
                            s.party_role) AS BIGINT) AS flag_no
  FROM judged AS s
  WHERE (s.is_deletion = 0 OR s.created_epoch <= s.act_epoch)
    AND (s.is_deletion = 0 OR s.party_role = 'creator' OR s.is_used_since = 1)
    AND (s.how <> 'removed from the key policy' OR s.is_used_since = 1)
), proofs AS (
  SELECT pa.finding_ref AS proof_ref, pa.create_event_id AS proof_id FROM survivors AS pa WHERE pa.flag_no <= 500
  UNION
  SELECT pb.finding_ref AS proof_ref, pb.act_id AS proof_id FROM survivors AS pb WHERE pb.flag_no <= 500 AND pb.act_id IS NOT NULL
), proof_lists AS (
  SELECT pl.proof_ref, STRING_AGG(pl.proof_id, ',') AS event_ids
  FROM proofs AS pl
  GROUP BY pl.proof_ref
), contained_keys AS (
  SELECT
    f.finding_ref,
    MIN(f.created_time) AS first_time,
    MAX(CASE WHEN f.is_used_since = 1 THEN f.last_use_time
             WHEN f.act_epoch >= f.created_epoch THEN f.act_time
             ELSE f.created_time END) AS last_time,
    MIN(f.account_id) AS account_id,
    MIN(f.region) AS region,
    MIN(f.key_arn) AS key_arn,
    MIN(f.party) AS party,
    MIN(f.party_role) AS first_role,
    CAST(COUNT(DISTINCT f.party_role) AS BIGINT) AS role_count,
    CAST(COUNT(DISTINCT f.grant_id) AS BIGINT) AS grant_count,
    CAST(COUNT(DISTINCT f.act_id) AS BIGINT) AS act_count,
    MAX(CASE WHEN f.flag_no = 1 THEN f.how END) AS how,
    MAX(CASE WHEN f.flag_no = 1 THEN f.act_time END) AS contained_time,
    MAX(CASE WHEN f.flag_no = 1 THEN f.grantee_principal END) AS grantee_principal,
    MAX(CASE WHEN f.flag_no = 1 THEN f.creator END) AS creator,
    MAX(CASE WHEN f.flag_no = 1 THEN f.grant_id END) AS grant_id,
    MIN(f.is_deletion) AS is_only_deleted,
    MAX(f.is_used_since) AS is_used_since
  FROM survivors AS f
  GROUP BY f.finding_ref
)
SELECT
  h.first_time,
  h.last_time,
  h.account_id,
  h.region,
  h.key_arn,
  h.party AS principal,
  NULL AS source_ip,
  h.grant_count + h.act_count AS event_count,
  CASE WHEN h.is_only_deleted = 1 AND h.is_used_since = 0 THEN 'medium' ELSE 'high' END AS severity,
  h.party || CASE WHEN h.how = 'named as a suspect' THEN ' is named as a suspect' ELSE ' was contained (' || h.how || ')' END
    || ', but grants that it '
    || CASE WHEN h.role_count > 1 THEN 'made and received' WHEN h.first_role = 'creator' THEN 'made' ELSE 'received' END
    || ' on ' || COALESCE(h.key_arn, 'an unnamed key') || ' are still open: ' || CAST(h.grant_count AS STRING)
    || ', such as one by ' || COALESCE(h.creator, 'an unnamed principal') || ' for '
    || COALESCE(h.grantee_principal, 'an unnamed grantee')
    || CASE WHEN h.is_used_since = 1 THEN '; the grantee used the key after that.' WHEN h.how = 'named as a suspect' THEN '.'
            ELSE '; no use after that is seen.' END AS summary,
  l.event_ids,
  h.how,
  h.contained_time,
  CASE WHEN h.role_count > 1 THEN 'creator,grantee' ELSE h.first_role END AS party_role,
  h.grant_count,
  h.grant_id,
  h.grantee_principal,
  CASE WHEN h.is_used_since = 1 THEN TRUE ELSE FALSE END AS is_used_since
FROM contained_keys AS h
JOIN proof_lists AS l ON l.proof_ref = h.finding_ref
ORDER BY first_time, principal, key_arn
