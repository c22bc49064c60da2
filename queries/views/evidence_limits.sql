-- title: What this evidence cannot show
-- description: Each limit of the evidence in one plain sentence, the worst first: gaps, files that were not understood, log
--   objects that CloudTrail names and that are absent, trails that left key use out, silences, missing second records,
--   missing digests, filters, and where the evidence begins and ends. An absence of events proves nothing within a limit.
-- reads: scope, inputs, log_files, delivery_hours, place_hours, rhythms, coverage_gaps, named_logs,
--   selectors_in_force, silences, missing_twins, keys, integrity_findings, integrity_chains
-- column: kind: What kind of limit: gap, ends_early, begins_late, log_missing, folder_missing, never_named, kms_excluded,
--   selectors_unknown, silence, twin_missing, unreadable_input, changed_input, unlisted_path, early_delivery, no_place, integrity,
--   no_digests, digests_not_judged, filtered, single_region, region_without_log, account_without_log, rhythm_unknown, no_kms_event,
--   head_tail.
-- column: severity: How much it weighs: critical, high, medium, low or info.
-- column: rank: The severity as a number, 0 for critical to 4 for info.
-- column: account_id: The account it concerns; NULL for all or several.
-- column: region: The Region it concerns; NULL for all or several.
-- column: first_time: From when; NULL when it is not about a time.
-- column: last_time: Until when; NULL when it lasts.
-- column: summary: The limit in one sentence.
WITH event_totals AS (
  SELECT
    CAST(SUM(h.kms_count) AS BIGINT) AS kms_count,
    CAST(COUNT(DISTINCT h.region) AS BIGINT) AS region_count,
    MIN(h.region) AS one_region
  FROM place_hours AS h
), read_scope AS (
  SELECT
    CAST(COUNT(*) AS BIGINT) AS scope_count,
    MAX(CASE WHEN c.has_digests THEN 1 ELSE 0 END) AS has_digests,
    MAX(c.unlisted) AS unlisted
  FROM scope AS c
), regions AS (
  SELECT CAST(COUNT(DISTINCT r.region) AS BIGINT) AS region_count, MIN(r.region) AS one_region
  FROM rhythms AS r
), whole_range AS (
  SELECT MIN(w.first_sign_time) AS first_sign_time, MAX(w.last_sign_time) AS last_sign_time,
    CAST(COUNT(*) AS BIGINT) AS place_count,
    CAST(COUNT(CASE WHEN w.usual_seconds IS NULL THEN 1 END) AS BIGINT) AS sparse_count,
    MIN(CASE WHEN w.usual_seconds IS NULL THEN w.account_id || ' ' || w.region END) AS sparse_place
  FROM rhythms AS w
), gap_places AS (
  SELECT
    g.account_id, g.region,
    CASE WHEN g.gap_kind = 'hole' THEN 'gap' ELSE 'ends_early' END AS kind,
    MIN(g.last_sign_time) AS first_time,
    MAX(g.next_sign_time) AS last_time,
    CAST(COUNT(*) AS BIGINT) AS gap_count,
    CAST(SUM(g.gap_hours) AS BIGINT) AS gap_hours,
    MAX(g.gap_hours) AS longest_hours,
    MAX(g.usual_hours) AS usual_hours
  FROM coverage_gaps AS g
  WHERE g.gap_kind <> 'head'
  GROUP BY g.account_id, g.region, CASE WHEN g.gap_kind = 'hole' THEN 'gap' ELSE 'ends_early' END
), late_places AS (
  SELECT
    CAST(COUNT(*) AS BIGINT) AS place_count,
    MIN(l.account_id || ' ' || l.region) AS one_place,
    MAX(l.next_sign_time) AS last_time
  FROM coverage_gaps AS l
  WHERE l.gap_kind = 'head'
), named_places AS (
  SELECT
    n.folder, n.account_id, n.region, MIN(n.trail_arn) AS trail_arn,
    CAST(COUNT(CASE WHEN n.status = 'found' THEN 1 END) AS BIGINT) AS found_count,
    CAST(COUNT(CASE WHEN n.status = 'absent' THEN 1 END) AS BIGINT) AS absent_count,
    CAST(COUNT(CASE WHEN n.status = 'never_named' THEN 1 END) AS BIGINT) AS unnamed_count,
    MIN(CASE WHEN n.status = 'absent' THEN n.named_time END) AS first_absent,
    MAX(CASE WHEN n.status = 'absent' THEN n.named_time END) AS last_absent,
    MIN(CASE WHEN n.status = 'absent' THEN n.object_arn END) AS absent_object,
    MIN(CASE WHEN n.status = 'never_named' THEN n.path END) AS unnamed_path
  FROM named_logs AS n
  GROUP BY n.folder, n.account_id, n.region
), blind_trails AS (
  SELECT
    b.account_id, b.region, COALESCE(b.trail_name, 'an unnamed trail') AS trail_name, b.blind_count, b.blind_time, b.blind_epoch,
    b.blind_until_time, b.blind_until_epoch,
    b.account_id || '/' || b.region || '/' || COALESCE(b.trail_name, '') || '/' || CAST(b.blind_epoch AS STRING) AS blind_ref
  FROM selectors_in_force AS b
  WHERE b.blind_count > 0
), carried AS (
  SELECT
    t.blind_ref AS carried_ref,
    CAST(SUM(p.crypto_count) AS BIGINT) AS use_count
  FROM blind_trails AS t
  JOIN place_hours AS p ON p.account_id = t.account_id
  WHERE p.last_crypto_epoch > t.blind_epoch
    AND p.first_crypto_epoch < COALESCE(t.blind_until_epoch, p.first_crypto_epoch + 1)
  GROUP BY t.blind_ref
), known_accounts AS (
  SELECT DISTINCT k.account_id AS known_account
  FROM selectors_in_force AS k
  WHERE k.key_use <> 'unknown'
), unknown_accounts AS (
  SELECT
    CAST(COUNT(DISTINCT u.account_id) AS BIGINT) AS account_count,
    MIN(u.account_id) AS one_account
  FROM rhythms AS u
  ANTI JOIN known_accounts AS k ON k.known_account = u.account_id
), integrity_codes AS (
  SELECT
    g.code, g.account_id, g.region, g.trail,
    MIN(CASE WHEN g.severity = 'critical' THEN 0 WHEN g.severity = 'high' THEN 1 WHEN g.severity = 'medium' THEN 2
             WHEN g.severity = 'low' THEN 3 ELSE 4 END) AS rank,
    MIN(g.first_time) AS first_time,
    MAX(g.last_time) AS last_time,
    CAST(COUNT(*) AS BIGINT) AS finding_count,
    MIN(g.summary) AS one_summary
  FROM integrity_findings AS g
  GROUP BY g.code, g.account_id, g.region, g.trail
), judged_chains AS (
  SELECT CAST(COUNT(*) AS BIGINT) AS chain_count
  FROM integrity_chains AS v
), problem_inputs AS (
  SELECT
    CAST(COUNT(*) AS BIGINT) AS input_count,
    CAST(COUNT(CASE WHEN i.status = 'unreadable' THEN 1 END) AS BIGINT) AS unreadable_count,
    CAST(SUM(i.bytes_skipped) AS BIGINT) AS skipped_bytes,
    MIN(i.path) AS one_path
  FROM inputs AS i
  WHERE i.problem IS NOT NULL
), read_again AS (
  SELECT j.path AS again_path, CAST(COUNT(*) AS BIGINT) AS reading_count
  FROM inputs AS j
  GROUP BY j.path
), changed_inputs AS (
  SELECT CAST(COUNT(*) AS BIGINT) AS changed_count, MIN(o.again_path) AS one_path
  FROM read_again AS o
  WHERE o.reading_count > 1
), early_files AS (
  SELECT CAST(SUM(e.early_count) AS BIGINT) AS early_count
  FROM delivery_hours AS e
), loose_files AS (
  SELECT
    CAST(COUNT(*) AS BIGINT) AS loose_count,
    CAST(COUNT(CASE WHEN f.account_id IS NULL OR f.region IS NULL THEN 1 END) AS BIGINT) AS placeless_count,
    MIN(f.path) AS one_path
  FROM log_files AS f
  WHERE f.records > 0
    AND (f.account_id IS NULL OR f.region IS NULL OR f.delivery_epoch IS NULL)
), place_names AS (
  SELECT DISTINCT x.account_id AS place_account, x.region AS place_region
  FROM rhythms AS x
), silent_regions AS (
  SELECT
    y.key_account_id AS account_id, y.key_region AS region,
    CAST(COUNT(*) AS BIGINT) AS key_count,
    MIN(y.key_arn) AS one_key
  FROM keys AS y
  LEFT JOIN place_names AS s ON s.place_account = y.key_account_id AND s.place_region = y.key_region
  WHERE y.is_home
    AND s.place_account IS NULL
    AND y.key_region IS NOT NULL
  GROUP BY y.key_account_id, y.key_region
), silent_accounts AS (
  SELECT a.account_id
  FROM home_accounts AS a
  LEFT JOIN place_names AS q ON q.place_account = a.account_id
  WHERE q.place_account IS NULL
), limits AS (
  SELECT
    g.kind,
    CASE WHEN g.kind = 'gap' THEN 2 ELSE 3 END AS rank,
    g.account_id, g.region, g.first_time, g.last_time,
    CASE
      WHEN g.kind = 'ends_early' THEN 'The evidence of account ' || g.account_id || ' in ' || g.region || ' ends '
        || CAST(g.longest_hours AS STRING) || ' hours before that of others, although it usually has a sign of recording every '
        || CASE WHEN g.usual_hours = 1 THEN 'hour' ELSE CAST(g.usual_hours AS STRING) || ' hours' END || '.'
      WHEN g.gap_count = 1 THEN 'Account ' || g.account_id || ' in ' || g.region || ' has a gap of '
        || CAST(g.longest_hours AS STRING) || ' hours without a log file or record, where there usually is one every '
        || CASE WHEN g.usual_hours = 1 THEN 'hour' ELSE CAST(g.usual_hours AS STRING) || ' hours' END
        || ': what happened then is not in the evidence.'
      ELSE 'Account ' || g.account_id || ' in ' || g.region || ' has ' || CAST(g.gap_count AS STRING) || ' gaps of together '
        || CAST(g.gap_hours AS STRING) || ' hours, the longest of ' || CAST(g.longest_hours AS STRING)
        || ', without a log file or record, where there usually is one every '
        || CASE WHEN g.usual_hours = 1 THEN 'hour' ELSE CAST(g.usual_hours AS STRING) || ' hours' END
        || ': what happened then is not in the evidence.'
    END AS summary
  FROM gap_places AS g
  UNION ALL
  SELECT
    'log_missing' AS kind, 1 AS rank, n.account_id, n.region, n.first_absent AS first_time, n.last_absent AS last_time,
    'Of ' || CAST(n.absent_count + n.found_count AS STRING) || ' log files that CloudTrail says it wrote for account '
      || n.account_id || ' in ' || n.region || ', ' || CAST(n.absent_count AS STRING)
      || CASE WHEN n.absent_count = 1 THEN ' is' ELSE ' are' END || ' not among the files: deleted or not collected, such as '
      || n.absent_object || '.' AS summary
  FROM named_places AS n
  WHERE n.absent_count > 0
    AND n.found_count > 0
  UNION ALL
  SELECT
    'folder_missing' AS kind, 2 AS rank, m.account_id, m.region, m.first_absent AS first_time, m.last_absent AS last_time,
    'None of ' || CAST(m.absent_count AS STRING) || ' log files that trail ' || m.trail_arn || ' wrote for account '
      || m.account_id || ' in ' || m.region
      || ' is among the files: that folder was not collected, left out by a filter, or emptied.' AS summary
  FROM named_places AS m
  WHERE m.absent_count > 0
    AND m.found_count = 0
  UNION ALL
  SELECT
    'never_named' AS kind, 4 AS rank, v.account_id, v.region, CAST(NULL AS TIMESTAMP) AS first_time,
    CAST(NULL AS TIMESTAMP) AS last_time,
    CAST(v.unnamed_count AS STRING)
      || CASE WHEN v.unnamed_count = 1 THEN ' log file in a folder' ELSE ' log files in a folder' END || ' of trail ' || v.trail_arn
      || ' that CloudTrail never names: another trail writes there, or somebody put them there, such as ' || v.unnamed_path || '.'
      AS summary
  FROM named_places AS v
  WHERE v.unnamed_count > 0
  UNION ALL
  SELECT
    'kms_excluded' AS kind,
    CASE WHEN COALESCE(c.use_count, 0) > 0 THEN 3 ELSE 2 END AS rank,
    t.account_id, t.region, t.blind_time AS first_time, t.blind_until_time AS last_time,
    'Trail ' || t.trail_name || ' of account ' || t.account_id || ' was told '
      || CASE WHEN t.blind_count = 1 THEN 'once' ELSE CAST(t.blind_count AS STRING) || ' times' END
      || ' to stop recording the use of keys'
      || CASE WHEN t.blind_until_epoch IS NULL THEN ', and not to begin again' ELSE ' and began again' END
      || CASE WHEN COALESCE(c.use_count, 0) > 0
              THEN ': other trails of the account recorded ' || CAST(c.use_count AS STRING) || ' uses of keys meanwhile.'
              ELSE ': no use of a key is in the account''s evidence meanwhile, which does not prove that there was none.' END
      AS summary
  FROM blind_trails AS t
  LEFT JOIN carried AS c ON c.carried_ref = t.blind_ref
  UNION ALL
  SELECT
    'selectors_unknown' AS kind, 3 AS rank, CASE WHEN u.account_count = 1 THEN u.one_account END AS account_id,
    CAST(NULL AS STRING) AS region, CAST(NULL AS TIMESTAMP) AS first_time, CAST(NULL AS TIMESTAMP) AS last_time,
    'For ' || CAST(u.account_count AS STRING) || CASE WHEN u.account_count = 1 THEN ' account' ELSE ' accounts' END
      || ', such as ' || u.one_account
      || ', no call in the evidence tells what its trails record: that no use of a key is there does not prove that there was none.'
      AS summary
  FROM unknown_accounts AS u
  WHERE u.account_count > 0
  UNION ALL
  SELECT
    'silence' AS kind, CASE WHEN s.cause_id IS NULL THEN 2 ELSE 1 END AS rank, s.account_id, s.region, s.last_time AS first_time,
    s.next_time AS last_time,
    CASE WHEN s.silent_events = 'all' THEN 'KMS events' ELSE 'Uses of keys' END || ' of account ' || s.account_id || ' in '
      || s.region || ' fell silent for ' || CAST(CAST(FLOOR(s.silent_seconds / 3600.0) AS BIGINT) AS STRING)
      || ' hours while other records went on; about ' || CAST(s.expected_events AS STRING) || ' events are missing.' AS summary
  FROM silences AS s
  UNION ALL
  SELECT
    'twin_missing' AS kind, 3 AS rank, w.twin_account AS account_id, w.region, w.first_time, w.last_time,
    CAST(w.missing_count AS STRING) || ' of ' || CAST(w.call_count AS STRING) || ' cross-account calls between account '
      || w.present_account || ' and account ' || w.twin_account || ' lack the record of the latter: its evidence is incomplete.'
      AS summary
  FROM missing_twins AS w
  UNION ALL
  SELECT
    'unreadable_input' AS kind, 2 AS rank, CAST(NULL AS STRING) AS account_id, CAST(NULL AS STRING) AS region,
    CAST(NULL AS TIMESTAMP) AS first_time, CAST(NULL AS TIMESTAMP) AS last_time,
    CAST(i.input_count AS STRING) || CASE WHEN i.input_count = 1 THEN ' file was' ELSE ' files were' END
      || ' not understood completely (' || CAST(i.unreadable_count AS STRING) || ' of them not readable at all, '
      || CAST(COALESCE(i.skipped_bytes, 0) AS STRING) || ' bytes skipped), such as ' || i.one_path || ': see inputs.' AS summary
  FROM problem_inputs AS i
  WHERE i.input_count > 0
  UNION ALL
  SELECT
    'changed_input' AS kind, 2 AS rank, CAST(NULL AS STRING) AS account_id, CAST(NULL AS STRING) AS region,
    CAST(NULL AS TIMESTAMP) AS first_time, CAST(NULL AS TIMESTAMP) AS last_time,
    CAST(k.changed_count AS STRING) || CASE WHEN k.changed_count = 1 THEN ' file' ELSE ' files' END
      || ' had another content when read again, such as ' || k.one_path || ': the records of both contents are in the case.'
      AS summary
  FROM changed_inputs AS k
  WHERE k.changed_count > 0
  UNION ALL
  SELECT
    'unlisted_path' AS kind, 2 AS rank, CAST(NULL AS STRING) AS account_id, CAST(NULL AS STRING) AS region,
    CAST(NULL AS TIMESTAMP) AS first_time, CAST(NULL AS TIMESTAMP) AS last_time,
    CAST(r.unlisted AS STRING) || ' paths could not be looked at: see the manifest.' AS summary
  FROM read_scope AS r
  WHERE r.unlisted > 0
  UNION ALL
  SELECT
    'early_delivery' AS kind, 2 AS rank, CAST(NULL AS STRING) AS account_id, CAST(NULL AS STRING) AS region,
    CAST(NULL AS TIMESTAMP) AS first_time, CAST(NULL AS TIMESTAMP) AS last_time,
    CAST(e.early_count AS STRING) || CASE WHEN e.early_count = 1 THEN ' log file holds' ELSE ' log files hold' END
      || ' records made after the delivery time in the name, which CloudTrail never writes: renamed or altered.'
      AS summary
  FROM early_files AS e
  WHERE e.early_count > 0
  UNION ALL
  SELECT
    'no_place' AS kind, 3 AS rank, CAST(NULL AS STRING) AS account_id, CAST(NULL AS STRING) AS region,
    CAST(NULL AS TIMESTAMP) AS first_time, CAST(NULL AS TIMESTAMP) AS last_time,
    CAST(f.loose_count AS STRING) || CASE WHEN f.loose_count = 1 THEN ' file has' ELSE ' files have' END
      || ' names without account, Region or delivery time, such as ' || f.one_path
      || ': the hours that they cover are known from their records about keys alone.' AS summary
  FROM loose_files AS f
  WHERE f.loose_count > 0
  UNION ALL
  SELECT
    'integrity' AS kind, i.rank, i.account_id, i.region, i.first_time, i.last_time,
    i.code || ': ' || i.one_summary || CASE WHEN i.finding_count > 1
      THEN ' (And ' || CAST(i.finding_count - 1 AS STRING) || ' more of the same: see integrity_findings.)' ELSE '' END AS summary
  FROM integrity_codes AS i
  UNION ALL
  SELECT
    CASE WHEN d.has_digests = 1 THEN 'digests_not_judged' ELSE 'no_digests' END AS kind,
    CASE WHEN d.has_digests = 1 THEN 3 ELSE 2 END AS rank,
    CAST(NULL AS STRING) AS account_id, CAST(NULL AS STRING) AS region, CAST(NULL AS TIMESTAMP) AS first_time,
    CAST(NULL AS TIMESTAMP) AS last_time,
    CASE
      WHEN d.has_digests = 1
        THEN 'Digest files are there and were not judged: keytrail verify tells what they prove of the log files.'
      ELSE 'No digest file is there: nothing proves that the log files are complete and as CloudTrail wrote them.'
    END AS summary
  FROM read_scope AS d
  CROSS JOIN judged_chains AS y
  WHERE d.scope_count > 0
    AND y.chain_count = 0
  UNION ALL
  SELECT
    'filtered' AS kind,
    CASE WHEN o.keys IS NOT NULL OR o.principals IS NOT NULL THEN 2 ELSE 3 END AS rank,
    CAST(NULL AS STRING) AS account_id, CAST(NULL AS STRING) AS region, o.since_time AS first_time, o.until_time AS last_time,
    'Filters were in force when evidence was read: '
      || CASE WHEN o.since_time IS NULL AND o.until_time IS NULL THEN 'any time' ELSE 'a range of time' END
      || COALESCE(', only accounts ' || o.accounts, '') || COALESCE(', only Regions ' || o.regions, '')
      || COALESCE(', only keys ' || o.keys, '') || COALESCE(', only principals ' || o.principals, '')
      || '. What they left out is not in the case.' AS summary
  FROM scope AS o
  WHERE o.since_time IS NOT NULL
    OR o.until_time IS NOT NULL
    OR o.accounts IS NOT NULL
    OR o.regions IS NOT NULL
    OR o.keys IS NOT NULL
    OR o.principals IS NOT NULL
  UNION ALL
  SELECT
    'single_region' AS kind, 3 AS rank, CAST(NULL AS STRING) AS account_id, a.one_region AS region,
    CAST(NULL AS TIMESTAMP) AS first_time, CAST(NULL AS TIMESTAMP) AS last_time,
    'All evidence is of ' || a.one_region || ': what happened in other Regions is not known.' AS summary
  FROM regions AS a
  WHERE a.region_count = 1
  UNION ALL
  SELECT
    'region_without_log' AS kind, 2 AS rank, q.account_id, q.region, CAST(NULL AS TIMESTAMP) AS first_time,
    CAST(NULL AS TIMESTAMP) AS last_time,
    CAST(q.key_count AS STRING) || CASE WHEN q.key_count = 1 THEN ' key' ELSE ' keys' END || ' of account ' || q.account_id
      || ' in ' || q.region || CASE WHEN q.key_count = 1 THEN ' is' ELSE ' are' END || ' named by records, such as ' || q.one_key
      || ', but there is no log file and no record of that account and Region.' AS summary
  FROM silent_regions AS q
  UNION ALL
  SELECT
    'account_without_log' AS kind, 2 AS rank, y.account_id, CAST(NULL AS STRING) AS region, CAST(NULL AS TIMESTAMP) AS first_time,
    CAST(NULL AS TIMESTAMP) AS last_time,
    'Account ' || y.account_id || ' is a home account, but there is no log file and no record of it.' AS summary
  FROM silent_accounts AS y
  UNION ALL
  SELECT
    'rhythm_unknown' AS kind, 4 AS rank, CAST(NULL AS STRING) AS account_id, CAST(NULL AS STRING) AS region,
    CAST(NULL AS TIMESTAMP) AS first_time, CAST(NULL AS TIMESTAMP) AS last_time,
    CAST(z.sparse_count AS STRING) || ' of ' || CAST(z.place_count AS STRING)
      || ' accounts and Regions ' || CASE WHEN z.sparse_count = 1 THEN 'has' ELSE 'have' END
      || ' too few hours with a sign of recording to tell a gap, such as ' || z.sparse_place || '.' AS summary
  FROM whole_range AS z
  WHERE z.sparse_count > 0
  UNION ALL
  SELECT
    'begins_late' AS kind, 4 AS rank, CAST(NULL AS STRING) AS account_id, CAST(NULL AS STRING) AS region,
    CAST(NULL AS TIMESTAMP) AS first_time, x.last_time,
    CAST(x.place_count AS STRING)
      || ' accounts and Regions that record regularly begin later than the evidence: used later, or not collected before; such as '
      || x.one_place || '.' AS summary
  FROM late_places AS x
  WHERE x.place_count > 0
  UNION ALL
  SELECT
    'no_kms_event' AS kind, 1 AS rank, CAST(NULL AS STRING) AS account_id, CAST(NULL AS STRING) AS region,
    CAST(NULL AS TIMESTAMP) AS first_time, CAST(NULL AS TIMESTAMP) AS last_time,
    'No KMS event is in the evidence: the trails may leave them out, or these are not the right files.' AS summary
  FROM event_totals AS b
  CROSS JOIN read_scope AS p
  WHERE COALESCE(b.kms_count, 0) = 0
    AND p.scope_count > 0
  UNION ALL
  SELECT
    'head_tail' AS kind, 4 AS rank, CAST(NULL AS STRING) AS account_id, CAST(NULL AS STRING) AS region,
    h.first_sign_time AS first_time, h.last_sign_time AS last_time,
    'Nothing is known of the time before and after; the last fifteen minutes may be incomplete, because CloudTrail delivers late.'
      AS summary
  FROM whole_range AS h
  WHERE h.first_sign_time IS NOT NULL
)
SELECT
  l.kind,
  CASE WHEN l.rank = 0 THEN 'critical' WHEN l.rank = 1 THEN 'high' WHEN l.rank = 2 THEN 'medium' WHEN l.rank = 3 THEN 'low'
       ELSE 'info' END AS severity,
  l.rank,
  l.account_id,
  l.region,
  l.first_time,
  l.last_time,
  l.summary
FROM limits AS l
ORDER BY rank, kind, account_id NULLS LAST, region NULLS LAST, first_time NULLS LAST, last_time NULLS LAST, summary
