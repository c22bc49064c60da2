-- title: KMS events fell silent
-- severity: medium
-- attack: T1562.008 / v19 T1685.002
-- description: An account and Region that had recorded KMS events hour after hour recorded none for hours, while other
--   records of the same place went on; or administration of keys went on, and use alone vanished, as it does on a trail
--   of write events. What was done with keys in that time is not in the evidence. High when a trail of the account was
--   stopped or limited within an hour of the beginning.
-- false-positives: A workload that ended or was moved; S3 Bucket Keys, which replace thousands of calls by a few; a case
--   made with filters. A place of which nothing at all was read in that time is a partial export and left out, and so are
--   places that were never busy around the clock, and silences not much longer than an earlier one.
-- blind-spots: A place with few KMS events, and the first day of the evidence. Other services' events are kept only where
--   they concern keys; that log files went on is known from their names alone.
-- reads: silences
SELECT
  s.last_time AS first_time,
  COALESCE(s.next_time, s.last_time) AS last_time,
  s.account_id,
  s.region,
  CAST(NULL AS STRING) AS key_arn,
  CAST(NULL AS STRING) AS principal,
  CAST(NULL AS STRING) AS source_ip,
  CAST(1 + CASE WHEN s.next_id IS NULL THEN 0 ELSE 1 END + CASE WHEN s.cause_id IS NULL THEN 0 ELSE 1 END AS BIGINT) AS event_count,
  CASE WHEN s.cause_id IS NULL THEN 'medium' ELSE 'high' END AS severity,
  'No ' || CASE WHEN s.silent_events = 'all' THEN 'KMS event' ELSE 'use of keys' END || ' was recorded in ' || s.account_id || ' '
    || s.region || ' for ' || CAST(CAST(FLOOR(s.silent_seconds / 3600.0) AS BIGINT) AS STRING) || ' hours'
    || CASE WHEN s.next_time IS NULL THEN ' until the evidence ends' ELSE '' END || ', while '
    || CASE WHEN s.silent_events = 'all' THEN 'other records' ELSE 'administration of keys' END || ' went on in '
    || CAST(s.other_hours AS STRING) || ' of them; before, it was recorded in ' || CAST(s.busy_hours_before AS STRING) || ' of '
    || CAST(s.hours_before AS STRING) || ' hours, so about '
    || CAST(s.expected_events AS STRING) || ' events are missing'
    || CASE WHEN s.cause_id IS NULL THEN '; no call to CloudTrail in the evidence explains it.'
            ELSE '; ' || COALESCE(s.cause_by, 'an unnamed principal') || ' had called ' || s.cause_action || ' on ' || s.cause_trail
              || ' within the hour.' END AS summary,
  s.last_id || COALESCE(',' || s.next_id, '') || COALESCE(',' || s.cause_id, '') AS event_ids,
  s.silent_events,
  s.silent_seconds,
  s.other_hours,
  s.busy_hours_before,
  s.events_before,
  s.cause_action,
  s.cause_trail,
  s.cause_by
FROM silences AS s
ORDER BY first_time, account_id, region, silent_events
