-- title: Custom key store created or redirected
-- severity: high
-- attack: T1486, T1583
-- description: A custom key store was created, pointed at another cluster, proxy or credential, or connected by a
--   principal that had not worked with key stores in this account before. The keys of a store live outside KMS: whoever
--   runs the cluster or the proxy decides whether the data can be opened.
-- false-positives: CloudHSM and external key store programmes, where the acts of one day on one store are one finding.
--   A new display name is left out, and so is the reconnecting by somebody who disconnected or made a store before.
-- blind-spots: Credentials are not in the record, so an update without any parameter counts as a new credential. What
--   the proxy or the cluster does behind an unchanged address is not seen.
-- reads: admin_events
-- params: episode_hours = 24
WITH store_acts AS (
  SELECT
    a.event_id,
    a.event_name,
    a.event_time,
    a.event_epoch,
    a.account_id,
    a.region,
    COALESCE(a.principal, 'An unnamed principal') AS actor,
    a.principal,
    a.source_ip,
    COALESCE(a.custom_key_store_id, 'unknown') AS store_id,
    a.request_parameters,
    CASE WHEN POSITION('newCustomKeyStoreName' IN COALESCE(a.request_parameters, '')) > 0
          AND POSITION('lusterId' IN a.request_parameters) = 0
          AND POSITION('assword' IN a.request_parameters) = 0
          AND POSITION('xksProxy' IN a.request_parameters) = 0 THEN 1 ELSE 0 END AS is_rename,
    p.episode_hours
  FROM admin_events AS a
  CROSS JOIN params AS p
  WHERE a.event_source = 'kms.amazonaws.com'
    AND a.action_class = 'key_store'
    AND a.is_ok
), numbered_acts AS (
  SELECT
    n.event_id, n.event_name, n.event_time, n.event_epoch, n.account_id, n.region, n.actor, n.principal, n.source_ip, n.store_id,
    n.request_parameters, n.is_rename, n.episode_hours,
    CAST(ROW_NUMBER() OVER (PARTITION BY n.account_id, n.actor ORDER BY n.event_epoch, n.event_id) AS BIGINT) AS actor_no
  FROM store_acts AS n
), relevant_acts AS (
  SELECT
    r.event_id, r.event_time, r.event_epoch, r.account_id, r.region, r.actor, r.principal, r.source_ip, r.store_id,
    r.request_parameters, r.episode_hours,
    CASE WHEN r.event_name = 'CreateCustomKeyStore' THEN 1 ELSE 0 END AS creates,
    CASE WHEN r.event_name = 'UpdateCustomKeyStore' THEN 1 ELSE 0 END AS redirects,
    CASE WHEN r.event_name = 'ConnectCustomKeyStore' THEN 1 ELSE 0 END AS connects,
    CASE WHEN r.event_name <> 'ConnectCustomKeyStore' OR r.actor_no = 1 THEN 1 ELSE 0 END AS counts,
    LAG(r.event_epoch) OVER (PARTITION BY r.account_id, r.region, r.store_id, r.actor ORDER BY r.event_epoch, r.event_id) AS before_epoch
  FROM numbered_acts AS r
  WHERE r.event_name IN ('CreateCustomKeyStore', 'ConnectCustomKeyStore')
     OR (r.event_name = 'UpdateCustomKeyStore' AND r.is_rename = 0)
), marked_acts AS (
  SELECT
    m.event_id, m.event_time, m.event_epoch, m.account_id, m.region, m.actor, m.principal, m.source_ip, m.store_id,
    m.request_parameters, m.creates, m.redirects, m.connects, m.counts,
    CASE WHEN m.before_epoch IS NULL OR m.event_epoch - m.before_epoch > m.episode_hours * 3600 THEN 1 ELSE 0 END AS is_start
  FROM relevant_acts AS m
), episode_acts AS (
  SELECT
    e.event_id, e.event_time, e.event_epoch, e.account_id, e.region, e.actor, e.principal, e.source_ip, e.store_id,
    e.request_parameters, e.creates, e.redirects, e.connects, e.counts,
    CAST(SUM(e.is_start) OVER (PARTITION BY e.account_id, e.region, e.store_id, e.actor ORDER BY e.event_epoch, e.event_id
                               ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS episode_no
  FROM marked_acts AS e
), ranked_acts AS (
  SELECT
    q.event_id, q.event_time, q.account_id, q.region, q.actor, q.principal, q.source_ip, q.store_id,
    q.request_parameters, q.creates, q.redirects, q.connects, q.counts, q.episode_no,
    CAST(ROW_NUMBER() OVER (PARTITION BY q.account_id, q.region, q.store_id, q.actor, q.episode_no
                            ORDER BY q.event_epoch, q.event_id) AS BIGINT) AS act_no
  FROM episode_acts AS q
), episodes AS (
  SELECT
    s.account_id,
    s.region,
    s.store_id,
    s.actor,
    s.episode_no,
    MIN(s.event_time) AS first_time,
    MAX(s.event_time) AS last_time,
    MIN(s.principal) AS principal,
    MIN(s.source_ip) AS source_ip,
    CAST(COUNT(DISTINCT s.source_ip) AS BIGINT) AS source_ip_count,
    CAST(COUNT(*) AS BIGINT) AS event_count,
    CAST(SUM(s.creates) AS BIGINT) AS create_count,
    CAST(SUM(s.redirects) AS BIGINT) AS redirect_count,
    CAST(SUM(s.connects) AS BIGINT) AS connect_count,
    CAST(SUM(s.counts) AS BIGINT) AS trigger_count,
    MIN(CASE WHEN s.counts = 1 THEN s.request_parameters END) AS parameters,
    STRING_AGG(CASE WHEN s.act_no <= 1000 THEN s.event_id END, ',') AS event_ids
  FROM ranked_acts AS s
  GROUP BY s.account_id, s.region, s.store_id, s.actor, s.episode_no
)
SELECT
  t.first_time,
  t.last_time,
  t.account_id,
  t.region,
  CAST(NULL AS STRING) AS key_arn,
  t.principal,
  CASE WHEN t.source_ip_count = 1 THEN t.source_ip END AS source_ip,
  t.event_count,
  'high' AS severity,
  t.actor
    || CASE WHEN t.create_count > 0 THEN ' created the custom key store '
            WHEN t.redirect_count > 0 THEN ' redirected the custom key store '
            ELSE ' connected, as its first act on key stores, the custom key store ' END
    || t.store_id || ' in ' || COALESCE(t.region, 'an unnamed Region') || ' (created: ' || CAST(t.create_count AS STRING)
    || ', changed: ' || CAST(t.redirect_count AS STRING) || ', connected: ' || CAST(t.connect_count AS STRING) || ').' AS summary,
  t.event_ids,
  t.store_id AS custom_key_store_id,
  t.create_count,
  t.redirect_count,
  t.connect_count,
  t.parameters
FROM episodes AS t
WHERE t.trigger_count > 0
ORDER BY first_time, custom_key_store_id, principal, account_id, region
