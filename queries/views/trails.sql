-- title: Trail ledger
-- description: The history of each trail and event data store: one row per successful call that made, changed, started,
--   stopped or deleted it, with what the call did to the recording of KMS events and what the trail recorded from then
--   on, as far as the evidence tells. A trail that the evidence never shows being started or given selectors may have
--   been recording all the time: unknown is NULL, not no.
-- reads: admin_events, trail_selectors
-- column: event_id: The call.
-- column: event_name: Operation, such as `PutEventSelectors`.
-- column: event_time: When.
-- column: event_epoch: `event_time` in seconds.
-- column: account_id: The account whose trail has the call.
-- column: region: The Region called, which is the trail's home Region.
-- column: trail_name: The trail's name or the event data store's id; NULL when the record does not tell.
-- column: principal: Who called.
-- column: source_ip: From where.
-- column: user_agent: CloudTrail `userAgent`.
-- column: via: The AWS service that made the call for the principal.
-- column: effect: What it did: `on` and `off` start and end the recording, `selected` set the selectors, `created` made a
--   trail, which records only when started, `other` changed something else.
-- column: selectors: The selectors set, as `field operator value`, sorted, comma-separated; at most 100.
-- column: excludes_kms: The selectors set exclude KMS events.
-- column: blinds_key_use: This call ends the recording of key use.
-- column: blinds_key_admin: This call ends the recording of key administration.
-- column: s3_bucket: The bucket after CreateTrail or UpdateTrail, from the response, as are the next columns.
-- column: log_group: The CloudWatch log group.
-- column: kms_key: The KMS key that encrypts the log files.
-- column: has_validation: Log file validation is on.
-- column: is_multi_region: The trail covers all Regions.
-- column: is_organization: The trail covers the organization.
-- column: weakened: What UpdateTrail took away, in words; NULL when nothing.
-- column: is_weakening_known: The configuration before is in the evidence, so that `weakened` is a change; otherwise it is
--   what the call demanded, which may have been so before.
-- column: sets_all: The call named bucket, Regions and validation at once, as the console does whatever was changed.
-- column: until_time: The next call about the trail; NULL for the last state, which lasts to the end of the evidence.
-- column: until_epoch: `until_time` in seconds.
-- column: is_recording: The trail records after the call; NULL when never seen started or stopped.
-- column: sees_key_use: It records key use after the call; NULL when unknown.
-- column: sees_key_admin: It records key administration after the call; NULL when unknown.
WITH trail_calls AS (
  SELECT
    e.event_id, e.event_name, e.event_time, e.event_epoch, e.account_id, e.region, e.trail_name, e.principal, e.source_ip,
    e.user_agent, e.via, e.excludes_kms, e.blinds_key_use, e.blinds_key_admin,
    COALESCE(e.account_id, '') || '/' || COALESCE(e.region, '') || '/' || COALESCE(e.trail_name, e.event_id) AS trail_ref,
    CASE
      WHEN e.event_name IN ('StartLogging', 'StartEventDataStoreIngestion', 'RestoreEventDataStore',
                            'CreateEventDataStore') THEN 'on'
      WHEN e.event_name IN ('StopLogging', 'DeleteTrail', 'StopEventDataStoreIngestion', 'DeleteEventDataStore') THEN 'off'
      WHEN e.event_name = 'CreateTrail' THEN 'created'
      WHEN e.blinds_key_use IS NOT NULL THEN 'selected'
      ELSE 'other'
    END AS effect,
    -- Calls of one second stand in the order in which they can only have happened.
    CASE
      WHEN e.event_name IN ('CreateTrail', 'CreateEventDataStore') THEN 0
      WHEN e.event_name IN ('DeleteTrail', 'DeleteEventDataStore') THEN 2
      ELSE 1
    END AS call_rank,
    REPLACE(COALESCE(e.request_parameters, ''), '": ', '":') AS request_text,
    CASE WHEN e.event_name IN ('CreateTrail', 'UpdateTrail') AND e.response_elements LIKE '%trailARN%'
         THEN REPLACE(e.response_elements, '": ', '":') END AS config_text
  FROM admin_events AS e
  WHERE e.action_class = 'trail'
    AND e.is_ok
    AND e.event_name IN ('CreateTrail', 'UpdateTrail', 'DeleteTrail', 'PutEventSelectors', 'StartLogging', 'StopLogging',
                         'CreateEventDataStore', 'UpdateEventDataStore', 'DeleteEventDataStore', 'RestoreEventDataStore',
                         'StartEventDataStoreIngestion', 'StopEventDataStoreIngestion')
), categories AS (
  SELECT
    a.event_id AS category_id,
    MAX(CASE WHEN a.value = 'Management' THEN 1 ELSE 0 END) AS takes_management
  FROM trail_selectors AS a
  WHERE a.field = 'eventCategory'
  GROUP BY a.event_id
), states AS (
  SELECT
    c.event_id AS state_id,
    c.trail_ref, c.event_epoch, c.call_rank,
    CASE
      WHEN c.effect = 'off' OR c.effect = 'created' OR c.request_text LIKE '%"startIngestion":false%' THEN 0
      WHEN c.effect = 'on' THEN 1
    END AS recording,
    CASE
      WHEN c.event_name = 'CreateEventDataStore' AND m.takes_management = 0 THEN 0
      WHEN c.effect IN ('selected', 'created') OR c.event_name = 'CreateEventDataStore'
        THEN CASE WHEN c.blinds_key_use THEN 0 WHEN NOT c.blinds_key_use THEN 1 END
    END AS selects_use,
    CASE
      WHEN c.event_name = 'CreateEventDataStore' AND m.takes_management = 0 THEN 0
      WHEN c.effect IN ('selected', 'created') OR c.event_name = 'CreateEventDataStore'
        THEN CASE WHEN c.blinds_key_admin THEN 0 WHEN NOT c.blinds_key_admin THEN 1 END
    END AS selects_admin
  FROM trail_calls AS c
  LEFT JOIN categories AS m ON m.category_id = c.event_id
), numbered_states AS (
  SELECT
    s.state_id, s.trail_ref, s.recording, s.selects_use, s.selects_admin,
    CAST(COUNT(s.recording) OVER (PARTITION BY s.trail_ref ORDER BY s.event_epoch, s.call_rank, s.state_id
                                  ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS recording_no,
    CAST(COUNT(s.selects_use) OVER (PARTITION BY s.trail_ref ORDER BY s.event_epoch, s.call_rank, s.state_id
                                    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS selection_no
  FROM states AS s
), known_states AS (
  -- What was said last holds on.
  SELECT
    n.state_id,
    MAX(n.recording) OVER (PARTITION BY n.trail_ref, n.recording_no) AS recording,
    MAX(n.selects_use) OVER (PARTITION BY n.trail_ref, n.selection_no) AS selects_use,
    MAX(n.selects_admin) OVER (PARTITION BY n.trail_ref, n.selection_no) AS selects_admin
  FROM numbered_states AS n
), next_calls AS (
  SELECT
    y.event_id AS followed_id,
    LEAD(y.event_time) OVER (PARTITION BY y.trail_ref ORDER BY y.event_epoch, y.call_rank, y.event_id) AS until_time,
    LEAD(y.event_epoch) OVER (PARTITION BY y.trail_ref ORDER BY y.event_epoch, y.call_rank, y.event_id) AS until_epoch
  FROM trail_calls AS y
), configs AS (
  SELECT
    f.event_id AS config_id,
    f.trail_ref, f.event_epoch,
    NULLIF(SPLIT_PART(SPLIT_PART(f.config_text, '"s3BucketName":"', 2), '"', 1), '') AS s3_bucket,
    NULLIF(SPLIT_PART(SPLIT_PART(f.config_text, '"cloudWatchLogsLogGroupArn":"', 2), '"', 1), '') AS log_group,
    NULLIF(SPLIT_PART(SPLIT_PART(f.config_text, '"kmsKeyId":"', 2), '"', 1), '') AS kms_key,
    CASE WHEN f.config_text LIKE '%"logFileValidationEnabled":true%' THEN 1 ELSE 0 END AS has_validation,
    CASE WHEN f.config_text LIKE '%"isMultiRegionTrail":true%' THEN 1 ELSE 0 END AS is_multi_region,
    CASE WHEN f.config_text LIKE '%"includeGlobalServiceEvents":true%' THEN 1 ELSE 0 END AS has_global_events,
    CASE WHEN f.config_text LIKE '%"isOrganizationTrail":true%' THEN 1 ELSE 0 END AS is_organization
  FROM trail_calls AS f
  WHERE f.config_text IS NOT NULL
), config_history AS (
  SELECT
    h.config_id, h.trail_ref, h.event_epoch, h.s3_bucket, h.log_group, h.kms_key, h.has_validation, h.is_multi_region,
    h.has_global_events, h.is_organization,
    LAG(h.config_id) OVER (PARTITION BY h.trail_ref ORDER BY h.event_epoch, h.config_id) AS old_id,
    LAG(h.s3_bucket) OVER (PARTITION BY h.trail_ref ORDER BY h.event_epoch, h.config_id) AS old_bucket,
    LAG(h.log_group) OVER (PARTITION BY h.trail_ref ORDER BY h.event_epoch, h.config_id) AS old_log_group,
    LAG(h.kms_key) OVER (PARTITION BY h.trail_ref ORDER BY h.event_epoch, h.config_id) AS old_key,
    LAG(h.has_validation) OVER (PARTITION BY h.trail_ref ORDER BY h.event_epoch, h.config_id) AS had_validation,
    LAG(h.is_multi_region) OVER (PARTITION BY h.trail_ref ORDER BY h.event_epoch, h.config_id) AS was_multi_region,
    LAG(h.has_global_events) OVER (PARTITION BY h.trail_ref ORDER BY h.event_epoch, h.config_id) AS had_global_events,
    LAG(h.is_organization) OVER (PARTITION BY h.trail_ref ORDER BY h.event_epoch, h.config_id) AS was_organization
  FROM configs AS h
), judged_calls AS (
  SELECT
    c.event_id AS judged_id,
    CASE WHEN g.old_id IS NULL THEN 0 ELSE 1 END AS is_known,
    CASE WHEN c.request_text LIKE '%"s3BucketName":%' AND c.request_text LIKE '%"isMultiRegionTrail":%'
          AND c.request_text LIKE '%"enableLogFileValidation":%' THEN 1 ELSE 0 END AS sets_all,
    g.s3_bucket, g.log_group, g.kms_key, g.has_validation, g.is_multi_region, g.is_organization,
    -- Without the configuration before, what the call demands stands for the change.
    CASE
      WHEN g.old_id IS NULL AND c.request_text LIKE '%"enableLogFileValidation":false%' THEN ', no log file validation'
      WHEN g.had_validation = 1 AND g.has_validation = 0 THEN ', log file validation off' ELSE '' END
    || CASE
      WHEN g.old_id IS NULL AND c.request_text LIKE '%"isMultiRegionTrail":false%' THEN ', one Region only'
      WHEN g.was_multi_region = 1 AND g.is_multi_region = 0 THEN ', one Region instead of all' ELSE '' END
    || CASE
      WHEN g.old_id IS NULL AND c.request_text LIKE '%"isOrganizationTrail":false%' THEN ', not for the organization'
      WHEN g.was_organization = 1 AND g.is_organization = 0 THEN ', no longer for the organization' ELSE '' END
    || CASE
      WHEN g.old_id IS NULL AND c.request_text LIKE '%"includeGlobalServiceEvents":false%' THEN ', no global service events'
      WHEN g.had_global_events = 1 AND g.has_global_events = 0 THEN ', global service events off' ELSE '' END
    || CASE
      WHEN g.old_id IS NULL AND c.request_text LIKE '%"kmsKeyId":""%' THEN ', no encryption key'
      WHEN g.old_key IS NOT NULL AND g.kms_key IS NULL THEN ', encryption key removed'
      WHEN g.old_key <> g.kms_key THEN ', encryption key replaced by ' || g.kms_key ELSE '' END
    || CASE
      WHEN g.old_id IS NULL AND c.request_text LIKE '%"cloudWatchLogsLogGroupArn":""%' THEN ', no CloudWatch log group'
      WHEN g.old_log_group IS NOT NULL AND g.log_group IS NULL THEN ', CloudWatch log group removed' ELSE '' END
    || CASE
      WHEN g.old_bucket <> g.s3_bucket THEN ', bucket ' || g.old_bucket || ' replaced by ' || g.s3_bucket
      WHEN g.old_id IS NULL AND c.request_text LIKE '%"s3BucketName":"%' THEN ', bucket set to '
        || SPLIT_PART(SPLIT_PART(c.request_text, '"s3BucketName":"', 2), '"', 1) ELSE '' END AS weakened
  FROM trail_calls AS c
  LEFT JOIN config_history AS g ON g.config_id = c.event_id
  WHERE c.event_name IN ('CreateTrail', 'UpdateTrail')
), selector_texts AS (
  SELECT
    t.event_id AS text_id,
    t.field || ' ' || t.operator || ' ' || t.value AS selector,
    CAST(ROW_NUMBER() OVER (PARTITION BY t.event_id ORDER BY t.field, t.operator, t.value) AS BIGINT) AS selector_no
  FROM trail_selectors AS t
), selector_lists AS (
  SELECT l.text_id, STRING_AGG(l.selector, ',') AS selectors
  FROM selector_texts AS l
  WHERE l.selector_no <= 100
  GROUP BY l.text_id
)
SELECT
  c.event_id,
  c.event_name,
  c.event_time,
  c.event_epoch,
  c.account_id,
  c.region,
  c.trail_name,
  c.principal,
  c.source_ip,
  c.user_agent,
  c.via,
  c.effect,
  l.selectors,
  c.excludes_kms,
  c.blinds_key_use,
  c.blinds_key_admin,
  j.s3_bucket,
  j.log_group,
  j.kms_key,
  CASE WHEN j.has_validation = 1 THEN TRUE WHEN j.has_validation = 0 THEN FALSE END AS has_validation,
  CASE WHEN j.is_multi_region = 1 THEN TRUE WHEN j.is_multi_region = 0 THEN FALSE END AS is_multi_region,
  CASE WHEN j.is_organization = 1 THEN TRUE WHEN j.is_organization = 0 THEN FALSE END AS is_organization,
  CASE WHEN c.event_name = 'UpdateTrail' THEN NULLIF(SUBSTR(j.weakened, 3), '') END AS weakened,
  CASE WHEN c.event_name <> 'UpdateTrail' OR j.weakened = '' THEN NULL WHEN j.is_known = 1 THEN TRUE
       ELSE FALSE END AS is_weakening_known,
  CASE WHEN j.sets_all = 1 THEN TRUE WHEN j.sets_all = 0 THEN FALSE END AS sets_all,
  n.until_time,
  n.until_epoch,
  CASE WHEN k.recording = 1 THEN TRUE WHEN k.recording = 0 THEN FALSE END AS is_recording,
  CASE WHEN k.recording = 0 OR k.selects_use = 0 THEN FALSE WHEN k.recording = 1 AND k.selects_use = 1 THEN TRUE
       END AS sees_key_use,
  CASE WHEN k.recording = 0 OR k.selects_admin = 0 THEN FALSE WHEN k.recording = 1 AND k.selects_admin = 1 THEN TRUE
       END AS sees_key_admin
FROM trail_calls AS c
JOIN known_states AS k ON k.state_id = c.event_id
JOIN next_calls AS n ON n.followed_id = c.event_id
LEFT JOIN judged_calls AS j ON j.judged_id = c.event_id
LEFT JOIN selector_lists AS l ON l.text_id = c.event_id
ORDER BY event_time, event_id
