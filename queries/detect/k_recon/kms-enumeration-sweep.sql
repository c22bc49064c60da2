-- title: Sweep over the keys
-- severity: medium
-- attack: T1526, T1580
-- description: Within minutes a principal listed keys or aliases and inspected many of them one by one, or listed them in
--   many Regions, or it looks at keys for the first time with an attacker's tool or system. That is how an intruder
--   learns which keys there are and what they protect. Refused attempts count too.
-- false-positives: AWS Config, Security Hub and other services, scanners, Terraform, the console. Services' own principals,
--   service-linked roles, calls that a service made for somebody, Terraform's user agent, the console's pages (but not
--   its lists in many Regions), and whoever does it as a routine (on scanner_days days or more) are left out.
-- blind-spots: A forged user agent, an intruder with the role of a scanner, and one who sweeps on several days. Slow
--   enumeration stays below the rate.
-- reads: events, repeated_copies, read_slots
-- params: min_keys = 10, window_seconds = 600, min_regions = 4, region_window_seconds = 1800, scanner_days = 3
WITH routine_days AS (
  SELECT r.principal, CAST(COUNT(DISTINCT r.slot_epoch - (r.slot_epoch % 86400)) AS BIGINT) AS day_count
  FROM read_slots AS r
  CROSS JOIN params AS p
  WHERE r.key_count >= p.min_keys
     OR r.listed_region_count >= p.min_regions
  GROUP BY r.principal
), scanners AS (
  SELECT s.principal AS scanner
  FROM routine_days AS s
  CROSS JOIN params AS p
  WHERE s.day_count >= p.scanner_days
), spans AS (
  -- A window of up to 50 minutes lies in two neighboring blocks of an hour. So only what can hold a sweep is looked at.
  SELECT a.principal, a.slot_epoch, a.list_count, a.listed_region_count, a.key_count,
         a.slot_epoch - (a.slot_epoch % 3600) AS span_epoch
  FROM read_slots AS a
  ANTI JOIN scanners AS b ON b.scanner = a.principal
  UNION ALL
  SELECT c.principal, c.slot_epoch, c.list_count, c.listed_region_count, c.key_count,
         c.slot_epoch - (c.slot_epoch % 3600) + 3600 AS span_epoch
  FROM read_slots AS c
  ANTI JOIN scanners AS d ON d.scanner = c.principal
), full_spans AS (
  SELECT
    f.principal AS full_principal,
    f.span_epoch AS full_span,
    CAST(SUM(f.list_count) AS BIGINT) AS list_count,
    CAST(SUM(f.listed_region_count) AS BIGINT) AS region_count,
    CAST(SUM(f.key_count) AS BIGINT) AS key_count
  FROM spans AS f
  GROUP BY f.principal, f.span_epoch
), candidate_slots AS (
  SELECT g.principal AS candidate_principal, g.slot_epoch AS candidate_slot
  FROM spans AS g
  JOIN full_spans AS h ON h.full_principal = g.principal AND h.full_span = g.span_epoch
  CROSS JOIN params AS q
  WHERE h.list_count > 0
    AND (h.key_count >= q.min_keys OR h.region_count >= q.min_regions)
  UNION
  SELECT t.principal AS candidate_principal, t.slot_epoch AS candidate_slot
  FROM read_slots AS t
  WHERE t.tool_count > 0
), reads AS (
  SELECT
    e.principal,
    e.event_epoch - (e.event_epoch % 600) AS slot_epoch,
    e.event_epoch, e.event_time, e.event_id, e.account_id, e.region, e.source_ip, e.user_agent, e.outcome,
    CASE WHEN e.event_name IN ('ListKeys', 'ListAliases') THEN e.region END AS listed_region,
    CASE WHEN e.event_name IN ('DescribeKey', 'GetKeyPolicy', 'ListGrants', 'GetKeyRotationStatus', 'ListResourceTags',
                               'GetKeyLastUsage', 'ListKeyRotations')
          AND COALESCE(e.user_agent, '') NOT LIKE '%AWS Internal%'
          AND COALESCE(e.user_agent, '') NOT LIKE '%console.amazonaws.com%'
          AND COALESCE(e.user_agent, '') NOT LIKE 'aws-internal/%'
          AND COALESCE(e.user_agent, '') NOT LIKE 'Mozilla/%' THEN COALESCE(e.key_arn, e.key_ref) END AS inspected_key,
    CASE WHEN LOWER(e.user_agent) LIKE '%kali%'
           OR LOWER(e.user_agent) LIKE '%parrot%'
           OR LOWER(e.user_agent) LIKE '%pentoo%'
           OR LOWER(e.user_agent) LIKE '%pacu%'
           OR LOWER(e.user_agent) LIKE '%cloudfox%'
           OR LOWER(e.user_agent) LIKE '%scoutsuite%'
           OR LOWER(e.user_agent) LIKE '%scout suite%'
           OR LOWER(e.user_agent) LIKE '%stratus-red-team%' THEN 1 ELSE 0 END AS is_tool
  FROM events AS e
  ANTI JOIN repeated_copies AS i ON i.repeated_id = e.event_id
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.action_class = 'read'
    AND e.is_direct
    AND NOT COALESCE(e.is_dry_run, FALSE)
    AND COALESCE(e.user_agent, '') NOT LIKE '%Terraform%'
), looks AS (
  SELECT
    j.principal, j.event_epoch, j.event_time, j.event_id, j.account_id, j.region, j.source_ip, j.user_agent, j.outcome,
    j.listed_region, j.inspected_key, j.is_tool
  FROM reads AS j
  SEMI JOIN candidate_slots AS k ON k.candidate_principal = j.principal AND k.candidate_slot = j.slot_epoch
), things AS (
  SELECT DISTINCT l.principal, 'keys' AS part, 'key' AS kind, l.inspected_key AS thing, l.event_epoch
  FROM looks AS l
  WHERE l.inspected_key IS NOT NULL
  UNION ALL
  SELECT DISTINCT m.principal, 'keys' AS part, 'list' AS kind, 'list' AS thing, m.event_epoch
  FROM looks AS m
  WHERE m.listed_region IS NOT NULL
  UNION ALL
  SELECT DISTINCT n.principal, 'regions' AS part, 'region' AS kind, n.listed_region AS thing, n.event_epoch
  FROM looks AS n
  WHERE n.listed_region IS NOT NULL
), following_things AS (
  SELECT
    o.principal, o.part, o.kind, o.event_epoch,
    CASE WHEN o.part = 'keys' THEN p.window_seconds ELSE p.region_window_seconds END AS window_seconds,
    LEAD(o.event_epoch) OVER (PARTITION BY o.principal, o.part, o.kind, o.thing ORDER BY o.event_epoch) AS again_epoch
  FROM things AS o
  ANTI JOIN scanners AS u ON u.scanner = o.principal
  CROSS JOIN params AS p
), steps AS (
  -- A thing counts from its second until the window has passed over it or it is touched again: so each counts once.
  SELECT v.principal, v.part, v.kind, v.event_epoch AS step_epoch, CAST(1 AS BIGINT) AS change, CAST(1 AS BIGINT) AS started
  FROM following_things AS v
  UNION ALL
  SELECT
    w.principal, w.part, w.kind,
    CASE WHEN w.again_epoch <= w.event_epoch + w.window_seconds THEN w.again_epoch
         ELSE w.event_epoch + w.window_seconds + 1 END AS step_epoch,
    CAST(-1 AS BIGINT) AS change,
    CAST(0 AS BIGINT) AS started
  FROM following_things AS w
), step_totals AS (
  SELECT
    x.principal, x.part, x.step_epoch,
    CAST(SUM(CASE WHEN x.kind = 'list' THEN 0 ELSE x.change END) AS BIGINT) AS thing_change,
    CAST(SUM(CASE WHEN x.kind = 'key' THEN 0 ELSE x.change END) AS BIGINT) AS list_change,
    CAST(SUM(x.started) AS BIGINT) AS started
  FROM steps AS x
  GROUP BY x.principal, x.part, x.step_epoch
), levels AS (
  SELECT
    y.principal, y.part, y.step_epoch, y.started,
    CAST(SUM(y.thing_change) OVER (PARTITION BY y.principal, y.part ORDER BY y.step_epoch
                                   ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS things_in_window,
    CAST(SUM(y.list_change) OVER (PARTITION BY y.principal, y.part ORDER BY y.step_epoch
                                  ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS lists_in_window
  FROM step_totals AS y
), marks AS (
  SELECT
    z.principal, z.part, z.step_epoch, z.things_in_window,
    -z.step_epoch AS negative_epoch,
    CASE WHEN z.part = 'keys' THEN p.window_seconds ELSE p.region_window_seconds END AS window_seconds,
    CASE WHEN z.lists_in_window > 0
          AND z.things_in_window >= CASE WHEN z.part = 'keys' THEN p.min_keys ELSE p.min_regions END THEN z.step_epoch
         ELSE 9999999999 END AS full_epoch
  FROM levels AS z
  CROSS JOIN params AS p
  WHERE z.started > 0
), reaches AS (
  SELECT
    a.principal, a.part, a.step_epoch, a.things_in_window, a.window_seconds,
    MIN(a.full_epoch) OVER (PARTITION BY a.principal, a.part ORDER BY a.negative_epoch
                            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS next_full_epoch
  FROM marks AS a
), first_tools AS (
  SELECT b.principal AS tool_principal, MIN(b.event_epoch) AS first_tool_epoch
  FROM looks AS b
  WHERE b.is_tool = 1
  GROUP BY b.principal
), member_parts AS (
  SELECT c.principal, c.step_epoch AS second_epoch,
         CASE WHEN c.part = 'keys' THEN c.things_in_window END AS keys_in_window,
         CASE WHEN c.part = 'regions' THEN c.things_in_window END AS regions_in_window,
         CAST(0 AS BIGINT) AS is_first_tool
  FROM reaches AS c
  WHERE c.next_full_epoch - c.step_epoch <= c.window_seconds
  UNION ALL
  SELECT d.principal, d.event_epoch AS second_epoch,
         CAST(NULL AS BIGINT) AS keys_in_window,
         CAST(NULL AS BIGINT) AS regions_in_window,
         CASE WHEN d.event_epoch = f.first_tool_epoch THEN 1 ELSE 0 END AS is_first_tool
  FROM looks AS d
  JOIN first_tools AS f ON f.tool_principal = d.principal
  WHERE d.is_tool = 1
), members AS (
  SELECT
    g.principal, g.second_epoch,
    MAX(g.keys_in_window) AS keys_in_window,
    MAX(g.regions_in_window) AS regions_in_window,
    MAX(g.is_first_tool) AS is_first_tool
  FROM member_parts AS g
  GROUP BY g.principal, g.second_epoch
), gaps AS (
  SELECT
    h.principal, h.second_epoch, h.keys_in_window, h.regions_in_window, h.is_first_tool,
    LAG(h.second_epoch) OVER (PARTITION BY h.principal ORDER BY h.second_epoch) AS before_epoch
  FROM members AS h
), starts AS (
  SELECT
    i.principal, i.second_epoch, i.keys_in_window, i.regions_in_window, i.is_first_tool,
    CASE WHEN i.before_epoch IS NULL OR i.second_epoch - i.before_epoch > p.region_window_seconds THEN 1 ELSE 0 END AS is_start
  FROM gaps AS i
  CROSS JOIN params AS p
), sweep_seconds AS (
  SELECT
    j.principal AS sweep_principal,
    j.second_epoch AS sweep_second,
    j.keys_in_window, j.regions_in_window, j.is_first_tool,
    CAST(SUM(j.is_start) OVER (PARTITION BY j.principal ORDER BY j.second_epoch
                               ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS sweep_no
  FROM starts AS j
), sweep_calls AS (
  SELECT
    k.principal, l.sweep_no, l.keys_in_window, l.regions_in_window, l.is_first_tool,
    k.event_epoch, k.event_time, k.event_id, k.account_id, k.region, k.source_ip, k.outcome, k.listed_region,
    k.inspected_key, k.is_tool, k.user_agent,
    CAST(ROW_NUMBER() OVER (PARTITION BY k.principal, l.sweep_no ORDER BY k.event_epoch, k.event_id) AS BIGINT) AS call_no
  FROM looks AS k
  JOIN sweep_seconds AS l ON l.sweep_principal = k.principal AND l.sweep_second = k.event_epoch
), sweeps AS (
  SELECT
    m.principal,
    m.sweep_no,
    MIN(m.event_time) AS first_time,
    MAX(m.event_time) AS last_time,
    MIN(m.event_epoch) AS first_epoch,
    MAX(m.event_epoch) AS last_epoch,
    MIN(m.account_id) AS account_id,
    MIN(m.region) AS region,
    MIN(m.source_ip) AS source_ip,
    CAST(COUNT(DISTINCT m.region) AS BIGINT) AS region_count,
    CAST(COUNT(DISTINCT m.source_ip) AS BIGINT) AS source_ip_count,
    CAST(COUNT(DISTINCT m.inspected_key) AS BIGINT) AS key_count,
    CAST(COUNT(m.listed_region) AS BIGINT) AS list_count,
    CAST(COUNT(DISTINCT m.listed_region) AS BIGINT) AS listed_region_count,
    CAST(COUNT(CASE WHEN m.outcome <> 'ok' THEN 1 END) AS BIGINT) AS failed_count,
    MAX(m.keys_in_window) AS peak_key_count,
    MAX(m.regions_in_window) AS peak_region_count,
    MAX(m.is_first_tool) AS is_first_tool,
    MIN(CASE WHEN m.is_tool = 1 THEN m.user_agent END) AS tool_user_agent,
    CAST(COUNT(*) AS BIGINT) AS event_count,
    STRING_AGG(CASE WHEN m.call_no <= 1000 THEN m.event_id END, ',') AS event_ids
  FROM sweep_calls AS m
  GROUP BY m.principal, m.sweep_no
)
SELECT
  n.first_time,
  n.last_time,
  n.account_id,
  CASE WHEN n.region_count = 1 THEN n.region END AS region,
  CAST(NULL AS STRING) AS key_arn,
  n.principal,
  CASE WHEN n.source_ip_count = 1 THEN n.source_ip END AS source_ip,
  n.event_count,
  'medium' AS severity,
  n.principal || ' looked around with ' || CAST(n.event_count AS STRING) || ' calls within '
    || CAST(n.last_epoch - n.first_epoch AS STRING) || ' seconds (keys inspected: ' || CAST(n.key_count AS STRING)
    || ', lists of keys or aliases: ' || CAST(n.list_count AS STRING) || ' in Regions: '
    || CAST(n.listed_region_count AS STRING) || ', calls refused or failed: ' || CAST(n.failed_count AS STRING) || ')'
    || CASE WHEN n.tool_user_agent IS NOT NULL THEN ', with the user agent ' || n.tool_user_agent ELSE '' END || '.' AS summary,
  n.event_ids,
  n.key_count,
  n.list_count,
  n.listed_region_count,
  n.failed_count,
  n.tool_user_agent
FROM sweeps AS n
WHERE n.peak_key_count IS NOT NULL
   OR n.peak_region_count IS NOT NULL
   OR n.is_first_tool = 1
ORDER BY first_time, principal, last_time
