-- title: Refused, then a permission changed, then allowed
-- severity: high
-- attack: T1098, T1548.005
-- description: A principal was refused an action on a key, then somebody changed the key's policy, a grant, a tag, an
--   alias or the principal's IAM policies, and then the same action on that key succeeded. Somebody took a wall away
--   that was in the way; the finding names who. Medium when the principal had been allowed before it was refused, as
--   after the repair of a broken policy.
-- false-positives: Onboarding: a new role's missing permission, added by the team. Services' own principals,
--   service-linked roles, AWS Config's refused calls, service grants and grants to others are left out, and so is a
--   principal that was let in between without a change.
-- blind-spots: A refusal whose message names no key, and ReEncrypt refused for its destination. IAM changes that do not
--   name the principal: groups' policies, new versions of managed policies, and service control policies. Of several
--   changes the last one before the success is named.
-- reads: events, repeated_copies, failed_calls, admin_events, use_hours
-- params: window_hours = 24
WITH denials AS (
  SELECT
    f.principal,
    f.event_name AS operation,
    f.key_arn,
    f.event_epoch - (f.event_epoch % 3600) AS hour_epoch,
    MIN(f.principal_account_id) AS principal_account_id,
    MIN(f.account_id) AS account_id,
    MIN(f.region) AS region,
    MIN(f.source_ip) AS source_ip,
    MIN(f.event_time) AS first_time,
    MIN(f.event_epoch) AS first_epoch,
    MAX(f.event_epoch) AS last_epoch,
    MIN(f.event_id) AS event_id,
    CAST(COUNT(*) AS BIGINT) AS n
  FROM failed_calls AS f
  WHERE f.outcome = 'denied'
    AND f.key_arn IS NOT NULL
    AND f.denied_action <> 'kms:ReEncryptTo'
    AND f.principal NOT LIKE 'service:%'
    AND f.principal NOT LIKE '%:role/aws-service-role/%'
    AND COALESCE(f.via, '') <> 'config.amazonaws.com'
  GROUP BY f.principal, f.event_name, f.key_arn, f.event_epoch - (f.event_epoch % 3600)
), walls AS (
  SELECT
    d.principal, d.operation, d.key_arn, d.account_id, d.region, d.source_ip, d.first_time, d.first_epoch, d.last_epoch,
    d.event_id, d.n, d.principal_account_id,
    CASE WHEN d.principal LIKE '%:role/%' THEN 'role' WHEN d.principal LIKE '%:user/%' THEN 'user' END AS identity_kind,
    -- The name is the last part of the ARN: paths may stand before it.
    COALESCE(NULLIF(SPLIT_PART(d.principal, '/', 6), ''), NULLIF(SPLIT_PART(d.principal, '/', 5), ''),
             NULLIF(SPLIT_PART(d.principal, '/', 4), ''), NULLIF(SPLIT_PART(d.principal, '/', 3), ''),
             NULLIF(SPLIT_PART(d.principal, '/', 2), '')) AS identity_name
  FROM denials AS d
), changes AS (
  SELECT
    a.event_id AS change_id,
    a.event_epoch AS change_epoch,
    a.event_name AS change_name,
    a.principal AS changed_by,
    a.account_id AS changed_account,
    CASE WHEN a.event_name IN ('PutKeyPolicy', 'TagResource', 'UntagResource', 'CreateGrant') THEN a.key_arn
         WHEN a.event_name IN ('CreateAlias', 'UpdateAlias') THEN COALESCE(a.target_key_arn, a.key_arn) END AS changed_key,
    CASE WHEN a.event_name = 'CreateGrant' THEN a.grantee_principal END AS grantee,
    CASE WHEN a.action_class = 'identity' AND a.request_parameters LIKE '%"roleName"%' THEN 'role'
         WHEN a.action_class = 'identity' AND a.request_parameters LIKE '%"userName"%' THEN 'user' END AS changed_kind,
    CASE WHEN a.action_class <> 'identity' THEN NULL
         WHEN a.request_parameters LIKE '%"roleName"%'
         THEN SPLIT_PART(SPLIT_PART(REPLACE(a.request_parameters, ' ', ''), '"roleName":"', 2), '"', 1)
         ELSE SPLIT_PART(SPLIT_PART(REPLACE(a.request_parameters, ' ', ''), '"userName":"', 2), '"', 1) END AS changed_name
  FROM admin_events AS a
  WHERE a.is_ok
    AND ((a.event_source = 'kms.amazonaws.com'
        AND a.event_name IN ('PutKeyPolicy', 'TagResource', 'UntagResource', 'CreateAlias', 'UpdateAlias', 'CreateGrant')
        AND NOT COALESCE(a.is_service_grant, FALSE)
        AND COALESCE(a.grantee_principal, '') NOT LIKE '%:assumed-role/aws:ec2-infrastructure/%')
      OR (a.event_source = 'iam.amazonaws.com'
        AND a.event_name <> 'UpdateAssumeRolePolicy'
        AND (a.event_name = 'AddUserToGroup' OR a.event_name LIKE '%Policy' OR a.event_name LIKE '%PermissionsBoundary')))
), wall_changes AS (
  SELECT
    w.principal, w.operation, w.key_arn, w.account_id, w.region, w.source_ip, w.first_time, w.first_epoch, w.last_epoch,
    w.event_id, w.n, c.change_id, c.change_epoch
  FROM walls AS w
  JOIN changes AS c ON c.changed_key = w.key_arn
  WHERE c.grantee IS NULL
     OR c.grantee = w.principal
     OR c.grantee = w.principal_account_id
     OR c.grantee LIKE 'arn:%:root' AND SPLIT_PART(c.grantee, ':', 5) = w.principal_account_id
     OR c.grantee LIKE '%:assumed-role/%' AND w.identity_kind = 'role'
       AND SPLIT_PART(c.grantee, '/', 2) = w.identity_name
       AND SPLIT_PART(c.grantee, ':', 5) = w.principal_account_id
  UNION ALL
  SELECT
    v.principal, v.operation, v.key_arn, v.account_id, v.region, v.source_ip, v.first_time, v.first_epoch, v.last_epoch,
    v.event_id, v.n, i.change_id, i.change_epoch
  FROM walls AS v
  JOIN changes AS i ON i.changed_account = v.principal_account_id
      AND i.changed_kind = v.identity_kind
      AND i.changed_name = v.identity_name
), breaches AS (
  SELECT
    b.principal,
    b.operation,
    b.key_arn,
    b.change_id,
    b.change_epoch,
    MIN(b.account_id) AS account_id,
    MIN(b.region) AS region,
    MIN(b.source_ip) AS source_ip,
    MIN(b.first_time) AS first_time,
    MIN(b.first_epoch) AS first_epoch,
    MAX(CASE WHEN b.last_epoch <= b.change_epoch THEN b.last_epoch ELSE b.first_epoch END) AS denied_epoch,
    MIN(b.event_id) AS denial_id,
    CAST(SUM(b.n) AS BIGINT) AS denial_count
  FROM wall_changes AS b
  CROSS JOIN params AS p
  WHERE b.first_epoch <= b.change_epoch
    AND b.change_epoch - CASE WHEN b.last_epoch <= b.change_epoch THEN b.last_epoch ELSE b.first_epoch END
        <= p.window_hours * 3600
  GROUP BY b.principal, b.operation, b.key_arn, b.change_id, b.change_epoch
), other_calls AS (
  SELECT
    e.principal,
    e.key_arn,
    e.event_name AS operation,
    e.event_epoch - (e.event_epoch % 3600) AS hour_epoch,
    e.event_epoch AS first_epoch,
    e.event_epoch AS last_epoch
  FROM events AS e
  SEMI JOIN breaches AS s ON s.principal = e.principal AND s.key_arn = e.key_arn AND s.operation = e.event_name
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.action_class <> 'crypto'
    AND e.outcome = 'ok'
    AND NOT COALESCE(e.is_dry_run, FALSE)
), ok_rows AS (
  SELECT u.principal, u.key_arn, u.operation, u.hour_epoch, u.first_epoch, u.last_epoch
  FROM use_hours AS u
  SEMI JOIN breaches AS t ON t.principal = u.principal AND t.key_arn = u.key_arn AND t.operation = u.operation
  UNION ALL
  SELECT o.principal, o.key_arn, o.operation, o.hour_epoch, o.first_epoch, o.last_epoch
  FROM other_calls AS o
), ok_hours AS (
  SELECT
    k.principal AS ok_principal,
    k.key_arn AS ok_key,
    k.operation AS ok_operation,
    k.hour_epoch AS ok_hour,
    MIN(k.first_epoch) AS ok_first_epoch,
    MAX(k.last_epoch) AS ok_last_epoch
  FROM ok_rows AS k
  GROUP BY k.principal, k.key_arn, k.operation, k.hour_epoch
), ok_beginnings AS (
  SELECT
    g.ok_principal AS begin_principal,
    g.ok_key AS begin_key,
    g.ok_operation AS begin_operation,
    MIN(g.ok_first_epoch) AS begin_epoch
  FROM ok_hours AS g
  GROUP BY g.ok_principal, g.ok_key, g.ok_operation
), next_hours AS (
  SELECT
    h.principal, h.operation, h.key_arn, h.change_id, h.change_epoch, h.denied_epoch,
    MIN(j.ok_hour) AS next_hour
  FROM breaches AS h
  JOIN ok_hours AS j ON j.ok_principal = h.principal AND j.ok_key = h.key_arn AND j.ok_operation = h.operation
  WHERE j.ok_last_epoch > h.denied_epoch
  GROUP BY h.principal, h.operation, h.key_arn, h.change_id, h.change_epoch, h.denied_epoch
), ok_calls AS (
  SELECT
    l.principal,
    l.key_arn,
    l.event_name AS operation,
    l.event_epoch - (l.event_epoch % 3600) AS hour_epoch,
    l.event_epoch,
    l.event_time,
    l.event_id
  FROM events AS l
  SEMI JOIN next_hours AS m ON m.principal = l.principal AND m.key_arn = l.key_arn AND m.operation = l.event_name
  ANTI JOIN repeated_copies AS r ON r.repeated_id = l.event_id
  WHERE l.event_source = 'kms.amazonaws.com'
    AND l.outcome = 'ok'
    AND NOT COALESCE(l.is_dry_run, FALSE)
), ok_seconds AS (
  SELECT
    n.principal AS second_principal,
    n.key_arn AS second_key,
    n.operation AS second_operation,
    n.hour_epoch AS second_hour,
    n.event_epoch AS ok_epoch,
    MIN(n.event_time) AS ok_time,
    MIN(n.event_id) AS ok_id
  FROM ok_calls AS n
  SEMI JOIN next_hours AS q ON q.principal = n.principal
      AND q.key_arn = n.key_arn
      AND q.operation = n.operation
      AND q.next_hour = n.hour_epoch
  GROUP BY n.principal, n.key_arn, n.operation, n.hour_epoch, n.event_epoch
), successes AS (
  SELECT
    x.principal, x.operation, x.key_arn, x.change_id, x.change_epoch, y.ok_epoch, y.ok_time, y.ok_id,
    CAST(ROW_NUMBER() OVER (PARTITION BY x.principal, x.operation, x.key_arn, x.change_id
                            ORDER BY y.ok_epoch, y.ok_id) AS BIGINT) AS ok_no
  FROM next_hours AS x
  JOIN ok_seconds AS y ON y.second_principal = x.principal
      AND y.second_key = x.key_arn
      AND y.second_operation = x.operation
      AND y.second_hour = x.next_hour
  WHERE y.ok_epoch > x.denied_epoch
), decisive_changes AS (
  -- Nothing succeeded between the refusal and the change; of several changes the last one counts.
  SELECT
    z.principal AS walled_principal,
    z.operation AS walled_operation,
    z.key_arn AS walled_key,
    z.change_id AS decisive_id,
    z.ok_epoch, z.ok_time, z.ok_id,
    CAST(ROW_NUMBER() OVER (PARTITION BY z.principal, z.operation, z.key_arn, z.ok_id
                            ORDER BY -z.change_epoch, z.change_id) AS BIGINT) AS change_no
  FROM successes AS z
  CROSS JOIN params AS p
  WHERE z.ok_no = 1
    AND z.ok_epoch >= z.change_epoch
    AND z.ok_epoch - z.change_epoch <= p.window_hours * 3600
), opened_walls AS (
  SELECT
    a.principal, a.operation, a.key_arn, a.change_id, a.account_id, a.region, a.source_ip, a.first_time, a.first_epoch,
    a.denial_id, a.denial_count, b.ok_time, b.ok_epoch, b.ok_id,
    CASE WHEN c.begin_epoch < a.first_epoch THEN 0 ELSE 1 END AS is_new_access,
    CAST(ROW_NUMBER() OVER (PARTITION BY a.principal, a.change_id ORDER BY a.first_epoch, a.key_arn, a.operation) AS BIGINT) AS wall_no
  FROM breaches AS a
  JOIN decisive_changes AS b ON b.walled_principal = a.principal
      AND b.walled_operation = a.operation
      AND b.walled_key = a.key_arn
      AND b.decisive_id = a.change_id
  JOIN ok_beginnings AS c ON c.begin_principal = a.principal AND c.begin_key = a.key_arn AND c.begin_operation = a.operation
  WHERE b.change_no = 1
), findings_made AS (
  SELECT
    d.principal,
    d.change_id,
    MIN(d.account_id) AS account_id,
    MIN(d.region) AS region,
    MIN(d.source_ip) AS source_ip,
    MIN(d.first_time) AS first_time,
    MAX(d.ok_time) AS last_time,
    MIN(d.first_epoch) AS first_epoch,
    MIN(d.ok_epoch) AS ok_epoch,
    MIN(d.key_arn) AS key_arn,
    MAX(CASE WHEN d.wall_no = 1 THEN d.operation END) AS operation,
    CAST(COUNT(DISTINCT d.region) AS BIGINT) AS region_count,
    CAST(COUNT(DISTINCT d.key_arn) AS BIGINT) AS key_count,
    CAST(COUNT(DISTINCT d.operation) AS BIGINT) AS operation_count,
    CAST(SUM(d.denial_count) AS BIGINT) AS denial_count,
    CAST(COUNT(*) AS BIGINT) AS wall_count,
    MAX(d.is_new_access) AS is_new_access
  FROM opened_walls AS d
  GROUP BY d.principal, d.change_id
), proofs AS (
  SELECT f.principal, f.change_id, f.denial_id AS proof_id FROM opened_walls AS f WHERE f.wall_no <= 400
  UNION
  SELECT g.principal, g.change_id, g.change_id AS proof_id FROM opened_walls AS g
  UNION
  SELECT h.principal, h.change_id, h.ok_id AS proof_id FROM opened_walls AS h WHERE h.wall_no <= 400
), proof_lists AS (
  SELECT i.principal AS proof_principal, i.change_id AS proof_change, STRING_AGG(i.proof_id, ',') AS event_ids
  FROM proofs AS i
  GROUP BY i.principal, i.change_id
)
SELECT
  j.first_time,
  j.last_time,
  j.account_id,
  CASE WHEN j.region_count = 1 THEN j.region END AS region,
  CASE WHEN j.key_count = 1 THEN j.key_arn END AS key_arn,
  j.principal,
  j.source_ip,
  j.denial_count + j.wall_count + 1 AS event_count,
  CASE WHEN j.is_new_access = 1 THEN 'high' ELSE 'medium' END AS severity,
  j.principal || ' was refused ' || j.operation || ' on ' || j.key_arn
    || CASE WHEN j.wall_count > 1 THEN ' (actions: ' || CAST(j.operation_count AS STRING) || ', keys: '
                                    || CAST(j.key_count AS STRING) || ')' ELSE '' END
    || ', then ' || CASE WHEN k.changed_by = j.principal THEN 'the same principal' ELSE COALESCE(k.changed_by, 'an unnamed principal') END
    || ' called ' || k.change_name || ', and ' || CAST(j.ok_epoch - k.change_epoch AS STRING)
    || ' seconds after that it was allowed'
    || CASE WHEN j.is_new_access = 1 THEN '.' ELSE ', as it had been before the refusal.' END AS summary,
  l.event_ids,
  j.operation,
  j.denial_count,
  j.key_count,
  j.operation_count,
  k.change_name,
  k.changed_by,
  j.change_id AS change_event_id
FROM findings_made AS j
JOIN changes AS k ON k.change_id = j.change_id
JOIN proof_lists AS l ON l.proof_principal = j.principal AND l.proof_change = j.change_id
ORDER BY first_time, principal, change_event_id
