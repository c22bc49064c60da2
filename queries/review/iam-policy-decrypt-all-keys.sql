-- title: IAM policies that decrypt with all keys
-- severity: medium
-- attack: T1098.003
-- controls: FSBP KMS.1, FSBP KMS.2, PCI DSS 4.0 3.5.1, PCI DSS 4.0 3.7.2
-- description: Whether the IAM policies that were written or attached allow Decrypt or ReEncryptFrom on every key,
--   without a condition. Each key whose policy trusts IAM is then open to whoever holds the policy. Of the managed
--   policies of AWS, AdministratorAccess and PowerUserAccess are known to allow it.
-- false-positives: Administrators, break-glass roles. Left out: policies that name keys or have a condition, policies
--   whose own Deny takes it back, and policies that do not reach KMS at all.
-- blind-spots: Evidence in logs only: absence is not proof. Policies that are older than the evidence, versions made the
--   default later by SetDefaultPolicyVersion, permission boundaries, and what an own managed policy is attached to.
-- reads: admin_events, policy_entries
WITH policy_acts AS (
  SELECT
    a.event_id, a.event_time, a.event_epoch, a.event_name, a.account_id, a.region, a.principal, a.source_ip,
    -- The text is as received: some exports put a blank behind each colon.
    LOWER(REPLACE(COALESCE(a.request_parameters, ''), '": ', '":')) AS request_text,
    REPLACE(COALESCE(a.request_parameters, ''), '": ', '":') AS request
  FROM admin_events AS a
  WHERE a.is_ok
    AND a.event_source = 'iam.amazonaws.com'
    AND a.event_name IN ('PutUserPolicy', 'PutRolePolicy', 'PutGroupPolicy', 'CreatePolicy', 'CreatePolicyVersion',
                         'AttachUserPolicy', 'AttachRolePolicy', 'AttachGroupPolicy', 'DeleteUserPolicy', 'DeleteRolePolicy',
                         'DeleteGroupPolicy', 'DeletePolicy', 'DetachUserPolicy', 'DetachRolePolicy', 'DetachGroupPolicy')
), home AS (
  SELECT h.account_id AS home_id FROM home_accounts AS h
), named_acts AS (
  SELECT
    n.event_id, n.event_time, n.event_epoch, n.event_name, n.account_id, n.region, n.principal, n.source_ip, n.request_text,
    CASE
      WHEN n.event_name LIKE '%UserPolicy' THEN 'user/' || SPLIT_PART(SPLIT_PART(n.request, '"userName":"', 2), '"', 1)
      WHEN n.event_name LIKE '%RolePolicy' THEN 'role/' || SPLIT_PART(SPLIT_PART(n.request, '"roleName":"', 2), '"', 1)
      WHEN n.event_name LIKE '%GroupPolicy' THEN 'group/' || SPLIT_PART(SPLIT_PART(n.request, '"groupName":"', 2), '"', 1)
      ELSE 'policy'
    END AS holder,
    CASE
      WHEN POSITION('"policyArn":"' IN n.request) > 0 THEN SPLIT_PART(SPLIT_PART(n.request, '"policyArn":"', 2), '"', 1)
      WHEN n.event_name = 'CreatePolicy' THEN 'arn:aws:iam::' || n.account_id || ':policy'
        || COALESCE(NULLIF(SPLIT_PART(SPLIT_PART(n.request, '"path":"', 2), '"', 1), ''), '/')
        || SPLIT_PART(SPLIT_PART(n.request, '"policyName":"', 2), '"', 1)
      ELSE SPLIT_PART(SPLIT_PART(n.request, '"policyName":"', 2), '"', 1)
    END AS policy_name,
    CASE WHEN n.event_name LIKE 'De%' THEN 1 ELSE 0 END AS is_end,
    CASE WHEN n.event_name LIKE 'Attach%' OR n.event_name LIKE 'Detach%' THEN 1 ELSE 0 END AS is_attachment
  FROM policy_acts AS n
  SEMI JOIN home AS o ON o.home_id = n.account_id
), kms_rows AS (
  SELECT
    e.event_id AS row_id,
    e.effect,
    e.action,
    CASE WHEN LOWER(e.action) IN ('*', 'kms:*', 'kms:decrypt', 'kms:reencryptfrom') THEN 1
         WHEN e.action LIKE '%*'
          AND LOWER(e.action) LIKE 'kms:_%'
          AND (POSITION(REPLACE(LOWER(e.action), '*', '') IN 'kms:decrypt') = 1
            OR POSITION(REPLACE(LOWER(e.action), '*', '') IN 'kms:reencryptfrom') = 1) THEN 1
         ELSE 0 END AS is_decrypt,
    CASE WHEN e.action LIKE '!%' THEN 1 ELSE 0 END AS is_all_but,
    CASE WHEN LOWER(e.action) LIKE '!kms:%' THEN 1 ELSE 0 END AS is_kms_excepted,
    CASE WHEN e.resource = '*' OR e.resource LIKE '!%' OR e.resource LIKE 'arn:%:kms:%:key/*' OR e.resource LIKE 'arn:%:kms:%:*'
         THEN 1 ELSE 0 END AS is_every_key,
    CASE WHEN e.is_conditioned THEN 1 ELSE 0 END AS is_fenced
  FROM policy_entries AS e
  WHERE e.key_arn IS NULL
), written AS (
  SELECT
    k.row_id,
    CAST(COUNT(CASE WHEN k.effect = 'Allow' AND k.is_decrypt = 1 AND k.is_every_key = 1 AND k.is_fenced = 0 THEN 1 END) AS BIGINT) AS wide_count,
    CAST(COUNT(CASE WHEN k.effect = 'Allow' AND k.is_all_but = 1 AND k.is_every_key = 1 AND k.is_fenced = 0 THEN 1 END) AS BIGINT) AS all_but_count,
    CAST(COUNT(CASE WHEN k.is_kms_excepted = 1 THEN 1 END) AS BIGINT) AS excepted_count,
    CAST(COUNT(CASE WHEN k.effect = 'Deny' AND k.is_decrypt = 1 AND k.is_every_key = 1 AND k.is_fenced = 0 THEN 1 END) AS BIGINT) AS denied_count,
    MIN(CASE WHEN k.effect = 'Allow' AND (k.is_decrypt = 1 OR k.is_all_but = 1) AND k.is_every_key = 1 AND k.is_fenced = 0
             THEN k.action END) AS wide_action
  FROM kms_rows AS k
  GROUP BY k.row_id
), steps AS (
  SELECT
    s.event_id, s.event_time, s.event_epoch, s.event_name, s.account_id, s.region, s.principal, s.source_ip, s.is_end,
    s.account_id || ':' || CASE WHEN s.holder = 'policy' THEN SPLIT_PART(s.policy_name, ':', 6)
                                ELSE s.holder || ':' || s.policy_name END AS subject,
    w.wide_action,
    CASE
      WHEN s.is_end = 1 THEN 'removed'
      WHEN s.is_attachment = 1 AND (s.policy_name LIKE '%:iam::aws:policy/AdministratorAccess'
                                 OR s.policy_name LIKE '%:iam::aws:policy/PowerUserAccess') THEN 'wide'
      WHEN s.is_attachment = 1 OR w.row_id IS NULL THEN 'beside'
      WHEN w.denied_count > 0 THEN 'narrow'
      WHEN w.wide_count > 0 THEN 'wide'
      WHEN w.all_but_count > 0 AND w.excepted_count = 0 AND POSITION('kms:*' IN s.request_text) = 0 THEN 'wide'
      ELSE 'narrow'
    END AS reach
  FROM named_acts AS s
  LEFT JOIN written AS w ON w.row_id = s.event_id
  WHERE s.event_name <> 'CreatePolicyVersion'
     OR POSITION('"setasdefault":true' IN s.request_text) > 0
), numbered_steps AS (
  SELECT
    t.subject, t.event_id, t.event_time, t.event_name, t.account_id, t.region, t.principal, t.source_ip, t.reach, t.wide_action,
    CAST(ROW_NUMBER() OVER (PARTITION BY t.subject ORDER BY t.event_epoch, t.event_id) AS BIGINT) AS step_no,
    CAST(COUNT(*) OVER (PARTITION BY t.subject) AS BIGINT) AS step_count,
    MAX(CASE WHEN t.reach IN ('wide', 'narrow') THEN 1 ELSE 0 END) OVER (PARTITION BY t.subject) AS is_about_kms
  FROM steps AS t
)
SELECT
  z.event_time AS first_time,
  z.event_time AS last_time,
  z.account_id,
  z.region,
  CAST(NULL AS STRING) AS key_arn,
  z.principal,
  z.source_ip,
  CAST(1 AS BIGINT) AS event_count,
  CASE WHEN z.reach = 'wide' THEN 'medium' ELSE 'info' END AS severity,
  COALESCE(z.principal, 'An unnamed principal')
    || CASE z.reach
         WHEN 'wide' THEN ' let ' || z.subject || ' decrypt with every key, without a condition, by ' || z.event_name
           || COALESCE(' of ' || z.wide_action, '')
         WHEN 'removed' THEN ' removed ' || z.subject || ' by ' || z.event_name
         ELSE ' wrote ' || z.subject || ' by ' || z.event_name || ', which reaches KMS but does not decrypt with every key'
       END || '.' AS summary,
  z.event_id AS event_ids,
  z.subject,
  CASE WHEN z.reach = 'wide' THEN 'fail' ELSE 'pass' END AS result,
  z.event_name AS last_change,
  z.wide_action,
  z.step_count AS change_count
FROM numbered_steps AS z
WHERE z.step_no = z.step_count
  AND z.is_about_kms = 1
ORDER BY subject
