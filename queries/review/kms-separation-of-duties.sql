-- title: Administration and use of keys by one principal
-- severity: medium
-- attack: T1078.004
-- controls: PCI DSS 4.0 3.6, PCI DSS 4.0 3.7, SOC 2, NIST AC-5
-- description: Whether who administers a key (policy, deletion, disabling, grants, imported material) also gets
--   plaintext from it. One principal that does both can open the data and take away the proof or the key, and nobody
--   else has to agree.
-- false-positives: Small teams; pipelines that make a key and encrypt their first secret with it; repairs in an
--   incident. Left out: AWS services, acts that a service did for the principal, principals of other accounts, keys
--   that AWS manages and keys of others.
-- blind-spots: Evidence in logs only: absence is not proof. Two roles that one person may assume count as two, and what
--   a principal may do but did not is not seen.
-- reads: admin_events, pair_operations, keys, principals
WITH judged_keys AS (
  SELECT k.key_arn AS judged_key FROM keys AS k WHERE k.is_home AND NOT k.is_aws_managed
), judged_principals AS (
  SELECT p.principal AS judged_principal FROM principals AS p WHERE p.is_home AND NOT p.is_service
), admin_acts AS (
  SELECT a.principal AS admin, a.key_arn, a.event_id, a.event_time, a.event_epoch, a.event_name, a.account_id, a.region
  FROM admin_events AS a
  SEMI JOIN judged_keys AS b ON b.judged_key = a.key_arn
  SEMI JOIN judged_principals AS c ON c.judged_principal = a.principal
  WHERE a.is_ok
    AND a.is_direct
    AND a.event_name IN ('PutKeyPolicy', 'ScheduleKeyDeletion', 'DisableKey', 'CreateGrant', 'ImportKeyMaterial',
                         'DeleteImportedKeyMaterial')
), reveals AS (
  SELECT
    u.principal AS reader,
    u.key_arn AS read_key,
    CAST(SUM(u.call_count) AS BIGINT) AS reveal_count,
    MIN(u.first_time) AS reveal_first,
    MAX(u.last_time) AS reveal_last,
    MIN(u.event_id) AS reveal_id
  FROM pair_operations AS u
  WHERE u.is_reveal
  GROUP BY u.principal, u.key_arn
), weighed_acts AS (
  SELECT
    d.admin, d.key_arn, d.event_id, d.event_time, d.event_epoch, d.event_name, d.account_id, d.region,
    v.read_key,
    CASE WHEN v.read_key IS NULL THEN 1 ELSE 0 END AS is_separate
  FROM admin_acts AS d
  LEFT JOIN reveals AS v ON v.reader = d.admin AND v.read_key = d.key_arn
), marked_acts AS (
  SELECT
    o.admin, o.key_arn, o.event_id, o.event_time, o.event_name, o.account_id, o.region, o.read_key,
    CAST(ROW_NUMBER() OVER (PARTITION BY o.admin ORDER BY o.is_separate, o.event_epoch, o.event_id) AS BIGINT) AS act_no
  FROM weighed_acts AS o
), admins AS (
  SELECT
    m.admin,
    MIN(m.event_time) AS act_first,
    MAX(m.event_time) AS act_last,
    MIN(m.account_id) AS account_id,
    CASE WHEN MIN(m.region) = MAX(m.region) THEN MIN(m.region) END AS region,
    CAST(COUNT(*) AS BIGINT) AS act_count,
    CAST(COUNT(CASE WHEN m.read_key IS NOT NULL THEN 1 END) AS BIGINT) AS clash_count,
    CAST(COUNT(DISTINCT m.key_arn) AS BIGINT) AS admin_key_count,
    CAST(COUNT(DISTINCT m.read_key) AS BIGINT) AS both_key_count,
    MIN(m.key_arn) AS first_admin_key,
    MIN(m.read_key) AS first_both_key
  FROM marked_acts AS m
  GROUP BY m.admin
), both_pairs AS (
  SELECT DISTINCT t.admin AS pair_admin, t.read_key AS pair_key FROM marked_acts AS t WHERE t.read_key IS NOT NULL
), used_pairs AS (
  SELECT
    q.pair_admin,
    CAST(SUM(w.reveal_count) AS BIGINT) AS reveal_count,
    MIN(w.reveal_first) AS reveal_first,
    MAX(w.reveal_last) AS reveal_last
  FROM both_pairs AS q
  JOIN reveals AS w ON w.reader = q.pair_admin AND w.read_key = q.pair_key
  GROUP BY q.pair_admin
), proofs AS (
  SELECT n.admin AS proof_admin, n.event_id AS proof_id
  FROM marked_acts AS n
  WHERE n.act_no <= 500
  UNION ALL
  SELECT y.pair_admin AS proof_admin, z.reveal_id AS proof_id
  FROM both_pairs AS y
  JOIN reveals AS z ON z.reader = y.pair_admin AND z.read_key = y.pair_key
), numbered_proofs AS (
  SELECT f.proof_admin, f.proof_id,
         CAST(ROW_NUMBER() OVER (PARTITION BY f.proof_admin ORDER BY f.proof_id) AS BIGINT) AS proof_no
  FROM proofs AS f
), proof_lists AS (
  SELECT g.proof_admin AS list_admin, STRING_AGG(g.proof_id, ',') AS event_ids
  FROM numbered_proofs AS g
  WHERE g.proof_no <= 1000
  GROUP BY g.proof_admin
)
SELECT
  LEAST(s.act_first, COALESCE(x.reveal_first, s.act_first)) AS first_time,
  GREATEST(s.act_last, COALESCE(x.reveal_last, s.act_last)) AS last_time,
  s.account_id,
  s.region,
  CASE WHEN s.both_key_count = 1 THEN s.first_both_key WHEN s.admin_key_count = 1 THEN s.first_admin_key END AS key_arn,
  s.admin AS principal,
  CAST(NULL AS STRING) AS source_ip,
  s.act_count + COALESCE(x.reveal_count, 0) AS event_count,
  CASE WHEN s.both_key_count > 0 THEN 'medium' ELSE 'info' END AS severity,
  s.admin || ' administered ' || CAST(s.admin_key_count AS STRING) || ' keys (acts: ' || CAST(s.act_count AS STRING)
    || CASE WHEN s.both_key_count > 0
            THEN ') and got plaintext from ' || CAST(s.both_key_count AS STRING) || ' of them (calls: '
              || CAST(x.reveal_count AS STRING) || '), among them ' || s.first_both_key || '.'
            ELSE ') and got no plaintext from any of them.' END AS summary,
  l.event_ids,
  s.admin AS subject,
  CASE WHEN s.both_key_count > 0 THEN 'fail' ELSE 'pass' END AS result,
  s.admin_key_count,
  s.both_key_count,
  s.clash_count AS admin_acts_on_both,
  COALESCE(x.reveal_count, 0) AS reveal_count
FROM admins AS s
JOIN proof_lists AS l ON l.list_admin = s.admin
LEFT JOIN used_pairs AS x ON x.pair_admin = s.admin
ORDER BY subject
