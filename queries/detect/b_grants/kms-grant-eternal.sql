-- title: Grant that comes back or exists many times
-- severity: high
-- attack: T1098
-- description: The same grant (key, grantee, operations and constraint) is open several times over, or was made again
--   within minutes after somebody else had ended it. Ending one such grant does not end the access: that is how an
--   intruder's grant survives its discovery.
-- false-positives: Retries of CreateGrant without a name. Grants to AWS services, grants that a service made for its user,
--   and AWS managed keys, whose grants look alike, are left out; so is the grantee that retires its own grant when its
--   work is done, and one principal that ends and makes the grant again.
-- blind-spots: Grants made before the evidence begins. A grant that comes back with one operation more is another grant.
--   Whether a grant is open is told at the end of the evidence.
-- reads: grants, keys
-- params: open_count = 3, recreate_minutes = 15
WITH managed_keys AS (
  SELECT k.key_arn AS managed_key FROM keys AS k WHERE k.is_aws_managed
), made_grants AS (
  SELECT
    g.grant_id, g.key_arn, g.created_time, g.created_epoch, g.create_event_id, g.account_id, g.region, g.creator,
    g.creator_source_ip, g.grantee_principal, g.grantee_account_id, g.grant_operations, g.grant_constraint, g.is_open,
    g.ended_epoch, g.ended_how, g.ended_by, g.end_event_id,
    g.key_arn || ' ' || g.grantee_principal || ' ' || COALESCE(g.grant_operations, '') || ' '
      || COALESCE(g.grant_constraint, '') AS same_ref
  FROM grants AS g
  ANTI JOIN managed_keys AS m ON m.managed_key = g.key_arn
  WHERE g.created_time IS NOT NULL
    AND NOT g.is_service_grant
    AND g.creator_via IS NULL
    AND g.creator NOT LIKE 'service:%'
    AND g.creator NOT LIKE '%:role/aws-service-role/%'
), removals AS (
  SELECT
    e.same_ref AS removed_ref,
    e.grant_id AS removed_grant,
    e.ended_epoch AS removed_epoch,
    e.ended_by AS removed_by,
    e.end_event_id AS removal_id,
    CAST(ROW_NUMBER() OVER (PARTITION BY e.same_ref ORDER BY e.ended_epoch, e.end_event_id, e.grant_id) AS BIGINT) AS removal_no
  FROM made_grants AS e
  WHERE e.ended_how IN ('RetireGrant', 'RevokeGrant')
    AND e.ended_by IS NOT NULL
    AND e.ended_by <> e.grantee_principal
    AND NOT (e.ended_by LIKE 'account:%' AND e.grantee_account_id = SPLIT_PART(SPLIT_PART(e.ended_by, ':', 2), '/', 1))
), steps AS (
  SELECT d.removed_ref AS step_ref, d.removed_epoch AS step_epoch, 0 AS is_create, d.removed_grant AS step_grant, 1 AS removal_mark
  FROM removals AS d
  UNION ALL
  SELECT w.same_ref AS step_ref, w.created_epoch AS step_epoch, 1 AS is_create, w.grant_id AS step_grant, 0 AS removal_mark
  FROM made_grants AS w
), counted_steps AS (
  SELECT
    z.step_ref,
    z.step_grant,
    z.is_create,
    CAST(SUM(z.removal_mark) OVER (PARTITION BY z.step_ref ORDER BY z.step_epoch, z.is_create, z.step_grant
                                   ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS last_removal_no
  FROM steps AS z
), last_removals AS (
  SELECT
    h.step_grant AS returned_grant,
    v.removed_epoch,
    v.removed_by,
    v.removal_id
  FROM counted_steps AS h
  JOIN removals AS v ON v.removed_ref = h.step_ref AND v.removal_no = h.last_removal_no
  WHERE h.is_create = 1
    AND v.removed_grant <> h.step_grant
), open_counts AS (
  SELECT
    o.same_ref AS open_ref,
    CAST(COUNT(*) AS BIGINT) AS open_now
  FROM made_grants AS o
  WHERE o.is_open
  GROUP BY o.same_ref
), judged_grants AS (
  SELECT
    y.same_ref, y.grant_id, y.key_arn, y.created_time, y.created_epoch, y.create_event_id, y.account_id, y.region, y.creator,
    y.creator_source_ip, y.grantee_principal, y.grant_operations, y.grant_constraint, y.is_open,
    t.removed_epoch, t.removed_by, t.removal_id,
    CASE WHEN t.removed_by <> y.creator AND y.created_epoch - t.removed_epoch <= p.recreate_minutes * 60 THEN 1 ELSE 0 END AS is_return
  FROM made_grants AS y
  CROSS JOIN params AS p
  LEFT JOIN last_removals AS t ON t.returned_grant = y.grant_id
), members AS (
  SELECT
    j.same_ref, j.grant_id, j.key_arn, j.created_time, j.created_epoch, j.create_event_id, j.account_id, j.region, j.creator,
    j.creator_source_ip, j.grantee_principal, j.grant_operations, j.grant_constraint, j.is_return,
    CASE WHEN j.is_return = 1 THEN j.removed_by END AS removed_by,
    CASE WHEN j.is_return = 1 THEN j.removal_id END AS removal_id,
    CASE WHEN j.is_return = 1 THEN j.created_epoch - j.removed_epoch END AS seconds_to_return,
    COALESCE(c.open_now, 0) AS open_now,
    CASE WHEN c.open_now >= q.open_count THEN 1 ELSE 0 END AS is_many,
    CAST(ROW_NUMBER() OVER (PARTITION BY j.same_ref ORDER BY j.created_epoch, j.create_event_id) AS BIGINT) AS grant_no
  FROM judged_grants AS j
  CROSS JOIN params AS q
  LEFT JOIN open_counts AS c ON c.open_ref = j.same_ref
  WHERE j.is_return = 1
     OR (c.open_now >= q.open_count AND j.is_open)
), proofs AS (
  SELECT m.same_ref AS proof_ref, m.create_event_id AS proof_id FROM members AS m WHERE m.grant_no <= 500
  UNION
  SELECT n.same_ref AS proof_ref, n.removal_id AS proof_id FROM members AS n WHERE n.grant_no <= 500 AND n.removal_id IS NOT NULL
), proof_lists AS (
  SELECT
    x.proof_ref,
    STRING_AGG(x.proof_id, ',') AS event_ids
  FROM proofs AS x
  GROUP BY x.proof_ref
), families AS (
  SELECT
    f.same_ref,
    MIN(f.created_time) AS first_time,
    MAX(f.created_time) AS last_time,
    MIN(f.account_id) AS account_id,
    MIN(f.region) AS region,
    MIN(f.key_arn) AS key_arn,
    MIN(f.creator) AS creator,
    CAST(COUNT(DISTINCT f.creator) AS BIGINT) AS creator_count,
    MIN(f.creator_source_ip) AS source_ip,
    CAST(COUNT(DISTINCT f.creator_source_ip) AS BIGINT) AS source_ip_count,
    MIN(f.grantee_principal) AS grantee_principal,
    MIN(f.grant_operations) AS grant_operations,
    MIN(f.grant_constraint) AS grant_constraint,
    CAST(COUNT(*) AS BIGINT) AS grant_count,
    CAST(SUM(f.is_return) AS BIGINT) AS return_count,
    MAX(f.is_many) AS is_many,
    MAX(f.open_now) AS open_now,
    MIN(f.seconds_to_return) AS seconds_to_return,
    MIN(f.removed_by) AS removed_by,
    STRING_AGG(CASE WHEN f.grant_no <= 1000 THEN f.grant_id END, ',') AS grant_ids
  FROM members AS f
  GROUP BY f.same_ref
)
SELECT
  a.first_time,
  a.last_time,
  a.account_id,
  a.region,
  a.key_arn,
  CASE WHEN a.creator_count = 1 THEN a.creator END AS principal,
  CASE WHEN a.source_ip_count = 1 THEN a.source_ip END AS source_ip,
  a.grant_count AS event_count,
  'high' AS severity,
  CASE WHEN a.return_count > 0
       THEN a.creator || ' granted ' || COALESCE(a.grant_operations, 'unknown operations') || ' on ' || a.key_arn || ' to '
         || a.grantee_principal || ' again after somebody else had ended the grant (ended by '
         || COALESCE(a.removed_by, 'an unnamed principal') || '; times: ' || CAST(a.return_count AS STRING)
         || '; soonest after ' || CAST(COALESCE(a.seconds_to_return, 0) AS STRING) || ' seconds); the same grant is open '
         || CAST(a.open_now AS STRING) || ' times at the end of the evidence.'
       ELSE 'The same grant of ' || COALESCE(a.grant_operations, 'unknown operations') || ' on ' || a.key_arn || ' to '
         || a.grantee_principal || ' is open ' || CAST(a.open_now AS STRING) || ' times at the end of the evidence, made by '
         || a.creator || CASE WHEN a.creator_count > 1 THEN ' and others' ELSE '' END || '.' END AS summary,
  l.event_ids,
  CASE WHEN a.return_count > 0 AND a.is_many = 1 THEN 'returned,duplicated' WHEN a.return_count > 0 THEN 'returned'
       ELSE 'duplicated' END AS reason,
  a.grantee_principal,
  a.grant_operations,
  a.grant_constraint,
  a.open_now AS open_count,
  a.return_count,
  a.seconds_to_return,
  a.removed_by,
  a.grant_ids
FROM families AS a
JOIN proof_lists AS l ON l.proof_ref = a.same_ref
ORDER BY first_time, key_arn, grantee_principal, grant_operations, grant_constraint
