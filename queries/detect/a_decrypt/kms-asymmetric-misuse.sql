-- title: Signing key used or exported abnormally
-- severity: high
-- attack: T1606, T1553.002, T1649
-- description: After the training period (14 days, or half of shorter evidence) a principal signed, made MACs, derived
--   secrets or decapsulated with a key for the first time, or did so from a network new to it; or signed far more in an
--   hour than it ever does; or a public key was fetched by an outside account, or by a principal that had never used
--   the key. What is signed is trusted, and nothing shows later what a fetched public key serves for. High for a first
--   direct Sign, low for a public key fetched at home, medium for the rest.
-- false-positives: New signers and CI jobs, clients that look for the key to verify with. Left out are the first week of
--   a key that was made in the evidence, services' own principals, service-linked roles, signers that change their
--   network all the time, and public keys of key agreement, which are there to be given away.
-- blind-spots: Evidence of less than four days has no training period; then only bursts and outside accounts are found.
--   A burst needs a baseline of 24 active hours on seven days. Use of a public key outside KMS is never logged.
-- reads: use_hours, origin_days, baselines, pairs, keys
-- params: training_days = 14, training_share = 0.5, min_training_days = 2, deployment_days = 7, steady_days = 3,
--   steady_networks = 2, min_burst = 50, min_score = 6.0
WITH half_evidence AS (
  SELECT
    v.first_epoch AS begin_epoch,
    a.training_share * (v.last_epoch - v.first_epoch) AS half_seconds,
    a.training_days * 86400 AS full_seconds,
    a.min_training_days * 86400 AS min_seconds,
    a.deployment_days * 86400 AS deployment_seconds,
    a.steady_days,
    a.steady_networks
  FROM evidence AS v
  CROSS JOIN params AS a
  WHERE v.first_epoch IS NOT NULL
), training AS (
  SELECT
    CASE WHEN h.half_seconds < h.full_seconds THEN h.begin_epoch + h.half_seconds
         ELSE 1.0 * (h.begin_epoch + h.full_seconds) END AS training_end,
    h.deployment_seconds,
    h.steady_days,
    h.steady_networks
  FROM half_evidence AS h
  WHERE h.half_seconds >= h.min_seconds
), home AS (
  SELECT o.account_id AS home_id FROM home_accounts AS o
), key_facts AS (
  SELECT k.key_arn AS fact_key, k.created_epoch, k.is_home, k.key_usage
  FROM keys AS k
), key_calls AS (
  SELECT
    u.principal, u.principal_account_id, u.key_arn, u.operation, u.via, u.hour_epoch, u.account_id, u.region, u.call_count,
    u.first_time, u.last_time, u.first_epoch, u.source_ip, u.event_id
  FROM use_hours AS u
  WHERE u.operation IN ('Sign', 'GenerateMac', 'DeriveSharedSecret', 'Decapsulate', 'GetPublicKey')
    AND u.principal NOT LIKE 'service:%'
    AND u.principal NOT LIKE '%:role/aws-service-role/%'
), call_pairs AS (
  SELECT
    c.principal,
    c.key_arn,
    c.operation,
    MIN(c.principal_account_id) AS principal_account_id,
    MIN(c.account_id) AS account_id,
    MIN(c.region) AS region,
    MIN(c.via) AS via,
    MIN(c.first_time) AS first_time,
    MAX(c.last_time) AS last_time,
    MIN(c.first_epoch) AS first_epoch,
    MIN(c.source_ip) AS source_ip,
    MIN(c.event_id) AS event_id,
    CAST(SUM(c.call_count) AS BIGINT) AS n
  FROM key_calls AS c
  GROUP BY c.principal, c.key_arn, c.operation
), first_uses AS (
  SELECT d.principal AS user_who, d.key_arn AS user_key, MIN(d.first_epoch) AS first_use_epoch
  FROM key_calls AS d
  WHERE d.operation <> 'GetPublicKey'
  GROUP BY d.principal, d.key_arn
), known_users AS (
  SELECT DISTINCT e.principal AS known_principal, e.key_arn AS known_key
  FROM pairs AS e
  CROSS JOIN training AS t
  WHERE e.first_epoch <= t.training_end
), new_signers AS (
  SELECT
    CASE WHEN f.operation = 'Sign' AND f.via IS NULL THEN 4 ELSE 3 END AS weight,
    f.principal, f.key_arn, f.operation, f.first_epoch, f.account_id, f.region, f.source_ip, f.event_id, f.n,
    f.first_time, f.last_time, t.deployment_seconds
  FROM call_pairs AS f
  JOIN first_uses AS g ON g.user_who = f.principal AND g.user_key = f.key_arn
  CROSS JOIN training AS t
  WHERE f.operation <> 'GetPublicKey'
    AND g.first_use_epoch > t.training_end
), steady_signers AS (
  SELECT
    i.principal AS steady_principal,
    i.key_arn AS steady_key,
    CAST(COUNT(DISTINCT i.day_epoch) AS BIGINT) AS day_count,
    CAST(COUNT(DISTINCT i.network) AS BIGINT) AS network_count
  FROM origin_days AS i
  CROSS JOIN training AS t
  WHERE i.signing_count > 0
    AND i.first_epoch <= t.training_end
  GROUP BY i.principal, i.key_arn
), signing_networks AS (
  SELECT
    j.principal,
    j.key_arn,
    j.network,
    MIN(j.account_id) AS account_id,
    MIN(j.region) AS region,
    MIN(j.first_time) AS first_time,
    MAX(j.last_time) AS last_time,
    MIN(j.first_epoch) AS first_epoch,
    MIN(j.source_ip) AS source_ip,
    MIN(j.event_id) AS event_id,
    CAST(SUM(j.signing_count) AS BIGINT) AS n
  FROM origin_days AS j
  WHERE j.signing_count > 0
    AND j.network IS NOT NULL
  GROUP BY j.principal, j.key_arn, j.network
), hour_sums AS (
  SELECT l.principal, l.operation, l.hour_epoch, CAST(SUM(l.call_count) AS BIGINT) AS hour_n
  FROM key_calls AS l
  WHERE l.operation <> 'GetPublicKey'
  GROUP BY l.principal, l.operation, l.hour_epoch
), burst_hours AS (
  SELECT m.principal AS burst_principal, m.operation AS burst_operation, m.hour_epoch AS burst_hour
  FROM hour_sums AS m
  JOIN baselines AS n ON n.subject = m.principal AND n.operation = m.operation
  CROSS JOIN params AS p
  WHERE n.subject_kind = 'principal'
    AND n.has_baseline
    AND m.hour_n >= p.min_burst
    AND 0.6745 * (m.hour_n - n.median_count) >= p.min_score * n.spread
), candidates AS (
  SELECT 'first_signer' AS reason, q.weight, q.principal, q.key_arn, q.operation, q.first_epoch, q.account_id,
         q.region, q.source_ip, q.event_id, q.n, q.first_time, q.last_time
  FROM new_signers AS q
  LEFT JOIN key_facts AS r ON r.fact_key = q.key_arn
  WHERE r.created_epoch IS NULL
     OR q.first_epoch - r.created_epoch > q.deployment_seconds
  UNION ALL
  SELECT 'new_network' AS reason, 3 AS weight, s.principal, s.key_arn, NULL AS operation, s.first_epoch,
         s.account_id, s.region, s.source_ip, s.event_id, s.n, s.first_time, s.last_time
  FROM signing_networks AS s
  JOIN steady_signers AS w ON w.steady_principal = s.principal AND w.steady_key = s.key_arn
  CROSS JOIN training AS t
  WHERE s.first_epoch > t.training_end
    AND w.day_count >= t.steady_days
    AND w.network_count <= t.steady_networks
  UNION ALL
  SELECT 'burst' AS reason, 3 AS weight, x.principal, x.key_arn, x.operation, x.first_epoch, x.account_id, x.region,
         x.source_ip, x.event_id, x.call_count AS n, x.first_time, x.last_time
  FROM key_calls AS x
  JOIN burst_hours AS y ON y.burst_principal = x.principal AND y.burst_operation = x.operation AND y.burst_hour = x.hour_epoch
  UNION ALL
  SELECT 'outside_public_key' AS reason, 3 AS weight, z.principal, z.key_arn, z.operation, z.first_epoch, z.account_id,
         z.region, z.source_ip, z.event_id, z.n, z.first_time, z.last_time
  FROM call_pairs AS z
  JOIN key_facts AS a ON a.fact_key = z.key_arn
  LEFT JOIN home AS b ON b.home_id = z.principal_account_id
  WHERE z.operation = 'GetPublicKey'
    AND a.is_home
    AND z.principal_account_id IS NOT NULL
    AND b.home_id IS NULL
    AND COALESCE(a.key_usage, 'unknown') <> 'KEY_AGREEMENT'
  UNION ALL
  SELECT 'first_public_key' AS reason, 2 AS weight, c.principal, c.key_arn, c.operation, c.first_epoch, c.account_id,
         c.region, c.source_ip, c.event_id, c.n, c.first_time, c.last_time
  FROM call_pairs AS c
  JOIN home AS d ON d.home_id = c.principal_account_id
  LEFT JOIN known_users AS e ON e.known_principal = c.principal AND e.known_key = c.key_arn
  LEFT JOIN key_facts AS f ON f.fact_key = c.key_arn
  CROSS JOIN training AS t
  WHERE c.operation = 'GetPublicKey'
    AND c.via IS NULL
    AND c.first_epoch > t.training_end
    AND e.known_key IS NULL
    AND COALESCE(f.key_usage, 'unknown') <> 'KEY_AGREEMENT'
    AND (f.created_epoch IS NULL OR c.first_epoch - f.created_epoch > t.deployment_seconds)
), numbered_candidates AS (
  SELECT
    g.reason, g.weight, g.principal, g.first_epoch - (g.first_epoch % 86400) AS day_epoch, g.key_arn, g.operation,
    g.account_id, g.region, g.source_ip, g.event_id, g.n, g.first_time, g.last_time,
    CAST(ROW_NUMBER() OVER (PARTITION BY g.reason, g.principal, g.first_epoch - (g.first_epoch % 86400)
                            ORDER BY g.first_epoch, g.event_id, g.key_arn) AS BIGINT) AS candidate_no
  FROM candidates AS g
), days AS (
  SELECT
    h.reason,
    h.principal,
    h.day_epoch,
    MAX(h.weight) AS weight,
    MIN(h.first_time) AS first_time,
    MAX(h.last_time) AS last_time,
    MIN(h.account_id) AS account_id,
    MIN(h.region) AS region,
    MIN(h.key_arn) AS first_key,
    MIN(h.operation) AS operation,
    MIN(h.source_ip) AS source_ip,
    CAST(COUNT(DISTINCT h.region) AS BIGINT) AS region_count,
    CAST(COUNT(DISTINCT h.key_arn) AS BIGINT) AS key_count,
    CAST(COUNT(DISTINCT h.source_ip) AS BIGINT) AS source_ip_count,
    CAST(SUM(h.n) AS BIGINT) AS event_count,
    STRING_AGG(CASE WHEN h.candidate_no <= 1000 THEN h.event_id END, ',') AS event_ids
  FROM numbered_candidates AS h
  GROUP BY h.reason, h.principal, h.day_epoch
)
SELECT
  i.first_time,
  i.last_time,
  i.account_id,
  CASE WHEN i.region_count = 1 THEN i.region END AS region,
  CASE WHEN i.key_count = 1 THEN i.first_key END AS key_arn,
  i.principal,
  CASE WHEN i.source_ip_count = 1 THEN i.source_ip END AS source_ip,
  i.event_count,
  CASE WHEN i.weight = 4 THEN 'high' WHEN i.weight = 3 THEN 'medium' ELSE 'low' END AS severity,
  i.principal
    || CASE
         WHEN i.reason = 'first_signer' THEN ' called ' || COALESCE(i.operation, 'Sign') || ' for the first time'
         WHEN i.reason = 'new_network' THEN ' signed from ' || COALESCE(i.source_ip, 'an address') || ', a network new to it,'
         WHEN i.reason = 'burst' THEN ' called ' || COALESCE(i.operation, 'Sign') || ' far more than it ever does in an hour'
         WHEN i.reason = 'outside_public_key' THEN ' of an outside account fetched the public key'
         ELSE ' fetched a public key for the first time'
       END
    || CASE WHEN i.operation = 'GetPublicKey' THEN ' of ' ELSE ' with ' END || i.first_key
    || CASE WHEN i.key_count > 1 THEN ' and other keys (' || CAST(i.key_count AS STRING) || ' in all)' ELSE '' END
    || ' (calls: ' || CAST(i.event_count AS STRING) || ').' AS summary,
  i.event_ids,
  i.reason,
  i.operation,
  i.key_count
FROM days AS i
ORDER BY first_time, principal, reason, last_time
