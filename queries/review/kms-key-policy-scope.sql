-- title: Scope of key policies
-- severity: medium
-- controls: FSBP KMS.5, CIS AWS Foundations 7.0 2.21
-- description: Whether the last policy seen of each key is open to everybody or to accounts outside, locks out the owner
--   or was set with the lockout check skipped, or gives kms:* to something smaller than the owner's account. Low where
--   only the last is true.
-- false-positives: Keys shared with partners on purpose (name their accounts with --home-account); administrators who
--   hold kms:*. Allows for everybody that a condition fences are not public. Left out: keys that AWS manages and keys of
--   others.
-- blind-spots: Evidence in logs only: absence is not proof. Policies set before the evidence; IAM policies and grants. The
--   values of conditions are judged only as far as they name accounts and organizations, and a Deny is not weighed
--   against an Allow for outside accounts.
-- reads: keys, policies, policy_entries
WITH judged_keys AS (
  SELECT k.key_arn AS judged_key, k.key_account_id, k.key_region, k.aliases, k.first_time AS key_first, k.last_time AS key_last
  FROM keys AS k
  WHERE k.is_home
    AND NOT k.is_aws_managed
    AND COALESCE(k.state, 'enabled') <> 'deleted'
), last_policies AS (
  SELECT
    p.key_arn AS policy_key, p.event_id, p.event_time, p.principal, p.source_ip, p.action, p.is_default, p.is_public,
    p.bypasses_lockout, p.locks_out_owner
  FROM policies AS p
  SEMI JOIN judged_keys AS b ON b.judged_key = p.key_arn
  WHERE p.until_epoch IS NULL
    AND p.is_known
), allow_rows AS (
  SELECT
    e.event_id AS allow_id,
    e.principal AS allowed,
    e.principal_account_id AS allowed_account_id,
    CASE WHEN LOWER(e.action) IN ('kms:*', '*') AND NOT e.is_conditioned
          AND (e.principal LIKE 'arn:%:role/%' OR e.principal LIKE 'arn:%:user/%' OR e.principal LIKE 'arn:%:assumed-role/%')
         THEN 1 ELSE 0 END AS is_wild
  FROM policy_entries AS e
  SEMI JOIN last_policies AS l ON l.event_id = e.event_id
  WHERE e.effect = 'Allow'
), home AS (
  SELECT h.account_id AS home_id FROM home_accounts AS h
), outside_rows AS (
  SELECT o.allow_id, o.allowed_account_id
  FROM allow_rows AS o
  ANTI JOIN home AS x ON x.home_id = o.allowed_account_id
  WHERE o.allowed_account_id IS NOT NULL
), outsides AS (
  SELECT
    t.allow_id AS outside_id,
    CAST(COUNT(DISTINCT t.allowed_account_id) AS BIGINT) AS outside_count,
    MIN(t.allowed_account_id) AS first_outside
  FROM outside_rows AS t
  GROUP BY t.allow_id
), wilds AS (
  SELECT
    w.allow_id AS wild_id,
    CAST(COUNT(DISTINCT w.allowed) AS BIGINT) AS wild_count,
    MIN(w.allowed) AS first_wild
  FROM allow_rows AS w
  WHERE w.is_wild = 1
  GROUP BY w.allow_id
), judged AS (
  SELECT
    j.judged_key, j.key_account_id, j.key_region, j.aliases, j.key_first, j.key_last,
    q.event_id, q.event_time, q.principal, q.source_ip, q.action, q.is_default,
    CASE WHEN q.is_public THEN 1 ELSE 0 END AS public_mark,
    CASE WHEN q.bypasses_lockout THEN 1 ELSE 0 END AS bypass_mark,
    CASE WHEN q.locks_out_owner THEN 1 ELSE 0 END AS lockout_mark,
    COALESCE(y.outside_count, 0) AS outside_count,
    y.first_outside,
    COALESCE(z.wild_count, 0) AS wild_count,
    z.first_wild
  FROM judged_keys AS j
  LEFT JOIN last_policies AS q ON q.policy_key = j.judged_key
  LEFT JOIN outsides AS y ON y.outside_id = q.event_id
  LEFT JOIN wilds AS z ON z.wild_id = q.event_id
), verdicts AS (
  SELECT
    v.judged_key, v.key_account_id, v.key_region, v.aliases, v.key_first, v.key_last, v.event_id, v.event_time, v.principal,
    v.source_ip, v.action, v.is_default, v.public_mark, v.bypass_mark, v.lockout_mark, v.outside_count, v.first_outside,
    v.wild_count, v.first_wild,
    CASE WHEN v.public_mark + v.bypass_mark + v.lockout_mark + v.outside_count > 0 THEN 'medium'
         WHEN v.wild_count > 0 THEN 'low' ELSE 'info' END AS severity
  FROM judged AS v
)
SELECT
  COALESCE(s.event_time, s.key_first) AS first_time,
  COALESCE(s.event_time, s.key_last) AS last_time,
  s.key_account_id AS account_id,
  s.key_region AS region,
  s.judged_key AS key_arn,
  s.principal,
  s.source_ip,
  CAST(CASE WHEN s.event_id IS NULL THEN 0 ELSE 1 END AS BIGINT) AS event_count,
  s.severity,
  CASE
    WHEN s.event_id IS NULL THEN 'No policy of key ' || s.judged_key || COALESCE(' (' || s.aliases || ')', '') || ' is in the evidence'
    ELSE 'The last policy of key ' || s.judged_key || COALESCE(' (' || s.aliases || ')', '') || ', set by '
      || COALESCE(s.principal, 'an unnamed principal') || ' with ' || s.action
      || CASE WHEN s.severity = 'info' THEN ', is for home accounts alone and gives nobody kms:* but the owner'
              ELSE CASE WHEN s.public_mark = 1 THEN ', is open to everybody' ELSE '' END
                || CASE WHEN s.outside_count > 0 THEN ', names ' || CAST(s.outside_count AS STRING) || ' outside accounts (first '
                          || s.first_outside || ')' ELSE '' END
                || CASE WHEN s.lockout_mark = 1 THEN ', locks out the owner' ELSE '' END
                || CASE WHEN s.bypass_mark = 1 THEN ', was set with the lockout check skipped' ELSE '' END
                || CASE WHEN s.wild_count > 0 THEN ', gives kms:* to ' || CAST(s.wild_count AS STRING) || ' users or roles (first '
                          || s.first_wild || ')' ELSE '' END END
  END || '.' AS summary,
  s.event_id AS event_ids,
  s.judged_key AS subject,
  CASE WHEN s.event_id IS NULL THEN 'unknown' WHEN s.severity = 'info' THEN 'pass' ELSE 'fail' END AS result,
  CASE WHEN s.event_id IS NOT NULL THEN s.public_mark END AS is_public,
  CASE WHEN s.event_id IS NOT NULL THEN s.outside_count END AS outside_account_count,
  CASE WHEN s.event_id IS NOT NULL THEN s.lockout_mark END AS locks_out_owner,
  CASE WHEN s.event_id IS NOT NULL THEN s.bypass_mark END AS bypassed_lockout_check,
  CASE WHEN s.event_id IS NOT NULL THEN s.wild_count END AS wildcard_holder_count
FROM verdicts AS s
ORDER BY subject
