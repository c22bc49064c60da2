-- title: Key scheduled for deletion
-- severity: high
-- attack: T1485
-- description: A key will be deleted when its waiting period ends, and everything encrypted under it will be lost for
--   good; it is unusable from this moment. Critical when the key was in use shortly before; medium when the deletion
--   was cancelled within the evidence; low for a key that its own creator made in the evidence and that nobody else,
--   no service and hardly any call ever used.
-- false-positives: Infrastructure teardown and ephemeral test keys (those are low), planned decommissioning.
-- blind-spots: Last use is only what the evidence holds: data under the key may be older. Aliases are those seen in
--   the evidence.
-- reads: events, repeated_copies, keys
-- params: active_days = 30, throwaway_uses = 20
WITH schedules AS (
  SELECT
    e.event_id,
    e.event_time,
    e.event_epoch,
    e.account_id,
    e.region,
    e.key_arn,
    e.principal,
    e.source_ip,
    e.via,
    e.pending_window_days,
    e.deletion_time,
    p.active_days,
    p.throwaway_uses
  FROM events AS e
  CROSS JOIN params AS p
  ANTI JOIN repeated_copies AS r ON r.repeated_id = e.event_id
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.event_name = 'ScheduleKeyDeletion'
    AND e.outcome = 'ok'
    AND NOT COALESCE(e.is_dry_run, FALSE)
), cancels AS (
  SELECT
    c.key_arn AS cancelled_key,
    c.event_epoch AS cancel_epoch,
    c.event_time AS cancel_time,
    c.event_id AS cancel_event_id,
    c.principal AS cancelled_by
  FROM events AS c
  WHERE c.event_source = 'kms.amazonaws.com'
    AND c.event_name = 'CancelKeyDeletion'
    AND c.outcome = 'ok'
    AND c.key_arn IS NOT NULL
), cancel_pairs AS (
  SELECT
    s.event_id AS schedule_id,
    x.cancel_epoch,
    x.cancel_time,
    x.cancelled_by,
    CAST(ROW_NUMBER() OVER (PARTITION BY s.event_id
                            ORDER BY x.cancel_epoch, x.cancel_event_id, s.event_id) AS BIGINT) AS cancel_no
  FROM schedules AS s
  JOIN cancels AS x ON x.cancelled_key = s.key_arn
  WHERE x.cancel_epoch >= s.event_epoch
), first_cancels AS (
  SELECT f.schedule_id, f.cancel_epoch, f.cancel_time, f.cancelled_by
  FROM cancel_pairs AS f
  WHERE f.cancel_no = 1
), key_facts AS (
  SELECT
    k.key_arn AS fact_key,
    k.aliases,
    k.creator,
    k.created_time,
    k.last_use_time,
    k.last_use_epoch,
    k.use_count,
    k.direct_use_count,
    k.user_count,
    k.sole_user
  FROM keys AS k
), judged AS (
  SELECT
    j.event_id, j.event_time, j.event_epoch, j.account_id, j.region, j.key_arn, j.principal, j.source_ip, j.via,
    j.pending_window_days,
    j.deletion_time,
    a.aliases, a.creator, a.created_time, a.last_use_time, a.last_use_epoch, a.user_count,
    COALESCE(a.use_count, 0) AS use_count,
    n.cancel_time, n.cancel_epoch, n.cancelled_by,
    CASE WHEN a.last_use_epoch >= j.event_epoch - j.active_days * 86400 THEN 1 ELSE 0 END AS is_active,
    CASE WHEN a.creator = j.principal
          AND (a.user_count = 0 OR a.sole_user = j.principal)
          AND a.direct_use_count = a.use_count
          AND a.use_count <= j.throwaway_uses THEN 1 ELSE 0 END AS is_throwaway,
    CAST(FLOOR(CAST(j.event_epoch - a.last_use_epoch AS DOUBLE) / 86400.0) AS BIGINT) AS idle_days
  FROM schedules AS j
  LEFT JOIN key_facts AS a ON a.fact_key = j.key_arn
  LEFT JOIN first_cancels AS n ON n.schedule_id = j.event_id
)
SELECT
  d.event_time AS first_time,
  d.event_time AS last_time,
  d.account_id,
  d.region,
  d.key_arn,
  d.principal,
  d.source_ip,
  CAST(1 AS BIGINT) AS event_count,
  CASE
    WHEN d.is_throwaway = 1 THEN 'low'
    WHEN d.cancel_epoch IS NOT NULL THEN 'medium'
    WHEN d.is_active = 1 THEN 'critical'
    ELSE 'high'
  END AS severity,
  COALESCE(d.principal, 'An unnamed principal') || ' scheduled the deletion of ' || COALESCE(d.key_arn, 'an unnamed key')
    || COALESCE(' (' || d.aliases || ')', '') || ' with a waiting period of '
    || COALESCE(CAST(d.pending_window_days AS STRING), 'an unknown number of') || ' days; successful uses of the key in the evidence: '
    || CAST(d.use_count AS STRING)
    || CASE
         WHEN d.last_use_epoch > d.event_epoch THEN ', the last after this call'
         WHEN d.idle_days IS NOT NULL THEN ', the last ' || CAST(d.idle_days AS STRING) || ' days before'
         ELSE ''
       END
    || CASE WHEN d.cancel_epoch IS NULL THEN '; not cancelled in the evidence.'
            ELSE '; cancelled by ' || COALESCE(d.cancelled_by, 'an unnamed principal') || ' after '
              || CAST(d.cancel_epoch - d.event_epoch AS STRING) || ' seconds.' END AS summary,
  d.event_id AS event_ids,
  d.pending_window_days,
  d.deletion_time,
  d.aliases,
  d.creator,
  d.created_time,
  d.last_use_time,
  d.use_count,
  d.user_count,
  d.cancel_time,
  d.cancelled_by,
  d.via
FROM judged AS d
ORDER BY first_time, event_ids
