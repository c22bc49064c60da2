-- title: Burst of decryption far above the principal's normal
-- severity: medium
-- attack: T1530, T1555.006
-- description: A principal opened much more in a short time than it ever does: in an hour more than its own median
--   allows, or, where the evidence is too short for a baseline, more than an absolute number in ten minutes. Bulk
--   decryption is what theft of data at rest looks like in KMS. High when at least half of the calls were direct (the
--   plaintext went to the caller itself) or when the principal is new.
-- false-positives: Batch jobs, restores, log re-ingestion, S3 inventory scans and cache flushes; a job that runs
--   often enough is its own baseline. Services' own principals and service-linked roles are left out, and so are data
--   keys that a service asked for in order to write.
-- blind-spots: With S3 Bucket Keys one Decrypt opens many objects, so the volume hides. A burst that fills more than
--   half of a principal's active hours becomes its baseline. Median and deviation include the burst itself.
-- reads: events, repeated_copies, reveal_slots, principals
-- partition: principal
-- params: min_count = 50, min_score = 6.0, window_seconds = 3600, min_active_hours = 24, min_active_days = 7,
--   no_baseline_count = 200, no_baseline_seconds = 600, new_principal_days = 7
WITH slots AS (
  SELECT c.principal, c.operation, c.slot_epoch, c.call_count AS n
  FROM reveal_slots AS c
), active_hours AS (
  SELECT
    h.principal,
    h.operation,
    h.slot_epoch - (h.slot_epoch % 3600) AS hour_epoch,
    CAST(SUM(h.n) AS BIGINT) AS n
  FROM slots AS h
  GROUP BY h.principal, h.operation, h.slot_epoch - (h.slot_epoch % 3600)
), medians AS (
  SELECT
    a.principal AS med_principal,
    a.operation AS med_operation,
    MEDIAN(a.n) AS med,
    CAST(COUNT(*) AS BIGINT) AS hour_count,
    CAST(COUNT(DISTINCT a.hour_epoch - (a.hour_epoch % 86400)) AS BIGINT) AS day_count
  FROM active_hours AS a
  GROUP BY a.principal, a.operation
), deviations AS (
  SELECT
    d.principal AS dev_principal,
    d.operation AS dev_operation,
    ABS(d.n - m.med) AS deviation
  FROM active_hours AS d
  JOIN medians AS m ON m.med_principal = d.principal AND m.med_operation = d.operation
), spreads AS (
  SELECT
    v.dev_principal AS mad_principal,
    v.dev_operation AS mad_operation,
    MEDIAN(v.deviation) AS mad
  FROM deviations AS v
  GROUP BY v.dev_principal, v.dev_operation
), own_baselines AS (
  SELECT
    b.med_principal AS base_principal,
    b.med_operation AS base_operation,
    b.med,
    CASE WHEN s.mad > 1.0 THEN s.mad ELSE 1.0 END AS spread,
    b.hour_count,
    CASE WHEN b.hour_count >= p.min_active_hours AND b.day_count >= p.min_active_days THEN 1 ELSE 0 END AS has_baseline,
    p.min_count,
    p.min_score,
    p.window_seconds,
    p.no_baseline_count,
    p.no_baseline_seconds
  FROM medians AS b
  JOIN spreads AS s ON s.mad_principal = b.med_principal AND s.mad_operation = b.med_operation
  CROSS JOIN params AS p
), limits AS (
  -- The score 0.6745 * (x - median) / MAD reaches min_score where x reaches median + min_score * MAD / 0.6745.
  SELECT
    l.base_principal,
    l.base_operation,
    l.med,
    l.spread,
    l.hour_count,
    l.has_baseline,
    CASE
      WHEN l.has_baseline = 1 THEN GREATEST(CAST(l.min_count AS DOUBLE), l.med + l.min_score * l.spread / 0.6745)
      ELSE CAST(l.no_baseline_count AS DOUBLE)
    END AS needed,
    CASE WHEN l.has_baseline = 1 THEN l.window_seconds ELSE l.no_baseline_seconds END AS window_seconds
  FROM own_baselines AS l
), slot_steps AS (
  -- First by slots of ten minutes, as an upper bound, so that only what can hold a burst is looked at by the second.
  SELECT i.principal, i.operation, i.slot_epoch AS step_epoch, i.n AS change, i.n AS started
  FROM slots AS i
  UNION ALL
  SELECT o.principal, o.operation, o.slot_epoch + t.window_seconds + 600 AS step_epoch, -o.n AS change,
         CAST(0 AS BIGINT) AS started
  FROM slots AS o
  JOIN limits AS t ON t.base_principal = o.principal AND t.base_operation = o.operation
), slot_totals AS (
  SELECT
    x.principal,
    x.operation,
    x.step_epoch,
    CAST(SUM(x.change) AS BIGINT) AS change,
    CAST(SUM(x.started) AS BIGINT) AS started
  FROM slot_steps AS x
  GROUP BY x.principal, x.operation, x.step_epoch
), slot_levels AS (
  SELECT
    q.principal,
    q.operation,
    q.step_epoch,
    q.started,
    CAST(SUM(q.change) OVER (PARTITION BY q.principal, q.operation ORDER BY q.step_epoch
                             ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS in_window
  FROM slot_totals AS q
), slot_marks AS (
  SELECT
    m.principal,
    m.operation,
    m.step_epoch,
    -m.step_epoch AS negative_epoch,
    u.needed,
    u.window_seconds,
    CASE WHEN m.in_window >= u.needed THEN m.step_epoch ELSE 9999999999 END AS full_epoch
  FROM slot_levels AS m
  JOIN limits AS u ON u.base_principal = m.principal AND u.base_operation = m.operation
  WHERE m.started > 0
), slot_reaches AS (
  SELECT
    j.principal,
    j.operation,
    j.step_epoch,
    j.needed,
    j.window_seconds,
    MIN(j.full_epoch) OVER (PARTITION BY j.principal, j.operation ORDER BY j.negative_epoch
                            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS next_full_epoch
  FROM slot_marks AS j
), busy_slots AS (
  SELECT
    z.principal AS busy_principal,
    z.operation AS busy_operation,
    z.step_epoch AS busy_slot,
    z.needed,
    z.window_seconds
  FROM slot_reaches AS z
  WHERE z.next_full_epoch - z.step_epoch <= z.window_seconds + 600
), call_seconds AS (
  SELECT
    r.principal AS call_principal,
    r.event_name AS call_operation,
    r.event_epoch - (r.event_epoch % 600) AS call_slot,
    r.event_epoch AS second_epoch
  FROM events AS r
  ANTI JOIN repeated_copies AS d ON d.repeated_id = r.event_id
  WHERE r.event_source = 'kms.amazonaws.com'
    AND r.reveals_plaintext
    AND r.outcome = 'ok'
    AND NOT COALESCE(r.is_dry_run, FALSE)
    AND (r.is_direct OR r.event_name NOT LIKE 'GenerateDataKey%')
), busy_seconds AS (
  SELECT
    w.call_principal AS principal,
    w.call_operation AS operation,
    w.second_epoch,
    y.needed,
    y.window_seconds,
    CAST(COUNT(*) AS BIGINT) AS n
  FROM call_seconds AS w
  JOIN busy_slots AS y ON y.busy_principal = w.call_principal
      AND y.busy_operation = w.call_operation
      AND y.busy_slot = w.call_slot
  GROUP BY w.call_principal, w.call_operation, w.second_epoch, y.needed, y.window_seconds
), steps AS (
  -- A call counts from its second until the window has passed over it.
  SELECT i.principal, i.operation, i.second_epoch AS step_epoch, i.needed, i.window_seconds, i.n AS change, i.n AS started
  FROM busy_seconds AS i
  UNION ALL
  SELECT o.principal, o.operation, o.second_epoch + o.window_seconds + 1 AS step_epoch, o.needed, o.window_seconds,
         -o.n AS change, CAST(0 AS BIGINT) AS started
  FROM busy_seconds AS o
), step_totals AS (
  SELECT
    x.principal,
    x.operation,
    x.step_epoch,
    x.needed,
    x.window_seconds,
    CAST(SUM(x.change) AS BIGINT) AS change,
    CAST(SUM(x.started) AS BIGINT) AS started
  FROM steps AS x
  GROUP BY x.principal, x.operation, x.step_epoch, x.needed, x.window_seconds
), levels AS (
  SELECT
    q.principal,
    q.operation,
    q.step_epoch,
    q.needed,
    q.window_seconds,
    q.started,
    CAST(SUM(q.change) OVER (PARTITION BY q.principal, q.operation ORDER BY q.step_epoch
                             ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS in_window
  FROM step_totals AS q
), marks AS (
  SELECT
    k.principal,
    k.operation,
    k.step_epoch,
    k.window_seconds,
    k.in_window,
    -k.step_epoch AS negative_epoch,
    CASE WHEN k.in_window >= k.needed THEN k.step_epoch ELSE 9999999999 END AS full_epoch
  FROM levels AS k
  WHERE k.started > 0
), reaches AS (
  SELECT
    j.principal,
    j.operation,
    j.step_epoch,
    j.window_seconds,
    j.in_window,
    MIN(j.full_epoch) OVER (PARTITION BY j.principal, j.operation ORDER BY j.negative_epoch
                            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS next_full_epoch
  FROM marks AS j
), members AS (
  -- A second belongs to a burst when a full window ends at it or within one window after it.
  SELECT
    z.principal,
    z.operation,
    z.step_epoch,
    z.window_seconds,
    z.in_window,
    LAG(z.step_epoch) OVER (PARTITION BY z.principal, z.operation ORDER BY z.step_epoch) AS before_epoch
  FROM reaches AS z
  WHERE z.next_full_epoch - z.step_epoch <= z.window_seconds
), starts AS (
  SELECT
    a.principal,
    a.operation,
    a.step_epoch,
    a.in_window,
    CASE WHEN a.before_epoch IS NULL OR a.step_epoch - a.before_epoch > a.window_seconds THEN 1 ELSE 0 END AS is_start
  FROM members AS a
), burst_seconds AS (
  SELECT
    b.principal AS burst_principal,
    b.operation AS burst_operation,
    b.step_epoch AS burst_second,
    b.in_window,
    CAST(SUM(b.is_start) OVER (PARTITION BY b.principal, b.operation ORDER BY b.step_epoch
                                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS burst_no
  FROM starts AS b
), revealing_calls AS (
  SELECT
    v.principal, v.event_name AS operation, v.event_epoch, v.event_time, v.event_id, v.account_id, v.region, v.key_arn,
    v.source_ip,
    v.context_resource,
    CASE WHEN v.is_direct THEN 1 ELSE 0 END AS is_direct_call
  FROM events AS v
  SEMI JOIN burst_seconds AS y ON y.burst_principal = v.principal
      AND y.burst_operation = v.event_name
      AND y.burst_second = v.event_epoch
  ANTI JOIN repeated_copies AS x ON x.repeated_id = v.event_id
  WHERE v.event_source = 'kms.amazonaws.com'
    AND v.reveals_plaintext
    AND v.outcome = 'ok'
    AND NOT COALESCE(v.is_dry_run, FALSE)
    AND (v.is_direct OR v.event_name NOT LIKE 'GenerateDataKey%')
), burst_calls AS (
  SELECT
    c.principal,
    c.operation,
    d.burst_no,
    d.in_window,
    c.event_epoch,
    c.event_time,
    c.event_id,
    c.account_id,
    c.region,
    c.key_arn,
    c.source_ip,
    c.context_resource,
    c.is_direct_call,
    CAST(ROW_NUMBER() OVER (PARTITION BY c.principal, c.operation, d.burst_no
                            ORDER BY c.event_epoch, c.event_id) AS BIGINT) AS call_no
  FROM revealing_calls AS c
  JOIN burst_seconds AS d ON d.burst_principal = c.principal
      AND d.burst_operation = c.operation
      AND d.burst_second = c.event_epoch
), bursts AS (
  SELECT
    e.principal,
    e.operation,
    e.burst_no,
    MIN(e.event_time) AS first_time,
    MAX(e.event_time) AS last_time,
    MIN(e.event_epoch) AS first_epoch,
    MAX(e.event_epoch) AS last_epoch,
    MIN(e.account_id) AS account_id,
    MIN(e.region) AS region,
    MIN(e.key_arn) AS key_arn,
    MIN(e.source_ip) AS source_ip,
    CAST(COUNT(DISTINCT e.region) AS BIGINT) AS region_count,
    CAST(COUNT(DISTINCT e.key_arn) AS BIGINT) AS key_count,
    CAST(COUNT(DISTINCT e.source_ip) AS BIGINT) AS source_ip_count,
    CAST(COUNT(DISTINCT e.context_resource) AS BIGINT) AS resource_count,
    CAST(SUM(e.is_direct_call) AS BIGINT) AS direct_count,
    MAX(e.in_window) AS peak_count,
    CAST(COUNT(*) AS BIGINT) AS event_count
  FROM burst_calls AS e
  GROUP BY e.principal, e.operation, e.burst_no
), burst_ids AS (
  SELECT
    f.principal AS id_principal,
    f.operation AS id_operation,
    f.burst_no AS id_burst_no,
    STRING_AGG(f.event_id, ',') AS event_ids
  FROM burst_calls AS f
  WHERE f.call_no <= 1000
  GROUP BY f.principal, f.operation, f.burst_no
), scored_bursts AS (
  SELECT
    g.principal, g.operation, g.burst_no, g.first_time, g.last_time, g.first_epoch, g.last_epoch, g.account_id, g.region,
    g.key_arn, g.source_ip, g.region_count, g.key_count, g.source_ip_count, g.resource_count, g.direct_count,
    g.peak_count, g.event_count,
    h.event_ids,
    i.has_baseline,
    i.window_seconds,
    i.hour_count,
    CAST(FLOOR(i.med) AS BIGINT) AS usual_hourly_count,
    CAST(FLOOR(0.6745 * (g.peak_count - i.med) / NULLIF(i.spread, 0)) AS BIGINT) AS robust_score,
    CASE
      WHEN j.first_epoch - k.first_epoch >= l.new_principal_days * 86400
       AND g.first_epoch - j.first_epoch < l.new_principal_days * 86400 THEN 1
      ELSE 0
    END AS is_new
  FROM bursts AS g
  JOIN burst_ids AS h ON h.id_principal = g.principal AND h.id_operation = g.operation AND h.id_burst_no = g.burst_no
  JOIN limits AS i ON i.base_principal = g.principal AND i.base_operation = g.operation
  JOIN principals AS j ON j.principal = g.principal
  CROSS JOIN evidence AS k
  CROSS JOIN params AS l
)
SELECT
  m.first_time,
  m.last_time,
  m.account_id,
  CASE WHEN m.region_count = 1 THEN m.region END AS region,
  CASE WHEN m.key_count = 1 THEN m.key_arn END AS key_arn,
  m.principal,
  CASE WHEN m.source_ip_count = 1 THEN m.source_ip END AS source_ip,
  m.event_count,
  CASE WHEN m.direct_count * 2 >= m.event_count OR m.is_new = 1 THEN 'high' ELSE 'medium' END AS severity,
  m.principal || ' made ' || CAST(m.event_count AS STRING) || ' successful ' || m.operation || ' calls within '
    || CAST(m.last_epoch - m.first_epoch AS STRING) || ' seconds (keys: ' || CAST(m.key_count AS STRING) || ', named resources: '
    || CAST(m.resource_count AS STRING) || ', direct calls: ' || CAST(m.direct_count AS STRING) || ')'
    || CASE

         WHEN m.has_baseline = 1 THEN '; the peak of ' || CAST(m.peak_count AS STRING) || ' in ' || CAST(m.window_seconds AS STRING)
           || ' seconds compares with a median of ' || CAST(m.usual_hourly_count AS STRING) || ' an hour (robust score '
           || CAST(m.robust_score AS STRING) || ').'
         ELSE '; no baseline: active hours of the principal in the evidence: ' || CAST(m.hour_count AS STRING) || '.'
       END AS summary,
  m.event_ids,
  m.operation,
  m.peak_count,
  m.window_seconds,
  CASE WHEN m.has_baseline = 1 THEN m.usual_hourly_count END AS usual_hourly_count,
  CASE WHEN m.has_baseline = 1 THEN m.robust_score END AS robust_score,
  m.direct_count,
  m.key_count,
  m.resource_count,
  m.source_ip_count,
  CASE WHEN m.is_new = 1 THEN TRUE ELSE FALSE END AS is_new_principal
FROM scored_bursts AS m
ORDER BY first_time, principal, operation, last_time
