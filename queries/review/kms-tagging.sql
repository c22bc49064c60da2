-- title: Tags of keys
-- severity: low
-- description: Whether each key carries a tag, as far as its making and its tagging are in the evidence, and how often its
--   tags changed. Tags say whose key it is and what for, and where permissions depend on tags a change of tags is a
--   change of permissions.
-- false-positives: Keys of estates that keep their inventory elsewhere, and keys of tests. Left out: keys that are being
--   deleted, keys that AWS manages and keys of others.
-- blind-spots: Evidence in logs only: absence is not proof. Tags set before the evidence do not show, so a key that is older
--   than the evidence and was not tagged in it is unknown.
-- reads: keys, tag_entries, admin_events
-- params: grace_days = 1
WITH tag_acts AS (
  SELECT
    a.event_id AS act_id,
    a.event_epoch AS act_epoch,
    a.event_time AS act_time,
    a.principal AS act_by,
    CASE WHEN a.event_name = 'ReplicateKey' THEN a.target_key_arn ELSE a.key_arn END AS act_key
  FROM admin_events AS a
  WHERE a.is_ok
    AND a.event_source = 'kms.amazonaws.com'
    AND a.event_name IN ('CreateKey', 'ReplicateKey', 'TagResource', 'UntagResource')
), creations AS (
  SELECT c.key_arn AS made_key, MIN(c.event_id) AS made_id
  FROM admin_events AS c
  WHERE c.is_ok
    AND c.event_source = 'kms.amazonaws.com'
    AND c.event_name = 'CreateKey'
    AND c.key_arn IS NOT NULL
  GROUP BY c.key_arn
), changes AS (
  SELECT t.act_key, t.act_id, t.act_epoch, t.act_time, t.act_by, e.tag_key, e.change
  FROM tag_entries AS e
  JOIN tag_acts AS t ON t.act_id = e.event_id
  WHERE t.act_key IS NOT NULL
    AND e.tag_key IS NOT NULL
), numbered_changes AS (
  SELECT
    n.act_key, n.act_id, n.act_epoch, n.act_time, n.act_by, n.tag_key, n.change,
    CAST(ROW_NUMBER() OVER (PARTITION BY n.act_key, n.tag_key ORDER BY -n.act_epoch, n.act_id) AS BIGINT) AS back_no,
    CAST(ROW_NUMBER() OVER (PARTITION BY n.act_key ORDER BY -n.act_epoch, n.act_id, n.tag_key) AS BIGINT) AS key_back_no
  FROM changes AS n
), tagged_keys AS (
  SELECT
    g.act_key AS tagged_key,
    MIN(g.act_time) AS tag_first,
    MAX(g.act_time) AS tag_last,
    CAST(COUNT(DISTINCT g.act_id) AS BIGINT) AS change_count,
    CAST(COUNT(CASE WHEN g.back_no = 1 AND g.change = 'set' THEN 1 END) AS BIGINT) AS tag_count,
    CAST(COUNT(CASE WHEN g.change = 'removed' THEN 1 END) AS BIGINT) AS removed_count,
    MIN(CASE WHEN g.back_no = 1 AND g.change = 'set' THEN g.tag_key END) AS first_tag,
    MAX(CASE WHEN g.key_back_no = 1 THEN g.act_by END) AS last_by,
    MAX(CASE WHEN g.key_back_no = 1 THEN g.act_id END) AS last_id
  FROM numbered_changes AS g
  GROUP BY g.act_key
), judged AS (
  SELECT
    k.key_arn, k.key_account_id, k.key_region, k.aliases, k.creator, k.created_time, k.first_time, k.last_time,
    d.tag_first, d.tag_last, d.first_tag, d.last_by, d.last_id,
    COALESCE(d.change_count, 0) AS change_count,
    COALESCE(d.tag_count, 0) AS tag_count,
    COALESCE(d.removed_count, 0) AS removed_count,
    m.made_id,
    CASE WHEN d.tag_count > 0 THEN 'tagged'
         WHEN d.removed_count > 0 AND k.created_epoch IS NOT NULL THEN 'untagged'
         WHEN d.removed_count > 0 THEN 'removed'
         WHEN v.last_epoch - k.created_epoch >= p.grace_days * 86400 THEN 'never tagged'
         ELSE 'not seen' END AS state
  FROM keys AS k
  CROSS JOIN evidence AS v
  CROSS JOIN params AS p
  LEFT JOIN tagged_keys AS d ON d.tagged_key = k.key_arn
  LEFT JOIN creations AS m ON m.made_key = k.key_arn
  WHERE k.is_home
    AND NOT k.is_aws_managed
    AND COALESCE(k.state, 'enabled') NOT IN ('pending_deletion', 'deleted')
)
SELECT
  COALESCE(j.tag_first, j.created_time, j.first_time) AS first_time,
  COALESCE(j.tag_last, j.created_time, j.last_time) AS last_time,
  j.key_account_id AS account_id,
  j.key_region AS region,
  j.key_arn,
  CASE WHEN j.state = 'never tagged' THEN j.creator ELSE j.last_by END AS principal,
  CAST(NULL AS STRING) AS source_ip,
  CASE WHEN j.state = 'never tagged' THEN CAST(1 AS BIGINT) ELSE j.change_count END AS event_count,
  CASE WHEN j.state IN ('untagged', 'never tagged') THEN 'low' ELSE 'info' END AS severity,
  'Key ' || j.key_arn || COALESCE(' (' || j.aliases || ')', '')
    || CASE j.state
         WHEN 'tagged' THEN ' has ' || CAST(j.tag_count AS STRING) || ' tags that the evidence shows, among them '
           || COALESCE(j.first_tag, 'one without a name')
         WHEN 'untagged' THEN ' has no tag left after ' || COALESCE(j.last_by, 'an unnamed principal') || ' removed the last one'
         WHEN 'removed' THEN ' lost tags (' || CAST(j.removed_count AS STRING) || ' removals, the last by '
           || COALESCE(j.last_by, 'an unnamed principal') || ') and none was set in the evidence that is still there'
         WHEN 'never tagged' THEN ' was made by ' || COALESCE(j.creator, 'an unnamed principal') || ' and never tagged'
         ELSE ' was not tagged in the evidence' END
    || ' (changes: ' || CAST(j.change_count AS STRING) || ').' AS summary,
  COALESCE(j.last_id, j.made_id) AS event_ids,
  j.key_arn AS subject,
  CASE WHEN j.state = 'tagged' THEN 'pass'
       WHEN j.state IN ('untagged', 'never tagged') THEN 'fail'
       ELSE 'unknown' END AS result,
  j.state AS tag_state,
  j.tag_count,
  j.change_count,
  j.removed_count
FROM judged AS j
ORDER BY subject
