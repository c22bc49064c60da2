-- title: Outside account let into a key policy
-- severity: high
-- attack: T1098, T1537
-- description: A key policy was set that allows something to an account that is not a home account and that the policy
--   before it did not name, as a principal or in a condition. A key policy alone is enough for such an account to use
--   the key from its own side. Medium when the evidence has no policy before it: the account may have been there all
--   along.
-- false-positives: Onboarding of a vendor, sharing with a partner. Accounts that the policy before named already are
--   left out, and so are Deny statements and AWS services. Name further accounts with --home-account.
-- blind-spots: Principals given as a unique id, and organizations let in by a condition, name no account. Of more than
--   ten new accounts only the first ten are looked at.
-- reads: policies, policy_entries
WITH candidates AS (
  SELECT
    p.event_id AS candidate_id,
    CASE WHEN p.has_baseline THEN p.accounts_added ELSE p.external_accounts END AS account_list
  FROM policies AS p
  SEMI JOIN home_accounts AS o ON o.account_id = p.key_account_id
), named_accounts AS (
  SELECT c1.candidate_id AS named_id, SPLIT_PART(c1.account_list, ',', 1) AS named_account FROM candidates AS c1
  UNION ALL
  SELECT c2.candidate_id AS named_id, SPLIT_PART(c2.account_list, ',', 2) AS named_account FROM candidates AS c2
  UNION ALL
  SELECT c3.candidate_id AS named_id, SPLIT_PART(c3.account_list, ',', 3) AS named_account FROM candidates AS c3
  UNION ALL
  SELECT c4.candidate_id AS named_id, SPLIT_PART(c4.account_list, ',', 4) AS named_account FROM candidates AS c4
  UNION ALL
  SELECT c5.candidate_id AS named_id, SPLIT_PART(c5.account_list, ',', 5) AS named_account FROM candidates AS c5
  UNION ALL
  SELECT c6.candidate_id AS named_id, SPLIT_PART(c6.account_list, ',', 6) AS named_account FROM candidates AS c6
  UNION ALL
  SELECT c7.candidate_id AS named_id, SPLIT_PART(c7.account_list, ',', 7) AS named_account FROM candidates AS c7
  UNION ALL
  SELECT c8.candidate_id AS named_id, SPLIT_PART(c8.account_list, ',', 8) AS named_account FROM candidates AS c8
  UNION ALL
  SELECT c9.candidate_id AS named_id, SPLIT_PART(c9.account_list, ',', 9) AS named_account FROM candidates AS c9
  UNION ALL
  SELECT c10.candidate_id AS named_id, SPLIT_PART(c10.account_list, ',', 10) AS named_account FROM candidates AS c10
), outside_accounts AS (
  SELECT n.named_id, n.named_account
  FROM named_accounts AS n
  ANTI JOIN home_accounts AS h ON h.account_id = n.named_account
  WHERE n.named_account <> ''
), outside_lists AS (
  SELECT
    l.named_id AS list_id,
    MIN(l.named_account) AS first_account,
    CAST(COUNT(*) AS BIGINT) AS outside_count,
    STRING_AGG(l.named_account, ',') AS outside_accounts
  FROM outside_accounts AS l
  GROUP BY l.named_id
), outside_entries AS (
  SELECT
    y.event_id AS entry_id,
    MIN(y.principal) AS first_principal,
    CAST(COUNT(DISTINCT y.principal) AS BIGINT) AS principal_count,
    MIN(y.action) AS first_action,
    CAST(COUNT(DISTINCT y.action) AS BIGINT) AS action_count
  FROM policy_entries AS y
  SEMI JOIN outside_accounts AS x ON x.named_id = y.event_id AND x.named_account = y.principal_account_id
  WHERE y.effect = 'Allow'
  GROUP BY y.event_id
)
SELECT
  v.event_time AS first_time,
  v.event_time AS last_time,
  v.account_id,
  v.region,
  v.key_arn,
  v.principal,
  v.source_ip,
  CAST(1 AS BIGINT) AS event_count,
  CASE WHEN v.has_baseline THEN 'high' ELSE 'medium' END AS severity,
  COALESCE(v.principal, 'An unnamed principal') || ' set a policy with ' || v.action || ' that lets the outside account '
    || s.first_account || CASE WHEN s.outside_count > 1 THEN ' (and further outside accounts: ' || CAST(s.outside_count - 1 AS STRING)
    || ')' ELSE '' END || ' use ' || v.key_arn
    || COALESCE('; principals: ' || CAST(e.principal_count AS STRING) || ', such as ' || e.first_principal || '; actions: '
      || CAST(e.action_count AS STRING) || ', such as ' || e.first_action, '; only a condition names it')
    || CASE WHEN v.has_baseline AND v.previous_event_id IS NULL THEN '; the key is new.'
            WHEN v.has_baseline THEN '; the policy before did not name it.'
            ELSE '; the baseline is unknown, because the policy before is not in the evidence.' END AS summary,
  v.event_id AS event_ids,
  v.action,
  s.outside_accounts,
  v.has_baseline,
  v.principals_added,
  v.principals_removed,
  v.pairs_added,
  v.pairs_removed,
  v.is_public,
  v.locks_out_owner,
  v.until_time,
  v.via,
  v.previous_event_id
FROM policies AS v
JOIN outside_lists AS s ON s.list_id = v.event_id
LEFT JOIN outside_entries AS e ON e.entry_id = v.event_id
ORDER BY first_time, event_ids
