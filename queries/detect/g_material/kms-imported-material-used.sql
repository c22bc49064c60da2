-- title: Key material imported by a newcomer
-- severity: high
-- attack: T1486, T1588
-- description: A principal that had never imported key material in this account asked for the parameters of an import or
--   imported material. Whoever imports material keeps a copy of it, and can take KMS's away at any time: the way to hold
--   data for ransom. Critical when a key was made for it, filled and used within a day.
-- false-positives: Companies that bring their own keys: the first import of each custodian or pipeline in the evidence
--   is reported, later ones are not.
-- blind-spots: Imports before the evidence begins are not known. A trail that records writes only has no
--   GetParametersForImport, and no use of keys.
-- reads: admin_events, pairs
-- params: chain_hours = 24
WITH import_calls AS (
  SELECT
    e.event_id,
    e.event_time,
    e.event_epoch,
    e.account_id,
    e.region,
    e.key_arn,
    COALESCE(e.principal, 'An unnamed principal') AS importer,
    e.principal,
    e.source_ip,
    CASE WHEN e.event_name = 'ImportKeyMaterial' THEN e.event_epoch END AS import_epoch,
    p.chain_hours * 3600 AS chain_seconds
  FROM admin_events AS e
  CROSS JOIN params AS p
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.event_name IN ('GetParametersForImport', 'ImportKeyMaterial')
    AND e.is_ok
), following_calls AS (
  SELECT
    f.event_id, f.event_time, f.event_epoch, f.account_id, f.region, f.key_arn, f.importer, f.principal, f.source_ip, f.import_epoch,
    f.chain_seconds,
    LAG(f.event_epoch) OVER (PARTITION BY f.importer, f.account_id ORDER BY f.event_epoch, f.event_id) AS before_epoch
  FROM import_calls AS f
), marked_calls AS (
  SELECT
    m.event_id, m.event_time, m.event_epoch, m.account_id, m.region, m.key_arn, m.importer, m.principal, m.source_ip, m.import_epoch,
    m.chain_seconds,
    CASE WHEN m.before_epoch IS NULL OR m.event_epoch - m.before_epoch > m.chain_seconds THEN 1 ELSE 0 END AS is_start
  FROM following_calls AS m
), episode_calls AS (
  SELECT
    c.event_id, c.event_time, c.event_epoch, c.account_id, c.region, c.key_arn, c.importer, c.principal, c.source_ip, c.import_epoch,
    c.chain_seconds,
    CAST(SUM(c.is_start) OVER (PARTITION BY c.importer, c.account_id ORDER BY c.event_epoch, c.event_id
                               ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS episode_no
  FROM marked_calls AS c
), importer_starts AS (
  SELECT i.importer AS start_importer, i.account_id AS start_account_id, MIN(i.import_epoch) AS importer_epoch
  FROM import_calls AS i
  GROUP BY i.importer, i.account_id
), account_starts AS (
  SELECT a.account_id AS known_account_id, MIN(a.import_epoch) AS account_epoch
  FROM import_calls AS a
  GROUP BY a.account_id
), empty_keys AS (
  SELECT k.key_arn AS made_key, k.event_id AS made_id, k.event_time AS made_time, k.event_epoch AS made_epoch
  FROM admin_events AS k
  WHERE k.event_name = 'CreateKey'
    AND k.is_ok
    AND k.key_origin = 'EXTERNAL'
    AND k.key_arn IS NOT NULL
), ranked_users AS (
  SELECT
    u.key_arn AS used_key,
    u.first_epoch AS use_epoch,
    u.first_time AS use_time,
    u.principal AS user_name,
    u.event_id AS use_id,
    CAST(ROW_NUMBER() OVER (PARTITION BY u.key_arn ORDER BY u.first_epoch, u.principal) AS BIGINT) AS user_no
  FROM pairs AS u
), filled_keys AS (
  SELECT
    g.importer,
    g.account_id,
    g.episode_no,
    g.key_arn,
    MAX(g.chain_seconds) AS chain_seconds,
    MIN(g.import_epoch) AS filled_epoch
  FROM episode_calls AS g
  WHERE g.import_epoch IS NOT NULL
  GROUP BY g.importer, g.account_id, g.episode_no, g.key_arn
), chains AS (
  SELECT h.importer, h.account_id, h.episode_no, h.key_arn, n.made_id, n.made_time, n.made_epoch, r.use_id, r.use_time, r.use_epoch, r.user_name
  FROM filled_keys AS h
  JOIN empty_keys AS n ON n.made_key = h.key_arn
  JOIN ranked_users AS r ON r.used_key = h.key_arn
  WHERE r.user_no = 1
    AND n.made_epoch <= h.filled_epoch
    AND r.use_epoch >= h.filled_epoch
    AND r.use_epoch <= n.made_epoch + h.chain_seconds
), chain_totals AS (
  SELECT
    t.importer AS chain_importer,
    t.account_id AS chain_account_id,
    t.episode_no AS chain_episode_no,
    CAST(COUNT(*) AS BIGINT) AS chain_count,
    MIN(t.use_epoch - t.made_epoch) AS chain_took,
    MIN(t.user_name) AS first_user
  FROM chains AS t
  GROUP BY t.importer, t.account_id, t.episode_no
), proof_rows AS (
  SELECT q.importer, q.account_id, q.episode_no, q.event_id AS proof_id, q.event_time AS proof_time, q.event_epoch AS proof_epoch
  FROM episode_calls AS q
  UNION ALL
  SELECT s.importer, s.account_id, s.episode_no, s.made_id AS proof_id, s.made_time AS proof_time, s.made_epoch AS proof_epoch
  FROM chains AS s
  UNION ALL
  SELECT v.importer, v.account_id, v.episode_no, v.use_id AS proof_id, v.use_time AS proof_time, v.use_epoch AS proof_epoch
  FROM chains AS v
), numbered_proofs AS (
  SELECT
    w.importer, w.account_id, w.episode_no, w.proof_id, w.proof_time,
    CAST(ROW_NUMBER() OVER (PARTITION BY w.importer, w.account_id, w.episode_no ORDER BY w.proof_epoch, w.proof_id) AS BIGINT) AS proof_no
  FROM proof_rows AS w
), proofs AS (
  SELECT
    x.importer AS proof_importer,
    x.account_id AS proof_account_id,
    x.episode_no AS proof_episode_no,
    MIN(x.proof_time) AS first_time,
    MAX(x.proof_time) AS last_time,
    CAST(COUNT(*) AS BIGINT) AS event_count,
    STRING_AGG(CASE WHEN x.proof_no <= 1000 THEN x.proof_id END, ',') AS event_ids
  FROM numbered_proofs AS x
  GROUP BY x.importer, x.account_id, x.episode_no
), episodes AS (
  SELECT
    d.importer,
    d.account_id,
    d.episode_no,
    MIN(d.event_epoch) AS first_epoch,
    MIN(d.principal) AS principal,
    MIN(d.region) AS region,
    CAST(COUNT(DISTINCT d.region) AS BIGINT) AS region_count,
    MIN(d.key_arn) AS key_arn,
    CAST(COUNT(DISTINCT d.key_arn) AS BIGINT) AS key_count,
    MIN(d.source_ip) AS source_ip,
    CAST(COUNT(DISTINCT d.source_ip) AS BIGINT) AS source_ip_count,
    CAST(COUNT(d.import_epoch) AS BIGINT) AS import_count
  FROM episode_calls AS d
  GROUP BY d.importer, d.account_id, d.episode_no
)
SELECT
  y.first_time,
  y.last_time,
  z.account_id,
  CASE WHEN z.region_count = 1 THEN z.region END AS region,
  CASE WHEN z.key_count = 1 THEN z.key_arn END AS key_arn,
  z.principal,
  CASE WHEN z.source_ip_count = 1 THEN z.source_ip END AS source_ip,
  y.event_count,
  CASE WHEN o.chain_count > 0 THEN 'critical' ELSE 'high' END AS severity,
  z.importer
    || CASE WHEN z.import_count > 0 THEN ' imported key material ' || CAST(z.import_count AS STRING) || ' times (keys: '
            ELSE ' asked for the parameters of an import (keys: ' END
    || CAST(z.key_count AS STRING) || '), its first import in account ' || COALESCE(z.account_id, 'unknown')
    || CASE WHEN b.account_epoch < z.first_epoch THEN ', where others had imported before' ELSE ', which had none before' END
    || CASE WHEN o.chain_count > 0 THEN '; keys made for it, filled and used within ' || CAST(o.chain_took AS STRING) || ' seconds: '
              || CAST(o.chain_count AS STRING) || ', the user: ' || o.first_user ELSE '' END || '.' AS summary,
  y.event_ids,
  z.import_count,
  z.key_count,
  COALESCE(o.chain_count, 0) AS chain_count,
  o.first_user
FROM episodes AS z
JOIN importer_starts AS j ON j.start_importer = z.importer AND j.start_account_id = z.account_id
JOIN account_starts AS b ON b.known_account_id = z.account_id
JOIN proofs AS y ON y.proof_importer = z.importer AND y.proof_account_id = z.account_id AND y.proof_episode_no = z.episode_no
LEFT JOIN chain_totals AS o ON o.chain_importer = z.importer AND o.chain_account_id = z.account_id AND o.chain_episode_no = z.episode_no
WHERE j.importer_epoch IS NULL
   OR j.importer_epoch >= z.first_epoch
ORDER BY first_time, principal, account_id, last_time
