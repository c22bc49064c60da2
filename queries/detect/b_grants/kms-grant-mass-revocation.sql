-- title: Grants revoked in bulk, or from under a service
-- severity: medium
-- attack: T1489, T1531
-- description: A principal revoked many grants within minutes, or revoked a grant that an AWS service lives on. Whatever
--   worked by those grants (volumes, databases, tables, queues) loses its key without the key being touched. High when a
--   grant of a service is among them, or when callers that had used the key were refused afterwards.
-- false-positives: Clean-up scripts, and administrators who end the access of a partner. Services retire their own grants
--   when a volume or table is deleted, and RetireGrant is not counted; revocations by services, through services and by
--   service-linked roles are left out.
-- blind-spots: Whose grant was revoked is known only when its CreateGrant is in the evidence. Data keys stay cached, so a
--   service may fail much later, at the next restart.
-- reads: admin_events, grants, failed_calls, pairs
-- params: revoke_count = 5, window_seconds = 600, follow_hours = 24
WITH known_grants AS (
  SELECT g.grant_id AS known_grant, g.is_service_grant AS is_service, g.grantee_principal AS known_grantee
  FROM grants AS g
  WHERE g.ended_how = 'RevokeGrant'
), revocations AS (
  SELECT
    a.event_id, a.event_time, a.event_epoch, a.account_id, a.region, a.key_arn, a.principal, a.source_ip, a.grant_id,
    k.known_grantee,
    CASE WHEN k.is_service THEN 1 ELSE 0 END AS is_service,
    CAST(ROW_NUMBER() OVER (PARTITION BY a.principal ORDER BY a.event_epoch, a.event_id) AS BIGINT) AS revoke_no
  FROM admin_events AS a
  LEFT JOIN known_grants AS k ON k.known_grant = a.grant_id
  WHERE a.event_source = 'kms.amazonaws.com'
    AND a.event_name = 'RevokeGrant'
    AND a.is_ok
    AND a.is_direct
    AND a.principal NOT LIKE 'service:%'
    AND a.principal NOT LIKE '%:role/aws-service-role/%'
), window_ends AS (
  SELECT
    e.principal AS end_principal,
    e.revoke_no - p.revoke_count + 1 AS start_no,
    e.event_epoch - p.window_seconds AS earliest_epoch
  FROM revocations AS e
  CROSS JOIN params AS p
), starts AS (
  SELECT
    r.principal,
    r.revoke_no,
    r.event_epoch,
    r.is_service,
    CASE WHEN r.event_epoch >= w.earliest_epoch THEN r.revoke_no ELSE CAST(0 AS BIGINT) END AS full_start_no
  FROM revocations AS r
  LEFT JOIN window_ends AS w ON w.end_principal = r.principal AND w.start_no = r.revoke_no
), reaches AS (
  SELECT
    s.principal,
    s.revoke_no,
    s.event_epoch,
    s.is_service,
    MAX(s.full_start_no) OVER (PARTITION BY s.principal ORDER BY s.revoke_no
                               ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS last_start_no
  FROM starts AS s
), members AS (
  -- A revocation is one of many when it is in a window that is full; each of a service's grant counts alone.
  SELECT
    m.principal,
    m.revoke_no,
    m.event_epoch,
    CASE WHEN m.last_start_no > 0 AND m.revoke_no - m.last_start_no < q.revoke_count THEN 1 ELSE 0 END AS is_mass,
    q.window_seconds,
    LAG(m.event_epoch) OVER (PARTITION BY m.principal ORDER BY m.revoke_no) AS before_epoch
  FROM reaches AS m
  CROSS JOIN params AS q
  WHERE m.is_service = 1
     OR (m.last_start_no > 0 AND m.revoke_no - m.last_start_no < q.revoke_count)
), marks AS (
  SELECT
    c.principal,
    c.revoke_no,
    c.is_mass,
    CASE WHEN c.before_epoch IS NULL OR c.event_epoch - c.before_epoch > c.window_seconds THEN 1 ELSE 0 END AS is_start
  FROM members AS c
), episodes AS (
  SELECT
    d.principal AS episode_principal,
    d.revoke_no AS episode_revoke_no,
    d.is_mass,
    CAST(SUM(d.is_start) OVER (PARTITION BY d.principal ORDER BY d.revoke_no
                               ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS episode_no
  FROM marks AS d
), episode_calls AS (
  SELECT
    f.principal, x.episode_no, x.is_mass, f.event_id, f.event_time, f.event_epoch, f.account_id, f.region, f.key_arn,
    f.source_ip, f.grant_id, f.known_grantee, f.is_service,
    CAST(ROW_NUMBER() OVER (PARTITION BY f.principal, x.episode_no ORDER BY f.revoke_no) AS BIGINT) AS call_no
  FROM revocations AS f
  JOIN episodes AS x ON x.episode_principal = f.principal AND x.episode_revoke_no = f.revoke_no
), episode_keys AS (
  SELECT
    h.principal AS lost_by,
    h.episode_no AS lost_no,
    h.key_arn AS lost_key,
    MIN(h.event_epoch) AS lost_epoch
  FROM episode_calls AS h
  WHERE h.key_arn IS NOT NULL
  GROUP BY h.principal, h.episode_no, h.key_arn
), refusals AS (
  SELECT
    n.key_arn AS refused_key,
    n.principal AS refused_principal,
    n.event_epoch AS refused_epoch,
    n.event_id AS refused_id
  FROM failed_calls AS n
  SEMI JOIN episode_keys AS t ON t.lost_key = n.key_arn
  SEMI JOIN pairs AS u ON u.key_arn = n.key_arn AND u.principal = n.principal
  WHERE n.outcome = 'denied'
    AND n.action_class = 'crypto'
), earlier_users AS (
  SELECT v.key_arn AS used_key, v.principal AS used_by, v.first_epoch AS used_epoch
  FROM pairs AS v
  SEMI JOIN episode_keys AS i ON i.lost_key = v.key_arn
), damage AS (
  SELECT
    j.lost_by,
    j.lost_no,
    CAST(COUNT(DISTINCT o.refused_id) AS BIGINT) AS refused_count,
    CAST(COUNT(DISTINCT o.refused_principal) AS BIGINT) AS refused_principal_count,
    MIN(o.refused_epoch) AS refused_epoch
  FROM episode_keys AS j
  CROSS JOIN params AS l
  JOIN refusals AS o ON o.refused_key = j.lost_key
  JOIN earlier_users AS y ON y.used_key = o.refused_key AND y.used_by = o.refused_principal
  WHERE o.refused_epoch >= j.lost_epoch
    AND o.refused_epoch <= j.lost_epoch + l.follow_hours * 3600
    AND y.used_epoch <= j.lost_epoch
  GROUP BY j.lost_by, j.lost_no
), acts AS (
  SELECT
    z.principal,
    z.episode_no,
    MIN(z.event_time) AS first_time,
    MAX(z.event_time) AS last_time,
    MIN(z.event_epoch) AS first_epoch,
    MAX(z.event_epoch) AS last_epoch,
    MIN(z.account_id) AS account_id,
    MIN(z.region) AS region,
    CAST(COUNT(DISTINCT z.region) AS BIGINT) AS region_count,
    MIN(z.key_arn) AS key_arn,
    CAST(COUNT(DISTINCT z.key_arn) AS BIGINT) AS key_count,
    MIN(z.source_ip) AS source_ip,
    CAST(COUNT(DISTINCT z.source_ip) AS BIGINT) AS source_ip_count,
    CAST(COUNT(*) AS BIGINT) AS event_count,
    CAST(SUM(z.is_service) AS BIGINT) AS service_count,
    MAX(z.is_mass) AS is_mass,
    MIN(CASE WHEN z.is_service = 1 THEN z.known_grantee END) AS service_grantee,
    STRING_AGG(CASE WHEN z.call_no <= 1000 THEN z.event_id END, ',') AS event_ids,
    STRING_AGG(CASE WHEN z.call_no <= 1000 THEN z.grant_id END, ',') AS grant_ids
  FROM episode_calls AS z
  GROUP BY z.principal, z.episode_no
)
SELECT
  b.first_time,
  b.last_time,
  b.account_id,
  CASE WHEN b.region_count = 1 THEN b.region END AS region,
  CASE WHEN b.key_count = 1 THEN b.key_arn END AS key_arn,
  b.principal,
  CASE WHEN b.source_ip_count = 1 THEN b.source_ip END AS source_ip,
  b.event_count,
  CASE WHEN b.service_count > 0 OR g.refused_count > 0 THEN 'high' ELSE 'medium' END AS severity,
  b.principal || ' revoked grants (' || CAST(b.event_count AS STRING) || ' on ' || CAST(b.key_count AS STRING)
    || ' keys, within ' || CAST(b.last_epoch - b.first_epoch AS STRING) || ' seconds); grants of AWS services among them: '
    || CAST(b.service_count AS STRING) || COALESCE(', such as one of ' || b.service_grantee, '')
    || '; refused calls on these keys afterwards by callers that had used them: '
    || CAST(COALESCE(g.refused_count, 0) AS STRING) || '.' AS summary,
  b.event_ids,
  b.key_count,
  b.service_count,
  b.service_grantee,
  CASE WHEN b.is_mass = 1 AND b.service_count > 0 THEN 'bulk,service' WHEN b.is_mass = 1 THEN 'bulk' ELSE 'service' END AS reason,
  COALESCE(g.refused_count, 0) AS refused_count,
  COALESCE(g.refused_principal_count, 0) AS refused_principal_count,
  g.refused_epoch - b.first_epoch AS seconds_to_refusal,
  b.grant_ids
FROM acts AS b
LEFT JOIN damage AS g ON g.lost_by = b.principal AND g.lost_no = b.episode_no
ORDER BY first_time, principal, last_time
