-- title: Alias in use deleted, or a look-alike created
-- severity: medium
-- attack: T1489, T1036
-- description: An alias was deleted that had been used in the weeks before, or that is still called for and not found; or
--   an alias was created whose name can be taken for another one of the account and Region (one letter more, less or
--   other, and another key), or for AWS's own (`alias/aws-ebs`). What names its key by the deleted alias stops; what is
--   pointed at the look-alike encrypts under somebody else's key. Policies with `kms:ResourceAliases` change meaning.
-- false-positives: Renames and replacements are left out while no call fails: the key gets another alias, or the alias
--   is created again, within a day. So are numbered series, names that differ in a word of up to three letters
--   (`-a`, `-b`; `sns`, `sqs`), second names of one key, and names that one principal makes within a day.
-- blind-spots: Deleting a key deletes its aliases without a record. Services that resolved the alias earlier keep the
--   key. A call from another account that does not find the alias is in that account's log only.
-- reads: events, repeated_copies, admin_events, failed_calls, aliases
-- params: active_days = 30, rename_hours = 24
WITH alias_acts AS (
  SELECT
    a.event_id,
    a.event_name,
    a.event_time,
    a.event_epoch,
    a.account_id,
    a.region,
    a.account_id || ':' || a.region AS place,
    COALESCE(a.target_key_arn, a.key_arn) AS key_arn,
    a.principal,
    a.source_ip,
    a.via,
    a.alias_name,
    p.active_days,
    p.rename_hours * 3600 AS rename_seconds
  FROM admin_events AS a
  CROSS JOIN params AS p
  WHERE a.event_source = 'kms.amazonaws.com'
    AND a.event_name IN ('CreateAlias', 'DeleteAlias')
    AND a.is_ok
    AND a.alias_name IS NOT NULL
), removals AS (
  SELECT b.event_id, b.event_epoch, b.account_id, b.place, b.alias_name, b.key_arn, b.active_days, b.rename_seconds
  FROM alias_acts AS b
  WHERE b.event_name = 'DeleteAlias'
), creations AS (
  SELECT c.event_id, c.event_epoch, c.place, c.alias_name, c.key_arn, c.principal, c.rename_seconds
  FROM alias_acts AS c
  WHERE c.event_name = 'CreateAlias'
), hours_of_use AS (
  SELECT
    e.alias_name AS used_alias,
    COALESCE(e.key_account_id, e.account_id) || ':' || COALESCE(e.key_region, e.region) AS used_place,
    MIN(e.event_epoch) AS first_epoch,
    MAX(e.event_epoch) AS last_epoch,
    MAX(e.event_time) AS last_time,
    CAST(COUNT(*) AS BIGINT) AS uses
  FROM events AS e
  SEMI JOIN removals AS n ON n.alias_name = e.alias_name
  ANTI JOIN repeated_copies AS r ON r.repeated_id = e.event_id
  WHERE e.event_source = 'kms.amazonaws.com'
    AND e.alias_name IS NOT NULL
    AND e.action_class IN ('crypto', 'grant')
    AND e.outcome = 'ok'
    AND NOT COALESCE(e.is_dry_run, FALSE)
  GROUP BY e.alias_name, COALESCE(e.key_account_id, e.account_id) || ':' || COALESCE(e.key_region, e.region),
           e.event_epoch - (e.event_epoch % 3600)
), use_totals AS (
  SELECT f.event_id AS used_id, CAST(SUM(u.uses) AS BIGINT) AS use_count, MAX(u.last_time) AS last_use_time
  FROM removals AS f
  JOIN hours_of_use AS u ON u.used_alias = f.alias_name AND u.used_place = f.place
  WHERE u.first_epoch <= f.event_epoch
    AND u.last_epoch >= f.event_epoch - f.active_days * 86400
  GROUP BY f.event_id
), revivals AS (
  SELECT g.event_id AS revived_id, MIN(h.event_epoch) AS revived_epoch
  FROM removals AS g
  JOIN creations AS h ON h.alias_name = g.alias_name AND h.place = g.place
  WHERE h.event_epoch >= g.event_epoch
  GROUP BY g.event_id
), renames AS (
  SELECT i.event_id AS renamed_id, MIN(j.alias_name) AS new_name
  FROM removals AS i
  JOIN creations AS j ON j.key_arn = i.key_arn
  WHERE j.alias_name <> i.alias_name
    AND ABS(j.event_epoch - i.event_epoch) <= i.rename_seconds
  GROUP BY i.event_id
), missed_calls AS (
  SELECT
    k.alias_name AS missed_alias,
    k.account_id || ':' || k.region AS missed_place,
    k.region AS missed_region,
    COALESCE(k.error_message, '') AS message,
    k.event_id AS missed_id,
    k.event_time AS missed_time,
    k.event_epoch AS missed_epoch
  FROM failed_calls AS k
  WHERE k.error_code LIKE '%NotFound%'
    AND k.alias_name IS NOT NULL
    AND k.action_class NOT IN ('alias', 'read')
), removal_misses AS (
  SELECT m.event_id AS act_id, q.missed_id, q.missed_time, q.missed_epoch
  FROM removals AS m
  LEFT JOIN revivals AS v ON v.revived_id = m.event_id
  JOIN missed_calls AS q ON q.missed_alias = m.alias_name
  WHERE q.missed_epoch >= m.event_epoch
    AND q.missed_epoch <= COALESCE(v.revived_epoch, 9999999999)
    AND (POSITION(SPLIT_PART(m.place, ':', 2) || ':' || m.account_id || ':alias/' IN q.message) > 0
      OR (q.missed_place = m.place AND q.message NOT LIKE '%:alias/%'))
), miss_counts AS (
  SELECT s.act_id AS missed_act_id, CAST(COUNT(*) AS BIGINT) AS miss_count
  FROM removal_misses AS s
  GROUP BY s.act_id
), stretches AS (
  SELECT
    z.alias_account_id || ':' || z.alias_region AS known_place,
    z.alias_name AS known_name,
    z.key_arn AS known_key,
    z.set_by AS known_maker,
    z.from_epoch AS made_epoch,
    -- A name that only calls show was there before them.
    CASE WHEN z.how = 'observed' AND z.previous_key_arn IS NULL THEN CAST(0 AS BIGINT) ELSE z.from_epoch END AS known_from,
    COALESCE(z.until_epoch, 9999999999) AS known_until
  FROM aliases AS z
), cuts_0 AS (
  -- Each name is cut before each of its letters: head and tail, with every sum of 128, 64 ... 1 letters in the head.
  SELECT DISTINCT x.known_place AS place, 'alias/' AS head, SUBSTR(x.known_name, 7) AS tail
  FROM stretches AS x
  SEMI JOIN creations AS cp ON cp.place = x.known_place
), cuts_1 AS (
  SELECT c1.place, c1.head, c1.tail FROM cuts_0 AS c1
  UNION ALL
  SELECT d1.place, d1.head || SUBSTR(d1.tail, 1, 128) AS head, SUBSTR(d1.tail, 129) AS tail FROM cuts_0 AS d1 WHERE LENGTH(d1.tail) > 128
), cuts_2 AS (
  SELECT c2.place, c2.head, c2.tail FROM cuts_1 AS c2
  UNION ALL
  SELECT d2.place, d2.head || SUBSTR(d2.tail, 1, 64) AS head, SUBSTR(d2.tail, 65) AS tail FROM cuts_1 AS d2 WHERE LENGTH(d2.tail) > 64
), cuts_3 AS (
  SELECT c3.place, c3.head, c3.tail FROM cuts_2 AS c3
  UNION ALL
  SELECT d3.place, d3.head || SUBSTR(d3.tail, 1, 32) AS head, SUBSTR(d3.tail, 33) AS tail FROM cuts_2 AS d3 WHERE LENGTH(d3.tail) > 32
), cuts_4 AS (
  SELECT c4.place, c4.head, c4.tail FROM cuts_3 AS c4
  UNION ALL
  SELECT d4.place, d4.head || SUBSTR(d4.tail, 1, 16) AS head, SUBSTR(d4.tail, 17) AS tail FROM cuts_3 AS d4 WHERE LENGTH(d4.tail) > 16
), cuts_5 AS (
  SELECT c5.place, c5.head, c5.tail FROM cuts_4 AS c5
  UNION ALL
  SELECT d5.place, d5.head || SUBSTR(d5.tail, 1, 8) AS head, SUBSTR(d5.tail, 9) AS tail FROM cuts_4 AS d5 WHERE LENGTH(d5.tail) > 8
), cuts_6 AS (
  SELECT c6.place, c6.head, c6.tail FROM cuts_5 AS c6
  UNION ALL
  SELECT d6.place, d6.head || SUBSTR(d6.tail, 1, 4) AS head, SUBSTR(d6.tail, 5) AS tail FROM cuts_5 AS d6 WHERE LENGTH(d6.tail) > 4
), cuts_7 AS (
  SELECT c7.place, c7.head, c7.tail FROM cuts_6 AS c7
  UNION ALL
  SELECT d7.place, d7.head || SUBSTR(d7.tail, 1, 2) AS head, SUBSTR(d7.tail, 3) AS tail FROM cuts_6 AS d7 WHERE LENGTH(d7.tail) > 2
), cuts_8 AS (
  SELECT c8.place, c8.head, c8.tail FROM cuts_7 AS c8
  UNION ALL
  SELECT d8.place, d8.head || SUBSTR(d8.tail, 1, 1) AS head, SUBSTR(d8.tail, 2) AS tail FROM cuts_7 AS d8 WHERE LENGTH(d8.tail) > 1
), shapes AS (
  -- A name as it is, and with each of its letters left out: two names one letter apart have one of these in common.
  SELECT t.place, t.head || t.tail AS name, '' AS head, '' AS letter, '' AS rest, t.head || t.tail AS shape
  FROM cuts_0 AS t
  UNION ALL
  SELECT
    w.place,
    w.head || w.tail AS name,
    w.head,
    SUBSTR(w.tail, 1, 1) AS letter,
    SUBSTR(w.tail, 2) AS rest,
    w.head || SUBSTR(w.tail, 2) AS shape
  FROM cuts_8 AS w
), new_shapes AS (
  SELECT o.place AS new_place, o.name AS new_name, o.head AS new_head, o.letter AS new_letter, o.rest AS new_rest, o.shape AS new_shape
  FROM shapes AS o
  SEMI JOIN creations AS cn ON cn.place = o.place AND cn.alias_name = o.name
), neighbors AS (
  SELECT
    y.new_place,
    y.new_name,
    l.name AS similar_name,
    y.new_letter,
    l.letter AS similar_letter,
    REPLACE(REPLACE(REPLACE(CASE WHEN y.new_head = '' THEN l.head ELSE y.new_head END, '-', '/'), '_', '/'), ':', '/') AS head_words,
    REPLACE(REPLACE(REPLACE(CASE WHEN y.new_head = '' THEN l.rest ELSE y.new_rest END, '-', '/'), '_', '/'), ':', '/') AS rest_words
  FROM new_shapes AS y
  JOIN shapes AS l ON l.place = y.new_place AND l.shape = y.new_shape
  WHERE l.name <> y.new_name
    AND (l.head = y.new_head OR l.head = '' OR y.new_head = '')
), changed_words AS (
  SELECT
    ch.new_place,
    ch.new_name,
    ch.similar_name,
    CASE WHEN ch.new_letter IN ('-', '_', ':', '/') OR ch.similar_letter IN ('-', '_', ':', '/') THEN 1 ELSE 0 END AS is_separator,
    -- The letters of the changed word in the shorter name; how many more than four does not matter.
    CASE WHEN ch.head_words LIKE '%/' THEN 0
         WHEN ch.head_words LIKE '%/_' THEN 1
         WHEN ch.head_words LIKE '%/__' THEN 2
         WHEN ch.head_words LIKE '%/___' THEN 3
         ELSE 4 END
      + LENGTH(SPLIT_PART(ch.rest_words, '/', 1))
      + CASE WHEN ch.new_letter <> '' AND ch.similar_letter <> '' THEN 1 ELSE 0 END AS word_letters
  FROM neighbors AS ch
  WHERE ch.new_letter NOT IN ('', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9')
     OR ch.similar_letter NOT IN ('', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9')
), look_alikes AS (
  SELECT cr.event_id AS like_id, MIN(cw.similar_name) AS similar_name, CAST(COUNT(DISTINCT cw.similar_name) AS BIGINT) AS similar_count
  FROM creations AS cr
  JOIN changed_words AS cw ON cw.new_place = cr.place AND cw.new_name = cr.alias_name
  JOIN stretches AS ks ON ks.known_place = cw.new_place AND ks.known_name = cw.similar_name
  WHERE (cw.is_separator = 1 OR cw.word_letters >= 4)
    AND ks.known_from < cr.event_epoch
    AND ks.known_until >= cr.event_epoch
    AND ks.known_key <> cr.key_arn
    AND ((ks.known_maker IS DISTINCT FROM cr.principal)
      OR ks.known_from = 0
      OR cr.event_epoch - ks.made_epoch > cr.rename_seconds)
  GROUP BY cr.event_id
), proof_rows AS (
  SELECT ac.event_id AS act_id, ac.event_id AS proof_id, ac.event_time AS proof_time, ac.event_epoch AS proof_epoch
  FROM alias_acts AS ac
  UNION ALL
  SELECT rm.act_id, rm.missed_id AS proof_id, rm.missed_time AS proof_time, rm.missed_epoch AS proof_epoch
  FROM removal_misses AS rm
), numbered_rows AS (
  SELECT
    ev.act_id,
    ev.proof_id,
    ev.proof_time,
    CAST(ROW_NUMBER() OVER (PARTITION BY ev.act_id ORDER BY ev.proof_epoch, ev.proof_id) AS BIGINT) AS proof_no
  FROM proof_rows AS ev
), proofs AS (
  SELECT
    nr.act_id AS proven_id,
    MAX(nr.proof_time) AS last_time,
    CAST(COUNT(*) AS BIGINT) AS event_count,
    STRING_AGG(CASE WHEN nr.proof_no <= 1000 THEN nr.proof_id END, ',') AS event_ids
  FROM numbered_rows AS nr
  GROUP BY nr.act_id
), judged AS (
  SELECT
    ja.event_id, ja.event_time, ja.account_id, ja.region, ja.key_arn, ja.principal, ja.source_ip, ja.via, ja.alias_name,
    CASE WHEN ja.event_name = 'DeleteAlias' THEN 'deleted'
         WHEN la.like_id IS NOT NULL THEN 'look_alike'
         WHEN LOWER(SUBSTR(ja.alias_name, 1, 10)) IN ('alias/aws-', 'alias/aws_', 'alias/aws/')
          AND ja.alias_name NOT LIKE 'alias/aws/%' THEN 'aws_name' END AS change,
    CASE WHEN rn.renamed_id IS NULL AND COALESCE(rv.revived_epoch, 9999999999) - ja.event_epoch > ja.rename_seconds THEN 1
         ELSE 0 END AS is_for_good,
    COALESCE(us.use_count, st.use_count, 0) AS use_count,
    us.last_use_time,
    COALESCE(mc.miss_count, 0) AS miss_count,
    la.similar_name,
    la.similar_count,
    rn.new_name
  FROM alias_acts AS ja
  LEFT JOIN use_totals AS us ON us.used_id = ja.event_id
  LEFT JOIN revivals AS rv ON rv.revived_id = ja.event_id
  LEFT JOIN renames AS rn ON rn.renamed_id = ja.event_id
  LEFT JOIN miss_counts AS mc ON mc.missed_act_id = ja.event_id
  LEFT JOIN look_alikes AS la ON la.like_id = ja.event_id
  LEFT JOIN aliases AS st ON st.set_event_id = ja.event_id
)
SELECT
  jd.event_time AS first_time,
  pr.last_time,
  jd.account_id,
  jd.region,
  jd.key_arn,
  jd.principal,
  jd.source_ip,
  pr.event_count,
  'medium' AS severity,
  COALESCE(jd.principal, 'An unnamed principal')
    || CASE WHEN jd.change = 'deleted' THEN ' deleted ' || jd.alias_name ELSE ' created ' || jd.alias_name END
    || ' of ' || COALESCE(jd.key_arn, 'an unnamed key')
    || CASE WHEN jd.change = 'look_alike' THEN ', one letter from ' || jd.similar_name || ' of another key (look-alikes: '
              || CAST(jd.similar_count AS STRING) || '); calls by the new alias: ' || CAST(jd.use_count AS STRING)
            WHEN jd.change = 'aws_name' THEN ', a name like those of AWS managed keys; calls by it: ' || CAST(jd.use_count AS STRING)
            ELSE ', by which the key had been used ' || CAST(jd.use_count AS STRING) || ' times in the weeks before; calls that did not find it: '
              || CAST(jd.miss_count AS STRING) || COALESCE('; the key got the alias ' || jd.new_name, '') END || '.' AS summary,
  pr.event_ids,
  jd.change,
  jd.alias_name,
  jd.similar_name,
  jd.use_count,
  jd.last_use_time,
  jd.miss_count,
  jd.via
FROM judged AS jd
JOIN proofs AS pr ON pr.proven_id = jd.event_id
WHERE jd.change IN ('look_alike', 'aws_name')
   OR jd.miss_count > 0
   OR (jd.change = 'deleted' AND jd.use_count > 0 AND jd.is_for_good = 1)
ORDER BY first_time, alias_name, account_id, region, change
