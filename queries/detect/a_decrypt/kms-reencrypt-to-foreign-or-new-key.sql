-- title: Ciphertext moved under a foreign or new key
-- severity: high
-- attack: T1486, T1537
-- description: ReEncrypt moved ciphertext under a key of another account, under a key that was only days old, under a
--   key whose material is held outside KMS, or in bulk. Whoever holds the new key decides from then on who can read
--   the data, which is theft or ransom without a byte of plaintext. Critical when the new key's owner is not a home
--   account.
-- false-positives: Key migrations. Calls that stay under one key (after a rotation) move nothing and are left out, and
--   so are services' own principals, service-linked roles, and what a service re-encrypts for somebody under an older
--   home key, such as EC2's copies of shared snapshots. Name further accounts with --home-account.
-- blind-spots: Age and origin of a key are known only when its CreateKey is in the evidence. Data that is opened by
--   Decrypt and sealed again by Encrypt is no ReEncrypt.
-- reads: events, repeated_copies, keys
-- params: young_days = 7, min_count = 20, window_seconds = 600
WITH moves AS (
  SELECT
    e.principal,
    e.key_arn AS old_key,
    e.target_key_arn AS new_key,
    e.via,
    e.event_epoch,
    MIN(e.target_key_account_id) AS new_owner,
    MIN(e.event_time) AS event_time,
    MIN(e.event_id) AS event_id,
    MIN(e.account_id) AS account_id,
    MIN(e.region) AS region,
    MIN(e.source_ip) AS source_ip,
    CAST(COUNT(DISTINCT COALESCE(e.shared_event_id, e.event_id)) AS BIGINT) AS n
  FROM events AS e
  ANTI JOIN repeated_copies AS r ON r.repeated_id = e.event_id
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.event_name = 'ReEncrypt'
    AND e.outcome = 'ok'
    AND NOT COALESCE(e.is_dry_run, FALSE)
    AND e.target_key_arn <> COALESCE(e.key_arn, '')
    AND e.principal NOT LIKE 'service:%'
    AND e.principal NOT LIKE '%:role/aws-service-role/%'
  GROUP BY e.principal, e.key_arn, e.target_key_arn, e.via, e.event_epoch
), direct_seconds AS (
  SELECT d.principal, d.event_epoch, CAST(SUM(d.n) AS BIGINT) AS n, p.window_seconds
  FROM moves AS d
  CROSS JOIN params AS p
  WHERE d.via IS NULL
  GROUP BY d.principal, d.event_epoch, p.window_seconds
), steps AS (
  -- A call counts from its second until the window has passed over it.
  SELECT i.principal, i.event_epoch AS step_epoch, i.n AS change, i.n AS started
  FROM direct_seconds AS i
  UNION ALL
  SELECT o.principal, o.event_epoch + o.window_seconds + 1 AS step_epoch, -o.n AS change, CAST(0 AS BIGINT) AS started
  FROM direct_seconds AS o
), step_totals AS (
  SELECT x.principal, x.step_epoch, CAST(SUM(x.change) AS BIGINT) AS change, CAST(SUM(x.started) AS BIGINT) AS started
  FROM steps AS x
  GROUP BY x.principal, x.step_epoch
), levels AS (
  SELECT
    q.principal,
    q.step_epoch,
    q.started,
    CAST(SUM(q.change) OVER (PARTITION BY q.principal ORDER BY q.step_epoch
                             ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS in_window
  FROM step_totals AS q
), marks AS (
  SELECT
    m.principal,
    m.step_epoch,
    m.in_window,
    -m.step_epoch AS negative_epoch,
    l.window_seconds,
    CASE WHEN m.in_window >= l.min_count THEN m.step_epoch ELSE 9999999999 END AS full_epoch
  FROM levels AS m
  CROSS JOIN params AS l
  WHERE m.started > 0
), reaches AS (
  SELECT
    j.principal,
    j.step_epoch,
    j.in_window,
    j.window_seconds,
    MIN(j.full_epoch) OVER (PARTITION BY j.principal ORDER BY j.negative_epoch
                            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS next_full_epoch
  FROM marks AS j
), bulk_seconds AS (
  SELECT z.principal AS bulk_principal, z.step_epoch AS bulk_epoch, z.in_window AS bulk_count
  FROM reaches AS z
  WHERE z.next_full_epoch - z.step_epoch <= z.window_seconds
), new_keys AS (
  SELECT k.key_arn AS fact_key, k.created_epoch, k.creator, k.key_origin
  FROM keys AS k
), owner_homes AS (
  SELECT h.account_id AS home_id FROM home_accounts AS h
), judged AS (
  SELECT
    v.principal, v.old_key, v.new_key, v.via, v.event_epoch, v.event_time, v.event_id, v.account_id, v.region, v.source_ip, v.n,
    f.created_epoch, f.creator, f.key_origin, b.bulk_count,
    v.new_owner,
    CASE WHEN w.home_id IS NULL THEN 1 ELSE 0 END AS is_foreign,
    CASE WHEN SPLIT_PART(v.old_key, ':', 5) <> v.new_owner THEN 1 ELSE 0 END AS is_cross,
    CASE WHEN f.created_epoch >= v.event_epoch - t.young_days * 86400 THEN 1 ELSE 0 END AS is_young,
    CASE WHEN f.key_origin IN ('EXTERNAL', 'EXTERNAL_KEY_STORE') THEN 1 ELSE 0 END AS is_outside_material,
    CASE WHEN b.bulk_count IS NOT NULL AND v.via IS NULL THEN 1 ELSE 0 END AS is_bulk
  FROM moves AS v
  CROSS JOIN params AS t
  LEFT JOIN new_keys AS f ON f.fact_key = v.new_key
  LEFT JOIN owner_homes AS w ON w.home_id = v.new_owner
  LEFT JOIN bulk_seconds AS b ON b.bulk_principal = v.principal AND b.bulk_epoch = v.event_epoch
), suspicious_moves AS (
  SELECT
    s.principal, s.old_key, s.new_key, s.via, s.event_epoch, s.event_time, s.event_id, s.account_id, s.region, s.source_ip, s.n,
    s.created_epoch, s.creator, s.key_origin, s.bulk_count, s.new_owner,
    s.is_foreign, s.is_cross, s.is_young, s.is_outside_material, s.is_bulk,
    CAST(ROW_NUMBER() OVER (PARTITION BY s.principal, s.new_key ORDER BY s.event_epoch, s.event_id) AS BIGINT) AS row_no
  FROM judged AS s
  WHERE s.is_young = 1
     OR s.is_outside_material = 1
     OR s.is_bulk = 1
     OR (s.is_cross = 1 AND (s.via IS NULL OR s.is_foreign = 1))
), takeovers AS (
  SELECT
    c.principal,
    c.new_key,
    MIN(c.event_time) AS first_time,
    MAX(c.event_time) AS last_time,
    MIN(c.event_epoch) AS first_epoch,
    MIN(c.account_id) AS account_id,
    MIN(c.region) AS region,
    MIN(c.source_ip) AS source_ip,
    CAST(COUNT(DISTINCT c.source_ip) AS BIGINT) AS source_ip_count,
    CAST(COUNT(DISTINCT c.old_key) AS BIGINT) AS old_key_count,
    MIN(c.old_key) AS old_key,
    MIN(c.via) AS via,
    MIN(c.created_epoch) AS created_epoch,
    MIN(c.creator) AS creator,
    MIN(c.key_origin) AS key_origin,
    MIN(c.new_owner) AS new_owner,
    MAX(c.is_foreign) AS is_foreign,
    MAX(c.is_cross) AS is_cross,
    MAX(c.is_young) AS is_young,
    MAX(c.is_outside_material) AS is_outside_material,
    MAX(c.is_bulk) AS is_bulk,
    MAX(c.bulk_count) AS peak_count,
    CAST(SUM(c.n) AS BIGINT) AS event_count,
    STRING_AGG(CASE WHEN c.row_no <= 1000 THEN c.event_id END, ',') AS event_ids
  FROM suspicious_moves AS c
  GROUP BY c.principal, c.new_key
)
SELECT
  y.first_time,
  y.last_time,
  y.account_id,
  y.region,
  y.new_key AS key_arn,
  y.principal,
  CASE WHEN y.source_ip_count = 1 THEN y.source_ip END AS source_ip,
  y.event_count,
  CASE WHEN y.is_foreign = 1 THEN 'critical' ELSE 'high' END AS severity,
  y.principal || ' moved ciphertext with ' || CAST(y.event_count AS STRING) || ' ReEncrypt calls from '
    || CASE WHEN y.old_key_count > 1 THEN CAST(y.old_key_count AS STRING) || ' keys' ELSE COALESCE(y.old_key, 'an unnamed key') END
    || ' to ' || y.new_key
    || CASE WHEN y.is_foreign = 1 THEN ', a key of the outside account ' || y.new_owner
            WHEN y.is_cross = 1 THEN ', a key of another account' ELSE '' END
    || CASE WHEN y.is_young = 1 THEN ', made ' || CAST(y.first_epoch - y.created_epoch AS STRING) || ' seconds before the first call by '
                                     || COALESCE(y.creator, 'an unnamed principal') ELSE '' END
    || CASE WHEN y.is_outside_material = 1 THEN ', whose material is held outside KMS' ELSE '' END
    || CASE WHEN y.is_bulk = 1 THEN ', up to ' || CAST(y.peak_count AS STRING) || ' of the principal''s calls in one window' ELSE '' END
    || '.' AS summary,
  y.event_ids,
  y.old_key_count,
  y.old_key,
  y.new_owner,
  y.creator AS new_key_creator,
  y.key_origin AS new_key_origin,
  CASE WHEN y.is_bulk = 1 THEN y.peak_count END AS peak_count,
  y.via
FROM takeovers AS y
ORDER BY first_time, principal, key_arn
