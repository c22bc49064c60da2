-- title: Control of a multi-Region key moved or given up
-- severity: medium
-- attack: T1485, T1535
-- description: The primary of a multi-Region key was moved to another Region, from where its shared properties are now
--   controlled, or the primary was scheduled for deletion while it still has replicas. Such a deletion begins to run when
--   the last replica is deleted; the finding counts the replicas that are on their way too.
-- false-positives: Recovery drills and moves of a site. A deletion that was cancelled later is left out, and the two
--   records that KMS writes for one move are one finding.
-- blind-spots: Replicas that the evidence never names are not counted, so all of them may be fewer than there are.
-- reads: admin_events, keys
WITH moves AS (
  SELECT
    e.event_id, e.event_time, e.event_epoch, e.account_id, e.region, e.key_arn, e.principal, e.source_ip, e.primary_region,
    e.via, e.account_id || ' ' || COALESCE(e.request_id, e.event_id) AS move_ref,
    CASE WHEN COALESCE(e.via, '') = 'kms.amazonaws.com' OR e.key_arn IS NULL THEN 1 ELSE 0 END AS is_echo
  FROM admin_events AS e
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.event_name = 'UpdatePrimaryRegion'
    AND e.is_ok
), numbered_moves AS (
  SELECT
    m.event_id, m.event_time, m.account_id, m.region, m.key_arn, m.principal, m.source_ip, m.primary_region, m.via, m.move_ref,
    CAST(ROW_NUMBER() OVER (PARTITION BY m.move_ref ORDER BY m.is_echo, m.event_epoch, m.event_id) AS BIGINT) AS record_no
  FROM moves AS m
), move_totals AS (
  SELECT
    n.move_ref AS total_ref,
    MIN(n.event_time) AS first_time,
    MAX(n.event_time) AS last_time,
    CAST(COUNT(*) AS BIGINT) AS event_count,
    STRING_AGG(n.event_id, ',') AS event_ids
  FROM numbered_moves AS n
  WHERE n.record_no <= 1000
  GROUP BY n.move_ref
), steps AS (
  SELECT
    s.key_arn, s.mrk_id, s.key_account_id, s.event_id, s.event_name, s.event_time, s.event_epoch, s.account_id, s.region,
    s.principal, s.source_ip, s.via,
    CASE WHEN s.response_elements LIKE '%PendingReplicaDeletion%' THEN 1 ELSE 0 END AS waits_for_replicas,
    LEAD(s.event_name) OVER (PARTITION BY s.key_arn ORDER BY s.event_epoch, s.event_id) AS next_step
  FROM admin_events AS s
  WHERE s.event_source = 'kms.amazonaws.com'
    AND s.event_name IN ('ScheduleKeyDeletion', 'CancelKeyDeletion', 'DeleteKey')
    AND s.is_ok
    AND s.mrk_id IS NOT NULL
), ends AS (
  SELECT t.key_arn, t.mrk_id, t.key_account_id, t.event_id, t.event_time, t.event_epoch, t.account_id, t.region, t.principal,
         t.source_ip, t.via, t.waits_for_replicas
  FROM steps AS t
  WHERE t.event_name <> 'CancelKeyDeletion'
    AND COALESCE(t.next_step, '') <> 'CancelKeyDeletion'
), primary_ends AS (
  SELECT p.key_arn, p.key_account_id || ' ' || p.mrk_id AS family, p.event_id, p.event_time, p.account_id, p.region, p.principal, p.source_ip, p.via
  FROM ends AS p
  WHERE p.waits_for_replicas = 1
), replica_ends AS (
  SELECT r.key_arn AS ended_key, MIN(r.event_id) AS ended_event_id, MAX(r.event_time) AS ended_time
  FROM ends AS r
  WHERE r.waits_for_replicas = 0
  GROUP BY r.key_arn
), known_keys AS (
  SELECT i.key_arn AS known_key, i.key_account_id || ' ' || i.mrk_id AS known_family
  FROM keys AS i
  WHERE i.mrk_id IS NOT NULL
), families AS (
  SELECT
    f.event_id AS family_event_id,
    CAST(COUNT(*) AS BIGINT) AS replica_count,
    CAST(COUNT(x.ended_key) AS BIGINT) AS ended_count,
    MAX(x.ended_time) AS ended_time
  FROM primary_ends AS f
  JOIN known_keys AS k ON k.known_family = f.family
  LEFT JOIN replica_ends AS x ON x.ended_key = k.known_key
  WHERE k.known_key <> f.key_arn
  GROUP BY f.event_id
), end_proofs AS (
  SELECT g.event_id AS proved_event_id, g.event_id AS proof_id FROM primary_ends AS g
  UNION
  SELECT h.event_id AS proved_event_id, y.ended_event_id AS proof_id
  FROM primary_ends AS h
  JOIN known_keys AS q ON q.known_family = h.family
  JOIN replica_ends AS y ON y.ended_key = q.known_key
  WHERE q.known_key <> h.key_arn
), numbered_proofs AS (
  SELECT o.proved_event_id, o.proof_id,
         CAST(ROW_NUMBER() OVER (PARTITION BY o.proved_event_id ORDER BY o.proof_id) AS BIGINT) AS proof_no
  FROM end_proofs AS o
), proof_lists AS (
  SELECT v.proved_event_id AS list_event_id, STRING_AGG(v.proof_id, ',') AS event_ids
  FROM numbered_proofs AS v
  WHERE v.proof_no <= 1000
  GROUP BY v.proved_event_id
)
SELECT
  a.first_time,
  a.last_time,
  b.account_id,
  b.region,
  b.key_arn,
  b.principal,
  b.source_ip,
  a.event_count,
  'medium' AS severity,
  COALESCE(b.principal, 'An unnamed principal') || ' moved the primary of the multi-Region key ' || COALESCE(b.key_arn, 'an unnamed key')
    || ' to ' || COALESCE(b.primary_region, 'an unnamed Region') || '.' AS summary,
  a.event_ids,
  'primary moved' AS how,
  b.primary_region,
  CAST(NULL AS BIGINT) AS replica_count,
  CAST(NULL AS BIGINT) AS ended_replica_count,
  b.via,
  b.event_id AS act_event_id
