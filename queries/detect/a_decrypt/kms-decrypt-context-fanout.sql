-- title: One principal opened many distinct protected things
-- severity: high
-- attack: T1555.006, T1530
-- description: Within a short window one principal opened many different secrets, parameters, S3 objects or disks, or used many different keys, as told by the encryption contexts of its successful decryptions. Opening everything once is how stores of secrets are emptied; an application opens the same few things again and again.
-- false-positives: Secret-rotation functions, External Secrets operators, backup and migration roles: raise the threshold for their class. Services' own principals, service-linked roles and EC2's infrastructure role are left out.
-- blind-spots: Calls without an encryption context count only by key. With S3 Bucket Keys the context names the bucket, not the object. Disks that EC2 attaches for the principal are opened by EC2's infrastructure role.
-- reads: events, repeated_copies
-- params: secret_count = 15, secret_seconds = 600, parameter_count = 25, parameter_seconds = 3600, object_count = 300, object_seconds = 600, disk_count = 5, disk_seconds = 3600, key_count = 5, key_seconds = 600
-- partition: principal
WITH opening_calls AS (
  SELECT
    e.principal,
    e.event_epoch,
    e.event_time,
    e.event_id,
    e.account_id,
    e.region,
    e.key_arn,
    e.source_ip,
    e.via,
    e.context_resource,
    CASE WHEN e.is_direct THEN 1 ELSE 0 END AS is_direct_call,
    CASE
      WHEN e.context_class = 'secret' THEN 'secrets'
      WHEN e.context_class = 'parameter' THEN 'parameters'
      WHEN e.context_class = 's3_object' THEN 'S3 objects'
      WHEN e.context_class IN ('ebs_volume', 'ebs_snapshot', 'rds') THEN 'disks'
    END AS thing_kind
  FROM events AS e
  ANTI JOIN repeated_copies AS r ON r.repeated_id = e.event_id
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.reveals_plaintext
    AND e.event_name NOT LIKE 'GenerateDataKey%'
    AND e.outcome = 'ok'
    AND NOT COALESCE(e.is_dry_run, FALSE)
    AND e.principal NOT LIKE 'service:%'
    AND e.principal NOT LIKE '%:role/aws-service-role/%'
    AND e.principal NOT LIKE '%/aws:ec2-infrastructure%'
), openings AS (
  SELECT
    c.principal, c.thing_kind AS kind, c.context_resource AS thing, c.event_epoch, c.event_time, c.event_id, c.account_id, c.region,
    c.key_arn, c.source_ip, c.via, c.is_direct_call
  FROM opening_calls AS c
  WHERE c.thing_kind IS NOT NULL
    AND c.context_resource IS NOT NULL
  UNION ALL
  SELECT
    k.principal, 'keys' AS kind, k.key_arn AS thing, k.event_epoch, k.event_time, k.event_id, k.account_id, k.region,
    k.key_arn, k.source_ip, k.via, k.is_direct_call
  FROM opening_calls AS k
  WHERE k.key_arn IS NOT NULL
), thing_totals AS (
  SELECT
    o.principal AS total_principal,
    o.kind AS total_kind,
    CAST(COUNT(DISTINCT o.thing) AS BIGINT) AS thing_count
  FROM openings AS o
  GROUP BY o.principal, o.kind
), limited_totals AS (
  SELECT
    t.total_principal,
    t.total_kind,
    t.thing_count,
    CASE
      WHEN t.total_kind = 'secrets' THEN p.secret_count
      WHEN t.total_kind = 'parameters' THEN p.parameter_count
      WHEN t.total_kind = 'S3 objects' THEN p.object_count
      WHEN t.total_kind = 'disks' THEN p.disk_count
      ELSE p.key_count
    END AS needed,
    CASE
      WHEN t.total_kind = 'secrets' THEN p.secret_seconds
      WHEN t.total_kind = 'parameters' THEN p.parameter_seconds
      WHEN t.total_kind = 'S3 objects' THEN p.object_seconds
      WHEN t.total_kind = 'disks' THEN p.disk_seconds
      ELSE p.key_seconds
    END AS window_seconds
  FROM thing_totals AS t
  CROSS JOIN params AS p
), candidates AS (
  SELECT l.total_principal, l.total_kind, l.needed, l.window_seconds
  FROM limited_totals AS l
  WHERE l.thing_count >= l.needed
), touches AS (
  SELECT DISTINCT
    u.principal,
    u.kind,
    u.thing,
    u.event_epoch,
    d.needed,
    d.window_seconds
  FROM openings AS u
  JOIN candidates AS d ON d.total_principal = u.principal AND d.total_kind = u.kind
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
  SELECT f.principal, f.kind, f.event_epoch AS step_epoch, f.needed, f.window_seconds, CAST(1 AS BIGINT) AS change, CAST(1 AS BIGINT) AS started
  FROM following_touches AS f
  UNION ALL
  SELECT
    g.principal,
    g.kind,
    CASE WHEN g.again_epoch <= g.event_epoch + g.window_seconds THEN g.again_epoch ELSE g.event_epoch + g.window_seconds + 1 END AS step_epoch,
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
    CAST(ROW_NUMBER() OVER (PARTITION BY v.principal, v.kind, s.spree_no ORDER BY v.event_epoch, v.event_id) AS BIGINT) AS call_no
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
  y.principal || CASE WHEN y.kind = 'keys' THEN ' used ' ELSE ' opened ' END || CAST(y.thing_count AS STRING) || ' different ' || y.kind || ' with ' || CAST(y.event_count AS STRING)
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
