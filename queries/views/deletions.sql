-- title: Key deletions
-- description: One row per ScheduleKeyDeletion that succeeded, and one per DeleteKey of KMS itself whose schedule is not in
--   the evidence: who, until when, how it ended, what depended on the key, and who fails since. Within one second a cancel
--   is taken to be earlier than a schedule. Use is known by the hour, so at the edges counts include the whole hour.
-- reads: admin_events, use_hours, exposure, failed_calls, keys
-- params: recent_days = 30
-- partition: key
-- column: deletion_id: The event that scheduled it; the DeleteKey event where the schedule is not in the evidence.
-- column: key_arn: The key.
-- column: key_account_id: The key's owner.
-- column: mrk_id: The multi-Region key id, which replicas share.
-- column: account_id: The account whose trail has it.
-- column: region: The Region called.
-- column: scheduled_time: When the deletion was scheduled; NULL when that is not in the evidence.
-- column: scheduled_epoch: `scheduled_time` in seconds.
-- column: scheduled_by: The principal that did.
-- column: session_name: Its role session.
-- column: source_ip: From where.
-- column: via: The AWS service that made the call for the principal.
-- column: pending_window_days: Waiting period, days.
-- column: deadline_time: Earliest deletion; NULL for a primary key whose waiting period begins when its last replica is gone.
-- column: deadline_epoch: `deadline_time` in seconds.
-- column: is_waiting_for_replicas: The key's state became PendingReplicaDeletion.
-- column: outcome: cancelled, executed, overdue (the deadline passed, and no DeleteKey is in the evidence), pending, or
--   waiting_for_replicas.
-- column: cancelled_time: When it was cancelled; NULL also when only a later schedule or EnableKey shows that it was.
-- column: cancelled_epoch: `cancelled_time` in seconds.
-- column: cancelled_by: The principal that did.
-- column: cancel_event_id: The event.
-- column: enabled_time: When the key was enabled again after the cancel; a cancelled key is disabled until then.
-- column: enabled_epoch: `enabled_time` in seconds.
-- column: enabled_by: The principal that did.
-- column: executed_time: When KMS deleted the key.
-- column: executed_epoch: `executed_time` in seconds.
-- column: executed_event_id: The DeleteKey event.
-- column: keeps_backing_keys: Copies of the key in a CloudHSM cluster could not be deleted.
-- column: aliases: Aliases seen on the key, the first five.
-- column: creator: The principal that made the key.
-- column: created_time: When.
-- column: last_use_time: Last successful cryptographic use before it.
-- column: last_use_epoch: `last_use_time` in seconds.
-- column: last_used_by: The principal of that use; of several in one hour, the first.
-- column: use_count: Successful uses before it, in the whole evidence.
-- column: recent_use_count: Those of them in the `recent_days` before.
-- column: own_recent_use_count: Those of these that the scheduling principal made itself, without a service in between.
-- column: user_count: Principals, other than AWS services' own, with any use before it.
-- column: service_count: AWS services that used the key before it, for principals or by themselves.
-- column: data_classes: Kinds of data that contexts under the key name, in the whole evidence, the first five.
-- column: resource_count: Different resources that contexts under the key name: all of those opened; of those only
--   written, one per hour and principal.
-- column: failure_count: Cryptographic calls that failed since because the key is pending deletion.
-- column: failing_caller_count: Their principals.
-- column: first_failing_caller: One of them, the first in alphabetical order.
-- column: first_failure_time: The first such failure.
-- column: last_failure_time: The last.
WITH steps AS (
  SELECT
    a.event_id,
    a.event_name,
    a.event_time,
    a.event_epoch,
    a.account_id,
    a.region,
    a.key_arn,
    a.principal,
    a.session_name,
    a.source_ip,
    a.via,
    a.pending_window_days,
    a.deletion_time,
    a.deletion_epoch,
    CASE WHEN a.response_elements LIKE '%PendingReplicaDeletion%' THEN 1 ELSE 0 END AS waits,
    CASE WHEN a.additional_event_data LIKE '%backingKeysDeletionStatus%FAILURE%' THEN 1 ELSE 0 END AS keeps,
    CASE
      WHEN a.event_name = 'CancelKeyDeletion' THEN 1
      WHEN a.event_name = 'EnableKey' THEN 2
      WHEN a.event_name = 'DeleteKey' THEN 3
      ELSE 4
    END AS step_order
  FROM admin_events AS a
  WHERE a.event_source = 'kms.amazonaws.com'
    AND a.event_name IN ('ScheduleKeyDeletion', 'CancelKeyDeletion', 'EnableKey', 'DeleteKey')
    AND a.is_ok
    AND a.key_arn IS NOT NULL
), ordered_steps AS (
  SELECT
    o.event_id, o.event_name, o.event_time, o.event_epoch, o.account_id, o.region, o.key_arn, o.principal, o.session_name,
    o.source_ip, o.via, o.pending_window_days, o.deletion_time, o.deletion_epoch, o.waits, o.keeps, o.step_order,
    LAG(o.event_name) OVER (PARTITION BY o.key_arn ORDER BY o.event_epoch, o.step_order, o.event_id) AS before_name
  FROM steps AS o
), marked_steps AS (
  SELECT
    m.event_id, m.event_name, m.event_time, m.event_epoch, m.account_id, m.region, m.key_arn, m.principal, m.session_name,
    m.source_ip, m.via, m.pending_window_days, m.deletion_time, m.deletion_epoch, m.waits, m.keeps, m.step_order,
    CASE
      WHEN m.event_name = 'ScheduleKeyDeletion' THEN 1
      WHEN m.event_name = 'DeleteKey' AND COALESCE(m.before_name, '') NOT IN ('ScheduleKeyDeletion', 'DeleteKey') THEN 1
      ELSE 0
    END AS is_start
  FROM ordered_steps AS m
), numbered_steps AS (
  SELECT
    n.event_id, n.event_name, n.event_time, n.event_epoch, n.account_id, n.region, n.key_arn, n.principal, n.session_name,
    n.source_ip, n.via, n.pending_window_days, n.deletion_time, n.deletion_epoch, n.waits, n.keeps, n.step_order, n.is_start,
    CAST(SUM(n.is_start) OVER (PARTITION BY n.key_arn ORDER BY n.event_epoch, n.step_order, n.event_id
                               ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS deletion_no
  FROM marked_steps AS n
), ranked_steps AS (
  SELECT
    r.event_id, r.event_name, r.event_time, r.event_epoch, r.account_id, r.region, r.key_arn, r.principal, r.session_name,
    r.source_ip, r.via, r.pending_window_days, r.deletion_time, r.deletion_epoch, r.waits, r.keeps, r.is_start,
    r.deletion_no,
    CAST(ROW_NUMBER() OVER (PARTITION BY r.key_arn, r.deletion_no, r.event_name
                            ORDER BY r.event_epoch, r.step_order, r.event_id) AS BIGINT) AS name_no
  FROM numbered_steps AS r
  WHERE r.deletion_no > 0
), deletions_found AS (
  SELECT
    d.key_arn,
    d.deletion_no,
    MAX(CASE WHEN d.is_start = 1 THEN d.event_id END) AS deletion_id,
    MAX(CASE WHEN d.is_start = 1 THEN d.event_epoch END) AS start_epoch,
    MAX(CASE WHEN d.is_start = 1 THEN d.account_id END) AS account_id,
    MAX(CASE WHEN d.is_start = 1 THEN d.region END) AS region,
    MAX(CASE WHEN d.event_name = 'ScheduleKeyDeletion' THEN d.event_time END) AS scheduled_time,
    MAX(CASE WHEN d.event_name = 'ScheduleKeyDeletion' THEN d.event_epoch END) AS scheduled_epoch,
    MAX(CASE WHEN d.event_name = 'ScheduleKeyDeletion' THEN d.principal END) AS scheduled_by,
    MAX(CASE WHEN d.event_name = 'ScheduleKeyDeletion' THEN d.session_name END) AS session_name,
    MAX(CASE WHEN d.event_name = 'ScheduleKeyDeletion' THEN d.source_ip END) AS source_ip,
    MAX(CASE WHEN d.event_name = 'ScheduleKeyDeletion' THEN d.via END) AS via,
    MAX(d.pending_window_days) AS pending_window_days,
    MAX(CASE WHEN d.waits = 0 THEN d.deletion_time END) AS deadline_time,
    MAX(CASE WHEN d.waits = 0 THEN d.deletion_epoch END) AS deadline_epoch,
    MAX(CASE WHEN d.event_name = 'ScheduleKeyDeletion' THEN d.waits ELSE 0 END) AS waits,
    MAX(CASE WHEN d.event_name = 'CancelKeyDeletion' AND d.name_no = 1 THEN d.event_time END) AS cancelled_time,
    MAX(CASE WHEN d.event_name = 'CancelKeyDeletion' AND d.name_no = 1 THEN d.event_epoch END) AS cancelled_epoch,
    MAX(CASE WHEN d.event_name = 'CancelKeyDeletion' AND d.name_no = 1 THEN d.principal END) AS cancelled_by,
    MAX(CASE WHEN d.event_name = 'CancelKeyDeletion' AND d.name_no = 1 THEN d.event_id END) AS cancel_event_id,
    MAX(CASE WHEN d.event_name = 'EnableKey' AND d.name_no = 1 THEN d.event_time END) AS enabled_time,
    MAX(CASE WHEN d.event_name = 'EnableKey' AND d.name_no = 1 THEN d.event_epoch END) AS enabled_epoch,
    MAX(CASE WHEN d.event_name = 'EnableKey' AND d.name_no = 1 THEN d.principal END) AS enabled_by,
    MAX(CASE WHEN d.event_name = 'DeleteKey' AND d.name_no = 1 THEN d.event_time END) AS executed_time,
    MAX(CASE WHEN d.event_name = 'DeleteKey' AND d.name_no = 1 THEN d.event_epoch END) AS executed_epoch,
    MAX(CASE WHEN d.event_name = 'DeleteKey' AND d.name_no = 1 THEN d.event_id END) AS executed_event_id,
    MAX(d.keeps) AS keeps
  FROM ranked_steps AS d
  GROUP BY d.key_arn, d.deletion_no
), spans AS (
  SELECT
    s.key_arn AS span_key,
    s.deletion_id AS span_id,
    s.start_epoch,
    s.scheduled_by AS span_principal,
    p.recent_days * 86400 AS recent_seconds,
    -- Nothing about the waiting period is known without the schedule, but KMS allows at most 30 days.
    CASE WHEN s.scheduled_epoch IS NULL THEN s.start_epoch - 30 * 86400 ELSE s.start_epoch END AS fail_from_epoch,
    LEAD(s.start_epoch) OVER (PARTITION BY s.key_arn ORDER BY s.deletion_no) AS next_epoch
  FROM deletions_found AS s
  CROSS JOIN params AS p
), doomed_keys AS (
  SELECT DISTINCT k.key_arn AS doomed_key FROM deletions_found AS k
), earlier_uses AS (
  SELECT
    x.span_id AS use_id,
    u.principal AS use_principal,
    CASE WHEN u.principal LIKE 'service:%' THEN NULL ELSE u.principal END AS user_name,
    COALESCE(u.via, CASE WHEN u.principal LIKE 'service:%' THEN SUBSTR(u.principal, 9) END) AS service_name,
    u.call_count,
    CASE WHEN u.last_epoch >= x.start_epoch - x.recent_seconds THEN u.call_count ELSE CAST(0 AS BIGINT) END AS recent_count,
    CASE WHEN u.last_epoch >= x.start_epoch - x.recent_seconds AND u.principal = x.span_principal THEN u.direct_count
         ELSE CAST(0 AS BIGINT) END AS own_count,
    CASE WHEN u.last_epoch <= x.start_epoch THEN u.last_epoch ELSE u.first_epoch END AS use_epoch,
    CASE WHEN u.last_epoch <= x.start_epoch THEN u.last_time ELSE u.first_time END AS use_time,
    u.event_id AS use_event_id
  FROM use_hours AS u
  JOIN spans AS x ON x.span_key = u.key_arn
  WHERE u.first_epoch <= x.start_epoch
), use_totals AS (
  SELECT
    t.use_id AS total_id,
    CAST(SUM(t.call_count) AS BIGINT) AS use_count,
    CAST(SUM(t.recent_count) AS BIGINT) AS recent_use_count,
    CAST(SUM(t.own_count) AS BIGINT) AS own_recent_use_count,
    MAX(t.use_time) AS last_use_time,
    MAX(t.use_epoch) AS last_use_epoch,
    CAST(COUNT(DISTINCT t.user_name) AS BIGINT) AS user_count,
    CAST(COUNT(DISTINCT t.service_name) AS BIGINT) AS service_count
  FROM earlier_uses AS t
  GROUP BY t.use_id
), last_users AS (
  SELECT
    l.use_id AS last_id,
    MIN(l.use_principal) AS last_used_by
  FROM earlier_uses AS l
  JOIN use_totals AS y ON y.total_id = l.use_id AND y.last_use_epoch = l.use_epoch
  GROUP BY l.use_id
), touched_data AS (
  SELECT e.key_arn AS data_key, e.context_class AS data_class, e.context_resource AS data_resource
  FROM exposure AS e
  SEMI JOIN doomed_keys AS g ON g.doomed_key = e.key_arn
  UNION ALL
  SELECT h.key_arn AS data_key, h.data_class, h.data_resource
  FROM use_hours AS h
  SEMI JOIN doomed_keys AS i ON i.doomed_key = h.key_arn
), resource_counts AS (
  SELECT
    q.data_key AS resource_key,
    CAST(COUNT(DISTINCT q.data_resource) AS BIGINT) AS resource_count
  FROM touched_data AS q
  GROUP BY q.data_key
), data_classes_found AS (
  SELECT DISTINCT v.data_key AS class_key, v.data_class
  FROM touched_data AS v
  WHERE v.data_class <> 'none'
), ranked_classes AS (
  SELECT
    w.class_key,
    w.data_class,
    CAST(ROW_NUMBER() OVER (PARTITION BY w.class_key ORDER BY w.data_class) AS BIGINT) AS class_no
  FROM data_classes_found AS w
), class_lists AS (
  SELECT
    z.class_key AS list_key,
    MAX(CASE WHEN z.class_no = 1 THEN z.data_class END) AS class_1,
    MAX(CASE WHEN z.class_no = 2 THEN z.data_class END) AS class_2,
    MAX(CASE WHEN z.class_no = 3 THEN z.data_class END) AS class_3,
    MAX(CASE WHEN z.class_no = 4 THEN z.data_class END) AS class_4,
    MAX(CASE WHEN z.class_no = 5 THEN z.data_class END) AS class_5
  FROM ranked_classes AS z
  GROUP BY z.class_key
), failing_hours AS (
  SELECT
    f.key_arn AS failed_key,
    COALESCE(f.principal, f.via, 'an unnamed principal') AS caller,
    MIN(f.event_epoch) AS first_failure_epoch,
    MIN(f.event_time) AS first_failure,
    MAX(f.event_time) AS last_failure,
    CAST(COUNT(*) AS BIGINT) AS failures
  FROM failed_calls AS f
  WHERE f.key_state_error = 'pending_deletion'
    AND f.action_class = 'crypto'
    AND f.key_arn IS NOT NULL
  GROUP BY f.key_arn, COALESCE(f.principal, f.via, 'an unnamed principal'), f.event_epoch - (f.event_epoch % 3600)
), failure_totals AS (
  SELECT
    b.span_id AS failure_id,
    CAST(SUM(c.failures) AS BIGINT) AS failure_count,
    CAST(COUNT(DISTINCT c.caller) AS BIGINT) AS failing_caller_count,
    MIN(c.caller) AS first_failing_caller,
    MIN(c.first_failure) AS first_failure_time,
    MAX(c.last_failure) AS last_failure_time
  FROM failing_hours AS c
  JOIN spans AS b ON b.span_key = c.failed_key
  WHERE c.first_failure_epoch >= b.fail_from_epoch
    AND (b.next_epoch IS NULL OR c.first_failure_epoch < b.next_epoch)
  GROUP BY b.span_id
), key_facts AS (
  SELECT j.key_arn AS fact_key, j.aliases, j.creator, j.created_time, j.mrk_id
  FROM keys AS j
)
SELECT
  aa.deletion_id,
  aa.key_arn,
  SPLIT_PART(aa.key_arn, ':', 5) AS key_account_id,
  ff.mrk_id,
  aa.account_id,
  aa.region,
  aa.scheduled_time,
  aa.scheduled_epoch,
  aa.scheduled_by,
  aa.session_name,
  aa.source_ip,
  aa.via,
  aa.pending_window_days,
  aa.deadline_time,
  aa.deadline_epoch,
  CASE WHEN aa.waits = 1 THEN TRUE ELSE FALSE END AS is_waiting_for_replicas,
  CASE
    WHEN aa.executed_epoch IS NOT NULL THEN 'executed'
    WHEN aa.cancelled_epoch IS NOT NULL OR aa.enabled_epoch IS NOT NULL OR bb.next_epoch IS NOT NULL THEN 'cancelled'
    WHEN aa.waits = 1 THEN 'waiting_for_replicas'
    WHEN aa.deadline_epoch <= ev.last_epoch THEN 'overdue'
    ELSE 'pending'
  END AS outcome,
  aa.cancelled_time,
  aa.cancelled_epoch,
  aa.cancelled_by,
  aa.cancel_event_id,
  aa.enabled_time,
  aa.enabled_epoch,
  aa.enabled_by,
  aa.executed_time,
  aa.executed_epoch,
  aa.executed_event_id,
  CASE WHEN aa.keeps = 1 THEN TRUE ELSE FALSE END AS keeps_backing_keys,
  ff.aliases,
  ff.creator,
  ff.created_time,
  cc.last_use_time,
  cc.last_use_epoch,
  dd.last_used_by,
  COALESCE(cc.use_count, 0) AS use_count,
  COALESCE(cc.recent_use_count, 0) AS recent_use_count,
  COALESCE(cc.own_recent_use_count, 0) AS own_recent_use_count,
  COALESCE(cc.user_count, 0) AS user_count,
  COALESCE(cc.service_count, 0) AS service_count,
  gg.class_1 || COALESCE(',' || gg.class_2, '') || COALESCE(',' || gg.class_3, '') || COALESCE(',' || gg.class_4, '')
    || COALESCE(',' || gg.class_5, '') AS data_classes,
  COALESCE(hh.resource_count, 0) AS resource_count,
  COALESCE(ee.failure_count, 0) AS failure_count,
  COALESCE(ee.failing_caller_count, 0) AS failing_caller_count,
  ee.first_failing_caller,
  ee.first_failure_time,
  ee.last_failure_time
FROM deletions_found AS aa
JOIN spans AS bb ON bb.span_id = aa.deletion_id
CROSS JOIN evidence AS ev
LEFT JOIN use_totals AS cc ON cc.total_id = aa.deletion_id
LEFT JOIN last_users AS dd ON dd.last_id = aa.deletion_id
LEFT JOIN failure_totals AS ee ON ee.failure_id = aa.deletion_id
LEFT JOIN key_facts AS ff ON ff.fact_key = aa.key_arn
LEFT JOIN class_lists AS gg ON gg.list_key = aa.key_arn
LEFT JOIN resource_counts AS hh ON hh.resource_key = aa.key_arn
ORDER BY scheduled_epoch NULLS LAST, deletion_id
