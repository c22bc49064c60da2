-- title: Silences
-- description: Stretches in which an account and Region recorded no KMS event, or no use of keys, although it had done so
--   hour after hour before, while other records of the place went on. The rule `kms-log-silence` makes findings of them.
-- reads: place_hours, inputs, trails
-- params: silence_hours = 6, min_busy_hours = 24, min_busy_percent = 80, min_expected_events = 20, min_ratio = 2,
--   min_other_hours = 3, grace_minutes = 15
-- column: account_id: The account.
-- column: region: The Region.
-- column: silent_events: `all` for KMS events of any kind, `use` for the use of keys while their administration went on.
-- column: last_time: The last event before.
-- column: next_time: The first event after; NULL when the silence lasts to the end.
-- column: last_epoch: `last_time` in seconds.
-- column: end_epoch: When the silence or the other records end, in seconds.
-- column: silent_seconds: Its length.
-- column: other_hours: Hours within it that have other records.
-- column: busy_hours_before: Hours with such events before it.
-- column: hours_before: Hours from the first of these to the silence.
-- column: events_before: Events in them.
-- column: expected_events: Events that the silence would have had at the rate before.
-- column: last_id: An event of the last hour before.
-- column: next_id: An event of the first hour after.
-- column: cause_id: A call within the hour that ended the recording of such events; NULL when there is none.
-- column: cause_action: Its operation.
-- column: cause_trail: Its trail.
-- column: cause_by: Who called.
WITH busy_hours AS (
  SELECT
    h.account_id, h.region, 'all' AS kind, h.hour_epoch, h.kms_count AS n, h.first_kms_epoch AS first_epoch,
    h.last_kms_epoch AS last_epoch, h.first_kms_time AS first_time, h.last_kms_time AS last_time, h.kms_event_id AS sample_id
  FROM place_hours AS h
  WHERE h.kms_count > 0
    AND h.account_id IS NOT NULL
    AND h.region IS NOT NULL
  UNION ALL
  SELECT
    u.account_id, u.region, 'use' AS kind, u.hour_epoch, u.crypto_count AS n, u.first_crypto_epoch AS first_epoch,
    u.last_crypto_epoch AS last_epoch, u.first_crypto_time AS first_time, u.last_crypto_time AS last_time,
    u.crypto_event_id AS sample_id
  FROM place_hours AS u
  WHERE u.crypto_count > 0
    AND u.account_id IS NOT NULL
    AND u.region IS NOT NULL
), other_hours AS (
  SELECT DISTINCT a.account_id AS other_account, a.region AS other_region, 'all' AS other_kind, a.hour_epoch AS other_hour
  FROM place_hours AS a
  WHERE a.adjacent_count > 0
  UNION
  SELECT DISTINCT
    f.account AS other_account, f.region AS other_region, 'all' AS other_kind,
    f.delivery_epoch - (f.delivery_epoch % 3600) AS other_hour
  FROM inputs AS f
  WHERE f.records > 0
    AND f.delivery_epoch IS NOT NULL
  UNION
  SELECT DISTINCT b.account_id AS other_account, b.region AS other_region, 'use' AS other_kind, b.hour_epoch AS other_hour
  FROM place_hours AS b
  WHERE b.admin_count > 0
), last_hours AS (
  SELECT o.other_account AS end_account, o.other_region AS end_region, o.other_kind AS end_kind,
    MAX(o.other_hour) + 3600 AS end_epoch
  FROM other_hours AS o
  GROUP BY o.other_account, o.other_region, o.other_kind
), history AS (
  SELECT
    b.account_id, b.region, b.kind, b.hour_epoch, b.last_epoch, b.last_time, b.sample_id,
    LEAD(b.first_epoch) OVER (PARTITION BY b.account_id, b.region, b.kind ORDER BY b.hour_epoch) AS next_epoch,
    LEAD(b.first_time) OVER (PARTITION BY b.account_id, b.region, b.kind ORDER BY b.hour_epoch) AS next_time,
    LEAD(b.sample_id) OVER (PARTITION BY b.account_id, b.region, b.kind ORDER BY b.hour_epoch) AS next_id,
    MIN(b.hour_epoch) OVER (PARTITION BY b.account_id, b.region, b.kind) AS begin_epoch,
    CAST(ROW_NUMBER() OVER (PARTITION BY b.account_id, b.region, b.kind ORDER BY b.hour_epoch) AS BIGINT) AS busy_count,
    SUM(b.n) OVER (PARTITION BY b.account_id, b.region, b.kind ORDER BY b.hour_epoch
                   ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS events_before
  FROM busy_hours AS b
), gaps AS (
  SELECT
    h.account_id, h.region, h.kind, h.hour_epoch, h.last_epoch, h.last_time, h.sample_id, h.next_epoch, h.next_time, h.next_id,
    h.busy_count, h.events_before,
    COALESCE(h.next_epoch, e.end_epoch) - h.last_epoch AS silent_seconds,
    COALESCE(h.next_epoch, e.end_epoch) AS end_epoch,
    CAST(h.hour_epoch - h.begin_epoch AS DOUBLE) / 3600.0 + 1.0 AS hours_before
  FROM history AS h
  LEFT JOIN last_hours AS e ON e.end_account = h.account_id AND e.end_region = h.region AND e.end_kind = h.kind
), running_gaps AS (
  SELECT
    g.account_id, g.region, g.kind, g.hour_epoch, g.last_epoch, g.last_time, g.sample_id, g.next_epoch, g.next_time, g.next_id,
    g.busy_count, g.events_before, g.silent_seconds, g.end_epoch, g.hours_before,
    MAX(g.silent_seconds) OVER (PARTITION BY g.account_id, g.region, g.kind ORDER BY g.hour_epoch
                                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS longest_seconds
  FROM gaps AS g
), compared_gaps AS (
  SELECT
    r.account_id, r.region, r.kind, r.hour_epoch, r.last_epoch, r.last_time, r.sample_id, r.next_epoch, r.next_time, r.next_id,
    r.busy_count, r.events_before, r.silent_seconds, r.end_epoch, r.hours_before,
    LAG(r.longest_seconds) OVER (PARTITION BY r.account_id, r.region, r.kind ORDER BY r.hour_epoch) AS longest_before
  FROM running_gaps AS r
), silent_stretches AS (
  SELECT
    c.account_id, c.region, c.kind, c.last_epoch, c.last_time, c.sample_id, c.next_epoch, c.next_time, c.next_id, c.busy_count,
    c.events_before, c.silent_seconds, c.end_epoch, c.hours_before,
    c.account_id || '/' || c.region || '/' || c.kind || '/' || CAST(c.last_epoch AS STRING) AS silence_id,
    CAST(c.events_before AS DOUBLE) / c.hours_before * c.silent_seconds / 3600.0 AS expected_events
  FROM compared_gaps AS c
  CROSS JOIN params AS p
  WHERE c.silent_seconds >= p.silence_hours * 3600
    AND c.busy_count >= p.min_busy_hours
    AND c.busy_count * 100 >= p.min_busy_percent * c.hours_before
    AND c.silent_seconds > p.min_ratio * COALESCE(c.longest_before, 0)
), silence_others AS (
  SELECT
    s.silence_id AS covered_id,
    CAST(COUNT(*) AS BIGINT) AS other_count
  FROM silent_stretches AS s
  JOIN other_hours AS o ON o.other_account = s.account_id AND o.other_region = s.region AND o.other_kind = s.kind
  CROSS JOIN params AS q
  WHERE o.other_hour > s.last_epoch + q.grace_minutes * 60
    AND o.other_hour + 3600 <= s.end_epoch
  GROUP BY s.silence_id
), cause_calls AS (
  SELECT
    d.silence_id AS caused_id,
    t.event_id AS cause_id,
    t.event_name AS cause_action,
    COALESCE(t.trail_name, 'an unnamed trail') AS cause_trail,
    t.principal AS cause_by,
    CAST(ROW_NUMBER() OVER (PARTITION BY d.silence_id ORDER BY t.event_epoch, t.event_id) AS BIGINT) AS cause_no
  FROM silent_stretches AS d
  JOIN trails AS t ON t.account_id = d.account_id
  WHERE (t.blinds_key_use OR (t.blinds_key_admin AND d.kind = 'all'))
    AND t.event_epoch >= d.last_epoch - 3600
    AND t.event_epoch <= d.last_epoch + 3600
), causes AS (
  SELECT x.caused_id, x.cause_id, x.cause_action, x.cause_trail, x.cause_by
  FROM cause_calls AS x
  WHERE x.cause_no = 1
)
SELECT
  s.account_id,
  s.region,
  s.kind AS silent_events,
  s.last_time,
  s.next_time,
  s.last_epoch,
  s.end_epoch,
  s.silent_seconds,
  o.other_count AS other_hours,
  s.busy_count AS busy_hours_before,
  CAST(s.hours_before AS BIGINT) AS hours_before,
  s.events_before,
  CAST(FLOOR(s.expected_events) AS BIGINT) AS expected_events,
  s.sample_id AS last_id,
  s.next_id,
  z.cause_id,
  z.cause_action,
  z.cause_trail,
  z.cause_by
FROM silent_stretches AS s
JOIN silence_others AS o ON o.covered_id = s.silence_id
CROSS JOIN params AS w
LEFT JOIN causes AS z ON z.caused_id = s.silence_id
WHERE o.other_count >= w.min_other_hours
  AND s.expected_events >= w.min_expected_events
ORDER BY last_time, account_id, region, silent_events
