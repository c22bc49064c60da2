-- title: Ransom chain: new key, encryption under it, lockout or destruction
-- severity: critical
-- attack: T1486, T1485, T1490
-- description: A principal brought in a key (made it, or first used one of an outside account), data was encrypted under it,
--   and within days the same principal, or one at its address, locked the owner out or destroyed a key. Critical when what was
--   encrypted is out of the owner's hands (outside key, lockout, or the new key itself destroyed); high when only the old key
--   was struck, or when lockout and destruction are there and the encryption is not.
-- false-positives: A migration to a new key that locks nobody out and keeps the old key is not found; one that ends the old
--   key within the same days is high. An old key counts only when it was others' and an alias, a resource or a user ties it
--   to the new one; a new key's end counts only when data or an alias had come to it from a key that another principal
--   made, which leaves out test keys and environments that are made and removed.
-- blind-spots: Encryption under outside keys with outside credentials. Deleted snapshots and object versions are no KMS
--   events. Services that cache data keys make few calls, so that 3 calls that encrypt are enough: not their number, but
--   the tie to an older key and the blow are what makes a chain.
-- reads: admin_events, pairs, use_hours, exposure, aliases, keys
-- params: chain_days = 7, write_count = 3, active_days = 30, learn_hours = 24
WITH home AS (
  SELECT h.account_id AS home_id FROM home_accounts AS h
), chains AS (
  SELECT
    c.key_arn AS new_key,
    c.principal AS actor,
    c.source_ip AS actor_ip,
    c.event_id AS start_id,
    c.event_time AS start_time,
    c.event_epoch AS start_epoch,
    c.event_epoch + p.chain_days * 86400 AS end_epoch,
    c.account_id,
    c.region,
    0 AS is_foreign
  FROM admin_events AS c
  CROSS JOIN params AS p
  WHERE c.event_source = 'kms.amazonaws.com'
    AND c.event_name = 'CreateKey'
    AND c.is_ok
    AND c.key_arn IS NOT NULL
    AND c.principal NOT LIKE 'service:%'
  UNION ALL
  SELECT
    f.key_arn AS new_key,
    f.principal AS actor,
    f.source_ip AS actor_ip,
    f.event_id AS start_id,
    f.first_time AS start_time,
    f.first_epoch AS start_epoch,
    f.first_epoch + q.chain_days * 86400 AS end_epoch,
    f.account_id,
    f.region,
    1 AS is_foreign
  FROM pairs AS f
  CROSS JOIN params AS q
  CROSS JOIN evidence AS ev
  ANTI JOIN home AS ho ON ho.home_id = f.key_account_id
  SEMI JOIN home AS hp ON hp.home_id = f.principal_account_id
  WHERE f.first_epoch >= ev.first_epoch + q.learn_hours * 3600
    AND f.principal NOT LIKE '%:role/aws-service-role/%'
), blows AS (
  SELECT
    b.key_arn AS blow_key,
    b.principal AS blow_actor,
    b.source_ip AS blow_ip,
    b.event_id AS blow_id,
    b.event_time AS blow_time,
    b.event_epoch AS blow_epoch,
    CASE WHEN b.event_name IN ('DisableKey', 'ScheduleKeyDeletion', 'DeleteImportedKeyMaterial') THEN 0 ELSE 1 END AS is_lockout
  FROM admin_events AS b
  WHERE b.event_source = 'kms.amazonaws.com'
    AND b.is_ok
    AND b.key_arn IS NOT NULL
    AND (b.event_name IN ('DisableKey', 'ScheduleKeyDeletion', 'DeleteImportedKeyMaterial') OR b.policy_locks_out_owner)
), chain_blows AS (
  SELECT a.new_key, a.actor, a.start_epoch, x.blow_key, x.blow_id, x.blow_time, x.is_lockout
  FROM chains AS a
  JOIN blows AS x ON x.blow_actor = a.actor
  WHERE x.blow_epoch >= a.start_epoch
    AND x.blow_epoch <= a.end_epoch
  UNION
  SELECT i.new_key, i.actor, i.start_epoch, y.blow_key, y.blow_id, y.blow_time, y.is_lockout
  FROM chains AS i
  JOIN blows AS y ON y.blow_ip = i.actor_ip
  WHERE y.blow_epoch >= i.start_epoch
    AND y.blow_epoch <= i.end_epoch
), creators AS (
  SELECT k.key_arn AS made_key, k.creator FROM keys AS k
), old_creators AS (
  SELECT kk.key_arn AS old_made_key, kk.creator AS old_creator FROM keys AS kk
), struck_uses AS (
  SELECT u.key_arn AS struck_key, u.principal AS struck_user, u.first_epoch AS struck_first, u.last_epoch AS struck_last
  FROM pairs AS u
  SEMI JOIN blows AS sb ON sb.blow_key = u.key_arn
  WHERE u.principal NOT LIKE 'service:%'
), old_users AS (
  -- The old key was others': used by another than the actor, or used by the actor and made by another.
  SELECT DISTINCT o.new_key AS ou_new_key, o.actor AS ou_actor, o.blow_key AS ou_old_key, su.struck_user AS ou_user
  FROM chain_blows AS o
  JOIN struck_uses AS su ON su.struck_key = o.blow_key
  CROSS JOIN params AS r
  LEFT JOIN creators AS cr ON cr.made_key = o.blow_key
  WHERE o.blow_key <> o.new_key
    AND su.struck_first <= o.start_epoch
    AND su.struck_last >= o.start_epoch - r.active_days * 86400
    AND (su.struck_user <> o.actor OR COALESCE(cr.creator, '') <> o.actor)
), candidates AS (
  SELECT DISTINCT cb.new_key AS candidate_key FROM chain_blows AS cb
), writes AS (
  SELECT
    w.key_arn AS written_key,
    w.principal AS writer,
    w.call_count,
    w.first_epoch AS write_epoch,
    w.last_time AS write_time,
    w.event_id AS write_id
  FROM use_hours AS w
  SEMI JOIN candidates AS cw ON cw.candidate_key = w.key_arn
  WHERE w.operation IN ('Encrypt', 'ReEncryptTo', 'GenerateDataKey', 'GenerateDataKeyWithoutPlaintext')
), chain_writes AS (
  SELECT
    d.new_key AS cw_key,
    d.actor AS cw_actor,
    wr.writer,
    wr.call_count,
    wr.write_time,
    wr.write_id,
    CAST(ROW_NUMBER() OVER (PARTITION BY d.new_key, d.actor ORDER BY wr.write_epoch, wr.write_id) AS BIGINT) AS write_no
  FROM chains AS d
  JOIN writes AS wr ON wr.written_key = d.new_key
  WHERE wr.write_epoch >= d.start_epoch
    AND wr.write_epoch <= d.end_epoch
), write_totals AS (
  SELECT
    t.cw_key AS wt_key,
    t.cw_actor AS wt_actor,
    CAST(SUM(t.call_count) AS BIGINT) AS written_count,
    CAST(COUNT(DISTINCT t.writer) AS BIGINT) AS writer_count,
    MAX(t.write_time) AS last_write_time
  FROM chain_writes AS t
  GROUP BY t.cw_key, t.cw_actor
), new_data AS (
  SELECT n.key_arn AS nd_key, n.context_class AS nd_class, n.context_resource AS nd_resource, MIN(n.first_time) AS nd_time
  FROM exposure AS n
  SEMI JOIN candidates AS cn ON cn.candidate_key = n.key_arn
  WHERE n.context_resource IS NOT NULL
  GROUP BY n.key_arn, n.context_class, n.context_resource
), old_data AS (
  -- Few things are sought among all that was ever opened, so what is sought goes first.
  SELECT x.key_arn, x.context_class, x.context_resource, x.first_time, x.last_time
  FROM exposure AS x
  SEMI JOIN new_data AS sd ON sd.nd_class = x.context_class AND sd.nd_resource = x.context_resource
), ties AS (
  SELECT l.key_arn AS tie_new_key, l.previous_key_arn AS tie_old_key, l.alias_name AS tie
  FROM aliases AS l
  WHERE l.previous_key_arn <> l.key_arn
  UNION
  SELECT nd.nd_key AS tie_new_key, e.key_arn AS tie_old_key, 'the same data' AS tie
  FROM new_data AS nd
  JOIN old_data AS e ON e.context_class = nd.nd_class AND e.context_resource = nd.nd_resource
  WHERE e.key_arn <> nd.nd_key
    AND e.first_time < nd.nd_time
), moved_to AS (
  SELECT m.tie_new_key AS moved_key, MIN(m.tie) AS moved_tie
  FROM ties AS m
  LEFT JOIN creators AS mn ON mn.made_key = m.tie_new_key
  LEFT JOIN old_creators AS mo ON mo.old_made_key = m.tie_old_key
  WHERE mo.old_creator IS NULL
     OR mo.old_creator <> COALESCE(mn.creator, '')
  GROUP BY m.tie_new_key
), all_ties AS (
  SELECT ti.tie_new_key, ti.tie_old_key, ti.tie FROM ties AS ti
  UNION
  SELECT v.cw_key AS tie_new_key, ou.ou_old_key AS tie_old_key, 'the user ' || v.writer AS tie
  FROM chain_writes AS v
  JOIN old_users AS ou ON ou.ou_new_key = v.cw_key AND ou.ou_actor = v.cw_actor AND ou.ou_user = v.writer
), tied_keys AS (
  SELECT g.ou_new_key AS tk_new_key, g.ou_actor AS tk_actor, g.ou_old_key AS tk_old_key, MIN(ati.tie) AS tie
  FROM old_users AS g
  JOIN all_ties AS ati ON ati.tie_new_key = g.ou_new_key AND ati.tie_old_key = g.ou_old_key
  GROUP BY g.ou_new_key, g.ou_actor, g.ou_old_key
), judged_blows AS (
  SELECT
    j.new_key, j.actor, j.blow_key, j.blow_id, j.blow_time, j.is_lockout,
    CASE WHEN j.blow_key = j.new_key THEN mt.moved_tie ELSE tk.tie END AS tie,
    CASE WHEN j.blow_key = j.new_key AND j.is_lockout = 0 THEN 1 ELSE 0 END AS is_new_destroyed,
    CASE WHEN j.blow_key <> j.new_key AND j.is_lockout = 0 THEN 1 ELSE 0 END AS is_old_destroyed
  FROM chain_blows AS j
  LEFT JOIN tied_keys AS tk ON tk.tk_new_key = j.new_key AND tk.tk_actor = j.actor AND tk.tk_old_key = j.blow_key
  LEFT JOIN moved_to AS mt ON mt.moved_key = j.new_key
  WHERE tk.tk_old_key IS NOT NULL
     OR (j.blow_key = j.new_key AND (j.is_lockout = 1 OR mt.moved_key IS NOT NULL))
), blow_totals AS (
  SELECT
    bt.new_key AS bt_key,
    bt.actor AS bt_actor,
    MAX(bt.is_lockout) AS has_lockout,
    MAX(bt.is_new_destroyed) AS new_destroyed,
    MAX(bt.is_old_destroyed) AS old_destroyed,
    MIN(CASE WHEN bt.is_old_destroyed = 1 THEN bt.blow_key END) AS destroyed_key,
    MIN(bt.tie) AS tie,
    MAX(bt.blow_time) AS last_blow_time
  FROM judged_blows AS bt
  GROUP BY bt.new_key, bt.actor
), proofs AS (
  SELECT pc.new_key AS proof_key, pc.actor AS proof_actor, pc.start_id AS proof_id FROM chains AS pc
  UNION
  SELECT pb.new_key AS proof_key, pb.actor AS proof_actor, pb.blow_id AS proof_id FROM judged_blows AS pb
  UNION
  SELECT pw.cw_key AS proof_key, pw.cw_actor AS proof_actor, pw.write_id AS proof_id
  FROM chain_writes AS pw
  WHERE pw.write_no <= 100
), numbered_proofs AS (
  SELECT
    np.proof_key, np.proof_actor, np.proof_id,
    CAST(ROW_NUMBER() OVER (PARTITION BY np.proof_key, np.proof_actor ORDER BY np.proof_id) AS BIGINT) AS proof_no
  FROM proofs AS np
), proof_ids AS (
  SELECT pi.proof_key, pi.proof_actor, STRING_AGG(pi.proof_id, ',') AS event_ids, CAST(COUNT(*) AS BIGINT) AS proof_count
  FROM numbered_proofs AS pi
  WHERE pi.proof_no <= 1000
  GROUP BY pi.proof_key, pi.proof_actor
), scored AS (
  SELECT
    s.new_key, s.actor, s.actor_ip, s.start_time, s.account_id, s.region, s.is_foreign,
    bs.has_lockout, bs.new_destroyed, bs.old_destroyed, bs.destroyed_key, bs.tie, bs.last_blow_time,
    COALESCE(ws.written_count, 0) AS written_count,
    COALESCE(ws.writer_count, 0) AS writer_count,
    ws.last_write_time,
    CASE WHEN ws.written_count >= z.write_count THEN 1 ELSE 0 END AS has_encryption,
    CASE WHEN bs.tie IS NULL THEN 0 ELSE 1 END AS has_tie
  FROM chains AS s
  JOIN blow_totals AS bs ON bs.bt_key = s.new_key AND bs.bt_actor = s.actor
  CROSS JOIN params AS z
  LEFT JOIN write_totals AS ws ON ws.wt_key = s.new_key AND ws.wt_actor = s.actor
)
SELECT
  y.start_time AS first_time,
  CASE WHEN y.last_write_time > y.last_blow_time THEN y.last_write_time ELSE y.last_blow_time END AS last_time,
  y.account_id,
  y.region,
  y.new_key AS key_arn,
  y.actor AS principal,
  y.actor_ip AS source_ip,
  pz.proof_count AS event_count,
  CASE WHEN y.has_encryption = 1 AND y.is_foreign + y.has_lockout + y.new_destroyed > 0 THEN 'critical' ELSE 'high' END AS severity,
  y.actor || CASE WHEN y.is_foreign = 1 THEN ' began to use the outside key ' ELSE ' made ' END || y.new_key
    || '; calls that encrypted under it: ' || CAST(y.written_count AS STRING) || ', by principals: ' || CAST(y.writer_count AS STRING)
    || CASE WHEN y.has_lockout = 1 THEN '; a policy locked the owner out' ELSE '' END
    || CASE WHEN y.new_destroyed = 1 THEN '; the new key was disabled, emptied or scheduled for deletion' ELSE '' END
    || COALESCE('; the older key ' || y.destroyed_key || ' was disabled, emptied or scheduled for deletion', '')
    || COALESCE('; what ties it to an older key: ' || y.tie, '')
    || '; stages: ' || CAST(1 + y.has_tie + y.has_encryption + y.has_lockout + y.new_destroyed + y.old_destroyed AS STRING)
    || ' of 6.' AS summary,
  pz.event_ids,
  1 + y.has_tie + y.has_encryption + y.has_lockout + y.new_destroyed + y.old_destroyed AS stage_count,
  CASE WHEN y.is_foreign = 1 THEN TRUE ELSE FALSE END AS is_foreign_key,
  y.written_count,
  y.writer_count,
  CASE WHEN y.has_lockout = 1 THEN TRUE ELSE FALSE END AS is_locked_out,
  CASE WHEN y.new_destroyed = 1 THEN TRUE ELSE FALSE END AS is_new_key_destroyed,
  y.destroyed_key,
  y.tie
FROM scored AS y
JOIN proof_ids AS pz ON pz.proof_key = y.new_key AND pz.proof_actor = y.actor
WHERE (y.has_encryption = 1 AND y.has_lockout + y.new_destroyed + y.old_destroyed > 0)
   OR (y.has_lockout = 1 AND y.new_destroyed + y.old_destroyed > 0)
ORDER BY first_time, key_arn, principal
