-- title: Encryption context other than a key's usual one
-- severity: medium
-- attack: T1530, T1550
-- description: After at least 50 calls of a key, over which its encryption contexts kept the same names, a direct call got
--   plaintext without a context or with other names; or a principal with such a habit of its own got plaintext with a
--   set of names that only one other principal had used. Who holds the permission but not the application often does
--   not know its context.
-- false-positives: Application upgrades, other SDKs, a second application that begins to share the key. Calls through
--   services are left out, because the service writes their context, and so are keys whose names change all the time, and
--   a set of names that spreads evenly over the time of the key's use, or of the principal's (on 5 days, no pause of more
--   than two fifths of that time or 5 times the mean pause).
-- blind-spots: The values of a context are not compared, only their names. Two new sets of names within 50 calls of each
--   other: the second is no break of a habit any more. A set that begins early and goes on evenly.
-- reads: context_days
-- partition: key
-- params: min_uses = 50, even_days = 5, even_share = 0.4, even_pause = 5
WITH set_days AS (
  SELECT
    COALESCE(c.principal, 'an unnamed principal') AS who,
    c.principal, c.key_arn, c.context_keys, c.day_epoch, c.account_id, c.region, c.use_count, c.direct_reveal_count,
    c.first_time, c.last_time, c.source_ip, c.reveal_event_id
  FROM context_days AS c
), subject_days AS (
  -- A habit is one of the key, whoever calls, and one of each principal with the key.
  SELECT a.key_arn, '' AS subject, a.context_keys, a.day_epoch, CAST(SUM(a.use_count) AS BIGINT) AS n
  FROM set_days AS a
  GROUP BY a.key_arn, a.context_keys, a.day_epoch
  UNION ALL
  SELECT b.key_arn, b.who AS subject, b.context_keys, b.day_epoch, CAST(SUM(b.use_count) AS BIGINT) AS n
  FROM set_days AS b
  GROUP BY b.key_arn, b.who, b.context_keys, b.day_epoch
), day_sums AS (
  SELECT d.key_arn, d.subject, d.day_epoch, CAST(SUM(d.n) AS BIGINT) AS n
  FROM subject_days AS d
  GROUP BY d.key_arn, d.subject, d.day_epoch
), day_levels AS (
  SELECT
    l.key_arn,
    l.subject,
    l.day_epoch,
    l.n,
    SUM(l.n) OVER (PARTITION BY l.key_arn, l.subject ORDER BY l.day_epoch
                   ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS total_n
  FROM day_sums AS l
), uses_before AS (
  SELECT f.key_arn AS level_key, f.subject AS level_subject, f.day_epoch AS level_day, f.total_n - f.n AS before_n
  FROM day_levels AS f
), beginnings AS (
  SELECT g.key_arn, g.subject, g.context_keys, MIN(g.day_epoch) AS begin_day, CAST(SUM(g.n) AS BIGINT) AS set_n
  FROM subject_days AS g
  GROUP BY g.key_arn, g.subject, g.context_keys
), begin_days AS (
  SELECT DISTINCT h.key_arn, h.subject, h.begin_day
  FROM beginnings AS h
), counted_days AS (
  SELECT
    i.key_arn,
    i.subject,
    i.begin_day,
    u.before_n,
    LAG(u.before_n) OVER (PARTITION BY i.key_arn, i.subject ORDER BY i.begin_day) AS before_then
  FROM begin_days AS i
  JOIN uses_before AS u ON u.level_key = i.key_arn AND u.level_subject = i.subject AND u.level_day = i.begin_day
), breaks AS (
  -- The habit is what has been used since the last day on which a new set of names appeared.
  SELECT j.key_arn AS break_key, j.subject AS break_subject, j.begin_day AS break_day, j.before_n - j.before_then AS habit_n
  FROM counted_days AS j
  CROSS JOIN params AS p
  WHERE j.before_n - j.before_then >= p.min_uses
), known_sets AS (
  SELECT
    k.break_key,
    k.break_subject,
    k.break_day,
    e.context_keys AS known_set,
    CAST(ROW_NUMBER() OVER (PARTITION BY k.break_key, k.break_subject, k.break_day
                            ORDER BY -e.set_n, e.context_keys) AS BIGINT) AS set_no
  FROM breaks AS k
  JOIN beginnings AS e ON e.key_arn = k.break_key AND e.subject = k.break_subject
  WHERE e.begin_day < k.break_day
), usual_sets AS (
  SELECT m.break_key AS usual_key, m.break_subject AS usual_subject, m.break_day AS usual_day, m.known_set AS usual_set
  FROM known_sets AS m
  WHERE m.set_no = 1
), subject_spans AS (
  SELECT
    sp.key_arn AS span_key,
    sp.subject AS span_subject,
    MIN(sp.day_epoch) AS first_day,
    MAX(sp.day_epoch) AS last_day
  FROM day_sums AS sp
  SEMI JOIN breaks AS sb ON sb.break_key = sp.key_arn AND sb.break_subject = sp.subject
  GROUP BY sp.key_arn, sp.subject
), pauses AS (
  SELECT
    pa.key_arn, pa.subject, pa.context_keys, pa.day_epoch,
    LAG(pa.day_epoch) OVER (PARTITION BY pa.key_arn, pa.subject, pa.context_keys ORDER BY pa.day_epoch) AS day_before
  FROM subject_days AS pa
  SEMI JOIN breaks AS pb ON pb.break_key = pa.key_arn AND pb.break_subject = pa.subject
), set_pauses AS (
  SELECT
    ps.key_arn, ps.subject, ps.context_keys,
    CAST(COUNT(*) AS BIGINT) AS day_count,
    MIN(ps.day_epoch) AS set_begin,
    MAX(ps.day_epoch) AS set_end,
    COALESCE(MAX(ps.day_epoch - ps.day_before), 0) AS inner_pause
  FROM pauses AS ps
  GROUP BY ps.key_arn, ps.subject, ps.context_keys
), longest_pauses AS (
  -- The longest pause may be the one before the first day or the one after the last.
  SELECT
    lp.key_arn, lp.subject, lp.context_keys, lp.day_count, ss.last_day - ss.first_day AS span_seconds,
    CASE WHEN lp.set_begin - ss.first_day >= lp.inner_pause AND lp.set_begin - ss.first_day >= ss.last_day - lp.set_end
         THEN lp.set_begin - ss.first_day
         WHEN ss.last_day - lp.set_end >= lp.inner_pause THEN ss.last_day - lp.set_end
         ELSE lp.inner_pause END AS longest_pause
  FROM set_pauses AS lp
  JOIN subject_spans AS ss ON ss.span_key = lp.key_arn AND ss.span_subject = lp.subject
), even_sets AS (
  SELECT ev.key_arn AS even_key, ev.subject AS even_subject, ev.context_keys AS even_set
  FROM longest_pauses AS ev
  CROSS JOIN params AS pe
  WHERE ev.day_count >= pe.even_days
    AND ev.longest_pause <= pe.even_share * ev.span_seconds
    AND ev.longest_pause * (ev.day_count + 1) <= pe.even_pause * ev.span_seconds
), broken_sets AS (
  SELECT n.break_key, n.break_subject, n.break_day, n.habit_n, o.context_keys AS new_set
  FROM breaks AS n
  JOIN beginnings AS o ON o.key_arn = n.break_key AND o.subject = n.break_subject AND o.begin_day = n.break_day
  ANTI JOIN even_sets AS es ON es.even_key = o.key_arn AND es.even_subject = o.subject AND es.even_set = o.context_keys
), set_users AS (
  SELECT
    q.key_arn AS owned_key,
    q.context_keys AS owned_set,
    MIN(q.who) AS first_user,
    MAX(q.who) AS last_user,
    MIN(q.day_epoch) AS owned_day
  FROM set_days AS q
  GROUP BY q.key_arn, q.context_keys
  HAVING COUNT(DISTINCT q.who) = 2
), drift_rows AS (
  SELECT
    r.break_key AS key_arn, '' AS subject, r.break_day, r.habit_n, r.new_set, NULL AS set_owner, s.who, s.principal,
    s.day_epoch, s.account_id, s.region, s.direct_reveal_count, s.first_time, s.last_time, s.source_ip, s.reveal_event_id
  FROM broken_sets AS r
  JOIN set_days AS s ON s.key_arn = r.break_key AND s.context_keys = r.new_set
  WHERE r.break_subject = ''
    AND s.direct_reveal_count > 0
  UNION ALL
  SELECT
    t.break_key AS key_arn, t.break_subject AS subject, t.break_day, t.habit_n, t.new_set,
    CASE WHEN v.first_user = t.break_subject THEN v.last_user ELSE v.first_user END AS set_owner, w.who, w.principal,
    w.day_epoch, w.account_id, w.region, w.direct_reveal_count, w.first_time, w.last_time, w.source_ip, w.reveal_event_id
  FROM broken_sets AS t
  JOIN set_users AS v ON v.owned_key = t.break_key AND v.owned_set = t.new_set
  JOIN set_days AS w ON w.key_arn = t.break_key AND w.context_keys = t.new_set AND w.who = t.break_subject
  WHERE v.owned_day < t.break_day
    AND w.direct_reveal_count > 0
), numbered_rows AS (
  SELECT
    x.key_arn, x.subject, x.break_day, x.habit_n, x.new_set, x.set_owner, x.who, x.principal, x.account_id, x.region,
    x.direct_reveal_count, x.first_time, x.last_time, x.source_ip, x.reveal_event_id,
    CAST(ROW_NUMBER() OVER (PARTITION BY x.key_arn, x.subject, x.break_day
                            ORDER BY x.day_epoch, x.reveal_event_id) AS BIGINT) AS row_no
  FROM drift_rows AS x
), drifts AS (
  SELECT
    y.key_arn,
    y.subject,
    y.break_day,
    MIN(y.first_time) AS first_time,
    MAX(y.last_time) AS last_time,
    MIN(y.account_id) AS account_id,
    MIN(y.region) AS region,
    MIN(y.who) AS first_who,
    MIN(y.principal) AS principal,
    MIN(y.source_ip) AS source_ip,
    MIN(y.habit_n) AS habit_n,
    MIN(y.new_set) AS new_set,
    MAX(CASE WHEN y.new_set = '' THEN 1 ELSE 0 END) AS has_none,
    MIN(y.set_owner) AS set_owner,
    CAST(COUNT(DISTINCT y.new_set) AS BIGINT) AS set_count,
    CAST(COUNT(DISTINCT y.who) AS BIGINT) AS principal_count,
    CAST(COUNT(DISTINCT y.source_ip) AS BIGINT) AS source_ip_count,
    CAST(SUM(y.direct_reveal_count) AS BIGINT) AS event_count,
    STRING_AGG(CASE WHEN y.row_no <= 1000 THEN y.reveal_event_id END, ',') AS event_ids
  FROM numbered_rows AS y
  GROUP BY y.key_arn, y.subject, y.break_day
)
SELECT
  z.first_time,
  z.last_time,
  z.account_id,
  z.region,
  z.key_arn,
  CASE WHEN z.principal_count = 1 THEN z.principal END AS principal,
  CASE WHEN z.source_ip_count = 1 THEN z.source_ip END AS source_ip,
  z.event_count,
  'medium' AS severity,
  z.first_who || CASE WHEN z.principal_count > 1 THEN ' and others' ELSE '' END || ' got plaintext with ' || z.key_arn
    || CASE WHEN z.new_set = '' THEN ' without an encryption context' ELSE ' and the encryption context (' || z.new_set || ')' END
    || CASE WHEN z.set_count > 1 THEN ' and others (' || CAST(z.set_count AS STRING) || ' in all)' ELSE '' END
    || ' by direct calls (' || CAST(z.event_count AS STRING) || '), after '
    || CAST(z.habit_n AS STRING) || CASE WHEN z.subject = '' THEN ' calls of the key' ELSE ' calls of its own' END
    || ' that kept to what was known, most often '
    || CASE WHEN u.usual_set = '' THEN 'no context' ELSE '(' || COALESCE(u.usual_set, 'unknown') || ')' END
    || CASE WHEN z.set_owner IS NULL THEN '' ELSE '; only ' || z.set_owner || ' had used that set' END || '.' AS summary,
  z.event_ids,
  CASE WHEN z.set_owner IS NOT NULL THEN 'set_of_another_principal' WHEN z.has_none = 1 THEN 'no_context'
       ELSE 'unknown_names' END AS reason,
  z.new_set AS context_keys,
  u.usual_set AS usual_context_keys,
  z.habit_n AS habit_count,
  z.principal_count,
  z.set_owner
FROM drifts AS z
LEFT JOIN usual_sets AS u ON u.usual_key = z.key_arn AND u.usual_subject = z.subject AND u.usual_day = z.break_day
ORDER BY first_time, key_arn, reason, principal, last_time
