-- title: Key policy open to everyone
-- severity: critical
-- attack: T1537, T1486
-- description: A key policy was set that allows everyone to use the key, with no condition that fences it. Anybody
--   with an AWS account can then call it. High when the open actions only encrypt or look; medium when a later policy
--   closed it within the hour.
-- false-positives: Statements for everyone that a condition fences (kms:CallerAccount, aws:PrincipalOrgID,
--   aws:SourceArn and the like) are not counted, nor are Deny statements. kms:ViaService alone does not fence.
-- blind-spots: A policy set before the evidence begins, and a CreateKey without a policy, which gets the default one.
--   Denied calls set nothing.
-- reads: events, repeated_copies, policy_entries
-- params: quick_fix_seconds = 3600
WITH set_policies AS (
  SELECT
    e.event_id,
    e.event_name,
    e.event_time,
    e.event_epoch,
    e.account_id,
    e.region,
    CASE WHEN e.event_name = 'ReplicateKey' THEN COALESCE(e.target_key_arn, e.key_arn) ELSE e.key_arn END AS policy_key,
    e.principal,
    e.source_ip,
    CASE WHEN e.policy_is_public THEN 1 ELSE 0 END AS is_public,
    CASE WHEN e.policy_bypasses_lockout THEN TRUE ELSE FALSE END AS bypasses_lockout
  FROM events AS e
  ANTI JOIN repeated_copies AS r ON r.repeated_id = e.event_id
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.event_name IN ('CreateKey', 'PutKeyPolicy', 'ReplicateKey')
    AND e.outcome = 'ok'
    AND NOT COALESCE(e.is_dry_run, FALSE)
    AND e.policy IS NOT NULL
), open_entries AS (
  SELECT
    y.event_id AS entry_event_id,
    y.action,
    LOWER(y.action) AS lower_action,
    LOWER(COALESCE(',' || y.condition_keys || ',', '')) AS lower_keys
  FROM policy_entries AS y
  WHERE y.effect = 'Allow'
    AND (y.principal = '*' OR y.principal LIKE '!%')
), unfenced_entries AS (
  SELECT o.entry_event_id, o.action, o.lower_action
  FROM open_entries AS o
  WHERE o.lower_keys NOT LIKE '%,kms:calleraccount,%'
    AND o.lower_keys NOT LIKE '%,aws:principalorgid,%'
    AND o.lower_keys NOT LIKE '%,aws:principalorgpaths,%'
    AND o.lower_keys NOT LIKE '%,aws:principalaccount,%'
    AND o.lower_keys NOT LIKE '%,aws:principalarn,%'
    AND o.lower_keys NOT LIKE '%,aws:sourceaccount,%'
    AND o.lower_keys NOT LIKE '%,aws:sourcearn,%'
    AND o.lower_keys NOT LIKE '%,aws:sourceorgid,%'
), open_actions AS (
  SELECT
    u.entry_event_id,
    MIN(u.action) AS first_action,
    CAST(COUNT(DISTINCT u.action) AS BIGINT) AS action_count,
    MAX(CASE WHEN u.lower_action IN ('kms:encrypt', 'kms:generatedatakeywithoutplaintext', 'kms:generatedatakeypairwithoutplaintext',
                                     'kms:reencryptto', 'kms:encapsulate', 'kms:verify', 'kms:verifymac', 'kms:getpublickey',
                                     'kms:describekey', 'kms:getkeypolicy', 'kms:getkeyrotationstatus', 'kms:listgrants',
                                     'kms:listkeypolicies', 'kms:listresourcetags', 'kms:listaliases', 'kms:listkeyrotations') THEN 0
             ELSE 1 END) AS is_dangerous
  FROM unfenced_entries AS u
  GROUP BY u.entry_event_id
), action_names AS (
  SELECT DISTINCT n.entry_event_id, n.action
  FROM unfenced_entries AS n
), action_lists AS (
  SELECT
    l.entry_event_id AS list_event_id,
    STRING_AGG(l.action, ',') AS open_to_everyone
  FROM action_names AS l
  GROUP BY l.entry_event_id
), closures AS (
  SELECT
    p.event_id AS closed_event_id,
    MIN(q.event_epoch) AS closed_epoch,
    MIN(q.event_time) AS closed_time
  FROM set_policies AS p
  JOIN set_policies AS q ON q.policy_key = p.policy_key
  WHERE p.is_public = 1
    AND q.is_public = 0
    AND q.event_epoch >= p.event_epoch
    AND q.event_name = 'PutKeyPolicy'
  GROUP BY p.event_id
)
SELECT
  a.event_time AS first_time,
  a.event_time AS last_time,
  a.account_id,
  a.region,
  a.policy_key AS key_arn,
  a.principal,
  a.source_ip,
  CAST(1 AS BIGINT) AS event_count,
  CASE
    WHEN c.closed_epoch - a.event_epoch <= m.quick_fix_seconds THEN 'medium'
    WHEN b.is_dangerous = 0 THEN 'high'
    ELSE 'critical'
  END AS severity,
  COALESCE(a.principal, 'An unnamed principal') || ' set a policy with ' || a.event_name || ' that opens '
    || COALESCE(a.policy_key, 'an unnamed key') || ' to everyone'
    || COALESCE(' (actions: ' || CAST(b.action_count AS STRING) || ', such as ' || b.first_action || ')', '')
    || CASE WHEN c.closed_epoch IS NULL THEN '; no later policy in the evidence closes it.'

            ELSE '; a later policy closed it after ' || CAST(c.closed_epoch - a.event_epoch AS STRING) || ' seconds.' END AS summary,
  a.event_id AS event_ids,
  a.event_name AS action,
  d.open_to_everyone,
  CASE WHEN b.is_dangerous = 0 THEN TRUE ELSE FALSE END AS only_encrypts,
  c.closed_time,
  a.bypasses_lockout
FROM set_policies AS a
CROSS JOIN params AS m
LEFT JOIN open_actions AS b ON b.entry_event_id = a.event_id
LEFT JOIN action_lists AS d ON d.list_event_id = a.event_id
LEFT JOIN closures AS c ON c.closed_event_id = a.event_id
WHERE a.is_public = 1
ORDER BY first_time, event_ids
