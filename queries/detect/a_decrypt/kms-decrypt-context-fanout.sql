-- title: One principal opened many distinct protected things
-- severity: high
-- attack: T1555.006, T1530
-- description: Within a short window one principal opened many different secrets, parameters, S3 objects or disks, or
--   used many different keys, as told by the encryption contexts of its successful decryptions. Opening everything
--   once is how stores of secrets are emptied; an application opens the same few things again and again.
-- false-positives: Secret-rotation functions, External Secrets operators, backup and migration roles: raise the
--   threshold for their class. Services' own principals, service-linked roles and EC2's infrastructure role are left
--   out.
-- blind-spots: Calls without an encryption context count only by key. With S3 Bucket Keys the context names the
--   bucket, not the object. Disks that EC2 attaches for the principal are opened by EC2's infrastructure role.
-- reads: events, repeated_copies, reveal_slots
-- partition: principal
-- params: secret_count = 15, secret_seconds = 600, parameter_count = 25, parameter_seconds = 3600, object_count =
--   300, object_seconds = 600, disk_count = 5, disk_seconds = 3600, key_count = 5, key_seconds = 600
WITH kind_slots AS (
  SELECT a.principal, 'secrets' AS kind, a.slot_epoch, a.secret_count AS n
  FROM reveal_slots AS a
  WHERE a.operation NOT LIKE 'GenerateDataKey%'
    AND a.secret_count > 0
  UNION ALL
  SELECT b.principal, 'parameters' AS kind, b.slot_epoch, b.parameter_count AS n
  FROM reveal_slots AS b
  WHERE b.operation NOT LIKE 'GenerateDataKey%'
    AND b.parameter_count > 0
  UNION ALL
  SELECT c.principal, 'S3 objects' AS kind, c.slot_epoch, c.object_count AS n
  FROM reveal_slots AS c
  WHERE c.operation NOT LIKE 'GenerateDataKey%'
    AND c.object_count > 0
  UNION ALL
  SELECT d.principal, 'disks' AS kind, d.slot_epoch, d.disk_count AS n
  FROM reveal_slots AS d
  WHERE d.operation NOT LIKE 'GenerateDataKey%'
    AND d.disk_count > 0
  UNION ALL
  SELECT e.principal, 'keys' AS kind, e.slot_epoch, e.key_count AS n
  FROM reveal_slots AS e
  WHERE e.operation NOT LIKE 'GenerateDataKey%'
    AND e.key_count > 0
), slot_limits AS (
  SELECT
    l.principal,
    l.kind,
    l.slot_epoch,
    l.n,
    CASE
      WHEN l.kind = 'secrets' THEN p.secret_count
      WHEN l.kind = 'parameters' THEN p.parameter_count
      WHEN l.kind = 'S3 objects' THEN p.object_count
      WHEN l.kind = 'disks' THEN p.disk_count
      ELSE p.key_count
    END AS needed,
    CASE
      WHEN l.kind = 'secrets' THEN p.secret_seconds
      WHEN l.kind = 'parameters' THEN p.parameter_seconds
      WHEN l.kind = 'S3 objects' THEN p.object_seconds
      WHEN l.kind = 'disks' THEN p.disk_seconds
      ELSE p.key_seconds
    END AS window_seconds
  FROM kind_slots AS l
  CROSS JOIN params AS p
  WHERE l.principal NOT LIKE '%/aws:ec2-infrastructure%'
), able_principals AS (
  -- A window touches at most window_seconds / 600 + 1 slots: where even the fullest slot in all of them is too little, no
  -- window can be full. This leaves out nearly all principals at once.
  SELECT k.principal AS able_principal, k.kind AS able_kind
  FROM slot_limits AS k
  GROUP BY k.principal, k.kind
  HAVING MAX(k.n) * (MAX(k.window_seconds) + 600) >= MAX(k.needed) * 600
), limits AS (
  SELECT s.principal, s.kind, s.slot_epoch, s.n, s.needed, s.window_seconds
  FROM slot_limits AS s
  SEMI JOIN able_principals AS t ON t.able_principal = s.principal AND t.able_kind = s.kind
), slot_steps AS (
  -- First by slots of ten minutes, as an upper bound, so that only what can hold a spree is looked at by the second.
  SELECT i.principal, i.kind, i.slot_epoch AS step_epoch, i.needed, i.window_seconds, i.n AS change, i.n AS started
  FROM limits AS i
  UNION ALL
  SELECT o.principal, o.kind, o.slot_epoch + o.window_seconds + 600 AS step_epoch, o.needed, o.window_seconds, -o.n AS change,
         CAST(0 AS BIGINT) AS started
  FROM limits AS o
), slot_totals AS (
  SELECT
    x.principal,
    x.kind,
    x.step_epoch,
    x.needed,
    x.window_seconds,
    CAST(SUM(x.change) AS BIGINT) AS change,
    CAST(SUM(x.started) AS BIGINT) AS started
  FROM slot_steps AS x
  GROUP BY x.principal, x.kind, x.step_epoch, x.needed, x.window_seconds
), slot_levels AS (
  SELECT
    q.principal,
    q.kind,
    q.step_epoch,
    q.needed,
    q.window_seconds,
    q.started,
    CAST(SUM(q.change) OVER (PARTITION BY q.principal, q.kind ORDER BY q.step_epoch
                             ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS in_window
  FROM slot_totals AS q
), slot_marks AS (
  SELECT
    m.principal,
    m.kind,
    m.step_epoch,
    -m.step_epoch AS negative_epoch,
    m.needed,
    m.window_seconds,
    CASE WHEN m.in_window >= m.needed THEN m.step_epoch ELSE 9999999999 END AS full_epoch
  FROM slot_levels AS m
  WHERE m.started > 0
), slot_reaches AS (
  SELECT
    j.principal,
    j.kind,
    j.step_epoch,
    j.needed,
    j.window_seconds,
    MIN(j.full_epoch) OVER (PARTITION BY j.principal, j.kind ORDER BY j.negative_epoch
                            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS next_full_epoch
  FROM slot_marks AS j
), busy_slots AS (
  SELECT
    z.principal AS busy_principal,
    z.kind AS busy_kind,
    z.step_epoch AS busy_slot,
    z.needed,
    z.window_seconds
  FROM slot_reaches AS z
  WHERE z.next_full_epoch - z.step_epoch <= z.window_seconds + 600
), opened_things AS (
  SELECT
    e.principal AS call_principal,
    e.event_epoch - (e.event_epoch % 600) AS call_slot,
    CASE
      WHEN e.context_class = 'secret' THEN 'secrets'
      WHEN e.context_class = 'parameter' THEN 'parameters'
      WHEN e.context_class = 's3_object' THEN 'S3 objects'
      ELSE 'disks'
    END AS call_kind,
    e.context_resource AS thing,
    e.event_epoch
  FROM events AS e
  ANTI JOIN repeated_copies AS r ON r.repeated_id = e.event_id
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.reveals_plaintext
    AND e.event_name NOT LIKE 'GenerateDataKey%'
    AND e.outcome = 'ok'
    AND NOT COALESCE(e.is_dry_run, FALSE)
    AND e.context_class IN ('secret', 'parameter', 's3_object', 'ebs_volume', 'ebs_snapshot', 'rds')
    AND e.context_resource IS NOT NULL
  UNION ALL
  SELECT
    k.principal AS call_principal,
    k.event_epoch - (k.event_epoch % 600) AS call_slot,
    'keys' AS call_kind,
    k.key_arn AS thing,
    k.event_epoch
  FROM events AS k
  ANTI JOIN repeated_copies AS d ON d.repeated_id = k.event_id
  WHERE k.event_source = 'kms.amazonaws.com'
    AND k.reveals_plaintext
    AND k.event_name NOT LIKE 'GenerateDataKey%'
    AND k.outcome = 'ok'
    AND NOT COALESCE(k.is_dry_run, FALSE)
    AND k.key_arn IS NOT NULL
), touches AS (
  SELECT DISTINCT
    u.call_principal AS principal,
    u.call_kind AS kind,
    u.thing,
    u.event_epoch,
    v.needed,
    v.window_seconds
  FROM opened_things AS u
  JOIN busy_slots AS v ON v.busy_principal = u.call_principal AND v.busy_kind = u.call_kind AND v.busy_slot = u.call_slot
), following_touches AS (
  SELECT
    n.principal,
    n.kind,
    n.event_epoch,
    n.needed,
    n.window_seconds,
    LEAD(n.event_epoch) OVER (PARTITION BY n.principal, n.kind, n.thing ORDER BY n.event_epoch) AS again_epoch
  FROM touches AS n
), steps AS (
  -- A thing counts from its opening until the window has passed over it or it is opened again: so each counts once.
  SELECT f.principal, f.kind, f.event_epoch AS step_epoch, f.needed, f.window_seconds, CAST(1 AS BIGINT) AS change,
         CAST(1 AS BIGINT) AS started
  FROM following_touches AS f
  UNION ALL
  SELECT
    g.principal,
    g.kind,
    CASE WHEN g.again_epoch <= g.event_epoch + g.window_seconds THEN g.again_epoch
         ELSE g.event_epoch + g.window_seconds + 1 END AS step_epoch,
    g.needed,
    g.window_seconds,
    CAST(-1 AS BIGINT) AS change,
    CAST(0 AS BIGINT) AS started
  FROM following_touches AS g
), step_totals AS (
  SELECT
    x.principal,
    x.kind,
    x.step_epoch,
    x.needed,
    x.window_seconds,
    CAST(SUM(x.change) AS BIGINT) AS change,
    CAST(SUM(x.started) AS BIGINT) AS started
  FROM steps AS x
  GROUP BY x.principal, x.kind, x.step_epoch, x.needed, x.window_seconds
), levels AS (
  SELECT
    q.principal,
    q.kind,
    q.step_epoch,
    q.needed,
    q.window_seconds,
    q.started,
    CAST(SUM(q.change) OVER (PARTITION BY q.principal, q.kind ORDER BY q.step_epoch
                             ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS in_window
  FROM step_totals AS q
), marks AS (
  SELECT
    m.principal,
    m.kind,
    m.step_epoch,
    m.window_seconds,
    m.in_window,
    -m.step_epoch AS negative_epoch,
    CASE WHEN m.in_window >= m.needed THEN m.step_epoch ELSE 9999999999 END AS full_epoch
  FROM levels AS m
  WHERE m.started > 0
), reaches AS (
  SELECT
    j.principal,
    j.kind,
    j.step_epoch,
    j.window_seconds,
    j.in_window,
    MIN(j.full_epoch) OVER (PARTITION BY j.principal, j.kind ORDER BY j.negative_epoch
                            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS next_full_epoch
  FROM marks AS j
), members AS (
  -- A second belongs to a spree when a full window ends at it or within one window after it.
  SELECT
    z.principal,
    z.kind,
    z.step_epoch,
    z.window_seconds,
    z.in_window,
    LAG(z.step_epoch) OVER (PARTITION BY z.principal, z.kind ORDER BY z.step_epoch) AS before_epoch
  FROM reaches AS z
  WHERE z.next_full_epoch - z.step_epoch <= z.window_seconds
), starts AS (
  SELECT
    a.principal,
    a.kind,
    a.step_epoch,
    a.window_seconds,
    a.in_window,
    CASE WHEN a.before_epoch IS NULL OR a.step_epoch - a.before_epoch > a.window_seconds THEN 1 ELSE 0 END AS is_start
  FROM members AS a
), spree_seconds AS (
  SELECT
    b.principal AS spree_principal,
    b.kind AS spree_kind,
    b.step_epoch AS spree_second,
    b.window_seconds,
    b.in_window,
    CAST(SUM(b.is_start) OVER (PARTITION BY b.principal, b.kind ORDER BY b.step_epoch
                               ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS spree_no
  FROM starts AS b
), openings AS (
  SELECT
    f.principal,
    CASE
      WHEN f.context_class = 'secret' THEN 'secrets'
      WHEN f.context_class = 'parameter' THEN 'parameters'
      WHEN f.context_class = 's3_object' THEN 'S3 objects'
      ELSE 'disks'
    END AS kind,
    f.context_resource AS thing,
    f.event_epoch, f.event_time, f.event_id, f.account_id, f.region, f.key_arn, f.source_ip, f.via,
    CASE WHEN f.is_direct THEN 1 ELSE 0 END AS is_direct_call
  FROM events AS f
  SEMI JOIN spree_seconds AS h ON h.spree_principal = f.principal AND h.spree_second = f.event_epoch
  ANTI JOIN repeated_copies AS x ON x.repeated_id = f.event_id
  WHERE f.event_source = 'kms.amazonaws.com'
    AND f.reveals_plaintext
    AND f.event_name NOT LIKE 'GenerateDataKey%'
    AND f.outcome = 'ok'
    AND NOT COALESCE(f.is_dry_run, FALSE)
    AND f.context_class IN ('secret', 'parameter', 's3_object', 'ebs_volume', 'ebs_snapshot', 'rds')
    AND f.context_resource IS NOT NULL
  UNION ALL
  SELECT
    g.principal,
    'keys' AS kind,
    g.key_arn AS thing,
    g.event_epoch, g.event_time, g.event_id, g.account_id, g.region, g.key_arn, g.source_ip, g.via,
    CASE WHEN g.is_direct THEN 1 ELSE 0 END AS is_direct_call
  FROM events AS g
  SEMI JOIN spree_seconds AS l ON l.spree_principal = g.principal AND l.spree_second = g.event_epoch
  ANTI JOIN repeated_copies AS y ON y.repeated_id = g.event_id
  WHERE g.event_source = 'kms.amazonaws.com'
    AND g.reveals_plaintext
    AND g.event_name NOT LIKE 'GenerateDataKey%'
    AND g.outcome = 'ok'
    AND NOT COALESCE(g.is_dry_run, FALSE)
    AND g.key_arn IS NOT NULL
), spree_calls AS (
  SELECT
    v.principal,
    v.kind,
    s.spree_no,
    s.window_seconds,
    s.in_window,
    v.thing,
    v.event_epoch,
    v.event_time,
    v.event_id,
    v.account_id,
    v.region,
    v.key_arn,
    v.source_ip,
    v.via,
    v.is_direct_call,
    CAST(ROW_NUMBER() OVER (PARTITION BY v.principal, v.kind, s.spree_no
                            ORDER BY v.event_epoch, v.event_id) AS BIGINT) AS call_no
  FROM openings AS v
  JOIN spree_seconds AS s ON s.spree_principal = v.principal AND s.spree_kind = v.kind AND s.spree_second = v.event_epoch
), sprees AS (
  SELECT
    w.principal,
    w.kind,
    w.spree_no,
    MIN(w.event_time) AS first_time,
    MAX(w.event_time) AS last_time,
    MIN(w.event_epoch) AS first_epoch,
    MAX(w.event_epoch) AS last_epoch,
    MIN(w.account_id) AS account_id,
    MIN(w.region) AS region,
    MIN(w.key_arn) AS key_arn,
    MIN(w.source_ip) AS source_ip,
    MIN(w.via) AS via,
    MIN(w.thing) AS first_thing,
    MAX(w.thing) AS last_thing,
    MIN(w.window_seconds) AS window_seconds,
    MAX(w.in_window) AS peak_count,
    CAST(COUNT(DISTINCT w.region) AS BIGINT) AS region_count,
    CAST(COUNT(DISTINCT w.key_arn) AS BIGINT) AS used_key_count,
    CAST(COUNT(DISTINCT w.source_ip) AS BIGINT) AS source_ip_count,
    CAST(COUNT(DISTINCT w.thing) AS BIGINT) AS thing_count,
    CAST(SUM(w.is_direct_call) AS BIGINT) AS direct_count,
    CAST(COUNT(*) AS BIGINT) AS event_count
  FROM spree_calls AS w
  GROUP BY w.principal, w.kind, w.spree_no
), spree_ids AS (
  SELECT
    i.principal AS id_principal,
    i.kind AS id_kind,
    i.spree_no AS id_spree_no,
    STRING_AGG(i.event_id, ',') AS event_ids
  FROM spree_calls AS i
  WHERE i.call_no <= 1000
  GROUP BY i.principal, i.kind, i.spree_no
)
SELECT
  y.first_time,
  y.last_time,
  y.account_id,
  CASE WHEN y.region_count = 1 THEN y.region END AS region,
  CASE WHEN y.used_key_count = 1 THEN y.key_arn END AS key_arn,
  y.principal,
  CASE WHEN y.source_ip_count = 1 THEN y.source_ip END AS source_ip,
  y.event_count,
  'high' AS severity,
  y.principal || CASE WHEN y.kind = 'keys' THEN ' used ' ELSE ' opened ' END || CAST(y.thing_count AS STRING) ||
  ' different ' || y.kind || ' with ' || CAST(y.event_count AS STRING)
    || ' calls within ' || CAST(y.last_epoch - y.first_epoch AS STRING) || ' seconds, up to ' || CAST(y.peak_count AS STRING)
    || ' of them in ' || CAST(y.window_seconds AS STRING) || ' seconds, from ' || y.first_thing || ' to ' || y.last_thing || ' ('
    || CASE WHEN y.via IS NULL THEN 'all direct' ELSE CAST(y.direct_count AS STRING) || ' direct, the others via ' || y.via END
    || ').' AS summary,
  h.event_ids,
  y.kind,
  y.thing_count,
  y.peak_count,
  y.window_seconds,
  y.used_key_count,
  y.direct_count,
  y.via,
  y.source_ip_count,
  y.first_thing,
  y.last_thing
FROM sprees AS y
JOIN spree_ids AS h ON h.id_principal = y.principal AND h.id_kind = y.kind AND h.id_spree_no = y.spree_no
ORDER BY first_time, principal, kind, last_time
