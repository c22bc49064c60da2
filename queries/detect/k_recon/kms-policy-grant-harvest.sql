-- title: Policies and grants read across many keys
-- severity: medium
-- attack: T1087.004, T1069.003
-- description: Within a quarter of an hour a principal read the policies or the grants of many keys. Together they say
--   who can open what, so an intruder reads them to choose whom to become. High when the same principal afterwards made
--   a grant, changed a key policy, or re-encrypted to a foreign, young or outside key. Refused attempts count too.
-- false-positives: Security scanners, access reviews, Terraform. Services' own principals, service-linked roles, calls
--   that a service made for somebody, Terraform's user agent, and whoever does it as a routine (on scanner_days days or
--   more) are left out; grants to AWS services do not raise the severity.
-- blind-spots: A forged user agent, an intruder with the role of a scanner, and one who reads on several days.
--   ListRetirableGrants names a principal and no key, so it does not count towards the keys.
-- reads: events, repeated_copies, read_slots, admin_events, use_hours, keys
-- params: min_keys = 10, window_seconds = 900, scanner_days = 3, young_days = 7
WITH routine_days AS (
  SELECT r.principal, CAST(COUNT(DISTINCT r.slot_epoch - (r.slot_epoch % 86400)) AS BIGINT) AS day_count
  FROM read_slots AS r
  CROSS JOIN params AS p
  WHERE r.policy_key_count >= p.min_keys
  GROUP BY r.principal
), scanners AS (
  SELECT s.principal AS scanner
  FROM routine_days AS s
  CROSS JOIN params AS p
  WHERE s.day_count >= p.scanner_days
), spans AS (
  -- A window of up to 50 minutes lies in two neighboring blocks of an hour. So only what can hold a harvest is looked at.
  SELECT a.principal, a.slot_epoch, a.policy_key_count, a.slot_epoch - (a.slot_epoch % 3600) AS span_epoch
  FROM read_slots AS a
  ANTI JOIN scanners AS b ON b.scanner = a.principal
  WHERE a.policy_key_count > 0
  UNION ALL
  SELECT c.principal, c.slot_epoch, c.policy_key_count, c.slot_epoch - (c.slot_epoch % 3600) + 3600 AS span_epoch
  FROM read_slots AS c
  ANTI JOIN scanners AS d ON d.scanner = c.principal
  WHERE c.policy_key_count > 0
), full_spans AS (
  SELECT f.principal AS full_principal, f.span_epoch AS full_span, CAST(SUM(f.policy_key_count) AS BIGINT) AS key_count
  FROM spans AS f
  GROUP BY f.principal, f.span_epoch
), candidate_slots AS (
  SELECT DISTINCT g.principal AS candidate_principal, g.slot_epoch AS candidate_slot
  FROM spans AS g
  JOIN full_spans AS h ON h.full_principal = g.principal AND h.full_span = g.span_epoch
  CROSS JOIN params AS p
  WHERE h.key_count >= p.min_keys
), reads AS (
  SELECT
    e.principal,
    e.event_epoch - (e.event_epoch % 600) AS slot_epoch,
    e.event_epoch, e.event_time, e.event_id, e.event_name, e.account_id, e.region, e.source_ip, e.outcome,
    COALESCE(e.key_arn, e.key_ref) AS read_key
  FROM events AS e
  ANTI JOIN repeated_copies AS i ON i.repeated_id = e.event_id
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.event_name IN ('GetKeyPolicy', 'ListGrants')
    AND e.is_direct
    AND NOT COALESCE(e.is_dry_run, FALSE)
    AND COALESCE(e.user_agent, '') NOT LIKE '%Terraform%'
    AND COALESCE(e.key_arn, e.key_ref) IS NOT NULL
), looks AS (
  SELECT
    j.principal, j.event_epoch, j.event_time, j.event_id, j.event_name, j.account_id, j.region, j.source_ip, j.outcome,
    j.read_key
  FROM reads AS j
  SEMI JOIN candidate_slots AS k ON k.candidate_principal = j.principal AND k.candidate_slot = j.slot_epoch
), things AS (
  SELECT DISTINCT l.principal, l.read_key, l.event_epoch
  FROM looks AS l
), following_things AS (
  SELECT
    m.principal, m.event_epoch, p.window_seconds,
    LEAD(m.event_epoch) OVER (PARTITION BY m.principal, m.read_key ORDER BY m.event_epoch) AS again_epoch
  FROM things AS m
  CROSS JOIN params AS p
), steps AS (
  -- A key counts from its second until the window has passed over it or it is read again: so each counts once.
  SELECT n.principal, n.event_epoch AS step_epoch, CAST(1 AS BIGINT) AS change, CAST(1 AS BIGINT) AS started
  FROM following_things AS n
  UNION ALL
  SELECT
    o.principal,
    CASE WHEN o.again_epoch <= o.event_epoch + o.window_seconds THEN o.again_epoch
         ELSE o.event_epoch + o.window_seconds + 1 END AS step_epoch,
    CAST(-1 AS BIGINT) AS change,
    CAST(0 AS BIGINT) AS started
  FROM following_things AS o
), step_totals AS (
  SELECT q.principal, q.step_epoch, CAST(SUM(q.change) AS BIGINT) AS change, CAST(SUM(q.started) AS BIGINT) AS started
  FROM steps AS q
  GROUP BY q.principal, q.step_epoch
), levels AS (
  SELECT
    t.principal, t.step_epoch, t.started,
    CAST(SUM(t.change) OVER (PARTITION BY t.principal ORDER BY t.step_epoch
                             ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS in_window
  FROM step_totals AS t
), marks AS (
  SELECT
    u.principal, u.step_epoch, p.window_seconds,
    -u.step_epoch AS negative_epoch,
    CASE WHEN u.in_window >= p.min_keys THEN u.step_epoch ELSE 9999999999 END AS full_epoch
  FROM levels AS u
  CROSS JOIN params AS p
  WHERE u.started > 0
), reaches AS (
  SELECT
    v.principal, v.step_epoch, v.window_seconds,
    MIN(v.full_epoch) OVER (PARTITION BY v.principal ORDER BY v.negative_epoch
                            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS next_full_epoch
  FROM marks AS v
), members AS (
  SELECT
    w.principal, w.step_epoch, w.window_seconds,
    LAG(w.step_epoch) OVER (PARTITION BY w.principal ORDER BY w.step_epoch) AS before_epoch
  FROM reaches AS w
  WHERE w.next_full_epoch - w.step_epoch <= w.window_seconds
), starts AS (
  SELECT
    x.principal, x.step_epoch,
    CASE WHEN x.before_epoch IS NULL OR x.step_epoch - x.before_epoch > x.window_seconds THEN 1 ELSE 0 END AS is_start
  FROM members AS x
), harvest_seconds AS (
  SELECT
    y.principal AS harvest_principal,
    y.step_epoch AS harvest_second,
    CAST(SUM(y.is_start) OVER (PARTITION BY y.principal ORDER BY y.step_epoch
                               ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS harvest_no
  FROM starts AS y
), harvest_calls AS (
  SELECT
    z.principal, a.harvest_no, z.event_epoch, z.event_time, z.event_id, z.event_name, z.account_id, z.region, z.source_ip,
    z.outcome, z.read_key,
    CAST(ROW_NUMBER() OVER (PARTITION BY z.principal, a.harvest_no ORDER BY z.event_epoch, z.event_id) AS BIGINT) AS call_no
  FROM looks AS z
  JOIN harvest_seconds AS a ON a.harvest_principal = z.principal AND a.harvest_second = z.event_epoch
), harvests AS (
  SELECT
    b.principal,
    b.harvest_no,
    MIN(b.event_time) AS first_time,
    MAX(b.event_time) AS last_time,
    MIN(b.event_epoch) AS first_epoch,
    MAX(b.event_epoch) AS last_epoch,
    MIN(b.account_id) AS account_id,
    MIN(b.region) AS region,
    MIN(b.source_ip) AS source_ip,
    CAST(COUNT(DISTINCT b.region) AS BIGINT) AS region_count,
    CAST(COUNT(DISTINCT b.source_ip) AS BIGINT) AS source_ip_count,
    CAST(COUNT(DISTINCT b.read_key) AS BIGINT) AS key_count,
    CAST(COUNT(CASE WHEN b.event_name = 'GetKeyPolicy' THEN 1 END) AS BIGINT) AS policy_read_count,
    CAST(COUNT(CASE WHEN b.event_name = 'ListGrants' THEN 1 END) AS BIGINT) AS grant_read_count,
    CAST(COUNT(CASE WHEN b.outcome <> 'ok' THEN 1 END) AS BIGINT) AS failed_count,
    CAST(COUNT(*) AS BIGINT) AS event_count,
    STRING_AGG(CASE WHEN b.call_no <= 1000 THEN b.event_id END, ',') AS event_ids
  FROM harvest_calls AS b
  GROUP BY b.principal, b.harvest_no
), unsafe_keys AS (
  SELECT c.key_arn AS unsafe_key, c.created_epoch, c.key_origin, c.is_home
  FROM keys AS c
  WHERE NOT c.is_home
     OR c.created_epoch IS NOT NULL
), abuses AS (
  SELECT d.principal AS abuser, d.event_name AS act, d.event_epoch AS act_epoch, d.event_id AS act_id
  FROM admin_events AS d
  WHERE d.event_source = 'kms.amazonaws.com'
    AND d.event_name IN ('CreateGrant', 'PutKeyPolicy')
    AND d.is_ok
    AND NOT COALESCE(d.is_service_grant, FALSE)
    AND COALESCE(d.grantee_principal, '') NOT LIKE '%:assumed-role/aws:ec2-infrastructure/%'
  UNION ALL
  SELECT f.principal AS abuser, 'ReEncrypt' AS act, f.first_epoch AS act_epoch, f.event_id AS act_id
  FROM use_hours AS f
  JOIN unsafe_keys AS g ON g.unsafe_key = f.key_arn
  CROSS JOIN params AS p
  WHERE f.operation = 'ReEncryptTo'
    AND (NOT g.is_home
      OR g.key_origin IN ('EXTERNAL', 'EXTERNAL_KEY_STORE')
      OR g.created_epoch >= f.first_epoch - p.young_days * 86400)
), later_abuses AS (
  SELECT
    h.principal, h.harvest_no, i.act, i.act_epoch, i.act_id,
    CAST(ROW_NUMBER() OVER (PARTITION BY h.principal, h.harvest_no ORDER BY i.act_epoch, i.act_id, i.act) AS BIGINT) AS act_no
  FROM harvests AS h
  JOIN abuses AS i ON i.abuser = h.principal
  WHERE i.act_epoch >= h.first_epoch
), first_abuses AS (
  SELECT j.principal AS abuse_principal, j.harvest_no AS abuse_harvest_no, j.act, j.act_epoch, j.act_id
  FROM later_abuses AS j
  WHERE j.act_no = 1
)
SELECT
  k.first_time,
  k.last_time,
  k.account_id,
  CASE WHEN k.region_count = 1 THEN k.region END AS region,
  CAST(NULL AS STRING) AS key_arn,
  k.principal,
  CASE WHEN k.source_ip_count = 1 THEN k.source_ip END AS source_ip,
  k.event_count,
  CASE WHEN l.act IS NOT NULL THEN 'high' ELSE 'medium' END AS severity,
  k.principal || ' read the policies or grants of ' || CAST(k.key_count AS STRING) || ' keys within '
    || CAST(k.last_epoch - k.first_epoch AS STRING) || ' seconds (GetKeyPolicy: ' || CAST(k.policy_read_count AS STRING)
    || ', ListGrants: ' || CAST(k.grant_read_count AS STRING) || ', calls refused or failed: '
    || CAST(k.failed_count AS STRING) || ')'
    || CASE WHEN l.act IS NOT NULL THEN ', and ' || CAST(l.act_epoch - k.first_epoch AS STRING)
                                     || ' seconds after the first of them called ' || l.act || '.'
            ELSE '.' END AS summary,
  k.event_ids,
  k.key_count,
  k.policy_read_count,
  k.grant_read_count,
  k.failed_count,
  l.act AS later_act,
  l.act_id AS later_event_id
FROM harvests AS k
LEFT JOIN first_abuses AS l ON l.abuse_principal = k.principal AND l.abuse_harvest_no = k.harvest_no
ORDER BY first_time, principal, last_time
