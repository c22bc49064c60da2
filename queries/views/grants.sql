-- title: Grant ledger
-- description: One row per grant that the evidence names: who made it for whom, what it allows, when and how it
--   ended, and what use of it can be inferred. KMS never logs which grant a call used: a use is inferred when the
--   grantee successfully called a granted operation on the key while the grant lived, so a key policy may have
--   allowed the same call. The encryption-context constraint is not compared.
-- reads: events, repeated_copies
-- column: grant_id: KMS grant id; the CreateGrant's event id when the response has none.
-- column: key_arn: The key.
-- column: key_account_id: The key's owner.
-- column: created_time: First CreateGrant that returned this grant; NULL when the grant is older than the evidence.
-- column: created_epoch: `created_time` in seconds.
-- column: create_event_id: That CreateGrant's event id.
-- column: create_count: CreateGrant calls that returned this grant; a retry under the same name returns the same one.
-- column: account_id: The account whose trail has the CreateGrant.
-- column: region: The Region of the CreateGrant.
-- column: creator: The principal of CreateGrant.
-- column: creator_account_id: The creator's account.
-- column: creator_via: The AWS service that made the call for the creator.
-- column: creator_source_ip: The creator's address.
-- column: grantee_principal: Whom the grant allows, as received.
-- column: grantee_account_id: The grantee's account.
-- column: is_grantee_home: The grantee's account is one of the home accounts; NULL when the grantee names no account.
-- column: retiring_principal: Who may retire the grant.
-- column: grant_operations: Granted operations, sorted, comma-separated.
-- column: grant_constraint: Constraint as JSON; NULL when there is none.
-- column: is_service_grant: The grantee is an AWS service or EC2's infrastructure role; NULL when the grant is older
--   than the evidence.
-- column: ended_time: First RetireGrant or RevokeGrant, or the key's deletion.
-- column: ended_epoch: `ended_time` in seconds.
-- column: ended_how: RetireGrant, RevokeGrant or DeleteKey; NULL while open.
-- column: ended_by: The principal that ended it.
-- column: end_event_id: The event that ended it.
-- column: is_open: Not ended in the evidence.
-- column: age_seconds: From the creation to the end, or to the last KMS event of the evidence.
-- column: first_use_time: First inferred use.
-- column: first_use_epoch: `first_use_time` in seconds.
-- column: last_use_time: Last inferred use.
-- column: last_use_epoch: `last_use_time` in seconds.
-- column: use_count: Inferred uses; NULL for service grants, whose users are services and are not matched.
-- column: first_use_event_id: The event of the first inferred use.
WITH create_rows AS (
  SELECT
    COALESCE(e.grant_id, e.event_id) AS grant_id,
    e.key_arn,
    e.key_account_id,
    e.event_time,
    e.event_epoch,
    e.event_id,
    e.account_id,
    e.region,
    e.principal,
    e.principal_account_id,
    e.via,
    e.source_ip,
    e.grantee_principal,
    e.grantee_account_id,
    e.retiring_principal,
    e.grant_operations,
    e.grant_constraint,
    CASE WHEN e.is_service_grant OR e.grantee_principal LIKE '%:assumed-role/aws:ec2-infrastructure/%' THEN TRUE
         ELSE FALSE END AS is_service_grant
  FROM events AS e
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.event_name = 'CreateGrant'
    AND e.outcome = 'ok'
    AND NOT COALESCE(e.is_dry_run, FALSE)
), copied_creates AS (
  SELECT
    w.grant_id, w.key_arn, w.key_account_id, w.event_time, w.event_epoch, w.event_id, w.account_id, w.region, w.principal,
    w.principal_account_id, w.via, w.source_ip, w.grantee_principal, w.grantee_account_id, w.retiring_principal,
    w.grant_operations, w.grant_constraint, w.is_service_grant,
    CASE WHEN r.repeated_id IS NULL THEN 0 ELSE 1 END AS is_repeated
  FROM create_rows AS w
  LEFT JOIN repeated_copies AS r ON r.repeated_id = w.event_id
), numbered_creates AS (
  SELECT
    c.grant_id, c.key_arn, c.key_account_id, c.event_time, c.event_epoch, c.event_id, c.account_id, c.region, c.principal,
    c.principal_account_id, c.via, c.source_ip, c.grantee_principal, c.grantee_account_id, c.retiring_principal,
    c.grant_operations, c.grant_constraint, c.is_service_grant,
    CAST(ROW_NUMBER() OVER (PARTITION BY c.grant_id ORDER BY c.is_repeated, c.event_epoch, c.event_id) AS BIGINT) AS create_no
  FROM copied_creates AS c
), create_counts AS (
  SELECT
    n.grant_id AS counted_grant,
    CAST(COUNT(*) AS BIGINT) AS create_count
  FROM copied_creates AS n
  WHERE n.is_repeated = 0
  GROUP BY n.grant_id
), end_rows AS (
  SELECT
    x.grant_id AS ended_grant,
    x.key_arn AS ended_key,
    x.key_account_id AS ended_key_account,
    x.event_time AS ended_time,
    x.event_epoch AS ended_epoch,
    x.event_name AS ended_how,
    x.principal AS ended_by,
    x.event_id AS end_event_id,
    CAST(ROW_NUMBER() OVER (PARTITION BY x.grant_id ORDER BY x.event_epoch, x.event_id) AS BIGINT) AS end_no
  FROM events AS x
  WHERE x.event_source = 'kms.amazonaws.com'
    AND x.event_name IN ('RetireGrant', 'RevokeGrant')
    AND x.outcome = 'ok'
    AND NOT COALESCE(x.is_dry_run, FALSE)
    AND x.grant_id IS NOT NULL
), first_ends AS (
  SELECT f.ended_grant, f.ended_key, f.ended_key_account, f.ended_time, f.ended_epoch, f.ended_how, f.ended_by, f.end_event_id
  FROM end_rows AS f
  WHERE f.end_no = 1
), key_end_rows AS (
  SELECT
    d.key_arn AS deleted_key,
    d.event_time AS deleted_time,
    d.event_epoch AS deleted_epoch,
    d.principal AS deleted_by,
    d.event_id AS delete_event_id,
    CAST(ROW_NUMBER() OVER (PARTITION BY d.key_arn ORDER BY d.event_epoch, d.event_id) AS BIGINT) AS delete_no
  FROM events AS d
  WHERE d.event_source = 'kms.amazonaws.com'
    AND d.event_name = 'DeleteKey'
    AND d.outcome = 'ok'
    AND d.key_arn IS NOT NULL
), key_ends AS (
  SELECT k.deleted_key, k.deleted_time, k.deleted_epoch, k.deleted_by, k.delete_event_id
  FROM key_end_rows AS k
  WHERE k.delete_no = 1
), known_grants AS (
  SELECT
    g.grant_id, g.key_arn, g.key_account_id, g.event_time AS created_time, g.event_epoch AS created_epoch,
    g.event_id AS create_event_id, g.account_id, g.region, g.principal AS creator, g.principal_account_id AS creator_account_id,
    g.via AS creator_via, g.source_ip AS creator_source_ip, g.grantee_principal, g.grantee_account_id, g.retiring_principal,
    g.grant_operations, g.grant_constraint, g.is_service_grant
  FROM numbered_creates AS g
  WHERE g.create_no = 1
), grant_ids AS (
  SELECT ka.grant_id AS ledger_id FROM known_grants AS ka
  UNION
  SELECT fa.ended_grant AS ledger_id FROM first_ends AS fa
), living_grants AS (
  SELECT
    j.ledger_id AS grant_id,
    COALESCE(g.key_arn, f.ended_key) AS key_arn,
    COALESCE(g.key_account_id, f.ended_key_account) AS key_account_id,
    g.created_time, g.created_epoch, g.create_event_id, g.account_id, g.region, g.creator, g.creator_account_id, g.creator_via,
    g.creator_source_ip, g.grantee_principal, g.grantee_account_id, g.retiring_principal, g.grant_operations,
    g.grant_constraint,
    g.is_service_grant,
    COALESCE(f.ended_time, k.deleted_time) AS ended_time,
    COALESCE(f.ended_epoch, k.deleted_epoch) AS ended_epoch,
    CASE WHEN f.ended_grant IS NOT NULL THEN f.ended_how WHEN k.deleted_key IS NOT NULL THEN 'DeleteKey' END AS ended_how,
    CASE WHEN f.ended_grant IS NOT NULL THEN f.ended_by ELSE k.deleted_by END AS ended_by,
    COALESCE(f.end_event_id, k.delete_event_id) AS end_event_id
  FROM grant_ids AS j
  LEFT JOIN known_grants AS g ON g.grant_id = j.ledger_id
  LEFT JOIN first_ends AS f ON f.ended_grant = j.ledger_id
  LEFT JOIN key_ends AS k ON k.deleted_key = g.key_arn
), grant_matches AS (
  -- What a caller must be, to be the grantee: the role or user, one session of it, or anybody of the account. The key
  -- owner's copy of a foreign call may not tell the role, only the account; such a caller is taken for the grantee.
  SELECT
    m.grant_id AS matched_grant,
    m.key_arn AS match_key,
    m.grantee_principal AS match_text,
    m.created_epoch AS match_from,
    COALESCE(m.ended_epoch + 300, 9999999999) AS match_until,
    ',' || m.grant_operations || ',' AS match_operations
  FROM living_grants AS m
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
  FROM living_grants AS ma
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
  FROM living_grants AS w
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
), grant_uses AS (
  SELECT
    q.matched_grant,
    s.use_event_id,
    s.use_time,
    s.use_epoch,
    CAST(ROW_NUMBER() OVER (PARTITION BY q.matched_grant ORDER BY s.use_epoch, s.use_event_id) AS BIGINT) AS use_no
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
    CAST(COUNT(*) AS BIGINT) AS use_count,
    MAX(CASE WHEN v.use_no = 1 THEN v.use_event_id END) AS first_use_event_id
  FROM grant_uses AS v
  GROUP BY v.matched_grant
), home AS (
  SELECT h.account_id AS home_id FROM home_accounts AS h
)
SELECT
  l.grant_id,
  l.key_arn,
  l.key_account_id,
  l.created_time,
  l.created_epoch,
  l.create_event_id,
  COALESCE(i.create_count, 0) AS create_count,
  l.account_id,
  l.region,
  l.creator,
  l.creator_account_id,
  l.creator_via,
  l.creator_source_ip,
  l.grantee_principal,
  l.grantee_account_id,
  CASE WHEN o.home_id IS NOT NULL THEN TRUE WHEN l.grantee_account_id IS NOT NULL THEN FALSE END AS is_grantee_home,
  l.retiring_principal,
  l.grant_operations,
  l.grant_constraint,
  l.is_service_grant,
  l.ended_time,
  l.ended_epoch,
  l.ended_how,
  l.ended_by,
  l.end_event_id,
  CASE WHEN l.ended_how IS NULL THEN TRUE ELSE FALSE END AS is_open,
  COALESCE(l.ended_epoch, p.last_epoch) - l.created_epoch AS age_seconds,
  y.first_use_time,
  y.first_use_epoch,
  y.last_use_time,
  y.last_use_epoch,
  CASE WHEN NOT l.is_service_grant THEN COALESCE(y.use_count, 0) END AS use_count,
  y.first_use_event_id
FROM living_grants AS l
CROSS JOIN evidence AS p
LEFT JOIN create_counts AS i ON i.counted_grant = l.grant_id
LEFT JOIN home AS o ON o.home_id = l.grantee_account_id
LEFT JOIN use_totals AS y ON y.used_grant = l.grant_id
ORDER BY grant_id
