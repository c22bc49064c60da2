-- title: Trail weakened
-- severity: high
-- attack: T1562.008 / v19 T1685.002, T1565
-- description: UpdateTrail took a protection away: log file validation, the encryption key, the coverage of all Regions,
--   of the organization or of global services, the CloudWatch log group, or it moved the log files to another bucket. The
--   trail goes on, but it tells less, or to somebody else, or its files can be changed unnoticed. High when the evidence
--   holds the configuration before and so proves the change; otherwise medium, because the call asked for it, and low
--   when the call set everything at once, as the console does whatever was changed.
-- false-positives: Infrastructure as code that rebuilds a trail. A call that repeats the configuration known before is left
--   out, and so is a move to a bucket that another trail of the evidence already used.
-- blind-spots: Whose a bucket is cannot be told from its name. What was weakened before the evidence begins.
-- reads: trails
WITH weakenings AS (
  SELECT
    t.event_id, t.event_name, t.event_time, t.event_epoch, t.account_id, t.region, t.principal, t.source_ip, t.user_agent, t.via,
    COALESCE(t.trail_name, 'an unnamed trail') AS trail_name,
    t.weakened, t.s3_bucket, t.kms_key,
    CASE WHEN t.is_weakening_known THEN 1 ELSE 0 END AS is_known,
    CASE WHEN t.sets_all THEN 1 ELSE 0 END AS sets_all,
    CASE WHEN t.weakened LIKE 'bucket %' THEN 1 ELSE 0 END AS is_bucket_only
  FROM trails AS t
  WHERE t.weakened IS NOT NULL
), shared_buckets AS (
  SELECT DISTINCT w.event_id AS shared_id
  FROM weakenings AS w
  JOIN trails AS o ON o.s3_bucket = w.s3_bucket
  WHERE w.is_bucket_only = 1
    AND COALESCE(o.trail_name, '') <> w.trail_name
    AND o.event_epoch <= w.event_epoch
), restores AS (
  -- UpdateTrail and CreateTrail with nothing weakened: the next of them bounds the time.
  SELECT
    a.event_id AS restored_id,
    MIN(b.event_epoch) AS next_epoch
  FROM weakenings AS a
  JOIN trails AS b ON b.account_id = a.account_id AND b.region = a.region AND b.trail_name = a.trail_name
  WHERE b.event_name IN ('CreateTrail', 'UpdateTrail')
    AND b.weakened IS NULL
    AND b.event_epoch > a.event_epoch
  GROUP BY a.event_id
)
SELECT
  w.event_time AS first_time,
  w.event_time AS last_time,
  w.account_id,
  w.region,
  CAST(NULL AS STRING) AS key_arn,
  w.principal,
  w.source_ip,
  CAST(1 AS BIGINT) AS event_count,
  CASE WHEN w.is_known = 1 THEN 'high' WHEN w.sets_all = 1 THEN 'low' ELSE 'medium' END AS severity,
  COALESCE(w.principal, 'An unnamed principal') || ' weakened trail ' || w.trail_name || ' with UpdateTrail: ' || w.weakened
    || CASE
         WHEN w.is_known = 1 THEN ''
         WHEN w.sets_all = 1 THEN '; the configuration before is not in the evidence, and the call set all of it, so this may be no change'
         ELSE '; the configuration before is not in the evidence'
       END
    || CASE WHEN r.next_epoch IS NULL THEN '; not updated again within the evidence.'
            ELSE '; updated again after ' || CAST(r.next_epoch - w.event_epoch AS STRING) || ' seconds.' END AS summary,
  w.event_id AS event_ids,
  w.trail_name,
  w.weakened,
  w.s3_bucket,
  w.kms_key,
  r.next_epoch - w.event_epoch AS weakened_seconds,
  w.via,
  w.user_agent
FROM weakenings AS w
LEFT JOIN shared_buckets AS s ON s.shared_id = w.event_id
LEFT JOIN restores AS r ON r.restored_id = w.event_id
WHERE s.shared_id IS NULL
ORDER BY first_time, event_ids