FROM numbered_moves AS b
JOIN move_totals AS a ON a.total_ref = b.move_ref
WHERE b.record_no = 1
UNION ALL
SELECT
  c.event_time AS first_time,
  GREATEST(c.event_time, COALESCE(d.ended_time, c.event_time)) AS last_time,
  c.account_id,
  c.region,
  c.key_arn,
  c.principal,
  c.source_ip,
  COALESCE(d.ended_count, 0) + 1 AS event_count,
  'medium' AS severity,
  COALESCE(c.principal, 'An unnamed principal') || ' scheduled the primary ' || c.key_arn
    || ' of a multi-Region key for deletion, which waits for its replicas; replicas in the evidence: '
    || CAST(COALESCE(d.replica_count, 0) AS STRING) || ', of them on their way to deletion: ' || CAST(COALESCE(d.ended_count, 0) AS STRING)
    || CASE WHEN d.ended_count = d.replica_count THEN ', so that the key material itself will be lost.' ELSE '.' END AS summary,
  w.event_ids,
  'primary scheduled for deletion' AS how,
  CAST(NULL AS STRING) AS primary_region,
  COALESCE(d.replica_count, 0) AS replica_count,
  COALESCE(d.ended_count, 0) AS ended_replica_count,
  c.via,
  c.event_id AS act_event_id
FROM primary_ends AS c
JOIN proof_lists AS w ON w.list_event_id = c.event_id
LEFT JOIN families AS d ON d.family_event_id = c.event_id
ORDER BY first_time, key_arn, act_event_id
