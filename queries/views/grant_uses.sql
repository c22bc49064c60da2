-- title: Uses of grants
-- description: One row per grant with use that can be inferred. KMS never logs which grant a call used: a use is inferred
--   when the grantee successfully called a granted operation on the key while the grant lived, so a key policy may have
--   allowed the same call. The encryption-context constraint is not compared. Service grants are left out: their users
--   are services and are not matched.
-- reads: events, repeated_copies, grant_lives
-- column: grant_id: The grant.
-- column: first_use_time: First inferred use.
-- column: first_use_epoch: `first_use_time` in seconds.
-- column: last_use_time: Last inferred use.
-- column: last_use_epoch: `last_use_time` in seconds.
-- column: use_count: Inferred uses.
-- column: first_use_event_id: The event of the first inferred use.
WITH grant_matches AS (
  -- What a caller must be, to be the grantee: the role or user, one session of it, or anybody of the account. The key
  -- owner's copy of a foreign call may not tell the role, only the account; such a caller is taken for the grantee.
  SELECT
    m.grant_id AS matched_grant,
    m.key_arn AS match_key,
    m.grantee_principal AS match_text,
    m.created_epoch AS match_from,
    COALESCE(m.ended_epoch + 300, 9999999999) AS match_until,
    ',' || m.grant_operations || ',' AS match_operations
  FROM grant_lives AS m
  WHERE NOT m.is_service_grant
    AND m.grantee_principal NOT LIKE '%:root'
    AND m.grantee_principal LIKE 'arn:%'
  UNION ALL
  SELECT
    ma.grant_id AS matched_grant,
    ma.key_arn AS match_key,
    'unnamed:' || ma.grantee_account_id AS match_text,
    ma.created_epoch AS match_from,
    COALESCE(ma.ended_epoch + 300, 9999999999) AS match_until,
    ',' || ma.grant_operations || ',' AS match_operations
  FROM grant_lives AS ma
  WHERE NOT ma.is_service_grant
    AND ma.grantee_principal NOT LIKE '%:root'
    AND ma.grantee_principal LIKE 'arn:%'
    AND ma.grantee_account_id IS NOT NULL
  UNION ALL
  SELECT
    w.grant_id AS matched_grant,
    w.key_arn AS match_key,
    'account:' || w.grantee_account_id AS match_text,
    w.created_epoch AS match_from,
    COALESCE(w.ended_epoch + 300, 9999999999) AS match_until,
    ',' || w.grant_operations || ',' AS match_operations
  FROM grant_lives AS w
  WHERE NOT w.is_service_grant
    AND w.grantee_account_id IS NOT NULL
    AND (w.grantee_principal LIKE '%:root' OR w.grantee_principal NOT LIKE 'arn:%')
), named_callers AS (
  SELECT DISTINCT na.match_key AS named_key, na.match_text AS named_text
  FROM grant_matches AS na
  WHERE na.match_text LIKE 'arn:%'
), account_callers AS (
  SELECT DISTINCT aa.match_key AS account_key, SPLIT_PART(aa.match_text, ':', 2) AS account_text
  FROM grant_matches AS aa
  WHERE aa.match_text LIKE 'account:%'
), unnamed_callers AS (
  SELECT DISTINCT ua.match_key AS unnamed_key, SPLIT_PART(ua.match_text, ':', 2) AS unnamed_text
  FROM grant_matches AS ua
  WHERE ua.match_text LIKE 'unnamed:%'
), principal_uses AS (
  SELECT
    u.key_arn AS used_key,
    u.event_id AS use_event_id,
    u.event_time AS use_time,
    u.event_epoch AS use_epoch,
    ',' || CASE WHEN u.event_name = 'ReEncrypt' THEN 'ReEncryptFrom' ELSE u.event_name END || ',' AS use_operation,
    u.principal AS caller_text
  FROM events AS u
  SEMI JOIN named_callers AS n ON n.named_key = u.key_arn AND n.named_text = u.principal
  ANTI JOIN repeated_copies AS x ON x.repeated_id = u.event_id
  WHERE u.event_source = 'kms.amazonaws.com'
    AND u.action_class = 'crypto'
    AND u.outcome = 'ok'
    AND NOT COALESCE(u.is_dry_run, FALSE)
), session_uses AS (
  SELECT
    s.key_arn AS used_key,
    s.event_id AS use_event_id,
    s.event_time AS use_time,
    s.event_epoch AS use_epoch,
    ',' || CASE WHEN s.event_name = 'ReEncrypt' THEN 'ReEncryptFrom' ELSE s.event_name END || ',' AS use_operation,
    s.principal_arn AS caller_text
  FROM events AS s
  SEMI JOIN named_callers AS n ON n.named_key = s.key_arn AND n.named_text = s.principal_arn
  ANTI JOIN repeated_copies AS x ON x.repeated_id = s.event_id
  WHERE s.event_source = 'kms.amazonaws.com'
    AND s.action_class = 'crypto'
    AND s.outcome = 'ok'
    AND NOT COALESCE(s.is_dry_run, FALSE)
    AND s.principal_arn IS DISTINCT FROM s.principal
), account_uses AS (
  SELECT
    a.key_arn AS used_key,
    a.event_id AS use_event_id,
    a.event_time AS use_time,
    a.event_epoch AS use_epoch,
    ',' || CASE WHEN a.event_name = 'ReEncrypt' THEN 'ReEncryptFrom' ELSE a.event_name END || ',' AS use_operation,
    'account:' || a.principal_account_id AS caller_text
  FROM events AS a
  SEMI JOIN account_callers AS n ON n.account_key = a.key_arn AND n.account_text = a.principal_account_id
  ANTI JOIN repeated_copies AS x ON x.repeated_id = a.event_id
  WHERE a.event_source = 'kms.amazonaws.com'
    AND a.action_class = 'crypto'
    AND a.outcome = 'ok'
    AND NOT COALESCE(a.is_dry_run, FALSE)
), unnamed_uses AS (
  SELECT
    o.key_arn AS used_key,
    o.event_id AS use_event_id,
    o.event_time AS use_time,
    o.event_epoch AS use_epoch,
    ',' || CASE WHEN o.event_name = 'ReEncrypt' THEN 'ReEncryptFrom' ELSE o.event_name END || ',' AS use_operation,
    'unnamed:' || o.principal_account_id AS caller_text
  FROM events AS o
  SEMI JOIN unnamed_callers AS n ON n.unnamed_key = o.key_arn AND n.unnamed_text = o.principal_account_id
  ANTI JOIN repeated_copies AS x ON x.repeated_id = o.event_id
  WHERE o.event_source = 'kms.amazonaws.com'
    AND o.action_class = 'crypto'
    AND o.outcome = 'ok'
    AND NOT COALESCE(o.is_dry_run, FALSE)
    AND o.principal LIKE 'account:%'
), destination_calls AS (
  SELECT
    d.target_key_arn AS used_key,
    d.event_id AS use_event_id,
    d.event_time AS use_time,
    d.event_epoch AS use_epoch,
    ',ReEncryptTo,' AS use_operation,
    d.principal,
    d.principal_arn,
    d.principal_account_id
  FROM events AS d
  ANTI JOIN repeated_copies AS x ON x.repeated_id = d.event_id
  WHERE d.event_source = 'kms.amazonaws.com'
    AND d.event_name = 'ReEncrypt'
    AND d.outcome = 'ok'
    AND NOT COALESCE(d.is_dry_run, FALSE)
    AND d.target_key_arn IS NOT NULL
), caller_texts AS (
  SELECT ca.used_key, ca.use_event_id, ca.use_time, ca.use_epoch, ca.use_operation, ca.caller_text
  FROM principal_uses AS ca
  UNION ALL
  SELECT cb.used_key, cb.use_event_id, cb.use_time, cb.use_epoch, cb.use_operation, cb.caller_text
  FROM session_uses AS cb
  UNION ALL
  SELECT cc.used_key, cc.use_event_id, cc.use_time, cc.use_epoch, cc.use_operation, cc.caller_text
  FROM account_uses AS cc
  UNION ALL
  SELECT cd.used_key, cd.use_event_id, cd.use_time, cd.use_epoch, cd.use_operation, cd.caller_text
  FROM unnamed_uses AS cd
  UNION ALL
  SELECT da.used_key, da.use_event_id, da.use_time, da.use_epoch, da.use_operation, da.principal AS caller_text
  FROM destination_calls AS da
  WHERE da.principal IS NOT NULL
  UNION ALL
  SELECT db.used_key, db.use_event_id, db.use_time, db.use_epoch, db.use_operation, db.principal_arn AS caller_text
  FROM destination_calls AS db
  WHERE db.principal_arn IS DISTINCT FROM db.principal
  UNION ALL
  SELECT dc.used_key, dc.use_event_id, dc.use_time, dc.use_epoch, dc.use_operation,
         'account:' || dc.principal_account_id AS caller_text
  FROM destination_calls AS dc
  WHERE dc.principal_account_id IS NOT NULL
  UNION ALL
  SELECT dd.used_key, dd.use_event_id, dd.use_time, dd.use_epoch, dd.use_operation,
         'unnamed:' || dd.principal_account_id AS caller_text
  FROM destination_calls AS dd
  WHERE dd.principal LIKE 'account:%'
), matched_uses AS (
  SELECT
    q.matched_grant,
    s.use_event_id,
    s.use_time,
    s.use_epoch
  FROM grant_matches AS q
  JOIN caller_texts AS s ON s.used_key = q.match_key AND s.caller_text = q.match_text
  WHERE s.use_epoch >= q.match_from
    AND s.use_epoch <= q.match_until
    AND POSITION(s.use_operation IN q.match_operations) > 0
), use_totals AS (
  SELECT
    v.matched_grant AS used_grant,
    MIN(v.use_time) AS first_use_time,
    MIN(v.use_epoch) AS first_use_epoch,
    MAX(v.use_time) AS last_use_time,
    MAX(v.use_epoch) AS last_use_epoch,
    CAST(COUNT(*) AS BIGINT) AS use_count
  FROM matched_uses AS v
  GROUP BY v.matched_grant
), first_uses AS (
  -- Of several in the first second, the first by id.
  SELECT
    z.matched_grant AS first_grant,
    MIN(z.use_event_id) AS first_use_event_id
  FROM matched_uses AS z
  JOIN use_totals AS y ON y.used_grant = z.matched_grant AND y.first_use_epoch = z.use_epoch
  GROUP BY z.matched_grant
)
SELECT
  t.used_grant AS grant_id,
  t.first_use_time,
  t.first_use_epoch,
  t.last_use_time,
  t.last_use_epoch,
  t.use_count,
  f.first_use_event_id
FROM use_totals AS t
JOIN first_uses AS f ON f.first_grant = t.used_grant
ORDER BY grant_id
