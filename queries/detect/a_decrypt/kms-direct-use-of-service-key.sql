-- title: Key of a service used past that service
-- severity: high
-- attack: T1530, T1555
-- description: A key that only AWS services had used for its principals was called by a principal itself and gave it
--   plaintext: whoever calls KMS past S3 or Secrets Manager also goes past their policies and their logs. Medium where it
--   is another service that opens data with the key for the first time.
-- false-positives: Break-glass decryption, migrations, a second service that starts to share the key. Left out: a principal
--   whose direct calls began before the key had a habit (20 calls, 95 of 100 through services, a day or more) or after direct
--   calls of others had given plaintext on 3 days; what spreads evenly over the key's time (on 5 days, no pause of more than
--   two fifths of that time or 5 times the mean pause); the first service that opens what another one only writes, as S3
--   opens CloudTrail's files; services' own principals, service-linked roles and EC2's infrastructure role.
-- blind-spots: The first day of a key in the evidence makes its habit, whatever it is, and so do direct calls that begin
--   soon after it and go on evenly. `AWS Internal` hides which service called and is never a new one. A service that began
--   by writing is no new one when it opens later.
-- reads: use_hours
-- partition: key
-- params: min_uses = 20, min_share = 0.95, habit_hours = 24, regular_days = 3, even_days = 5, even_share = 0.4, even_pause = 5
WITH key_hours AS (
  SELECT
    h.key_arn,
    h.hour_epoch,
    CAST(SUM(h.call_count) AS BIGINT) AS n,
    CAST(SUM(h.direct_count) AS BIGINT) AS direct_n,
    CAST(SUM(CASE WHEN h.via IS NOT NULL AND h.is_reveal AND h.operation NOT LIKE 'GenerateDataKey%' THEN h.call_count
                  ELSE CAST(0 AS BIGINT) END) AS BIGINT) AS served_open_n
  FROM use_hours AS h
  GROUP BY h.key_arn, h.hour_epoch
), key_levels AS (
  SELECT
    k.key_arn, k.hour_epoch, k.n, k.direct_n, k.served_open_n,
    MIN(k.hour_epoch) OVER (PARTITION BY k.key_arn) AS begin_epoch,
    SUM(k.n) OVER (PARTITION BY k.key_arn ORDER BY k.hour_epoch
                   ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS total_n,
    SUM(k.direct_n) OVER (PARTITION BY k.key_arn ORDER BY k.hour_epoch
                          ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS total_direct_n,
    SUM(k.served_open_n) OVER (PARTITION BY k.key_arn ORDER BY k.hour_epoch
                               ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS total_open_n
  FROM key_hours AS k
), habits AS (
  SELECT
    v.key_arn AS habit_key,
    v.hour_epoch AS habit_hour,
    v.total_n - v.n AS uses_before,
    v.total_direct_n - v.direct_n AS direct_before,
    v.total_open_n - v.served_open_n AS opened_before,
    v.hour_epoch - v.begin_epoch AS habit_seconds
  FROM key_levels AS v
), own_calls AS (
  SELECT
    CASE WHEN u.via IS NULL THEN '' ELSE SPLIT_PART(u.via, '.', 1) END AS path,
    u.key_arn, u.principal, u.hour_epoch, u.operation, u.is_reveal, u.account_id, u.region, u.call_count, u.data_class,
    u.data_resource, u.first_time, u.last_time, u.event_id, u.source_ip
  FROM use_hours AS u
  WHERE u.via IS NULL
     OR u.via <> 'AWS Internal'
), beginnings AS (
  SELECT
    b.key_arn,
    b.path,
    b.principal,
    MIN(b.hour_epoch) AS begin_hour
  FROM own_calls AS b
  WHERE b.path = ''
    AND b.is_reveal
  GROUP BY b.key_arn, b.path, b.principal
  UNION ALL
  SELECT
    s.key_arn,
    s.path,
    '' AS principal,
    MIN(s.hour_epoch) AS begin_hour
  FROM own_calls AS s
  WHERE s.path <> ''
  GROUP BY s.key_arn, s.path
), key_spans AS (
  SELECT
    z.key_arn AS span_key,
    MIN(z.hour_epoch - (z.hour_epoch % 86400)) AS first_day,
    MAX(z.hour_epoch - (z.hour_epoch % 86400)) AS last_day
  FROM key_hours AS z
  GROUP BY z.key_arn
), path_days AS (
  SELECT DISTINCT d.key_arn, d.path, d.hour_epoch - (d.hour_epoch % 86400) AS day_epoch
  FROM own_calls AS d
  WHERE d.path <> ''
     OR d.is_reveal
), numbered_days AS (
  SELECT
    y.key_arn,
    y.path,
    y.day_epoch,
    LAG(y.day_epoch) OVER (PARTITION BY y.key_arn, y.path ORDER BY y.day_epoch) AS day_before,
    CAST(ROW_NUMBER() OVER (PARTITION BY y.key_arn, y.path ORDER BY y.day_epoch) AS BIGINT) AS day_no
  FROM path_days AS y
), paths AS (
  SELECT
    x.key_arn AS path_key,
    x.path AS path_name,
    CAST(COUNT(*) AS BIGINT) AS day_count,
    MIN(x.day_epoch) AS path_begin,
    MAX(x.day_epoch) AS path_end,
    COALESCE(MAX(x.day_epoch - x.day_before), 0) AS inner_pause,
    MIN(CASE WHEN x.day_no >= i.regular_days THEN x.day_epoch END) AS regular_day
  FROM numbered_days AS x
  CROSS JOIN params AS i
  GROUP BY x.key_arn, x.path
), path_habits AS (
  -- The longest pause may be the one before the first day or the one after the last.
  SELECT
    l.path_key, l.path_name, l.day_count, l.regular_day, t.last_day - t.first_day AS key_seconds,
    CASE WHEN l.path_begin - t.first_day >= l.inner_pause AND l.path_begin - t.first_day >= t.last_day - l.path_end
         THEN l.path_begin - t.first_day
         WHEN t.last_day - l.path_end >= l.inner_pause THEN t.last_day - l.path_end
         ELSE l.inner_pause END AS longest_pause
  FROM paths AS l
  JOIN key_spans AS t ON t.span_key = l.path_key
), breaks AS (
  -- A direct caller breaks the habit by himself, a service for all whom it serves.
  SELECT
    g.key_arn AS break_key,
    g.path AS break_path,
    g.principal AS break_who,
    g.begin_hour AS break_hour,
    f.uses_before,
    f.direct_before
  FROM beginnings AS g
  JOIN habits AS f ON f.habit_key = g.key_arn AND f.habit_hour = g.begin_hour
  JOIN path_habits AS w ON w.path_key = g.key_arn AND w.path_name = g.path
  CROSS JOIN params AS p
  WHERE f.uses_before - f.direct_before >= p.min_uses
    AND f.uses_before - f.direct_before >= p.min_share * f.uses_before
    AND f.habit_seconds >= p.habit_hours * 3600
    AND (g.path = '' OR f.opened_before > 0)
    AND (g.path <> '' OR w.regular_day IS NULL OR g.begin_hour < w.regular_day + 86400)
    AND (w.day_count < p.even_days
      OR w.longest_pause > p.even_share * w.key_seconds
      OR w.longest_pause * (w.day_count + 1) > p.even_pause * w.key_seconds)
), service_hours AS (
  SELECT
    r.key_arn AS served_key,
    r.path AS service,
    r.hour_epoch AS served_hour,
    CAST(SUM(r.call_count) AS BIGINT) AS served_n
  FROM own_calls AS r
  SEMI JOIN breaks AS bk ON bk.break_key = r.key_arn
  WHERE r.path <> ''
  GROUP BY r.key_arn, r.path, r.hour_epoch
), services_before AS (
  SELECT
    bs.break_key,
    bs.break_path,
    bs.break_who,
    sh.service,
    CAST(SUM(sh.served_n) AS BIGINT) AS served_n
  FROM breaks AS bs
  JOIN service_hours AS sh ON sh.served_key = bs.break_key
  WHERE sh.served_hour < bs.break_hour
  GROUP BY bs.break_key, bs.break_path, bs.break_who, sh.service
), ranked_services AS (
  SELECT
    rs.break_key AS usual_key,
    rs.break_path AS usual_path,
    rs.break_who AS usual_who,
    rs.service AS usual_service,
    rs.served_n,
    CAST(ROW_NUMBER() OVER (PARTITION BY rs.break_key, rs.break_path, rs.break_who
                            ORDER BY -rs.served_n, rs.service) AS BIGINT) AS service_no
  FROM services_before AS rs
), usual_services AS (
  SELECT us.usual_key, us.usual_path, us.usual_who, us.usual_service, us.served_n
  FROM ranked_services AS us
  WHERE us.service_no = 1
), judged_calls AS (
  SELECT
    CASE WHEN o.path = '' THEN o.principal ELSE '' END AS call_who,
    o.path, o.key_arn, o.principal, o.hour_epoch, o.account_id, o.region, o.call_count, o.data_class, o.data_resource,
    o.first_time, o.last_time, o.event_id, o.source_ip
  FROM own_calls AS o
  SEMI JOIN breaks AS m ON m.break_key = o.key_arn AND m.break_path = o.path
  WHERE o.is_reveal
    AND (o.path = '' OR o.operation NOT LIKE 'GenerateDataKey%')
    AND o.principal NOT LIKE 'service:%'
    AND o.principal NOT LIKE '%:role/aws-service-role/%'
    AND o.principal NOT LIKE '%/aws:ec2-infrastructure%'
), numbered_calls AS (
  SELECT
    c.key_arn, c.path, c.call_who, c.principal, c.account_id, c.region, c.call_count, c.data_class, c.data_resource,
    c.first_time, c.last_time, c.event_id, c.source_ip, j.uses_before, j.direct_before,
    CAST(ROW_NUMBER() OVER (PARTITION BY c.key_arn, c.path, c.call_who ORDER BY c.hour_epoch, c.event_id) AS BIGINT) AS call_no
  FROM judged_calls AS c
  JOIN breaks AS j ON j.break_key = c.key_arn AND j.break_path = c.path AND j.break_who = c.call_who
), episodes AS (
  SELECT
    n.key_arn,
    n.path,
    n.call_who,
    MIN(n.first_time) AS first_time,
    MAX(n.last_time) AS last_time,
    MIN(n.account_id) AS account_id,
    MIN(n.region) AS region,
    MIN(n.principal) AS principal,
    MIN(n.source_ip) AS source_ip,
    MIN(n.data_class) AS data_class,
    MIN(n.data_resource) AS data_resource,
    MIN(n.uses_before) AS uses_before,
    MIN(n.direct_before) AS direct_before,
    CAST(COUNT(DISTINCT n.principal) AS BIGINT) AS principal_count,
    CAST(COUNT(DISTINCT n.source_ip) AS BIGINT) AS source_ip_count,
    CAST(SUM(n.call_count) AS BIGINT) AS event_count,
    STRING_AGG(CASE WHEN n.call_no <= 1000 THEN n.event_id END, ',') AS event_ids
  FROM numbered_calls AS n
  GROUP BY n.key_arn, n.path, n.call_who
)
SELECT
  e.first_time,
  e.last_time,
  e.account_id,
  e.region,
  e.key_arn,
  CASE WHEN e.principal_count = 1 THEN e.principal END AS principal,
  CASE WHEN e.source_ip_count = 1 THEN e.source_ip END AS source_ip,
  e.event_count,
  CASE WHEN e.path = '' THEN 'high' ELSE 'medium' END AS severity,
  e.principal || CASE WHEN e.principal_count > 1 THEN ' and others' ELSE '' END || ' got plaintext with ' || e.key_arn
    || CASE WHEN e.path = '' THEN ' by direct calls' ELSE ' through ' || e.path END
    || ' (calls: ' || CAST(e.event_count AS STRING) || '), though before that '
    || CAST(e.uses_before - e.direct_before AS STRING) || ' of ' || CAST(e.uses_before AS STRING)
    || ' calls had come through ' || COALESCE(w.usual_service, 'AWS services')
    || CASE WHEN w.served_n < e.uses_before - e.direct_before THEN ' or other services' ELSE '' END
    || CASE WHEN e.path = '' THEN '' ELSE ', none through ' || e.path END || '.' AS summary,
  e.event_ids,
  CASE WHEN e.path = '' THEN 'direct_use' ELSE 'new_service' END AS reason,
  CASE WHEN e.path = '' THEN NULL ELSE e.path END AS new_service,
  w.usual_service,
  e.uses_before,
  e.direct_before,
  e.principal_count,
  e.data_class,
  e.data_resource
FROM episodes AS e
LEFT JOIN usual_services AS w ON w.usual_key = e.key_arn AND w.usual_path = e.path AND w.usual_who = e.call_who
ORDER BY first_time, key_arn, reason, new_service, principal
