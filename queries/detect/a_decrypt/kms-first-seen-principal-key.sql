-- title: Principal used a key for the first time
-- severity: low
-- attack: T1078.004, T1530
-- description: A principal used a key that it had not used in the training period (the first 14 days of the evidence, or
--   its first half when that is shorter), or woke up a key that nobody had used for 90 days. Stolen permissions show
--   first as such a meeting. All keys that one principal met on one day are one finding: low, medium when a call was
--   direct, high when a key of them protects secrets, parameters or logs, whether the call was direct or not.
-- false-positives: New duties of a role, yearly jobs. Left out are new deployments (the key was made in the evidence and
--   our principal first appeared within a week of that), services' own principals, service-linked roles and EC2's
--   infrastructure role.
-- blind-spots: Evidence of less than four days has no training period and gives nothing; what a principal did in the
--   training period counts as its habit. A key's dormancy shows only in evidence of more than 90 days.
-- reads: pairs, use_hours, key_use_days, keys, principals
-- params: training_days = 14, training_share = 0.5, min_training_days = 2, deployment_days = 7, dormant_days = 90
WITH half_evidence AS (
  SELECT
    v.first_epoch AS begin_epoch,
    a.training_share * (v.last_epoch - v.first_epoch) AS half_seconds,
    a.training_days * 86400 AS full_seconds,
    a.min_training_days * 86400 AS min_seconds,
    a.deployment_days * 86400 AS deployment_seconds
  FROM evidence AS v
  CROSS JOIN params AS a
  WHERE v.first_epoch IS NOT NULL
), training AS (
  SELECT
    CASE WHEN h.half_seconds < h.full_seconds THEN h.begin_epoch + h.half_seconds
         ELSE 1.0 * (h.begin_epoch + h.full_seconds) END AS training_end,
    h.deployment_seconds
  FROM half_evidence AS h
  WHERE h.half_seconds >= h.min_seconds
), arrivals AS (
  SELECT
    i.principal AS arrived_principal,
    i.first_epoch AS arrived_epoch
  FROM principals AS i
  WHERE i.is_home
), made_keys AS (
  SELECT k.key_arn AS made_key, k.created_epoch
  FROM keys AS k
  WHERE k.created_epoch IS NOT NULL
), new_pairs AS (
  SELECT
    n.principal, n.key_arn, n.account_id, n.region, n.first_epoch - (n.first_epoch % 86400) AS day_epoch,
    n.first_time, n.last_time, n.use_count, n.reveal_count, n.direct_count, n.via, n.event_id, n.source_ip,
    CASE WHEN ABS(r.arrived_epoch - m.created_epoch) <= t.deployment_seconds THEN 1 ELSE 0 END AS is_deployment
  FROM pairs AS n
  CROSS JOIN training AS t
  LEFT JOIN arrivals AS r ON r.arrived_principal = n.principal
  LEFT JOIN made_keys AS m ON m.made_key = n.key_arn
  WHERE n.first_epoch > t.training_end
    AND n.principal NOT LIKE 'service:%'
    AND n.principal NOT LIKE '%:role/aws-service-role/%'
    AND n.principal NOT LIKE '%/aws:ec2-infrastructure%'
), used_days AS (
  SELECT
    d.key_arn AS used_key,
    d.day_epoch AS used_day,
    MIN(d.first_use_epoch) AS first_use_epoch,
    MAX(d.last_use_epoch) AS last_use_epoch
  FROM key_use_days AS d
  WHERE d.use_count > 0
  GROUP BY d.key_arn, d.day_epoch
), idle_times AS (
  SELECT
    f.used_key,
    f.used_day,
    f.first_use_epoch,
    LAG(f.last_use_epoch) OVER (PARTITION BY f.used_key ORDER BY f.used_day) AS used_before_epoch
  FROM used_days AS f
), woken_days AS (
  SELECT g.used_key AS woken_key, g.used_day AS woken_day
  FROM idle_times AS g
  CROSS JOIN params AS b
  WHERE g.first_use_epoch - g.used_before_epoch >= b.dormant_days * 86400
), woken_key_hours AS (
  SELECT
    u.principal, u.key_arn, u.hour_epoch - (u.hour_epoch % 86400) AS day_epoch, u.account_id, u.region, u.first_time, u.last_time,
    u.first_epoch, u.call_count, u.direct_count, u.via, u.event_id, u.source_ip,
    CASE WHEN u.is_reveal THEN u.call_count ELSE CAST(0 AS BIGINT) END AS reveal_count
  FROM use_hours AS u
  SEMI JOIN woken_days AS c ON c.woken_key = u.key_arn
  WHERE u.principal IS NOT NULL
), wakings AS (
  SELECT
    e.principal,
    e.key_arn,
    e.day_epoch,
    MIN(e.account_id) AS account_id,
    MIN(e.region) AS region,
    MIN(e.first_time) AS first_time,
    MAX(e.last_time) AS last_time,
    MIN(e.first_epoch) AS first_epoch,
    CAST(SUM(e.call_count) AS BIGINT) AS use_count,
    CAST(SUM(e.reveal_count) AS BIGINT) AS reveal_count,
    CAST(SUM(e.direct_count) AS BIGINT) AS direct_count,
    MIN(e.via) AS via,
    MIN(e.event_id) AS event_id,
    MIN(e.source_ip) AS source_ip
  FROM woken_key_hours AS e
  JOIN woken_days AS j ON j.woken_key = e.key_arn AND j.woken_day = e.day_epoch
  GROUP BY e.principal, e.key_arn, e.day_epoch
), ranked_wakings AS (
  SELECT
    x.principal, x.key_arn, x.day_epoch, x.account_id, x.region, x.first_time, x.last_time, x.use_count, x.reveal_count,
    x.direct_count, x.via, x.event_id, x.source_ip,
    CAST(ROW_NUMBER() OVER (PARTITION BY x.key_arn, x.day_epoch
                            ORDER BY x.first_epoch, x.event_id, x.principal) AS BIGINT) AS waking_no
  FROM wakings AS x
), candidates AS (
  SELECT o.principal, o.key_arn, o.day_epoch, o.account_id, o.region, o.first_time, o.last_time, o.use_count, o.reveal_count,
         o.direct_count, o.via, o.event_id, o.source_ip, 1 AS is_new, 0 AS is_woken
  FROM new_pairs AS o
  WHERE o.is_deployment = 0
  UNION ALL
  SELECT y.principal, y.key_arn, y.day_epoch, y.account_id, y.region, y.first_time, y.last_time, y.use_count, y.reveal_count,
         y.direct_count, y.via, y.event_id, y.source_ip, 0 AS is_new, 1 AS is_woken
  FROM ranked_wakings AS y
  WHERE y.waking_no = 1
    AND y.principal NOT LIKE 'service:%'
    AND y.principal NOT LIKE '%:role/aws-service-role/%'
    AND y.principal NOT LIKE '%/aws:ec2-infrastructure%'
), meetings AS (
  SELECT
    z.principal,
    z.day_epoch,
    z.key_arn,
    MIN(z.account_id) AS account_id,
    MIN(z.region) AS region,
    MIN(z.first_time) AS first_time,
    MAX(z.last_time) AS last_time,
    MAX(z.use_count) AS use_count,
    MAX(z.reveal_count) AS reveal_count,
    MAX(z.direct_count) AS direct_count,
    MIN(z.via) AS via,
    MIN(z.event_id) AS event_id,
    MIN(z.source_ip) AS source_ip,
    MAX(z.is_new) AS is_new,
    MAX(z.is_woken) AS is_woken
  FROM candidates AS z
  GROUP BY z.principal, z.day_epoch, z.key_arn
), sensitive_keys AS (
  SELECT
    s.key_arn AS sensitive_key,
    MIN(s.data_class) AS sensitive_class
  FROM use_hours AS s
  WHERE s.data_class IN ('secret', 'parameter', 'cloudtrail', 'logs')
  GROUP BY s.key_arn
), judged AS (
  SELECT
    p.principal, p.day_epoch, p.key_arn, p.account_id, p.region, p.first_time, p.last_time, p.use_count, p.reveal_count,
    p.direct_count, p.via, p.event_id, p.source_ip, p.is_new, p.is_woken, l.sensitive_class,
    CAST(ROW_NUMBER() OVER (PARTITION BY p.principal, p.day_epoch ORDER BY p.key_arn) AS BIGINT) AS meeting_no
  FROM meetings AS p
  LEFT JOIN sensitive_keys AS l ON l.sensitive_key = p.key_arn
), days AS (
  SELECT
    o.principal,
    o.day_epoch,
    MIN(o.first_time) AS first_time,
    MAX(o.last_time) AS last_time,
    MIN(o.account_id) AS account_id,
    MIN(o.region) AS region,
    MIN(o.key_arn) AS first_key,
    MIN(o.source_ip) AS source_ip,
    MIN(o.via) AS via,
    MIN(o.sensitive_class) AS sensitive_class,
    CAST(COUNT(DISTINCT o.region) AS BIGINT) AS region_count,
    CAST(COUNT(DISTINCT o.source_ip) AS BIGINT) AS source_ip_count,
    CAST(COUNT(*) AS BIGINT) AS key_count,
    CAST(SUM(o.is_woken) AS BIGINT) AS woken_count,
    CAST(SUM(o.is_new) AS BIGINT) AS new_count,
    CAST(SUM(o.use_count) AS BIGINT) AS event_count,
    CAST(SUM(o.reveal_count) AS BIGINT) AS reveal_count,
    CAST(SUM(o.direct_count) AS BIGINT) AS direct_count,
    STRING_AGG(CASE WHEN o.meeting_no <= 1000 THEN o.event_id END, ',') AS event_ids
  FROM judged AS o
  GROUP BY o.principal, o.day_epoch
)
SELECT
  d.first_time,
  d.last_time,
  d.account_id,
  CASE WHEN d.region_count = 1 THEN d.region END AS region,
  CASE WHEN d.key_count = 1 THEN d.first_key END AS key_arn,
  d.principal,
  CASE WHEN d.source_ip_count = 1 THEN d.source_ip END AS source_ip,
  d.event_count,
  CASE WHEN d.sensitive_class IS NOT NULL THEN 'high' WHEN d.direct_count > 0 THEN 'medium' ELSE 'low' END AS severity,
  d.principal || ' used ' || d.first_key
    || CASE WHEN d.key_count > 1 THEN ' and other keys (' || CAST(d.key_count AS STRING) || ' in all)' ELSE '' END
    || CASE WHEN d.new_count > 0 THEN ' for the first time' ELSE '' END
    || CASE WHEN d.woken_count > 0 THEN ' after long disuse by anybody (such keys: ' || CAST(d.woken_count AS STRING) || ')'
            ELSE '' END
    || ': calls ' || CAST(d.event_count AS STRING) || ', of which ' || CAST(d.reveal_count AS STRING) || ' gave plaintext and '
    || CAST(d.direct_count AS STRING) || ' were direct'
    || COALESCE('; the keys protect ' || d.sensitive_class || ' data', '') || '.' AS summary,
  d.event_ids,
  CASE WHEN d.new_count = 0 THEN 'dormant_key' WHEN d.woken_count = 0 THEN 'new_pair' ELSE 'both' END AS reason,
  d.key_count,
  d.woken_count,
  d.reveal_count,
  d.direct_count,
  d.via,
  d.sensitive_class
FROM days AS d
ORDER BY first_time, principal, last_time, reason
