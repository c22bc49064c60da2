-- title: Regions of multi-Region keys
-- severity: medium
-- description: For each multi-Region key, whether its policy and its state are the same in every Region. All Regions hold
--   the same material, but KMS copies neither policies nor grants, so the weakest Region decides who can open the data.
--   Who uses the key in only some of its Regions is counted beside.
-- false-positives: Policies that name Regional roles or VPC endpoints on purpose. A Region that is being given up: keys
--   that are pending deletion or deleted are not compared. Left out: keys of others.
-- blind-spots: Evidence in logs only: absence is not proof. Regions whose policy was set before the evidence are unknown,
--   and so are Regions without an event. The order of statements is compared, their meaning is not.
-- reads: keys, policies, policy_entries, admin_events, pairs
WITH region_keys AS (
  SELECT
    k.key_arn, k.mrk_id, k.key_account_id, k.key_region, k.first_time, k.last_time,
    k.key_account_id || ' ' || k.mrk_id AS mrk_ref,
    CASE WHEN k.state = 'disabled' THEN 'disabled' ELSE 'enabled' END AS key_state
  FROM keys AS k
  WHERE k.is_home
    AND k.mrk_id IS NOT NULL
    AND COALESCE(k.state, 'enabled') NOT IN ('pending_deletion', 'deleted')
), policy_sizes AS (
  SELECT
    e.event_id AS sized_id,
    CAST(COUNT(*) AS BIGINT) AS entry_count,
    CAST(COUNT(CASE WHEN e.effect = 'Allow' AND LOWER(e.action) = 'kms:*' AND NOT e.is_conditioned
                     AND (e.principal LIKE 'arn:%:iam::%:root' OR e.principal = e.principal_account_id) THEN 1 END) AS BIGINT) AS root_count
  FROM policy_entries AS e
  WHERE e.key_arn IS NOT NULL
  GROUP BY e.event_id
), region_policies AS (
  SELECT
    p.key_arn AS policy_key,
    p.event_id AS policy_id,
    p.principal AS policy_by,
    CASE WHEN p.is_default OR (z.entry_count = 1 AND z.root_count = 1) THEN 'the default policy' ELSE p.policy END AS policy_text
  FROM policies AS p
  LEFT JOIN policy_sizes AS z ON z.sized_id = p.event_id
  WHERE p.until_epoch IS NULL
    AND p.is_known
), state_acts AS (
  SELECT
    a.key_arn AS disabled_key,
    a.event_id AS disable_id,
    CAST(ROW_NUMBER() OVER (PARTITION BY a.key_arn ORDER BY -a.event_epoch, a.event_id) AS BIGINT) AS back_no
  FROM admin_events AS a
  WHERE a.is_ok
    AND a.event_source = 'kms.amazonaws.com'
    AND a.event_name = 'DisableKey'
    AND a.mrk_id IS NOT NULL
), last_disables AS (
  SELECT d.disabled_key, d.disable_id FROM state_acts AS d WHERE d.back_no = 1
), regions AS (
  SELECT
    r.mrk_ref, r.mrk_id, r.key_account_id, r.key_arn, r.key_region, r.first_time, r.last_time, r.key_state,
    x.policy_id, x.policy_by, x.policy_text,
    CASE WHEN r.key_state = 'disabled' THEN y.disable_id END AS disable_id
  FROM region_keys AS r
  LEFT JOIN region_policies AS x ON x.policy_key = r.key_arn
  LEFT JOIN last_disables AS y ON y.disabled_key = r.key_arn
), totals AS (
  SELECT
    t.mrk_ref,
    MIN(t.mrk_id) AS mrk_id,
    MIN(t.key_account_id) AS account_id,
    MIN(t.first_time) AS first_time,
    MAX(t.last_time) AS last_time,
    CAST(COUNT(*) AS BIGINT) AS region_count,
    CAST(COUNT(t.policy_text) AS BIGINT) AS known_count,
    CAST(COUNT(DISTINCT t.policy_text) AS BIGINT) AS policy_count,
    CAST(COUNT(DISTINCT t.key_state) AS BIGINT) AS state_count,
    MIN(t.key_region) AS region_low,
    MAX(t.key_region) AS region_high,
    CASE WHEN MIN(t.policy_by) = MAX(t.policy_by) THEN MIN(t.policy_by) END AS principal
  FROM regions AS t
  GROUP BY t.mrk_ref
), proofs AS (
  SELECT b.mrk_ref AS proof_ref, b.policy_id AS proof_id FROM regions AS b WHERE b.policy_id IS NOT NULL
  UNION ALL
  SELECT c.mrk_ref AS proof_ref, c.disable_id AS proof_id FROM regions AS c WHERE c.disable_id IS NOT NULL
), proof_lists AS (
  SELECT f.proof_ref, CAST(COUNT(*) AS BIGINT) AS proof_count, STRING_AGG(f.proof_id, ',') AS event_ids
  FROM proofs AS f
  GROUP BY f.proof_ref
), user_regions AS (
  SELECT
    g.mrk_ref AS user_ref,
    h.principal AS region_user,
    CAST(COUNT(DISTINCT g.key_region) AS BIGINT) AS user_region_count
  FROM region_keys AS g
  JOIN pairs AS h ON h.key_arn = g.key_arn
  GROUP BY g.mrk_ref, h.principal
), users AS (
  SELECT
    i.user_ref,
    CAST(COUNT(*) AS BIGINT) AS user_count,
    CAST(COUNT(CASE WHEN i.user_region_count < j.region_count THEN 1 END) AS BIGINT) AS partial_user_count
  FROM user_regions AS i
  JOIN totals AS j ON j.mrk_ref = i.user_ref
  GROUP BY i.user_ref
), verdicts AS (
  SELECT
    v.mrk_ref, v.mrk_id, v.account_id, v.first_time, v.last_time, v.region_count, v.known_count, v.policy_count, v.state_count,
    v.region_low, v.region_high, v.principal,
    CASE WHEN v.policy_count > 1 OR v.state_count > 1 THEN 'fail'
         WHEN v.known_count < v.region_count OR v.region_count = 1 THEN 'unknown'
         ELSE 'pass' END AS result
  FROM totals AS v
)
SELECT
  s.first_time,
  s.last_time,
  s.account_id,
  CAST(NULL AS STRING) AS region,
  CAST(NULL AS STRING) AS key_arn,
  s.principal,
  CAST(NULL AS STRING) AS source_ip,
  COALESCE(w.proof_count, 0) AS event_count,
  CASE WHEN s.result = 'fail' THEN 'medium' ELSE 'info' END AS severity,
  'Multi-Region key ' || s.mrk_id || ' of account ' || s.account_id || ' was seen in ' || CAST(s.region_count AS STRING)
    || ' Regions (' || s.region_low || ' to ' || s.region_high || '): policies known: ' || CAST(s.known_count AS STRING)
    || ', different policies: ' || CAST(s.policy_count AS STRING)
    || CASE WHEN s.state_count > 1 THEN ', disabled in some and enabled in others' ELSE ', state the same' END
    || '; principals that used it in only some of them: ' || CAST(COALESCE(u.partial_user_count, 0) AS STRING) || '.' AS summary,
  w.event_ids,
  s.account_id || ':key/' || s.mrk_id AS subject,
  s.result,
  s.region_count,
  s.known_count AS known_policy_count,
  s.policy_count,
  s.state_count,
  COALESCE(u.user_count, 0) AS user_count,
  COALESCE(u.partial_user_count, 0) AS partial_user_count
FROM verdicts AS s
LEFT JOIN proof_lists AS w ON w.proof_ref = s.mrk_ref
LEFT JOIN users AS u ON u.user_ref = s.mrk_ref
ORDER BY subject
