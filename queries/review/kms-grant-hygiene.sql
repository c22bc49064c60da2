-- title: Grants left open
-- severity: low
-- controls: Control Tower CT.KMS.PR.3
-- description: For each key, whether the grants that people and applications made on it were ended, and whether those
--   still open are narrow: constrained where they open data, made once, used, and unable to pass themselves on. A grant
--   never expires and does not show in the key policy. Medium when one is a duplicate, passes itself on, or goes to an
--   account outside.
-- false-positives: Platforms that work by grants. Young grants are not judged for want of use. Left out: grants to AWS
--   services and their infrastructure, keys that AWS manages and keys of others.
-- blind-spots: Evidence in logs only: absence is not proof. Grants older than the evidence. Use is inferred: the same
--   call may have been allowed by the key policy, and grantees that are no plain role or user are hard to match.
-- reads: grants, keys
-- params: unused_days = 7, old_days = 90, duplicates = 2
WITH judged_keys AS (
  SELECT k.key_arn AS judged_key, k.key_account_id, k.key_region
  FROM keys AS k
  WHERE k.is_home AND NOT k.is_aws_managed
), own_grants AS (
  SELECT
    g.key_arn, g.grant_id, g.created_time, g.created_epoch, g.create_event_id, g.creator, g.grantee_principal, g.is_grantee_home,
    g.is_open, g.ended_time, g.end_event_id,
    g.key_arn || ' ' || COALESCE(g.grantee_principal, '') || ' ' || COALESCE(g.grant_operations, '') || ' '
      || COALESCE(g.grant_constraint, '') AS likeness,
    CASE WHEN g.is_open AND g.grant_constraint IS NULL
          AND (',' || g.grant_operations || ',' LIKE '%,Decrypt,%'
            OR ',' || g.grant_operations || ',' LIKE '%,GenerateDataKey,%'
            OR ',' || g.grant_operations || ',' LIKE '%,GenerateDataKeyPair,%'
            OR ',' || g.grant_operations || ',' LIKE '%,ReEncryptFrom,%'
            OR ',' || g.grant_operations || ',' LIKE '%,DeriveSharedSecret,%') THEN 1 ELSE 0 END AS is_unconstrained,
    CASE WHEN g.is_open AND ',' || g.grant_operations || ',' LIKE '%,CreateGrant,%' THEN 1 ELSE 0 END AS is_delegating,
    CASE WHEN g.is_open AND COALESCE(g.use_count, 0) = 0 AND g.age_seconds >= p.unused_days * 86400 THEN 1 ELSE 0 END AS is_unused,
    CASE WHEN g.is_open AND g.age_seconds >= p.old_days * 86400 THEN 1 ELSE 0 END AS is_old,
    CASE WHEN g.is_open AND NOT COALESCE(g.is_grantee_home, TRUE) THEN 1 ELSE 0 END AS is_outside,
    p.duplicates
  FROM grants AS g
  CROSS JOIN params AS p
  SEMI JOIN judged_keys AS b ON b.judged_key = g.key_arn
  WHERE g.created_epoch IS NOT NULL
    AND NOT COALESCE(g.is_service_grant, FALSE)
), alike AS (
  SELECT a.likeness AS shared_likeness, CAST(COUNT(*) AS BIGINT) AS alike_count
  FROM own_grants AS a
  WHERE a.is_open
  GROUP BY a.likeness
), weighed AS (
  SELECT
    w.key_arn, w.grant_id, w.created_time, w.created_epoch, w.create_event_id, w.creator, w.is_open, w.is_unconstrained,
    w.is_delegating, w.is_unused, w.is_old, w.is_outside,
    CASE WHEN w.is_open AND c.alike_count >= w.duplicates THEN 1 ELSE 0 END AS is_duplicate
  FROM own_grants AS w
  LEFT JOIN alike AS c ON c.shared_likeness = w.likeness
), marked AS (
  SELECT
    m.key_arn, m.grant_id, m.created_time, m.created_epoch, m.create_event_id, m.creator, m.is_open, m.is_unconstrained,
    m.is_delegating, m.is_unused, m.is_old, m.is_outside, m.is_duplicate,
    CASE WHEN m.is_unconstrained + m.is_delegating + m.is_unused + m.is_old + m.is_outside + m.is_duplicate > 0 THEN 0
         ELSE 1 END AS is_clean
  FROM weighed AS m
), numbered AS (
  SELECT
    n.key_arn, n.grant_id, n.created_time, n.create_event_id, n.creator, n.is_open, n.is_unconstrained, n.is_delegating,
    n.is_unused, n.is_old, n.is_outside, n.is_duplicate, n.is_clean,
    CAST(ROW_NUMBER() OVER (PARTITION BY n.key_arn, n.is_clean ORDER BY n.created_epoch, n.create_event_id) AS BIGINT) AS grant_no
  FROM marked AS n
), key_grants AS (
  SELECT
    s.key_arn,
    MIN(s.created_time) AS all_first,
    MAX(s.created_time) AS all_last,
    MIN(CASE WHEN s.is_clean = 0 THEN s.created_time END) AS bad_first,
    MAX(CASE WHEN s.is_clean = 0 THEN s.created_time END) AS bad_last,
    MIN(CASE WHEN s.is_clean = 0 THEN s.creator END) AS bad_creator,
    MAX(CASE WHEN s.is_clean = 0 THEN s.creator END) AS bad_creator_last,
    CAST(COUNT(*) AS BIGINT) AS grant_count,
    CAST(COUNT(CASE WHEN s.is_open THEN 1 END) AS BIGINT) AS open_count,
    CAST(COUNT(CASE WHEN s.is_clean = 0 THEN 1 END) AS BIGINT) AS bad_count,
    CAST(COUNT(CASE WHEN s.is_unconstrained = 1 THEN 1 END) AS BIGINT) AS unconstrained_count,
    CAST(COUNT(CASE WHEN s.is_delegating = 1 THEN 1 END) AS BIGINT) AS delegating_count,
    CAST(COUNT(CASE WHEN s.is_unused = 1 THEN 1 END) AS BIGINT) AS unused_count,
    CAST(COUNT(CASE WHEN s.is_old = 1 THEN 1 END) AS BIGINT) AS old_count,
    CAST(COUNT(CASE WHEN s.is_outside = 1 THEN 1 END) AS BIGINT) AS outside_count,
    CAST(COUNT(CASE WHEN s.is_duplicate = 1 THEN 1 END) AS BIGINT) AS duplicate_count,
    STRING_AGG(CASE WHEN s.is_clean = 0 AND s.grant_no <= 1000 THEN s.create_event_id END, ',') AS bad_ids,
    STRING_AGG(CASE WHEN s.is_clean = 1 AND s.grant_no <= 1000 THEN s.create_event_id END, ',') AS clean_ids
  FROM numbered AS s
  GROUP BY s.key_arn
)
SELECT
  COALESCE(t.bad_first, t.all_first) AS first_time,
  COALESCE(t.bad_last, t.all_last) AS last_time,
  q.key_account_id AS account_id,
  q.key_region AS region,
  t.key_arn,
  CASE WHEN t.bad_creator = t.bad_creator_last THEN t.bad_creator END AS principal,
  CAST(NULL AS STRING) AS source_ip,
  CASE WHEN t.bad_count > 0 THEN t.bad_count ELSE t.grant_count END AS event_count,
  CASE WHEN t.duplicate_count + t.delegating_count + t.outside_count > 0 THEN 'medium'
       WHEN t.bad_count > 0 THEN 'low' ELSE 'info' END AS severity,
  'Of ' || CAST(t.grant_count AS STRING) || ' grants made on ' || t.key_arn || ', ' || CAST(t.open_count AS STRING)
    || ' are open at the end of the evidence: ' || CAST(t.unconstrained_count AS STRING) || ' without a constraint, '
    || CAST(t.duplicate_count AS STRING) || ' duplicate, ' || CAST(t.unused_count AS STRING) || ' never used, '
    || CAST(t.old_count AS STRING) || ' old, ' || CAST(t.delegating_count AS STRING) || ' with CreateGrant and '
    || CAST(t.outside_count AS STRING) || ' for outside accounts.' AS summary,
  COALESCE(t.bad_ids, t.clean_ids) AS event_ids,
  t.key_arn AS subject,
  CASE WHEN t.bad_count > 0 THEN 'fail' ELSE 'pass' END AS result,
  t.grant_count,
  t.open_count,
  t.unconstrained_count,
  t.duplicate_count,
  t.unused_count,
  t.old_count,
  t.delegating_count,
  t.outside_count
FROM key_grants AS t
JOIN judged_keys AS q ON q.judged_key = t.key_arn
ORDER BY subject
