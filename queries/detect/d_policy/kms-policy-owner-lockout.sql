-- title: Owner locked out of a key
-- severity: critical
-- attack: T1531, T1486
-- description: A key policy was set under which nobody in the owner's account may change the policy any more, or only
--   the session that set it, which ends. PutKeyPolicy cannot be called from another account, so the owner cannot repair
--   it: whoever the policy names holds the key. What was refused on the key afterwards, other than use and reading, is
--   counted.
-- false-positives: Designs that leave a key to a delegated administrator. A policy that still allows PutKeyPolicy to
--   somebody of the owner's account is left out, and so is a call that KMS refused.
-- blind-spots: A policy set before the evidence begins, or left out of the record. An allowed role that no longer
--   exists, and what IAM policies or service control policies deny, are not seen. A refusal that names the alias and
--   not the key is not counted.
-- reads: policies, failed_calls
WITH lockouts AS (
  SELECT
    p.key_arn,
    p.event_id,
    p.event_epoch
  FROM policies AS p
  WHERE p.locks_out_owner
), lifted_lockouts AS (
  SELECT
    l.event_id AS lifted_event_id,
    MIN(q.event_epoch) AS lifted_epoch,
    MIN(q.event_time) AS lifted_time
  FROM lockouts AS l
  JOIN policies AS q ON q.key_arn = l.key_arn
  WHERE q.event_epoch >= l.event_epoch
    AND q.event_id <> l.event_id
    AND NOT COALESCE(q.locks_out_owner, TRUE)
  GROUP BY l.event_id
), vain_attempts AS (
  SELECT
    k.event_id AS attempted_event_id,
    CAST(COUNT(*) AS BIGINT) AS attempt_count,
    MIN(f.event_time) AS first_attempt_time,
    MIN(f.principal) AS attempted_by
  FROM lockouts AS k
  JOIN failed_calls AS f ON f.key_arn = k.key_arn
  LEFT JOIN lifted_lockouts AS u ON u.lifted_event_id = k.event_id
  WHERE f.event_epoch >= k.event_epoch
    AND f.event_epoch < COALESCE(u.lifted_epoch, 9999999999)
    AND f.outcome = 'denied'
    AND f.action_class NOT IN ('crypto', 'read')
  GROUP BY k.event_id
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
  'critical' AS severity,
  COALESCE(v.principal, 'An unnamed principal') || ' set a policy with ' || v.action || ' on ' || v.key_arn
    || ' under which nobody in the owner''s account ' || v.key_account_id || ' may change the policy any more'
    || CASE WHEN v.bypasses_lockout THEN ', with the lockout safety check skipped' ELSE '' END
    || COALESCE('; other accounts it names: ' || v.external_accounts, '')
    || COALESCE('; refused attempts of administration since: ' || CAST(a.attempt_count AS STRING), '')
    || CASE WHEN t.lifted_epoch IS NULL THEN '; no later policy in the evidence lifts it.'
            ELSE '; a later policy lifted it after ' || CAST(t.lifted_epoch - v.event_epoch AS STRING) || ' seconds.'
       END AS summary,
  v.event_id AS event_ids,
  v.action,
  v.bypasses_lockout,
  v.external_accounts,
  v.principals_added,
  v.principals_removed,
  a.attempt_count AS refused_attempt_count,
  a.first_attempt_time AS first_refused_time,
  t.lifted_time,
  v.via
FROM policies AS v
LEFT JOIN lifted_lockouts AS t ON t.lifted_event_id = v.event_id
LEFT JOIN vain_attempts AS a ON a.attempted_event_id = v.event_id
WHERE v.locks_out_owner
ORDER BY first_time, event_ids
