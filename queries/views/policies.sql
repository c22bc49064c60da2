-- title: Key policies
-- description: The history of every key's policy: one row per policy that was set, by CreateKey, PutKeyPolicy or
--   ReplicateKey (for the replica), with what it changed against the policy before it. A key made without a policy has
--   the default one, which allows the owner's account everything. Compared are the Allow statements as written, account
--   ids and the ARNs of their roots being the same; the values of conditions are not compared. Lists hold the first
--   twenty items, the counts count all.
-- reads: admin_events, policy_entries
-- column: key_arn: The key; for ReplicateKey the replica.
-- column: key_account_id: Its owner.
-- column: version_no: Number of the policy among those seen for the key, from 1.
-- column: event_id: The event that set it.
-- column: action: CreateKey, PutKeyPolicy or ReplicateKey.
-- column: event_time: When it was set.
-- column: event_epoch: `event_time` in seconds.
-- column: account_id: The account whose trail has the event.
-- column: region: The Region called.
-- column: principal: Who set it.
-- column: principal_arn: The caller's ARN as received.
-- column: via: The AWS service that made the call for the principal.
-- column: source_ip: Source address.
-- column: is_known: The record has the policy, or it is the default one.
-- column: is_default: The default policy, because the call had none.
-- column: is_public: An Allow for everyone that no condition fences.
-- column: external_accounts: Accounts other than the owner that an Allow names, sorted, comma-separated.
-- column: bypasses_lockout: The caller asked to skip the lockout safety check.
-- column: locks_out_owner: Nobody in the owner's account may change the policy any more.
-- column: policy: The policy, canonical JSON; NULL for the default one and when unknown.
-- column: until_epoch: When the next policy replaced it, in seconds; NULL while in force.
-- column: until_time: `until_epoch` as a time.
-- column: previous_event_id: The event that set the policy before; NULL when the evidence has none.
-- column: previous_epoch: When that was, in seconds.
-- column: has_baseline: What follows is known: this policy and the one before are, or the key is new.
-- column: principals_added: Principals that an Allow names now and named nowhere before; for a new key all.
-- column: principals_added_count: How many.
-- column: principals_removed: Principals that no Allow names any more.
-- column: principals_removed_count: How many.
-- column: pairs_added: Allowed pairs that are new, each as the principal, a blank and the action.
-- column: pairs_added_count: How many.
-- column: pairs_removed: Allowed pairs that are gone.
-- column: pairs_removed_count: How many.
-- column: accounts_added: Accounts other than the owner that are new, as principals or in a condition.
-- column: accounts_added_count: How many, of those in conditions the first ten.
-- column: conditions_dropped: Pairs that stayed, with fewer conditions than before.
-- column: conditions_dropped_count: How many.
-- column: denials_added_count: Denied pairs that are new.
-- column: denials_removed_count: Denied pairs that are gone.
WITH replicas AS (
  SELECT DISTINCT x.target_key_arn AS replica_key
  FROM admin_events AS x
  WHERE x.event_source = 'kms.amazonaws.com'
    AND x.event_name = 'ReplicateKey'
    AND x.is_ok
    AND x.target_key_arn IS NOT NULL
), made_policies AS (
  SELECT
    CASE WHEN e.event_name = 'ReplicateKey' THEN e.target_key_arn ELSE e.key_arn END AS key_arn,
    e.event_id, e.event_name AS action, e.event_time, e.event_epoch, e.account_id, e.region, e.principal, e.principal_arn,
    e.via, e.source_ip, e.policy_is_public, e.policy_external_accounts, e.policy_bypasses_lockout, e.policy_locks_out_owner,
    e.policy
  FROM admin_events AS e
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.event_name IN ('PutKeyPolicy', 'ReplicateKey')
    AND e.is_ok
  UNION ALL
  -- ReplicateKey is followed by a CreateKey in the replica's Region, which sets nothing of its own and may not show the
  -- policy: the first has it, and where only the second is in evidence, it is not taken for the default policy.
  SELECT
    c.key_arn,
    c.event_id, c.event_name AS action, c.event_time, c.event_epoch, c.account_id, c.region, c.principal, c.principal_arn,
    c.via, c.source_ip, c.policy_is_public, c.policy_external_accounts, c.policy_bypasses_lockout, c.policy_locks_out_owner,
    c.policy
  FROM admin_events AS c
  ANTI JOIN replicas AS r ON r.replica_key = c.key_arn
  WHERE c.event_source = 'kms.amazonaws.com'
    AND c.event_name = 'CreateKey'
    AND c.is_ok
    AND (c.policy IS NOT NULL OR COALESCE(c.response_elements, '') NOT LIKE '%"REPLICA"%')
), numbered AS (
  SELECT
    m.key_arn, SPLIT_PART(m.key_arn, ':', 5) AS key_account_id,
    'arn:' || SPLIT_PART(m.key_arn, ':', 2) || ':iam::' AS arn_prefix,
    m.event_id, m.action, m.event_time, m.event_epoch, m.account_id, m.region, m.principal, m.principal_arn, m.via,
    m.source_ip, m.policy_is_public, m.policy_external_accounts, m.policy_bypasses_lockout, m.policy_locks_out_owner, m.policy,
    CASE WHEN m.policy_is_public IS NULL THEN 0 ELSE 1 END AS known_mark,
    CASE WHEN m.action = 'PutKeyPolicy' THEN 1 ELSE 0 END AS step_order
  FROM made_policies AS m
  WHERE m.key_arn IS NOT NULL
), neighbours AS (
  SELECT
    n.key_arn, n.key_account_id, n.arn_prefix, n.event_id, n.action, n.event_time, n.event_epoch, n.account_id, n.region,
    n.principal, n.principal_arn, n.via, n.source_ip, n.policy_is_public, n.policy_external_accounts,
    n.policy_bypasses_lockout, n.policy_locks_out_owner, n.policy, n.known_mark, n.step_order,
    CAST(ROW_NUMBER() OVER (PARTITION BY n.key_arn ORDER BY n.event_epoch, n.step_order, n.event_id) AS BIGINT) AS version_no,
    LEAD(n.event_epoch) OVER (PARTITION BY n.key_arn ORDER BY n.event_epoch, n.step_order, n.event_id) AS until_epoch,
    LEAD(n.event_time) OVER (PARTITION BY n.key_arn ORDER BY n.event_epoch, n.step_order, n.event_id) AS until_time,
    LAG(n.event_id) OVER (PARTITION BY n.key_arn ORDER BY n.event_epoch, n.step_order, n.event_id) AS previous_event_id,
    LAG(n.event_epoch) OVER (PARTITION BY n.key_arn ORDER BY n.event_epoch, n.step_order, n.event_id) AS previous_epoch,
    LAG(n.known_mark) OVER (PARTITION BY n.key_arn ORDER BY n.event_epoch, n.step_order, n.event_id) AS previous_mark
  FROM numbered AS n
), versions AS (
  SELECT
    b.key_arn, b.key_account_id, b.arn_prefix, b.event_id, b.action, b.event_time, b.event_epoch, b.account_id, b.region,
    b.principal, b.principal_arn, b.via, b.source_ip, b.policy_is_public, b.policy_external_accounts,
    b.policy_bypasses_lockout, b.policy_locks_out_owner, b.policy, b.known_mark, b.version_no, b.until_epoch, b.until_time,
    b.previous_event_id, b.previous_epoch,
    CASE WHEN b.known_mark = 1 AND b.policy IS NULL THEN 1 ELSE 0 END AS default_mark,
    CASE WHEN b.known_mark = 1 AND (b.previous_mark = 1 OR b.step_order = 0) THEN 1 ELSE 0 END AS baseline_mark
  FROM neighbours AS b
), policy_rows AS (
  SELECT
    y.event_id AS row_event_id,
    y.effect,
    CASE WHEN y.principal = y.principal_account_id THEN v.arn_prefix || y.principal || ':root' ELSE y.principal END AS who,
    y.action AS what,
    y.principal_account_id AS who_account_id,
    COALESCE(y.condition_keys, '') AS condition_list,
    CASE WHEN NOT y.is_conditioned THEN CAST(0 AS BIGINT)
         ELSE CAST(LENGTH(COALESCE(y.condition_keys, '')) AS BIGINT)
           - CAST(LENGTH(REPLACE(COALESCE(y.condition_keys, ''), ',', '')) AS BIGINT) + 1 END AS condition_count
  FROM policy_entries AS y
  JOIN versions AS v ON v.event_id = y.event_id
  WHERE y.key_arn IS NOT NULL
  UNION ALL
  SELECT
    d.event_id AS row_event_id,
    'Allow' AS effect,
    d.arn_prefix || d.key_account_id || ':root' AS who,
    'kms:*' AS what,
    d.key_account_id AS who_account_id,
    '' AS condition_list,
    CAST(0 AS BIGINT) AS condition_count
  FROM versions AS d
  WHERE d.default_mark = 1
), things AS (
  -- What of a policy is compared: pairs, principals, accounts and denials.
  SELECT p.row_event_id AS thing_event_id, 'pair' AS kind, p.who || ' ' || p.what AS thing, MIN(p.condition_count) AS weight
  FROM policy_rows AS p
  WHERE p.effect = 'Allow'
  GROUP BY p.row_event_id, p.who, p.what
  UNION ALL
  SELECT DISTINCT w.row_event_id AS thing_event_id, 'principal' AS kind, w.who AS thing, CAST(0 AS BIGINT) AS weight
  FROM policy_rows AS w
  WHERE w.effect = 'Allow'
  UNION ALL
  SELECT DISTINCT f.row_event_id AS thing_event_id, 'denial' AS kind,
         f.who || ' ' || f.what || ' ' || f.condition_list AS thing, CAST(0 AS BIGINT) AS weight
  FROM policy_rows AS f
  WHERE f.effect = 'Deny'
  UNION ALL
  SELECT DISTINCT a.row_event_id AS thing_event_id, 'account' AS kind, a.who_account_id AS thing, CAST(0 AS BIGINT) AS weight
  FROM policy_rows AS a
  JOIN versions AS o ON o.event_id = a.row_event_id
  WHERE a.effect = 'Allow'
    AND a.who NOT LIKE '!%'
    AND a.who_account_id <> o.key_account_id
), listed_accounts AS (
  -- Accounts that only a condition names stand in the list alone.
  SELECT l1.event_id AS listed_event_id, SPLIT_PART(l1.policy_external_accounts, ',', 1) AS listed_account_id FROM versions AS l1
  UNION ALL
  SELECT l2.event_id AS listed_event_id, SPLIT_PART(l2.policy_external_accounts, ',', 2) AS listed_account_id FROM versions AS l2
  UNION ALL
  SELECT l3.event_id AS listed_event_id, SPLIT_PART(l3.policy_external_accounts, ',', 3) AS listed_account_id FROM versions AS l3
  UNION ALL
  SELECT l4.event_id AS listed_event_id, SPLIT_PART(l4.policy_external_accounts, ',', 4) AS listed_account_id FROM versions AS l4
  UNION ALL
  SELECT l5.event_id AS listed_event_id, SPLIT_PART(l5.policy_external_accounts, ',', 5) AS listed_account_id FROM versions AS l5
  UNION ALL
  SELECT l6.event_id AS listed_event_id, SPLIT_PART(l6.policy_external_accounts, ',', 6) AS listed_account_id FROM versions AS l6
  UNION ALL
  SELECT l7.event_id AS listed_event_id, SPLIT_PART(l7.policy_external_accounts, ',', 7) AS listed_account_id FROM versions AS l7
  UNION ALL
  SELECT l8.event_id AS listed_event_id, SPLIT_PART(l8.policy_external_accounts, ',', 8) AS listed_account_id FROM versions AS l8
  UNION ALL
  SELECT l9.event_id AS listed_event_id, SPLIT_PART(l9.policy_external_accounts, ',', 9) AS listed_account_id FROM versions AS l9
  UNION ALL
  SELECT l10.event_id AS listed_event_id, SPLIT_PART(l10.policy_external_accounts, ',', 10) AS listed_account_id FROM versions AS l10
), all_things AS (
  SELECT t.thing_event_id, t.kind, t.thing, t.weight
  FROM things AS t
  UNION
  SELECT g.listed_event_id AS thing_event_id, 'account' AS kind, g.listed_account_id AS thing, CAST(0 AS BIGINT) AS weight
  FROM listed_accounts AS g
  WHERE g.listed_account_id <> ''
), current_things AS (
  SELECT c.thing_event_id AS version_id, c.kind, c.thing, c.weight
  FROM all_things AS c
  JOIN versions AS vc ON vc.event_id = c.thing_event_id
  WHERE vc.baseline_mark = 1
), former_things AS (
  SELECT vf.event_id AS former_version_id, q.kind AS former_kind, q.thing AS former_thing, q.weight AS former_weight
  FROM all_things AS q
  JOIN versions AS vf ON vf.previous_event_id = q.thing_event_id
  WHERE vf.baseline_mark = 1
), changes AS (
  SELECT ca.version_id, ca.kind || '+' AS change, ca.thing
  FROM current_things AS ca
  LEFT JOIN former_things AS fa ON fa.former_version_id = ca.version_id
      AND fa.former_kind = ca.kind
      AND fa.former_thing = ca.thing
  WHERE fa.former_thing IS NULL
  UNION ALL
  SELECT fr.former_version_id AS version_id, fr.former_kind || '-' AS change, fr.former_thing AS thing
  FROM former_things AS fr
  LEFT JOIN current_things AS cr ON cr.version_id = fr.former_version_id
      AND cr.kind = fr.former_kind
      AND cr.thing = fr.former_thing
  WHERE cr.thing IS NULL
  UNION ALL
  SELECT cc.version_id, 'condition-' AS change, cc.thing
  FROM current_things AS cc
  JOIN former_things AS fc ON fc.former_version_id = cc.version_id
      AND fc.former_kind = cc.kind
      AND fc.former_thing = cc.thing
  WHERE cc.weight < fc.former_weight
), ranked_changes AS (
  SELECT
    h.version_id, h.change, h.thing,
    CAST(ROW_NUMBER() OVER (PARTITION BY h.version_id, h.change ORDER BY h.thing) AS BIGINT) AS change_no
  FROM changes AS h
), change_counts AS (
  SELECT
    k.version_id AS counted_id,
    CAST(COUNT(CASE WHEN k.change = 'principal+' THEN 1 END) AS BIGINT) AS principals_added_count,
    CAST(COUNT(CASE WHEN k.change = 'principal-' THEN 1 END) AS BIGINT) AS principals_removed_count,
    CAST(COUNT(CASE WHEN k.change = 'pair+' THEN 1 END) AS BIGINT) AS pairs_added_count,
    CAST(COUNT(CASE WHEN k.change = 'pair-' THEN 1 END) AS BIGINT) AS pairs_removed_count,
    CAST(COUNT(CASE WHEN k.change = 'account+' THEN 1 END) AS BIGINT) AS accounts_added_count,
    CAST(COUNT(CASE WHEN k.change = 'condition-' THEN 1 END) AS BIGINT) AS conditions_dropped_count,
    CAST(COUNT(CASE WHEN k.change = 'denial+' THEN 1 END) AS BIGINT) AS denials_added_count,
    CAST(COUNT(CASE WHEN k.change = 'denial-' THEN 1 END) AS BIGINT) AS denials_removed_count
  FROM changes AS k
  GROUP BY k.version_id
), change_lists AS (
  SELECT i.version_id AS list_id, i.change AS list_change, STRING_AGG(i.thing, ',') AS things
  FROM ranked_changes AS i
  WHERE i.change_no <= 20
  GROUP BY i.version_id, i.change
), principals_in AS (
  SELECT pi.list_id AS principals_in_id, pi.things AS principals_added FROM change_lists AS pi WHERE pi.list_change = 'principal+'
), principals_out AS (
  SELECT po.list_id AS principals_out_id, po.things AS principals_removed FROM change_lists AS po WHERE po.list_change = 'principal-'
), pairs_in AS (
  SELECT xi.list_id AS pairs_in_id, xi.things AS pairs_added FROM change_lists AS xi WHERE xi.list_change = 'pair+'
), pairs_out AS (
  SELECT xo.list_id AS pairs_out_id, xo.things AS pairs_removed FROM change_lists AS xo WHERE xo.list_change = 'pair-'
), accounts_in AS (
  SELECT ai.list_id AS accounts_in_id, ai.things AS accounts_added FROM change_lists AS ai WHERE ai.list_change = 'account+'
), conditions_out AS (
  SELECT co.list_id AS conditions_out_id, co.things AS conditions_dropped FROM change_lists AS co WHERE co.list_change = 'condition-'
)
SELECT
  z.key_arn,
  z.key_account_id,
  z.version_no,
  z.event_id,
  z.action,
  z.event_time,
  z.event_epoch,
  z.account_id,
  z.region,
  z.principal,
  z.principal_arn,
  z.via,
  z.source_ip,
  CASE WHEN z.known_mark = 1 THEN TRUE ELSE FALSE END AS is_known,
  CASE WHEN z.default_mark = 1 THEN TRUE ELSE FALSE END AS is_default,
  z.policy_is_public AS is_public,
  z.policy_external_accounts AS external_accounts,
  z.policy_bypasses_lockout AS bypasses_lockout,
  z.policy_locks_out_owner AS locks_out_owner,
  z.policy,
  z.until_epoch,
  z.until_time,
  z.previous_event_id,
  z.previous_epoch,
  CASE WHEN z.baseline_mark = 1 THEN TRUE ELSE FALSE END AS has_baseline,
  l1.principals_added,
  CASE WHEN z.baseline_mark = 1 THEN COALESCE(u.principals_added_count, 0) END AS principals_added_count,
  l2.principals_removed,
  CASE WHEN z.baseline_mark = 1 THEN COALESCE(u.principals_removed_count, 0) END AS principals_removed_count,
  l3.pairs_added,
  CASE WHEN z.baseline_mark = 1 THEN COALESCE(u.pairs_added_count, 0) END AS pairs_added_count,
  l4.pairs_removed,
  CASE WHEN z.baseline_mark = 1 THEN COALESCE(u.pairs_removed_count, 0) END AS pairs_removed_count,
  l5.accounts_added,
  CASE WHEN z.baseline_mark = 1 THEN COALESCE(u.accounts_added_count, 0) END AS accounts_added_count,
  l6.conditions_dropped,
  CASE WHEN z.baseline_mark = 1 THEN COALESCE(u.conditions_dropped_count, 0) END AS conditions_dropped_count,
  CASE WHEN z.baseline_mark = 1 THEN COALESCE(u.denials_added_count, 0) END AS denials_added_count,
  CASE WHEN z.baseline_mark = 1 THEN COALESCE(u.denials_removed_count, 0) END AS denials_removed_count
FROM versions AS z
LEFT JOIN change_counts AS u ON u.counted_id = z.event_id
LEFT JOIN principals_in AS l1 ON l1.principals_in_id = z.event_id
LEFT JOIN principals_out AS l2 ON l2.principals_out_id = z.event_id
LEFT JOIN pairs_in AS l3 ON l3.pairs_in_id = z.event_id
LEFT JOIN pairs_out AS l4 ON l4.pairs_out_id = z.event_id
LEFT JOIN accounts_in AS l5 ON l5.accounts_in_id = z.event_id
LEFT JOIN conditions_out AS l6 ON l6.conditions_out_id = z.event_id
ORDER BY event_epoch, event_id
