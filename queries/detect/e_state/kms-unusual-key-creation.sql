-- title: Unusual creation of keys
-- severity: low
-- attack: T1486, T1535
-- description: A principal made keys in a way that this estate had not seen: as a new maker of keys, in a Region without KMS
--   administration before, with material held outside KMS, for a new kind of use, or very many in a day. Each reason counts
--   one, outside material of a kind not made before counts two: one is low, two are medium, three and more are high. One
--   finding for a principal, account and UTC day.
-- false-positives: Pipelines with preview environments (raise churn_count), new teams, new Regions. Keys that AWS makes for
--   its own aliases and replicas of multi-Region keys are left out.
-- blind-spots: Nothing counts as new in the first days of the evidence; outside material and very many keys count at once.
-- reads: admin_events, use_hours
-- params: churn_count = 10, learn_days = 7
WITH replicas AS (
  SELECT DISTINCT r.target_key_arn AS replica_key
  FROM admin_events AS r
  WHERE r.event_source = 'kms.amazonaws.com'
    AND r.event_name = 'ReplicateKey'
    AND r.is_ok
    AND r.target_key_arn IS NOT NULL
), creations AS (
  SELECT
    c.event_id,
    c.event_time,
    c.event_epoch,
    c.event_epoch - (c.event_epoch % 86400) AS day_epoch,
    c.account_id,
    c.region,
    c.key_arn,
    c.principal,
    c.source_ip,
    c.via,
    COALESCE(c.key_origin, 'AWS_KMS') AS key_origin,
    COALESCE(c.key_usage, 'ENCRYPT_DECRYPT') AS key_usage,
    p.churn_count,
    ev.first_epoch + p.learn_days * 86400 AS learned_epoch
  FROM admin_events AS c
  CROSS JOIN params AS p
  CROSS JOIN evidence AS ev
  ANTI JOIN replicas AS x ON x.replica_key = c.key_arn
  WHERE c.event_source = 'kms.amazonaws.com'
    AND c.event_name = 'CreateKey'
    AND c.is_ok
    AND c.principal IS NOT NULL
    AND c.principal NOT LIKE 'service:%'
    AND COALESCE(c.response_elements, '') NOT LIKE '%"keyManager":"AWS"%'
    AND COALESCE(c.response_elements, '') NOT LIKE '%"keyManager": "AWS"%'
), first_makings AS (
  SELECT a.principal AS maker, a.account_id AS maker_account, MIN(a.event_epoch) AS first_making_epoch
  FROM creations AS a
  GROUP BY a.principal, a.account_id
), region_starts AS (
  SELECT b.account_id AS start_account, b.region AS start_region, MIN(b.event_epoch) AS first_admin_epoch
  FROM admin_events AS b
  WHERE b.event_source = 'kms.amazonaws.com'
    AND b.event_type <> 'AwsServiceEvent'
  GROUP BY b.account_id, b.region
), origin_starts AS (
  SELECT o.account_id AS origin_account, o.key_origin AS origin, MIN(o.event_epoch) AS first_origin_epoch
  FROM creations AS o
  GROUP BY o.account_id, o.key_origin
), usage_signs AS (
  SELECT d.account_id AS usage_account, d.key_usage AS usage_seen, d.event_epoch AS usage_epoch
  FROM creations AS d
  UNION ALL
  SELECT
    u.account_id AS usage_account,
    CASE
      WHEN u.operation IN ('Sign', 'Verify') THEN 'SIGN_VERIFY'
      WHEN u.operation IN ('GenerateMac', 'VerifyMac') THEN 'GENERATE_VERIFY_MAC'
      WHEN u.operation = 'DeriveSharedSecret' THEN 'KEY_AGREEMENT'
      ELSE 'ENCAPSULATE_DECAPSULATE'
    END AS usage_seen,
    u.first_epoch AS usage_epoch
  FROM use_hours AS u
  WHERE u.operation IN ('Sign', 'Verify', 'GenerateMac', 'VerifyMac', 'DeriveSharedSecret', 'Encapsulate', 'Decapsulate')
), usage_starts AS (
  SELECT f.usage_account, f.usage_seen, MIN(f.usage_epoch) AS first_usage_epoch
  FROM usage_signs AS f
  GROUP BY f.usage_account, f.usage_seen
), judged AS (
  SELECT
    j.event_id, j.event_time, j.event_epoch, j.day_epoch, j.account_id, j.region, j.key_arn, j.principal, j.source_ip, j.via,
    j.key_origin, j.key_usage, j.churn_count,
    CASE WHEN j.event_epoch >= j.learned_epoch AND m.first_making_epoch >= j.day_epoch THEN 1 ELSE 0 END AS is_new_maker,
    CASE WHEN j.event_epoch >= j.learned_epoch AND s.first_admin_epoch >= j.day_epoch THEN 1 ELSE 0 END AS is_new_region,
    CASE WHEN j.key_origin = 'AWS_KMS' THEN 0
         WHEN j.event_epoch >= j.learned_epoch AND t.first_origin_epoch >= j.day_epoch THEN 2
         ELSE 1 END AS origin_weight,
    CASE WHEN j.key_usage <> 'ENCRYPT_DECRYPT' AND j.event_epoch >= j.learned_epoch AND g.first_usage_epoch >= j.day_epoch THEN 1
         ELSE 0 END AS is_new_usage,
    CAST(ROW_NUMBER() OVER (PARTITION BY j.principal, j.account_id, j.day_epoch ORDER BY j.event_epoch, j.event_id) AS BIGINT) AS creation_no
  FROM creations AS j
  JOIN first_makings AS m ON m.maker = j.principal AND m.maker_account = j.account_id
  LEFT JOIN region_starts AS s ON s.start_account = j.account_id AND s.start_region = j.region
  LEFT JOIN origin_starts AS t ON t.origin_account = j.account_id AND t.origin = j.key_origin
  LEFT JOIN usage_starts AS g ON g.usage_account = j.account_id AND g.usage_seen = j.key_usage
), days AS (
  SELECT
    n.principal,
    n.account_id,
    n.day_epoch,
    MIN(n.event_time) AS first_time,
    MAX(n.event_time) AS last_time,
    MIN(n.region) AS region,
    CAST(COUNT(DISTINCT n.region) AS BIGINT) AS region_count,
    MIN(n.key_arn) AS first_key,
    CAST(COUNT(*) AS BIGINT) AS creation_count,
    MIN(n.source_ip) AS source_ip,
    CAST(COUNT(DISTINCT n.source_ip) AS BIGINT) AS source_ip_count,
    MIN(n.via) AS via,
    MAX(n.is_new_maker) AS is_new_maker,
    MAX(n.is_new_region) AS is_new_region,
    MAX(CASE WHEN n.is_new_region = 1 THEN n.region END) AS new_region,
    MAX(n.origin_weight) AS origin_weight,
    MAX(CASE WHEN n.origin_weight > 0 THEN n.key_origin END) AS outside_origin,
    MAX(n.is_new_usage) AS is_new_usage,
    MAX(CASE WHEN n.is_new_usage = 1 THEN n.key_usage END) AS new_usage,
    MAX(n.churn_count) AS churn_count
  FROM judged AS n
  GROUP BY n.principal, n.account_id, n.day_epoch
), day_ids AS (
  SELECT i.principal AS id_principal, i.account_id AS id_account, i.day_epoch AS id_day, STRING_AGG(i.event_id, ',') AS event_ids
  FROM judged AS i
  WHERE i.creation_no <= 1000
  GROUP BY i.principal, i.account_id, i.day_epoch
), scored AS (
  SELECT
    k.principal, k.account_id, k.day_epoch, k.first_time, k.last_time, k.region, k.region_count, k.first_key, k.creation_count,
    k.source_ip, k.source_ip_count, k.via, k.is_new_maker, k.new_region, k.outside_origin, k.new_usage,
    CASE WHEN k.creation_count > k.churn_count THEN 1 ELSE 0 END AS is_churn,
    k.is_new_maker + k.is_new_region + k.origin_weight + k.is_new_usage
      + CASE WHEN k.creation_count > k.churn_count THEN 1 ELSE 0 END AS weight
  FROM days AS k
)
SELECT
  y.first_time,
  y.last_time,
  y.account_id,
  CASE WHEN y.region_count = 1 THEN y.region END AS region,
  CASE WHEN y.creation_count = 1 THEN y.first_key END AS key_arn,
  y.principal,
  CASE WHEN y.source_ip_count = 1 THEN y.source_ip END AS source_ip,
  y.creation_count AS event_count,
  CASE WHEN y.weight >= 3 THEN 'high' WHEN y.weight = 2 THEN 'medium' ELSE 'low' END AS severity,
  y.principal || ' made keys: ' || CAST(y.creation_count AS STRING) || ', such as ' || COALESCE(y.first_key, 'an unnamed key')
    || CASE WHEN y.is_new_maker = 1 THEN '; it had never made one before' ELSE '' END
    || COALESCE('; first KMS administration in ' || y.new_region, '')
    || COALESCE('; material outside KMS: ' || y.outside_origin, '')
    || COALESCE('; first key for ' || y.new_usage, '')
    || CASE WHEN y.is_churn = 1 THEN '; very many for one day' ELSE '' END || '.' AS summary,
  z.event_ids,
  y.weight,
  y.creation_count,
  CASE WHEN y.is_new_maker = 1 THEN TRUE ELSE FALSE END AS is_new_maker,
  y.new_region,
  y.outside_origin,
  y.new_usage,
  CASE WHEN y.is_churn = 1 THEN TRUE ELSE FALSE END AS is_churn,
  y.via
FROM scored AS y
JOIN day_ids AS z ON z.id_principal = y.principal AND z.id_account = y.account_id AND z.id_day = y.day_epoch
WHERE y.weight > 0
ORDER BY first_time, principal, account_id
