-- title: Burst of data keys or encryptions on one key
-- severity: medium
-- attack: T1486
-- description: Within minutes a principal made far more data keys or encryptions under one key than it does in a normal
--   hour. That is what encrypting somebody's data looks like in KMS. High when the key is only days old or belongs to
--   an outside account, or when a person took the plaintext data keys directly, which means encryption on the client.
-- false-positives: Bulk uploads and reindexing; a job that runs often enough is its own baseline. Services' own
--   principals, such as CloudTrail's for each log file, and service-linked roles are left out.
-- blind-spots: With S3 Bucket Keys one data key seals many objects, and one data key can seal any amount. A burst that
--   fills more than half of a principal's active hours becomes its baseline. The score is that of clock hours.
-- reads: events, repeated_copies, use_hours, baselines, keys
-- partition: principal
-- params: min_count = 100, window_seconds = 600, min_score = 6.0, young_days = 7
WITH key_hours AS (
  SELECT
    a.principal,
    a.key_arn,
    a.operation,
    a.hour_epoch,
    CAST(SUM(a.call_count) AS BIGINT) AS n
  FROM use_hours AS a
  WHERE (a.operation LIKE 'GenerateDataKey%' OR a.operation = 'Encrypt')
    AND a.principal NOT LIKE 'service:%'
    AND a.principal NOT LIKE '%:role/aws-service-role/%'
  GROUP BY a.principal, a.key_arn, a.operation, a.hour_epoch
), totals AS (
  SELECT
    b.principal, b.key_arn, b.operation, b.hour_epoch, b.n,
    CAST(SUM(b.n) OVER (PARTITION BY b.principal, b.operation, b.hour_epoch) AS BIGINT) AS hour_total
  FROM key_hours AS b
), own_baselines AS (
  SELECT
    o.subject AS base_principal,
    o.operation AS base_operation,
    o.median_count,
    o.spread
  FROM baselines AS o
  WHERE o.subject_kind = 'principal'
    AND o.has_baseline
), blocks AS (
  -- A window of up to an hour lies in two neighboring blocks of two hours. So only what can hold a burst is looked at.
  SELECT
    c.principal, c.key_arn, c.operation, c.hour_epoch, c.n, c.hour_total,
    d.median_count, d.spread,
    c.hour_epoch - (c.hour_epoch % 7200) AS block_epoch,
    -- The score 0.6745 * (x - median) / spread reaches min_score at this x.
    COALESCE(d.median_count + p.min_score * d.spread / 0.6745, 0.0) AS needed
  FROM totals AS c
  CROSS JOIN params AS p
  LEFT JOIN own_baselines AS d ON d.base_principal = c.principal AND d.base_operation = c.operation
), spans AS (
  SELECT e.principal, e.key_arn, e.operation, e.hour_epoch, e.n, e.hour_total, e.needed, e.block_epoch AS span_epoch
  FROM blocks AS e
  UNION ALL
  SELECT f.principal, f.key_arn, f.operation, f.hour_epoch, f.n, f.hour_total, f.needed,
         f.block_epoch + 7200 AS span_epoch
  FROM blocks AS f
), full_spans AS (
  SELECT
    g.principal AS full_principal,
    g.key_arn AS full_key,
    g.operation AS full_operation,
    g.span_epoch AS full_span,
    CAST(SUM(g.n) AS BIGINT) AS span_count,
    CAST(SUM(g.hour_total) AS BIGINT) AS span_total,
    MAX(g.needed) AS span_needed
  FROM spans AS g
  GROUP BY g.principal, g.key_arn, g.operation, g.span_epoch
), candidate_hours AS (
  SELECT DISTINCT
    h.principal AS candidate_principal,
    h.key_arn AS candidate_key,
    h.operation AS candidate_operation,
    h.hour_epoch AS candidate_hour
  FROM spans AS h
  JOIN full_spans AS i ON i.full_principal = h.principal
      AND i.full_key = h.key_arn
      AND i.full_operation = h.operation
      AND i.full_span = h.span_epoch
  CROSS JOIN params AS q
  WHERE i.span_count >= q.min_count
    AND i.span_total >= i.span_needed
), sealing_calls AS (
  SELECT
    j.principal,
    j.key_arn,
    j.event_name AS operation,
    j.event_epoch - (j.event_epoch % 3600) AS hour_epoch,
    j.event_epoch,
    j.event_time,
    j.event_id,
    j.account_id,
    j.region,
    j.source_ip,
    j.via,
    CASE WHEN j.is_direct THEN 1 END AS direct_mark
  FROM events AS j
  ANTI JOIN repeated_copies AS r ON r.repeated_id = j.event_id
  WHERE j.event_source = 'kms.amazonaws.com'
    AND (j.event_name LIKE 'GenerateDataKey%' OR j.event_name = 'Encrypt')
    AND j.outcome = 'ok'
    AND NOT COALESCE(j.is_dry_run, FALSE)
), seconds AS (
  SELECT
    k.principal,
    k.key_arn,
    k.operation,
    k.hour_epoch,
    k.event_epoch AS second_epoch,
    MIN(k.event_time) AS event_time,
    MIN(k.event_id) AS event_id,
    MIN(k.account_id) AS account_id,
    MIN(k.region) AS region,
    MIN(k.source_ip) AS source_ip,
    MAX(k.source_ip) AS last_source_ip,
    MIN(k.via) AS via,
    CAST(COUNT(k.direct_mark) AS BIGINT) AS direct_count,
    CAST(COUNT(*) AS BIGINT) AS n
  FROM sealing_calls AS k
  SEMI JOIN candidate_hours AS l ON l.candidate_principal = k.principal
      AND l.candidate_key = k.key_arn
      AND l.candidate_operation = k.operation
      AND l.candidate_hour = k.hour_epoch
  GROUP BY k.principal, k.key_arn, k.operation, k.hour_epoch, k.event_epoch
), steps AS (
  -- A call counts from its second until the window has passed over it.
  SELECT m.principal, m.key_arn, m.operation, m.second_epoch AS step_epoch, m.n AS change, m.n AS started
  FROM seconds AS m
  UNION ALL
  SELECT n.principal, n.key_arn, n.operation, n.second_epoch + s.window_seconds + 1 AS step_epoch, -n.n AS change,
         CAST(0 AS BIGINT) AS started
  FROM seconds AS n
  CROSS JOIN params AS s
), step_totals AS (
  SELECT
    t.principal,
    t.key_arn,
    t.operation,
    t.step_epoch,
    CAST(SUM(t.change) AS BIGINT) AS change,
    CAST(SUM(t.started) AS BIGINT) AS started
  FROM steps AS t
  GROUP BY t.principal, t.key_arn, t.operation, t.step_epoch
), levels AS (
  SELECT
    u.principal, u.key_arn, u.operation, u.step_epoch, u.started,
    CAST(SUM(u.change) OVER (PARTITION BY u.principal, u.key_arn, u.operation ORDER BY u.step_epoch
                             ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS in_window
  FROM step_totals AS u
), marks AS (
  SELECT
    v.principal, v.key_arn, v.operation, v.step_epoch, v.in_window, w.window_seconds,
    -v.step_epoch AS negative_epoch,
    CASE WHEN v.in_window >= w.min_count THEN v.step_epoch ELSE 9999999999 END AS full_epoch
  FROM levels AS v
  CROSS JOIN params AS w
  WHERE v.started > 0
), reaches AS (
  SELECT
    x.principal, x.key_arn, x.operation, x.step_epoch, x.in_window, x.window_seconds,
    MIN(x.full_epoch) OVER (PARTITION BY x.principal, x.key_arn, x.operation ORDER BY x.negative_epoch
                            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS next_full_epoch
  FROM marks AS x
), members AS (
  SELECT
    y.principal, y.key_arn, y.operation, y.step_epoch, y.in_window, y.window_seconds,
    LAG(y.step_epoch) OVER (PARTITION BY y.principal, y.key_arn, y.operation ORDER BY y.step_epoch) AS before_epoch
  FROM reaches AS y
  WHERE y.next_full_epoch - y.step_epoch <= y.window_seconds
), starts AS (
  SELECT
    z.principal, z.key_arn, z.operation, z.step_epoch, z.in_window,
    CASE WHEN z.before_epoch IS NULL OR z.step_epoch - z.before_epoch > z.window_seconds THEN 1 ELSE 0 END AS is_start
  FROM members AS z
), burst_seconds AS (
  SELECT
    a.principal AS burst_principal,
    a.key_arn AS burst_key,
    a.operation AS burst_operation,
    a.step_epoch AS burst_second,
    a.in_window,
    CAST(SUM(a.is_start) OVER (PARTITION BY a.principal, a.key_arn, a.operation ORDER BY a.step_epoch
                               ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS burst_no
  FROM starts AS a
), burst_rows AS (
  SELECT
    b.principal, b.key_arn, b.operation, c.burst_no, c.in_window, b.hour_epoch, b.second_epoch, b.event_time, b.event_id,
    b.account_id, b.region, b.source_ip, b.last_source_ip, b.via, b.direct_count, b.n,
    CAST(ROW_NUMBER() OVER (PARTITION BY b.principal, b.key_arn, b.operation, c.burst_no
                            ORDER BY b.second_epoch, b.event_id) AS BIGINT) AS row_no
  FROM seconds AS b
  JOIN burst_seconds AS c ON c.burst_principal = b.principal
      AND c.burst_key = b.key_arn
      AND c.burst_operation = b.operation
      AND c.burst_second = b.second_epoch
), hour_totals AS (
  SELECT
    d.principal AS total_principal,
    d.key_arn AS total_key,
    d.operation AS total_operation,
    d.hour_epoch AS total_hour,
    d.hour_total,
    d.needed,
    d.median_count,
    d.spread
  FROM blocks AS d
), bursts AS (
  SELECT
    e.principal,
    e.key_arn,
    e.operation,
    e.burst_no,
    MIN(e.event_time) AS first_time,
    MAX(e.event_time) AS last_time,
    MIN(e.second_epoch) AS first_epoch,
    MAX(e.second_epoch) AS last_epoch,
    MIN(e.account_id) AS account_id,
    MIN(e.region) AS region,
    MIN(e.source_ip) AS source_ip,
    MAX(e.last_source_ip) AS last_source_ip,
    MIN(e.via) AS via,
    CAST(SUM(e.direct_count) AS BIGINT) AS direct_count,
    CAST(SUM(e.n) AS BIGINT) AS event_count,
    MAX(e.in_window) AS peak_count,
    MAX(f.hour_total) AS hour_count,
    MAX(f.needed) AS needed,
    MAX(f.median_count) AS median_count,
    MAX(f.spread) AS spread,
    STRING_AGG(CASE WHEN e.row_no <= 1000 THEN e.event_id END, ',') AS event_ids
  FROM burst_rows AS e
  JOIN hour_totals AS f ON f.total_principal = e.principal
      AND f.total_key = e.key_arn
      AND f.total_operation = e.operation
      AND f.total_hour = e.hour_epoch
  GROUP BY e.principal, e.key_arn, e.operation, e.burst_no
), key_facts AS (
  SELECT g.key_arn AS fact_key, g.created_epoch, g.creator, g.is_home, g.aliases
  FROM keys AS g
), judged AS (
  SELECT
    h.principal, h.key_arn, h.operation, h.first_time, h.last_time, h.first_epoch, h.last_epoch, h.account_id, h.region,
    h.source_ip, h.last_source_ip, h.via, h.direct_count, h.event_count, h.peak_count, h.event_ids, h.needed, i.aliases,
    GREATEST(h.hour_count, h.peak_count) AS busiest_count,
    CAST(FLOOR(h.median_count) AS BIGINT) AS usual_count,
    CAST(FLOOR(0.6745 * (GREATEST(h.hour_count, h.peak_count) - h.median_count) / h.spread) AS BIGINT) AS robust_score,
    h.first_epoch - i.created_epoch AS key_age_seconds,
    CASE WHEN i.created_epoch >= h.first_epoch - p.young_days * 86400 THEN 1 ELSE 0 END AS is_young,
    CASE WHEN COALESCE(i.is_home, TRUE) THEN 0 ELSE 1 END AS is_foreign,
    CASE WHEN h.operation IN ('GenerateDataKey', 'GenerateDataKeyPair')
          AND h.direct_count * 2 >= h.event_count
          AND (h.principal LIKE '%:user/%' OR h.principal LIKE '%:root' OR h.principal LIKE '%:federated-user/%'
            OR h.principal LIKE '%/AWSReservedSSO_%') THEN 1 ELSE 0 END AS is_person
  FROM bursts AS h
  CROSS JOIN params AS p
  LEFT JOIN key_facts AS i ON i.fact_key = h.key_arn
)
SELECT
  j.first_time,
  j.last_time,
  j.account_id,
  j.region,
  j.key_arn,
  j.principal,
  CASE WHEN j.source_ip = j.last_source_ip THEN j.source_ip END AS source_ip,
  j.event_count,
  CASE WHEN j.is_young = 1 OR j.is_foreign = 1 OR j.is_person = 1 THEN 'high' ELSE 'medium' END AS severity,
  j.principal || ' made ' || CAST(j.event_count AS STRING) || ' successful ' || j.operation || ' calls within '
    || CAST(j.last_epoch - j.first_epoch AS STRING) || ' seconds under ' || j.key_arn || ' (direct calls: '
    || CAST(j.direct_count AS STRING) || ')'
    || CASE WHEN j.is_foreign = 1 THEN ', a key of an outside account' ELSE '' END
    || CASE WHEN j.is_young = 1 THEN ', made ' || CAST(j.key_age_seconds AS STRING) || ' seconds before' ELSE '' END
    || CASE WHEN j.is_person = 1 THEN ', by a person who took the plaintext keys' ELSE '' END
    || CASE WHEN j.usual_count IS NULL THEN '; no baseline.'
            ELSE '; the busiest hour had ' || CAST(j.busiest_count AS STRING) || ' against a median of '
              || CAST(j.usual_count AS STRING) || ' (robust score ' || CAST(j.robust_score AS STRING) || ').' END AS summary,
  j.event_ids,
  j.operation,
  j.peak_count,
  j.usual_count AS usual_hourly_count,
  j.robust_score,
  j.direct_count,
  j.aliases,
  j.via
FROM judged AS j
WHERE j.busiest_count >= j.needed
ORDER BY first_time, principal, key_arn, operation, last_time
