-- title: Key policy opened for a while and put back
-- severity: high
-- attack: T1098, T1070
-- description: A key's policy was changed and within two days set back to the very text it had before, and in between
--   somebody opened data with the key whom only the policy in between let in. Whoever looks at the key afterwards finds
--   the policy in order.
-- false-positives: The rollback of a bad deployment, when its new role had begun to work. A change and its rollback in
--   which nobody new opened data are left out.
-- blind-spots: Who was let in by IAM, or by a policy that is put back with another text, is not told from the rest. A
--   caller who goes on after the policy was set back is not counted, because something else lets it in. A role named
--   by one of its sessions, or by a pattern, is not matched to its calls.
-- reads: policies, policy_entries, pairs
-- params: window_hours = 48, settle_seconds = 600
WITH entry_totals AS (
  SELECT
    y.event_id AS total_event_id,
    CAST(COUNT(*) AS BIGINT) AS entry_count,
    MAX(CASE WHEN y.effect = 'Allow'
              AND NOT y.is_conditioned
              AND LOWER(y.action) = 'kms:*'
              AND (y.principal LIKE '%:root' OR y.principal = y.principal_account_id) THEN y.principal_account_id END) AS root_account
  FROM policy_entries AS y
  WHERE y.key_arn IS NOT NULL
  GROUP BY y.event_id
), texts AS (
  -- The default policy has one text, whether KMS attached it or somebody wrote it out.
  SELECT
    p.key_arn, p.version_no, p.event_id, p.event_time, p.event_epoch, p.until_epoch, p.account_id, p.region, p.principal,
    p.source_ip,
    CASE WHEN p.is_default OR (t.entry_count = 1 AND t.root_account = p.key_account_id) THEN 'default' ELSE p.policy END AS policy_text
  FROM policies AS p
  LEFT JOIN entry_totals AS t ON t.total_event_id = p.event_id
  WHERE p.is_known
), returns AS (
  SELECT
    x.key_arn AS back_key, x.event_id AS back_id, x.event_time AS back_time, x.event_epoch AS back_epoch,
    x.version_no AS back_no, x.principal AS back_by,
    LAG(x.version_no) OVER (PARTITION BY x.key_arn, x.policy_text ORDER BY x.version_no) AS base_no,
    LAG(x.event_id) OVER (PARTITION BY x.key_arn, x.policy_text ORDER BY x.version_no) AS base_id,
    LAG(x.until_epoch) OVER (PARTITION BY x.key_arn, x.policy_text ORDER BY x.version_no) AS left_epoch
  FROM texts AS x
), flips AS (
  SELECT r.back_key, r.back_id, r.back_time, r.back_epoch, r.back_no, r.back_by, r.base_no, r.base_id, r.left_epoch
  FROM returns AS r
  CROSS JOIN params AS m
  WHERE r.back_no - r.base_no >= 2
    AND r.back_epoch - r.left_epoch <= m.window_hours * 3600
), versions_between AS (
  SELECT
    f.back_id AS flip_id, f.base_id AS flip_base_id, b.event_id AS between_id, b.event_time AS between_time, b.version_no,
    b.account_id, b.region, b.principal, b.source_ip, b.is_public
  FROM flips AS f
  JOIN policies AS b ON b.key_arn = f.back_key
  WHERE b.version_no > f.base_no
    AND b.version_no < f.back_no
), base_principals AS (
  SELECT DISTINCT v.flip_id AS based_flip, e.principal AS based_principal
  FROM versions_between AS v
  JOIN policy_entries AS e ON e.event_id = v.flip_base_id
  WHERE e.effect = 'Allow'
), base_openness AS (
  SELECT q.event_id AS open_base_id
  FROM policies AS q
  WHERE q.is_public
), let_in AS (
  SELECT DISTINCT w.flip_id AS in_flip, n.principal AS in_principal, n.principal_account_id AS in_account
  FROM versions_between AS w
  JOIN policy_entries AS n ON n.event_id = w.between_id
  LEFT JOIN base_principals AS g ON g.based_flip = w.flip_id AND g.based_principal = n.principal
  LEFT JOIN base_openness AS o ON o.open_base_id = w.flip_base_id
  WHERE n.effect = 'Allow'
    AND (g.based_flip IS NULL OR (n.principal = '*' AND w.is_public AND o.open_base_id IS NULL))
), openings AS (
  -- Data opened by those who began after the change and ended when it was taken back.
  SELECT
    c.back_id AS opened_flip, u.principal AS opener, u.principal_account_id AS opener_account, u.key_account_id AS owner_account,
    u.reveal_count, u.event_id AS opening_id
  FROM flips AS c
  JOIN pairs AS u ON u.key_arn = c.back_key
  CROSS JOIN params AS k
  WHERE u.reveal_count > 0
    AND u.first_epoch >= c.left_epoch
    AND u.first_epoch <= c.back_epoch + k.settle_seconds
    AND u.last_epoch <= c.back_epoch + k.settle_seconds
), matched_openings AS (
  SELECT DISTINCT h.opened_flip, h.opener, h.reveal_count, h.opening_id
  FROM openings AS h
  JOIN let_in AS i ON i.in_flip = h.opened_flip
  WHERE i.in_principal = h.opener
     OR i.in_principal = '*'
     OR (i.in_account = h.opener_account
       AND h.opener_account <> h.owner_account
       AND (i.in_principal LIKE '%:root' OR i.in_principal = i.in_account OR h.opener LIKE 'account:%'))
), opening_totals AS (
  SELECT
    j.opened_flip AS counted_flip,
    CAST(COUNT(*) AS BIGINT) AS opener_count,
    MIN(j.opener) AS first_opener,
    CAST(SUM(j.reveal_count) AS BIGINT) AS reveal_count
  FROM matched_openings AS j
  GROUP BY j.opened_flip
), proofs AS (
  SELECT a.flip_id AS proof_flip, a.between_id AS proof_id, 1 AS proof_order FROM versions_between AS a
  UNION
  SELECT d.back_id AS proof_flip, d.back_id AS proof_id, 0 AS proof_order FROM flips AS d
  UNION
  SELECT s.opened_flip AS proof_flip, s.opening_id AS proof_id, 2 AS proof_order FROM matched_openings AS s
), numbered_proofs AS (
  SELECT z.proof_flip, z.proof_id,
         CAST(ROW_NUMBER() OVER (PARTITION BY z.proof_flip ORDER BY z.proof_order, z.proof_id) AS BIGINT) AS proof_no
  FROM proofs AS z
), proof_lists AS (
  SELECT aa.proof_flip AS list_flip, STRING_AGG(aa.proof_id, ',') AS event_ids
  FROM numbered_proofs AS aa
  WHERE aa.proof_no <= 1000
  GROUP BY aa.proof_flip
), first_changes AS (
  SELECT
    bb.flip_id AS changed_flip, bb.between_time, bb.account_id, bb.region, bb.principal, bb.source_ip,
    CAST(ROW_NUMBER() OVER (PARTITION BY bb.flip_id ORDER BY bb.version_no) AS BIGINT) AS change_no,
    CAST(COUNT(*) OVER (PARTITION BY bb.flip_id) AS BIGINT) AS change_count
  FROM versions_between AS bb
)
SELECT
  cc.between_time AS first_time,
  dd.back_time AS last_time,
  cc.account_id,
  cc.region,
  dd.back_key AS key_arn,
  cc.principal,
  cc.source_ip,
  cc.change_count + 1 AS event_count,
  'high' AS severity,
  COALESCE(cc.principal, 'An unnamed principal') || ' changed the policy of ' || dd.back_key || ', and '
    || CASE WHEN dd.back_by = cc.principal THEN 'the same principal' ELSE COALESCE(dd.back_by, 'an unnamed principal') END
    || ' set it back to the former text after ' || CAST(dd.back_epoch - dd.left_epoch AS STRING)
    || ' seconds; in between data was opened with it by principals whom only that policy let in: '
    || CAST(ee.opener_count AS STRING) || ', such as ' || ee.first_opener || ' (calls: ' || CAST(ee.reveal_count AS STRING) || ').' AS summary,
  ff.event_ids,
  dd.back_by AS set_back_by,
  dd.back_epoch - dd.left_epoch AS open_seconds,
  ee.opener_count,
  ee.first_opener,
  ee.reveal_count
FROM flips AS dd
JOIN first_changes AS cc ON cc.changed_flip = dd.back_id
JOIN opening_totals AS ee ON ee.counted_flip = dd.back_id
JOIN proof_lists AS ff ON ff.list_flip = dd.back_id
WHERE cc.change_no = 1
ORDER BY first_time, key_arn, last_time
