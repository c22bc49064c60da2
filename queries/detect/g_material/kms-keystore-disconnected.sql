-- title: Custom key store cut off
-- severity: high
-- attack: T1489
-- description: A custom key store was disconnected or deleted, or calls on its keys fail in number because the store
--   cannot be reached. Every key in the store is unusable from this moment, without a waiting period; the finding names
--   the keys and tells when the store was connected again.
-- false-positives: Maintenance of a cluster, an outage of a proxy. Failures while a store is known to be disconnected
--   belong to that finding; ciphertexts that an external key store rejects are left out.
-- blind-spots: Services with cached data keys go on working for a while. Failures that name neither the store nor a key
--   whose store the evidence knows are not counted.
-- reads: events, admin_events, failed_calls
-- params: spike_count = 20, spike_minutes = 15, connect_minutes = 30
WITH store_key_counts AS (
  SELECT e.custom_key_store_id AS store_id, e.key_arn AS store_key, CAST(COUNT(*) AS BIGINT) AS event_count
  FROM events AS e
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.custom_key_store_id IS NOT NULL
    AND e.key_arn IS NOT NULL
  GROUP BY e.custom_key_store_id, e.key_arn
), key_stores AS (
  SELECT k.store_key AS known_key, MIN(k.store_id) AS known_store_id
  FROM store_key_counts AS k
  GROUP BY k.store_key
), ranked_keys AS (
  SELECT
    r.store_id,
    r.store_key,
    CAST(ROW_NUMBER() OVER (PARTITION BY r.store_id ORDER BY r.store_key) AS BIGINT) AS key_no
  FROM store_key_counts AS r
), store_contents AS (
  SELECT
    c.store_id AS content_store_id,
    CAST(COUNT(*) AS BIGINT) AS key_count,
    STRING_AGG(CASE WHEN c.key_no <= 20 THEN c.store_key END, ',') AS store_keys
  FROM ranked_keys AS c
  GROUP BY c.store_id
), store_acts AS (
  SELECT
    a.event_id,
    a.event_name,
    a.event_time,
    a.event_epoch,
    a.account_id,
    a.region,
    a.principal,
    a.source_ip,
    COALESCE(a.custom_key_store_id, 'unknown') AS store_id,
    CASE WHEN a.event_name = 'ConnectCustomKeyStore' THEN 1 ELSE 0 END AS is_connect
  FROM admin_events AS a
  WHERE a.event_source = 'kms.amazonaws.com'
    AND a.event_name IN ('ConnectCustomKeyStore', 'DisconnectCustomKeyStore', 'DeleteCustomKeyStore')
    AND a.is_ok
), numbered_acts AS (
  -- What is between two connections of a store is one outage.
  SELECT
    n.event_id, n.event_name, n.event_time, n.event_epoch, n.account_id, n.region, n.principal, n.source_ip, n.store_id, n.is_connect,
    CAST(SUM(n.is_connect) OVER (PARTITION BY n.store_id ORDER BY n.event_epoch, n.event_id
                                 ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS outage_no
  FROM store_acts AS n
), cuts AS (
  SELECT
    u.store_id,
    u.outage_no,
    MIN(u.event_epoch) AS cut_epoch,
    MAX(CASE WHEN u.event_name = 'DeleteCustomKeyStore' THEN 1 ELSE 0 END) AS is_deleted
  FROM numbered_acts AS u
  WHERE u.is_connect = 0
  GROUP BY u.store_id, u.outage_no
), connections AS (
  SELECT o.store_id AS connect_store_id, o.outage_no - 1 AS ended_outage_no, o.event_epoch AS connect_epoch, o.event_time AS connect_time
  FROM numbered_acts AS o
  WHERE o.is_connect = 1
), outages AS (
  SELECT
    x.store_id AS out_store_id, x.outage_no, x.cut_epoch, x.is_deleted, y.connect_epoch, y.connect_time,
    COALESCE(y.connect_epoch + p.connect_minutes * 60, 9999999999) AS end_epoch
  FROM cuts AS x
  LEFT JOIN connections AS y ON y.connect_store_id = x.store_id AND y.ended_outage_no = x.outage_no
  CROSS JOIN params AS p
), failures AS (
  SELECT
    f.event_id, f.event_time, f.event_epoch, f.account_id, f.region, f.key_arn, f.principal, f.source_ip,
    COALESCE(f.custom_key_store_id, s.known_store_id) AS store_id
  FROM failed_calls AS f
  LEFT JOIN key_stores AS s ON s.known_key = f.key_arn
  WHERE f.error_code LIKE '%KMSInvalidState%'
    AND COALESCE(f.key_state_error, 'unavailable') = 'unavailable'
    AND COALESCE(f.error_message, '') NOT LIKE '%ciphertext%'
    AND (f.custom_key_store_id IS NOT NULL OR s.known_store_id IS NOT NULL)
), outage_failures AS (
  SELECT g.event_id AS caused_id, g.store_id AS caused_store_id, MAX(h.outage_no) AS caused_no
  FROM failures AS g
  JOIN outages AS h ON h.out_store_id = g.store_id
  WHERE g.event_epoch >= h.cut_epoch
    AND g.event_epoch <= h.end_epoch
  GROUP BY g.event_id, g.store_id
), other_failures AS (
  SELECT
    i.event_id, i.event_epoch, i.store_id,
    LAG(i.event_epoch) OVER (PARTITION BY i.store_id ORDER BY i.event_epoch, i.event_id) AS before_epoch
  FROM failures AS i
  ANTI JOIN outage_failures AS j ON j.caused_id = i.event_id
), marked_failures AS (
  SELECT
    m.event_id, m.event_epoch, m.store_id,
    CASE WHEN m.before_epoch IS NULL OR m.event_epoch - m.before_epoch > q.spike_minutes * 60 THEN 1 ELSE 0 END AS is_start
  FROM other_failures AS m
  CROSS JOIN params AS q
), spike_failures AS (
  SELECT
    t.event_id, t.store_id,
    CAST(SUM(t.is_start) OVER (PARTITION BY t.store_id ORDER BY t.event_epoch, t.event_id
                               ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS spike_no
  FROM marked_failures AS t
), places AS (
  SELECT v.event_id AS member_id, 'failing' AS change, v.spike_no AS group_no FROM spike_failures AS v
  UNION ALL
  SELECT w.caused_id AS member_id, 'cut' AS change, w.caused_no AS group_no FROM outage_failures AS w
), members AS (
  SELECT
    ma.store_id, 'cut' AS change, ma.outage_no AS group_no, 1 AS is_act,
    ma.event_id, ma.event_time, ma.event_epoch, ma.account_id, ma.region, ma.principal, ma.source_ip, CAST(NULL AS STRING) AS key_arn
  FROM numbered_acts AS ma
  WHERE ma.is_connect = 0
  UNION ALL
  SELECT
    mf.store_id, pl.change, pl.group_no, 0 AS is_act,
    mf.event_id, mf.event_time, mf.event_epoch, mf.account_id, mf.region, mf.principal, mf.source_ip, mf.key_arn
  FROM failures AS mf
  JOIN places AS pl ON pl.member_id = mf.event_id
), ranked_members AS (
  SELECT
    rm.store_id, rm.change, rm.group_no, rm.is_act, rm.event_id, rm.event_time, rm.event_epoch, rm.account_id, rm.region, rm.principal,
    rm.source_ip, rm.key_arn,
    CAST(ROW_NUMBER() OVER (PARTITION BY rm.store_id, rm.change, rm.group_no ORDER BY rm.event_epoch, rm.event_id) AS BIGINT) AS member_no
  FROM members AS rm
), store_incidents AS (
  SELECT
    gr.store_id,
    gr.change,
    gr.group_no,
    MIN(gr.event_time) AS first_time,
    MAX(gr.event_time) AS last_time,
    MIN(gr.event_epoch) AS first_epoch,
    MAX(gr.event_epoch) AS last_epoch,
    MAX(CASE WHEN gr.member_no = 1 THEN gr.account_id END) AS account_id,
    MAX(CASE WHEN gr.member_no = 1 THEN gr.region END) AS region,
    MAX(CASE WHEN gr.member_no = 1 AND gr.is_act = 1 THEN gr.principal END) AS act_principal,
    MAX(CASE WHEN gr.member_no = 1 AND gr.is_act = 1 THEN gr.source_ip END) AS act_source_ip,
    MIN(gr.principal) AS any_principal,
    CAST(COUNT(DISTINCT gr.principal) AS BIGINT) AS principal_count,
    MIN(gr.key_arn) AS any_key,
    CAST(COUNT(DISTINCT gr.key_arn) AS BIGINT) AS failing_key_count,
    CAST(COUNT(*) AS BIGINT) AS event_count,
    CAST(COUNT(CASE WHEN gr.is_act = 0 THEN 1 END) AS BIGINT) AS failure_count,
    STRING_AGG(CASE WHEN gr.member_no <= 1000 THEN gr.event_id END, ',') AS event_ids
  FROM ranked_members AS gr
  GROUP BY gr.store_id, gr.change, gr.group_no
), judged AS (
  SELECT
    jg.store_id, jg.change, jg.group_no, jg.first_time, jg.last_time, jg.first_epoch, jg.last_epoch, jg.account_id, jg.region,
    jg.event_count, jg.failure_count, jg.failing_key_count, jg.event_ids, jg.act_source_ip AS source_ip,
    CASE WHEN jg.change = 'cut' THEN jg.act_principal WHEN jg.principal_count = 1 THEN jg.any_principal END AS principal,
    CASE WHEN jg.change = 'failing' AND jg.failing_key_count = 1 THEN jg.any_key END AS key_arn,
    ot.is_deleted, ot.connect_epoch,
    CASE WHEN jg.change = 'cut' THEN ot.connect_time END AS connect_time,
    COALESCE(sc.key_count, 0) AS key_count,
    sc.store_keys
  FROM store_incidents AS jg
  LEFT JOIN outages AS ot ON ot.out_store_id = jg.store_id AND ot.outage_no = jg.group_no
  LEFT JOIN store_contents AS sc ON sc.content_store_id = jg.store_id
  CROSS JOIN params AS sp
  WHERE jg.change = 'cut'
     OR jg.failure_count >= sp.spike_count
)
SELECT
  z.first_time,
  z.last_time,
  z.account_id,
  z.region,
  z.key_arn,
  z.principal,
  z.source_ip,
  z.event_count,
  'high' AS severity,
  CASE WHEN z.change = 'failing' THEN CAST(z.failure_count AS STRING) || ' calls on ' || CAST(z.failing_key_count AS STRING)
              || ' keys of the custom key store ' || z.store_id || ' failed within ' || CAST(z.last_epoch - z.first_epoch AS STRING)
              || ' seconds because it could not be reached, though the evidence has no disconnection.'
       ELSE COALESCE(z.principal, 'An unnamed principal') || CASE WHEN z.is_deleted = 1 THEN ' deleted' ELSE ' disconnected' END
              || ' the custom key store ' || z.store_id || ' with ' || CAST(z.key_count AS STRING) || ' keys known from the evidence; calls that failed since: '
              || CAST(z.failure_count AS STRING)
              || CASE WHEN z.connect_epoch IS NULL THEN '; not connected again in the evidence.'
                      ELSE '; connected again after ' || CAST(z.connect_epoch - z.first_epoch AS STRING) || ' seconds.' END END AS summary,
  z.event_ids,
  z.change,
  z.store_id AS custom_key_store_id,
  z.key_count,
  z.failure_count,
  z.store_keys,
  z.connect_time
FROM judged AS z
ORDER BY first_time, custom_key_store_id, change, last_time
