-- title: Second record of a cross-account call missing
-- severity: info
-- attack: T1562.008 / v19 T1685.002
-- description: A successful cross-account KMS call is logged in the caller's account and in the key owner's, under one
--   sharedEventID. Both accounts are home accounts with evidence of that time, and yet only one record is there: the other
--   account's evidence is incomplete, by its export or by its trail. The finding counts the missing records, and how many
--   fall into hours of which that account and Region has other KMS events, which no missing file explains.
-- false-positives: Partial exports, and cases made with filters. Refused calls, which only the caller's account logs, and
--   calls of AWS services, which have no account, are left out.
-- blind-spots: An account of which nothing was read is not taken for a home account unless named. Calls that name two
--   keys are compared for the source key only.
-- reads: missing_twins
SELECT
  u.first_time,
  u.last_time,
  u.twin_account AS account_id,
  u.region,
  CAST(NULL AS STRING) AS key_arn,
  CAST(NULL AS STRING) AS principal,
  CAST(NULL AS STRING) AS source_ip,
  u.missing_count AS event_count,
  'info' AS severity,
  'Of the ' || CAST(u.call_count AS STRING) || ' cross-account calls that account ' || u.present_account || ' logged with account '
    || u.twin_account || ' in ' || COALESCE(u.region, 'an unknown Region') || ', ' || CAST(u.missing_count AS STRING)
    || ' lack the record of account ' || u.twin_account || ', of which '
    || CAST(u.covered_missing AS STRING) || ' in hours with other KMS events there.' AS summary,
  u.event_ids,
  u.present_account AS logged_by_account,
  u.call_count,
  u.covered_missing AS missing_in_covered_hours
FROM missing_twins AS u
ORDER BY first_time, account_id, logged_by_account, region
