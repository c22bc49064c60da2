-- title: New external key in use
-- severity: critical
-- attack: T1486
-- description: A key was made in an external key store that the account did not have before, and within days AWS services
--   encrypted data under it. The key itself is held outside AWS: whoever holds it can close the data at any time, and a
--   lost external key loses the data. High when the account already had other external key stores.
-- false-positives: Sovereignty projects. Keys in stores that were there before, and keys that are only tried out by
--   direct calls, are left out.
-- blind-spots: Stores of which nothing is in the evidence count as new. Data keys that services cached are not seen.
-- reads: events, admin_events, use_hours
-- params: new_days = 7
WITH made_keys AS (
  SELECT
    a.event_id,
    a.event_time,
    a.event_epoch,
    a.account_id,
    a.region,
    a.key_arn,
    a.principal,
    a.source_ip,
    a.xks_key_id,
    COALESCE(a.custom_key_store_id, 'unknown') AS store_id,
    p.new_days * 86400 AS new_seconds
  FROM admin_events AS a
  CROSS JOIN params AS p
  WHERE a.event_source = 'kms.amazonaws.com'
    AND a.event_name = 'CreateKey'
    AND a.is_ok
    AND a.key_origin = 'EXTERNAL_KEY_STORE'
    AND a.key_arn IS NOT NULL
), used_keys AS (
  SELECT DISTINCT e.key_arn AS used_key, COALESCE(e.custom_key_store_id, 'unknown') AS used_store_id
  FROM events AS e
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.xks_key_id IS NOT NULL
    AND e.action_class = 'crypto'
    AND e.outcome = 'ok'
    AND e.key_arn IS NOT NULL
), known_keys AS (
  SELECT k.account_id, k.store_id, k.event_epoch AS known_epoch
  FROM made_keys AS k
  UNION ALL
  -- A key that was made before the evidence is old.
  SELECT SPLIT_PART(u.used_key, ':', 5) AS account_id, u.used_store_id AS store_id, CAST(0 AS BIGINT) AS known_epoch
  FROM used_keys AS u
  ANTI JOIN made_keys AS m ON m.key_arn = u.used_key
), account_starts AS (
  SELECT c.account_id AS start_account_id, MIN(c.known_epoch) AS account_epoch
  FROM known_keys AS c
  GROUP BY c.account_id
), store_starts AS (
  SELECT d.account_id AS store_account_id, d.store_id AS known_store_id, MIN(d.known_epoch) AS store_epoch
  FROM known_keys AS d
  GROUP BY d.account_id, d.store_id
), new_keys AS (
  SELECT
    n.event_id, n.event_time, n.event_epoch, n.account_id, n.region, n.key_arn, n.principal, n.source_ip, n.xks_key_id, n.store_id,
    n.new_seconds,
    CASE WHEN g.account_epoch >= n.event_epoch - n.new_seconds THEN 1 ELSE 0 END AS is_first_store
  FROM made_keys AS n
  JOIN account_starts AS g ON g.start_account_id = n.account_id
  JOIN store_starts AS s ON s.store_account_id = n.account_id AND s.known_store_id = n.store_id
  WHERE s.store_epoch >= n.event_epoch - n.new_seconds
), service_uses AS (
  SELECT
    h.key_arn AS used_key,
    h.principal AS user_name,
    h.via AS used_via,
    h.data_resource,
    h.call_count,
    h.first_epoch,
    h.last_time,
    h.hour_epoch,
    h.operation,
    h.event_id AS use_id
  FROM use_hours AS h
  SEMI JOIN new_keys AS i ON i.key_arn = h.key_arn
  WHERE h.xks_count > 0
    AND (h.via IS NOT NULL OR COALESCE(h.data_class, 'none') NOT IN ('none', 'custom'))
), early_uses AS (
  SELECT
    q.event_id AS made_id,
    r.user_name, r.used_via, r.data_resource, r.call_count, r.first_epoch, r.last_time, r.use_id,
    CAST(ROW_NUMBER() OVER (PARTITION BY q.event_id ORDER BY r.hour_epoch, r.use_id, r.operation) AS BIGINT) AS use_no
  FROM new_keys AS q
  JOIN service_uses AS r ON r.used_key = q.key_arn
  WHERE r.first_epoch >= q.event_epoch
    AND r.first_epoch <= q.event_epoch + q.new_seconds
), use_totals AS (
  SELECT
    t.made_id,
    CAST(SUM(t.call_count) AS BIGINT) AS use_count,
    MIN(t.first_epoch) AS first_use_epoch,
    MAX(t.last_time) AS last_time,
    CAST(COUNT(DISTINCT t.user_name) AS BIGINT) AS user_count,
    MIN(t.user_name) AS first_user,
    MIN(t.used_via) AS via,
    MIN(t.data_resource) AS data_resource
  FROM early_uses AS t
  GROUP BY t.made_id
), proof_rows AS (
  SELECT v.made_id AS proven_id, v.use_id AS proof_id FROM early_uses AS v WHERE v.use_no < 1000
  UNION ALL
  SELECT w.event_id AS proven_id, w.event_id AS proof_id FROM new_keys AS w
), proofs AS (
  SELECT x.proven_id, STRING_AGG(x.proof_id, ',') AS event_ids
  FROM proof_rows AS x
  GROUP BY x.proven_id
)
SELECT
  y.event_time AS first_time,
  z.last_time,
  y.account_id,
  y.region,
  y.key_arn,
  y.principal,
  y.source_ip,
  z.use_count + 1 AS event_count,
  CASE WHEN y.is_first_store = 1 THEN 'critical' ELSE 'high' END AS severity,
  COALESCE(y.principal, 'An unnamed principal') || ' made ' || y.key_arn || ' in the external key store ' || y.store_id
    || CASE WHEN y.is_first_store = 1 THEN ', the first of account ' ELSE ', a new one of account ' END || COALESCE(y.account_id, 'unknown')
    || '; services used it ' || CAST(z.use_count AS STRING) || ' times, the first time ' || CAST(z.first_use_epoch - y.event_epoch AS STRING)
    || ' seconds later, through ' || COALESCE(z.via, 'a direct call with a service context') || ' for '
    || COALESCE(z.first_user, 'an unnamed principal') || ' (principals: ' || CAST(z.user_count AS STRING) || ')'
    || COALESCE(', for ' || z.data_resource, '') || '.' AS summary,
  o.event_ids,
  y.store_id AS custom_key_store_id,
  y.xks_key_id,
  z.use_count,
  z.user_count,
  z.via,
  z.data_resource
FROM new_keys AS y
JOIN use_totals AS z ON z.made_id = y.event_id
JOIN proofs AS o ON o.proven_id = y.event_id
ORDER BY first_time, key_arn, principal, custom_key_store_id
