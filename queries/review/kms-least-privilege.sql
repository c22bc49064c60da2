-- title: Rights on keys compared with their use
-- severity: low
-- description: For each user and role that a key policy or a grant names, whether it used what it may: opening data,
--   sealing data and signing, key by key. Rights that nobody uses only serve whoever steals the credential. Medium when
--   a policy gives kms:* without a condition to something smaller than the owner's account.
-- false-positives: Roles for restore and for emergencies, yearly jobs, administrators who hold kms:* on purpose. Rights
--   younger than min_unused_days are unknown. Left out: AWS services and their grants, the account's root, principals of
--   other accounts, keys that AWS manages and keys of others.
-- blind-spots: Evidence in logs only: absence is not proof. Rights from IAM policies, and key policies and grants older
--   than the evidence. A Deny is not weighed, and use through rights of another kind counts as use.
-- reads: admin_events, policy_entries, grants, keys, pair_operations
-- params: min_unused_days = 7
WITH judged_keys AS (
  SELECT k.key_arn AS judged_key
  FROM keys AS k
  WHERE k.is_home AND NOT k.is_aws_managed AND COALESCE(k.state, 'enabled') <> 'deleted'
), policy_sets AS (
  SELECT
    a.event_id AS set_id,
    a.event_time AS set_time,
    a.event_epoch AS set_epoch,
    CASE WHEN a.event_name = 'ReplicateKey' THEN a.target_key_arn ELSE a.key_arn END AS set_key
  FROM admin_events AS a
  WHERE a.is_ok
    AND a.event_source = 'kms.amazonaws.com'
    AND a.event_name IN ('PutKeyPolicy', 'CreateKey', 'ReplicateKey')
    AND a.policy IS NOT NULL
), numbered_sets AS (
  SELECT
    s.set_id, s.set_time, s.set_epoch, s.set_key,
    CAST(ROW_NUMBER() OVER (PARTITION BY s.set_key ORDER BY -s.set_epoch, s.set_id) AS BIGINT) AS back_no
  FROM policy_sets AS s
), last_sets AS (
  SELECT l.set_id, l.set_time, l.set_epoch, l.set_key
  FROM numbered_sets AS l
  SEMI JOIN judged_keys AS b ON b.judged_key = l.set_key
  WHERE l.back_no = 1
), policy_rights AS (
  SELECT
    e.principal AS holder,
    e.event_id AS right_id,
    CASE WHEN LOWER(e.action) IN ('kms:*', '*') AND NOT e.is_conditioned THEN 1 ELSE 0 END AS is_wild,
    CASE WHEN LOWER(e.action) IN ('kms:decrypt', 'kms:decrypt*', 'kms:reencryptfrom', 'kms:reencrypt*', 'kms:de*', 'kms:re*',
                                  'kms:decapsulate') THEN 1 ELSE 0 END AS may_open,
    CASE WHEN LOWER(e.action) IN ('kms:encrypt', 'kms:encrypt*', 'kms:en*', 'kms:reencryptto', 'kms:generate*', 'kms:encapsulate')
           OR LOWER(e.action) LIKE 'kms:generatedatakey%' THEN 1 ELSE 0 END AS may_seal,
    CASE WHEN LOWER(e.action) IN ('kms:sign', 'kms:verify', 'kms:verify*', 'kms:generatemac', 'kms:verifymac',
                                  'kms:derivesharedsecret') THEN 1 ELSE 0 END AS may_sign
  FROM policy_entries AS e
  WHERE e.effect = 'Allow'
    AND e.key_arn IS NOT NULL
    AND e.principal LIKE 'arn:%:iam::%'
    AND (e.principal LIKE '%:role/%' OR e.principal LIKE '%:user/%')
    AND e.principal NOT LIKE '%:role/aws-service-role/%'
    AND e.principal NOT LIKE '%*%'
), rights AS (
  SELECT
    r.holder, x.set_key AS right_key, r.right_id, x.set_time AS right_time, x.set_epoch AS right_epoch,
    r.is_wild, r.may_open, r.may_seal, r.may_sign
  FROM policy_rights AS r
  JOIN last_sets AS x ON x.set_id = r.right_id
  UNION ALL
  SELECT
    g.grantee_principal AS holder,
    g.key_arn AS right_key,
    g.create_event_id AS right_id,
    g.created_time AS right_time,
    g.created_epoch AS right_epoch,
    0 AS is_wild,
    CASE WHEN ',' || g.grant_operations || ',' LIKE '%,Decrypt,%' OR g.grant_operations LIKE '%ReEncryptFrom%' THEN 1 ELSE 0 END AS may_open,
    CASE WHEN ',' || g.grant_operations || ',' LIKE '%,Encrypt,%' OR g.grant_operations LIKE '%GenerateDataKey%'
           OR g.grant_operations LIKE '%ReEncryptTo%' THEN 1 ELSE 0 END AS may_seal,
    CASE WHEN g.grant_operations LIKE '%Sign%' OR g.grant_operations LIKE '%Verify%' OR g.grant_operations LIKE '%GenerateMac%'
           OR g.grant_operations LIKE '%DeriveSharedSecret%' THEN 1 ELSE 0 END AS may_sign
  FROM grants AS g
  SEMI JOIN judged_keys AS d ON d.judged_key = g.key_arn
  WHERE g.is_open
    AND g.created_epoch IS NOT NULL
    AND NOT COALESCE(g.is_service_grant, FALSE)
    AND (g.grantee_principal LIKE 'arn:%:iam::%:role/%' OR g.grantee_principal LIKE 'arn:%:iam::%:user/%')
    AND g.grantee_principal NOT LIKE '%:role/aws-service-role/%'
), home AS (
  SELECT h.account_id AS home_id FROM home_accounts AS h
), home_rights AS (
  SELECT
    i.holder, i.right_key, i.right_id, i.right_time, i.right_epoch, i.is_wild, i.may_open, i.may_seal, i.may_sign,
    SPLIT_PART(i.holder, ':', 5) AS holder_account_id
  FROM rights AS i
), holdings AS (
  SELECT
    j.holder,
    j.right_key,
    MIN(j.holder_account_id) AS holder_account_id,
    MIN(j.right_id) AS right_id,
    MIN(j.right_time) AS right_time,
    MAX(j.right_epoch) AS right_epoch,
    MAX(j.is_wild) AS is_wild,
    MAX(j.may_open) AS may_open,
    MAX(j.may_seal) AS may_seal,
    MAX(j.may_sign) AS may_sign
  FROM home_rights AS j
  SEMI JOIN home AS o ON o.home_id = j.holder_account_id
  GROUP BY j.holder, j.right_key
), uses AS (
  SELECT
    u.principal AS user_principal,
    u.key_arn AS used_key,
    CAST(SUM(u.call_count) AS BIGINT) AS use_count,
    MAX(CASE WHEN u.operation IN ('Decrypt', 'ReEncrypt', 'Decapsulate') THEN 1 ELSE 0 END) AS did_open,
    MAX(CASE WHEN u.operation IN ('Encrypt', 'ReEncryptTo', 'Encapsulate') OR u.operation LIKE 'GenerateDataKey%' THEN 1 ELSE 0 END) AS did_seal,
    MAX(CASE WHEN u.operation IN ('Sign', 'Verify', 'GenerateMac', 'VerifyMac', 'DeriveSharedSecret') THEN 1 ELSE 0 END) AS did_sign
  FROM pair_operations AS u
  WHERE u.principal IS NOT NULL
  GROUP BY u.principal, u.key_arn
), compared AS (
  SELECT
    c.holder, c.right_key, c.right_id, c.right_time, c.holder_account_id, c.is_wild,
    c.may_open + c.may_seal + c.may_sign AS right_count,
    CASE WHEN c.may_open = 1 AND COALESCE(v.did_open, 0) = 0 THEN 1 ELSE 0 END
      + CASE WHEN c.may_seal = 1 AND COALESCE(v.did_seal, 0) = 0 THEN 1 ELSE 0 END
      + CASE WHEN c.may_sign = 1 AND COALESCE(v.did_sign, 0) = 0 THEN 1 ELSE 0 END AS unused_count,
    CASE WHEN v.used_key IS NULL THEN 0 ELSE 1 END AS is_used,
    CASE WHEN w.last_epoch - c.right_epoch >= p.min_unused_days * 86400 THEN 1 ELSE 0 END AS is_settled
  FROM holdings AS c
  CROSS JOIN params AS p
  CROSS JOIN evidence AS w
  LEFT JOIN uses AS v ON v.user_principal = c.holder AND v.used_key = c.right_key
  WHERE c.is_wild + c.may_open + c.may_seal + c.may_sign > 0
), weighed AS (
  SELECT
    y.holder, y.right_key, y.right_id, y.right_time, y.holder_account_id, y.is_wild, y.right_count, y.unused_count, y.is_used,
    CASE WHEN y.is_wild = 1 OR (y.unused_count > 0 AND y.is_settled = 1) THEN 1 WHEN y.unused_count > 0 THEN 2 ELSE 3 END AS weight
  FROM compared AS y
), worst AS (
  SELECT
    q.holder AS worst_holder,
    MIN(q.weight) AS worst_weight,
    CAST(COUNT(*) AS BIGINT) AS key_count,
    CAST(SUM(q.is_used) AS BIGINT) AS used_key_count,
    CAST(SUM(q.is_wild) AS BIGINT) AS wild_key_count,
    CAST(SUM(q.right_count) AS BIGINT) AS right_count,
    CAST(SUM(q.unused_count) AS BIGINT) AS unused_count
  FROM weighed AS q
  GROUP BY q.holder
), decisive AS (
  SELECT
    z.holder, z.right_key, z.right_id, z.right_time, z.holder_account_id,
    t.worst_weight, t.key_count, t.used_key_count, t.wild_key_count, t.right_count, t.unused_count,
    CAST(ROW_NUMBER() OVER (PARTITION BY z.holder ORDER BY z.right_id, z.right_key) AS BIGINT) AS row_no
  FROM weighed AS z
  JOIN worst AS t ON t.worst_holder = z.holder AND t.worst_weight = z.weight
), judged AS (
  SELECT
    f.holder,
    MIN(f.holder_account_id) AS account_id,
    MIN(f.right_time) AS first_time,
    MAX(f.right_time) AS last_time,
    MIN(f.right_key) AS first_key,
    CASE WHEN MIN(f.right_key) = MAX(f.right_key) THEN MIN(f.right_key) END AS key_arn,
    CAST(COUNT(*) AS BIGINT) AS decisive_count,
    CAST(COUNT(DISTINCT f.right_id) AS BIGINT) AS event_count,
    MIN(f.worst_weight) AS weight,
    MIN(f.key_count) AS key_count,
    MIN(f.used_key_count) AS used_key_count,
    MIN(f.wild_key_count) AS wild_key_count,
    MIN(f.right_count) AS right_count,
    MIN(f.unused_count) AS unused_count,
    STRING_AGG(CASE WHEN f.row_no <= 1000 THEN f.right_id END, ',') AS event_ids
  FROM decisive AS f
  GROUP BY f.holder
)
SELECT
  n.first_time,
  n.last_time,
  n.account_id,
  SPLIT_PART(n.key_arn, ':', 4) AS region,
  n.key_arn,
  n.holder AS principal,
  CAST(NULL AS STRING) AS source_ip,
  n.event_count,
  CASE WHEN n.wild_key_count > 0 THEN 'medium' WHEN n.weight = 1 THEN 'low' ELSE 'info' END AS severity,
  n.holder || ' was given rights on ' || CAST(n.key_count AS STRING) || ' keys and used ' || CAST(n.used_key_count AS STRING)
    || ' of them; of ' || CAST(n.right_count AS STRING) || ' rights to open, seal or sign, ' || CAST(n.unused_count AS STRING)
    || ' were not used; kms:* without a condition on ' || CAST(n.wild_key_count AS STRING) || ' keys (decisive: '
    || n.first_key || ').' AS summary,
  n.event_ids,
  n.holder AS subject,
  CASE WHEN n.weight = 1 THEN 'fail' WHEN n.weight = 2 THEN 'unknown' ELSE 'pass' END AS result,
  n.key_count,
  n.used_key_count,
  n.wild_key_count,
  n.right_count,
  n.unused_count,
  n.decisive_count AS decisive_key_count
FROM judged AS n
ORDER BY subject
