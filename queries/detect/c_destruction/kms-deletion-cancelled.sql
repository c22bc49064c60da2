-- title: Key deletion cancelled
-- severity: low
-- attack: T1098, T1530
-- description: A scheduled deletion was cancelled. Mostly that is the repair, and then the finding tells how long it took. High
--   when the key was then enabled and data was opened under it by a principal that had never used it: somebody revived a
--   dying key to read what it protects.
-- false-positives: Responders who undo a deletion and the key's usual users after it, which stays low. New instances of a
--   role are the same principal. AWS services' own principals are not counted as new users.
-- blind-spots: Without some days of evidence before the deletion was scheduled nobody can be called new, and it stays low.
-- reads: admin_events, deletions, use_hours, pairs
-- params: learn_days = 7, revive_days = 7
WITH cancels AS (
  SELECT
    a.event_id,
    a.event_time,
    a.event_epoch,
    a.account_id,
    a.region,
    a.key_arn,
    a.principal,
    a.source_ip,
    a.via
  FROM admin_events AS a
  WHERE a.event_source = 'kms.amazonaws.com'
    AND a.event_name = 'CancelKeyDeletion'
    AND a.is_ok
    AND a.key_arn IS NOT NULL
), plans AS (
  SELECT
    d.cancel_event_id AS plan_cancel_id,
    d.deletion_id,
    d.scheduled_time,
    d.scheduled_epoch,
    d.scheduled_by,
    d.deadline_epoch,
    d.aliases,
    d.failure_count
  FROM deletions AS d
  WHERE d.cancel_event_id IS NOT NULL
), enables AS (
  SELECT
    e.key_arn AS enabled_key,
    e.event_epoch AS enable_epoch,
    e.event_time AS enable_time,
    e.event_id AS enable_id,
    e.principal AS enable_by
  FROM admin_events AS e
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.event_name = 'EnableKey'
    AND e.is_ok
    AND e.key_arn IS NOT NULL
), enable_pairs AS (
  SELECT
    c.event_id AS pair_cancel_id,
    c.key_arn AS pair_key,
    -c.event_epoch AS negative_cancel_epoch,
    x.enable_epoch,
    x.enable_time,
    x.enable_id,
    x.enable_by
  FROM cancels AS c
  JOIN enables AS x ON x.enabled_key = c.key_arn
  WHERE x.enable_epoch >= c.event_epoch
), enables_of_last_cancels AS (
  SELECT
    g.pair_cancel_id, g.pair_key, g.enable_epoch, g.enable_time, g.enable_id, g.enable_by,
    CAST(ROW_NUMBER() OVER (PARTITION BY g.enable_id ORDER BY g.negative_cancel_epoch, g.pair_cancel_id) AS BIGINT) AS cancel_no
  FROM enable_pairs AS g
), enable_ranks AS (
  SELECT
    i.pair_cancel_id AS revived_cancel_id,
    i.pair_key AS revived_key,
    i.enable_epoch,
    i.enable_time,
    i.enable_id,
    i.enable_by,
    CAST(ROW_NUMBER() OVER (PARTITION BY i.pair_cancel_id ORDER BY i.enable_epoch, i.enable_id) AS BIGINT) AS enable_no
  FROM enables_of_last_cancels AS i
  WHERE i.cancel_no = 1
), revivals AS (
  SELECT r.revived_cancel_id, r.revived_key, r.enable_epoch, r.enable_time, r.enable_id, r.enable_by
  FROM enable_ranks AS r
  WHERE r.enable_no = 1
), openings AS (
  SELECT
    u.key_arn AS opened_key,
    u.principal AS opener,
    u.call_count,
    u.first_epoch AS open_epoch,
    u.event_id AS open_id
  FROM use_hours AS u
  SEMI JOIN cancels AS k ON k.key_arn = u.key_arn
  WHERE u.operation IN ('Decrypt', 'ReEncrypt', 'DeriveSharedSecret', 'Decapsulate')
    AND u.principal NOT LIKE 'service:%'
    AND u.principal NOT LIKE '%:role/aws-service-role/%'
), beginnings AS (
  SELECT p.key_arn AS begun_key, p.principal AS beginner, p.first_epoch AS begun_epoch
  FROM pairs AS p
  SEMI JOIN cancels AS l ON l.key_arn = p.key_arn
), new_openings AS (
  SELECT
    v.revived_cancel_id AS new_cancel_id,
    o.opener,
    o.call_count,
    o.open_epoch,
    o.open_id,
    CAST(ROW_NUMBER() OVER (PARTITION BY v.revived_cancel_id ORDER BY o.open_epoch, o.open_id) AS BIGINT) AS opening_no
  FROM revivals AS v
  JOIN openings AS o ON o.opened_key = v.revived_key
  JOIN beginnings AS b ON b.begun_key = o.opened_key AND b.beginner = o.opener
  LEFT JOIN plans AS q ON q.plan_cancel_id = v.revived_cancel_id
  CROSS JOIN params AS m
  CROSS JOIN evidence AS ev
  WHERE b.begun_epoch >= v.enable_epoch
    AND b.begun_epoch <= v.enable_epoch + m.revive_days * 86400
    AND o.open_epoch <= v.enable_epoch + m.revive_days * 86400
    AND COALESCE(q.scheduled_epoch, ev.first_epoch) - ev.first_epoch >= m.learn_days * 86400
), new_totals AS (
  SELECT
    t.new_cancel_id AS total_cancel_id,
    CAST(COUNT(DISTINCT t.opener) AS BIGINT) AS new_opener_count,
    CAST(SUM(t.call_count) AS BIGINT) AS new_opening_count,
    MAX(CASE WHEN t.opening_no = 1 THEN t.opener END) AS first_opener,
    MIN(t.open_epoch) AS first_open_epoch
  FROM new_openings AS t
  GROUP BY t.new_cancel_id
), proofs AS (
  SELECT s.event_id AS proof_cancel_id, s.event_id AS proof_id FROM cancels AS s
  UNION ALL
  SELECT f.plan_cancel_id AS proof_cancel_id, f.deletion_id AS proof_id FROM plans AS f
  UNION ALL
  SELECT g.revived_cancel_id AS proof_cancel_id, g.enable_id AS proof_id FROM revivals AS g
  UNION ALL
  SELECT h.new_cancel_id AS proof_cancel_id, h.open_id AS proof_id FROM new_openings AS h WHERE h.opening_no <= 900
), proof_ids AS (
  SELECT
    i.proof_cancel_id,
    STRING_AGG(i.proof_id, ',') AS event_ids,
    CAST(COUNT(*) AS BIGINT) AS event_count
  FROM proofs AS i
  GROUP BY i.proof_cancel_id
)
SELECT
  COALESCE(y.scheduled_time, z.event_time) AS first_time,
  COALESCE(w.enable_time, z.event_time) AS last_time,
  z.account_id,
  z.region,
  z.key_arn,
  z.principal,
  z.source_ip,
  j.event_count,
  CASE WHEN n.new_opener_count > 0 THEN 'high' ELSE 'low' END AS severity,
  COALESCE(z.principal, 'An unnamed principal') || ' cancelled the deletion of ' || z.key_arn
    || COALESCE(' (' || y.aliases || ')', '')
    || CASE WHEN y.deletion_id IS NULL THEN '; who had scheduled it is not in the evidence'
            ELSE ' ' || CAST(z.event_epoch - y.scheduled_epoch AS STRING) || ' seconds after '
              || COALESCE(y.scheduled_by, 'an unnamed principal') || ' had scheduled it; calls that failed in between: '
              || CAST(y.failure_count AS STRING) END
    || CASE WHEN w.enable_id IS NULL THEN '; the key is not enabled again in the evidence'
            ELSE '; enabled again ' || CAST(w.enable_epoch - z.event_epoch AS STRING) || ' seconds later by '
              || COALESCE(w.enable_by, 'an unnamed principal') END
    || CASE WHEN n.new_opener_count > 0 THEN '; then ' || n.first_opener || ', which had never used the key, opened data under it '
              || CAST(n.first_open_epoch - w.enable_epoch AS STRING) || ' seconds later (new principals: '
              || CAST(n.new_opener_count AS STRING) || ', calls: ' || CAST(n.new_opening_count AS STRING) || ').'
            ELSE '.' END AS summary,
  j.event_ids,
  z.event_time AS cancelled_time,
  z.event_id AS cancel_event_id,
  y.scheduled_by,
  y.scheduled_time,
  z.event_epoch - y.scheduled_epoch AS seconds_to_cancel,
  w.enable_time AS enabled_time,
  w.enable_by AS enabled_by,
  COALESCE(n.new_opener_count, 0) AS new_opener_count,
  n.first_opener AS new_opener,
  z.via
FROM cancels AS z
JOIN proof_ids AS j ON j.proof_cancel_id = z.event_id
LEFT JOIN plans AS y ON y.plan_cancel_id = z.event_id
LEFT JOIN revivals AS w ON w.revived_cancel_id = z.event_id
LEFT JOIN new_totals AS n ON n.total_cancel_id = z.event_id
ORDER BY first_time, key_arn, cancelled_time, cancel_event_id
