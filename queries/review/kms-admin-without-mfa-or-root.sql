-- title: Key administration by root, long-term keys or without MFA
-- severity: medium
-- attack: T1078.004
-- description: Whether keys are administered by people who proved themselves with MFA. The root user, a long-term access
--   key, and a person's session without MFA are credentials that one leaked secret gives away. High for root.
-- false-positives: Identity providers check MFA themselves, and CloudTrail then says false: sessions of IAM Identity
--   Center and sessions named by an e-mail address are unknown, and so are role sessions outside the console, which are
--   mostly machines. Left out: AWS services, acts that a service did for the principal, and principals of other accounts.
-- blind-spots: Evidence in logs only: absence is not proof. A person who assumes a role by a tool looks like a machine.
--   Whether root's password is guarded by MFA does not matter here: root should not administer keys.
-- reads: admin_events, principals
WITH judged_principals AS (
  SELECT p.principal AS judged_principal FROM principals AS p WHERE p.is_home AND NOT p.is_service
), admin_acts AS (
  SELECT
    a.principal AS admin, a.event_id, a.event_time, a.event_epoch, a.event_name, a.account_id, a.region, a.key_arn, a.source_ip,
    CASE
      WHEN a.principal_type = 'Root' THEN 'root'
      WHEN a.access_key_id LIKE 'AKIA%' THEN 'long-term access key'
      WHEN COALESCE(a.mfa, FALSE) THEN 'MFA'
      WHEN a.principal_type = 'IAMUser' THEN 'no MFA'
      WHEN a.principal_type = 'AssumedRole'
       AND a.principal NOT LIKE '%AWSReservedSSO%'
       AND COALESCE(a.session_name, '') NOT LIKE '%@%'
       AND (a.user_agent LIKE '%console.amazonaws.com%'
         OR a.user_agent LIKE '%signin.amazonaws.com%'
         OR a.user_agent LIKE 'Mozilla/%') THEN 'no MFA'
      ELSE 'unclear'
    END AS proof
  FROM admin_events AS a
  SEMI JOIN judged_principals AS b ON b.judged_principal = a.principal
  WHERE a.is_ok
    AND a.is_direct
    AND a.event_source = 'kms.amazonaws.com'
    AND a.action_class IN ('grant', 'lifecycle', 'policy', 'alias', 'tag', 'multi_region', 'key_store')
), weighed_acts AS (
  SELECT
    w.admin, w.event_id, w.event_time, w.event_epoch, w.event_name, w.account_id, w.region, w.key_arn, w.source_ip, w.proof,
    CASE WHEN w.proof IN ('root', 'long-term access key', 'no MFA') THEN 1 WHEN w.proof = 'unclear' THEN 2 ELSE 3 END AS weight
  FROM admin_acts AS w
), verdicts AS (
  SELECT v.admin AS verdict_admin, MIN(v.weight) AS worst FROM weighed_acts AS v GROUP BY v.admin
), decisive_acts AS (
  SELECT
    d.admin, d.event_id, d.event_time, d.event_name, d.account_id, d.region, d.key_arn, d.source_ip, d.proof, d.weight,
    CAST(ROW_NUMBER() OVER (PARTITION BY d.admin ORDER BY d.event_epoch, d.event_id) AS BIGINT) AS act_no
  FROM weighed_acts AS d
  JOIN verdicts AS t ON t.verdict_admin = d.admin AND t.worst = d.weight
), judged AS (
  SELECT
    j.admin,
    MIN(j.weight) AS worst,
    MIN(j.event_time) AS first_time,
    MAX(j.event_time) AS last_time,
    MIN(j.account_id) AS account_id,
    CASE WHEN MIN(j.region) = MAX(j.region) THEN MIN(j.region) END AS region,
    CASE WHEN MIN(j.key_arn) = MAX(j.key_arn) THEN MIN(j.key_arn) END AS key_arn,
    CASE WHEN MIN(j.source_ip) = MAX(j.source_ip) THEN MIN(j.source_ip) END AS source_ip,
    CAST(COUNT(*) AS BIGINT) AS event_count,
    CAST(COUNT(CASE WHEN j.proof = 'root' THEN 1 END) AS BIGINT) AS root_count,
    CAST(COUNT(CASE WHEN j.proof = 'long-term access key' THEN 1 END) AS BIGINT) AS long_term_count,
    CAST(COUNT(CASE WHEN j.proof = 'no MFA' THEN 1 END) AS BIGINT) AS no_mfa_count,
    CAST(COUNT(DISTINCT j.key_arn) AS BIGINT) AS key_count,
    MAX(CASE WHEN j.act_no = 1 THEN j.event_name END) AS first_act,
    STRING_AGG(CASE WHEN j.act_no <= 1000 THEN j.event_id END, ',') AS event_ids
  FROM decisive_acts AS j
  GROUP BY j.admin
)
SELECT
  s.first_time,
  s.last_time,
  s.account_id,
  s.region,
  s.key_arn,
  s.admin AS principal,
  s.source_ip,
  s.event_count,
  CASE WHEN s.root_count > 0 THEN 'high' WHEN s.worst = 1 THEN 'medium' ELSE 'info' END AS severity,
  s.admin || ' administered KMS '
    || CASE WHEN s.worst = 1 THEN 'as root in ' || CAST(s.root_count AS STRING) || ' acts, with a long-term access key in '
              || CAST(s.long_term_count AS STRING) || ' and in a session without MFA in ' || CAST(s.no_mfa_count AS STRING)
            WHEN s.worst = 2 THEN 'in ' || CAST(s.event_count AS STRING) || ' acts whose sessions do not tell of MFA, because a machine'
              || ' or an identity provider may be behind them'
            ELSE 'in ' || CAST(s.event_count AS STRING) || ' acts, all with MFA' END
    || ' (keys: ' || CAST(s.key_count AS STRING) || ', the first act: ' || COALESCE(s.first_act, 'unnamed') || ').' AS summary,
  s.event_ids,
  s.admin AS subject,
  CASE WHEN s.worst = 1 THEN 'fail' WHEN s.worst = 2 THEN 'unknown' ELSE 'pass' END AS result,
  s.root_count,
  s.long_term_count,
  s.no_mfa_count,
  s.key_count
FROM judged AS s
ORDER BY subject
