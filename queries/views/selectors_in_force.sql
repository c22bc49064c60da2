-- title: What each trail records
-- description: One row per trail and event data store that the evidence knows, from calls about it or from the log objects it
--   wrote, with what was last said of its selectors and whether it records the use and the administration of keys.
--   Selectors that were set before the evidence begins are not in it: then the answer is unknown, and only KMS events
--   themselves show that some trail recorded them.
-- reads: trails, named_objects
-- column: account_id: The trail's account.
-- column: region: Its home Region.
-- column: trail_name: Its name or the event data store's id; NULL when a call about it does not tell.
-- column: key_use: `yes`, `no` or `unknown`: it records the use of keys at the end of the evidence, as far as this tells.
-- column: key_admin: The same for the administration of keys.
-- column: selectors: The selectors last set, as `field operator value`, comma-separated; NULL when no call set any.
-- column: selectors_time: When; NULL when no call set any. A trail that was made within the evidence has the default
--   selectors, which take all management events, until others are set.
-- column: selectors_by: Who set them.
-- column: is_recording: Started or stopped last; NULL when neither is in the evidence.
-- column: last_change_time: The last call about the trail that changed something.
-- column: last_change: Its operation.
-- column: last_change_by: Who made it.
-- column: is_multi_region: It covers all Regions, as the last call told that says so.
-- column: is_organization: It covers the organization, as above.
-- column: blind_count: Calls that ended the recording of key use: by stopping the trail or by its selectors.
-- column: blind_time: The first of them.
-- column: blind_until_time: When it was ended for the last time; NULL when it lasts to the end of the evidence.
-- column: last_blind_time: The last call that ended the recording of key use.
-- column: last_blind_epoch: `last_blind_time` in seconds.
-- column: blind_epoch: `blind_time` in seconds.
-- column: blind_until_epoch: `blind_until_time` in seconds.
-- column: named_count: Log objects that the evidence shows it to have written; one that is named on two days counts twice.
WITH calls AS (
  SELECT
    COALESCE(t.account_id, '') || '/' || COALESCE(t.region, '') || '/' || COALESCE(t.trail_name, t.event_id) AS trail_ref,
    t.event_id, t.event_name, t.event_time, t.event_epoch, t.account_id, t.region, t.trail_name, t.principal, t.effect,
    t.selectors, t.blinds_key_use, t.blinds_key_admin, t.is_multi_region, t.is_organization, t.until_time, t.until_epoch,
    t.is_recording, t.sees_key_use, t.sees_key_admin,
    -t.event_epoch AS back_epoch,
    -- Of the calls of one second the creation came first.
    CASE WHEN t.effect = 'created' THEN 1 ELSE 0 END AS back_rank
  FROM trails AS t
), last_calls AS (
  SELECT
    c.trail_ref, c.account_id, c.region, c.trail_name, c.event_name, c.event_time, c.principal, c.is_recording, c.sees_key_use,
    c.sees_key_admin
  FROM calls AS c
  WHERE c.until_epoch IS NULL
), selections AS (
  SELECT
    s.trail_ref AS selected_ref, s.event_time, s.principal, s.selectors, s.blinds_key_use, s.blinds_key_admin, s.effect,
    CAST(ROW_NUMBER() OVER (PARTITION BY s.trail_ref ORDER BY s.back_epoch, s.back_rank, s.event_id) AS BIGINT) AS back_no
  FROM calls AS s
  WHERE s.effect IN ('selected', 'created')
    OR s.event_name = 'CreateEventDataStore'
), last_selections AS (
  SELECT x.selected_ref, x.event_time, x.principal, x.selectors, x.blinds_key_use, x.blinds_key_admin
  FROM selections AS x
  WHERE x.back_no = 1
), configs AS (
  SELECT
    g.trail_ref AS config_ref, g.is_multi_region, g.is_organization,
    CAST(ROW_NUMBER() OVER (PARTITION BY g.trail_ref ORDER BY g.back_epoch, g.back_rank, g.event_id) AS BIGINT) AS config_no
  FROM calls AS g
  WHERE g.is_multi_region IS NOT NULL
), last_configs AS (
  SELECT y.config_ref, y.is_multi_region, y.is_organization
  FROM configs AS y
  WHERE y.config_no = 1
), spells AS (
  SELECT
    b.trail_ref AS blind_ref,
    CAST(COUNT(*) AS BIGINT) AS blind_count,
    MIN(b.event_time) AS blind_time,
    MIN(b.event_epoch) AS blind_epoch,
    MAX(b.event_time) AS last_blind_time,
    MAX(b.event_epoch) AS last_blind_epoch,
    MAX(CASE WHEN b.until_epoch IS NULL THEN 1 ELSE 0 END) AS is_open,
    MAX(b.until_time) AS until_time,
    MAX(b.until_epoch) AS until_epoch
  FROM calls AS b
  WHERE b.blinds_key_use
    AND b.effect IN ('off', 'selected')
  GROUP BY b.trail_ref
), named AS (
  SELECT
    n.trail_account || '/' || n.trail_region || '/' || n.trail_name AS named_ref,
    n.trail_account, n.trail_region, n.trail_name AS named_name,
    CAST(COUNT(*) AS BIGINT) AS named_count
  FROM named_objects AS n
  GROUP BY n.trail_account, n.trail_region, n.trail_name
), refs AS (
  SELECT r.trail_ref AS one_ref FROM last_calls AS r
  UNION
  SELECT m.named_ref AS one_ref FROM named AS m
)
SELECT
  COALESCE(l.account_id, n.trail_account) AS account_id,
  COALESCE(l.region, n.trail_region) AS region,
  COALESCE(l.trail_name, n.named_name) AS trail_name,
  CASE
    WHEN NOT l.sees_key_use THEN 'no'
    WHEN NOT s.blinds_key_use AND COALESCE(l.is_recording, TRUE) THEN 'yes'
    ELSE 'unknown'
  END AS key_use,
  CASE
    WHEN NOT l.sees_key_admin THEN 'no'
    WHEN NOT s.blinds_key_admin AND COALESCE(l.is_recording, TRUE) THEN 'yes'
    ELSE 'unknown'
  END AS key_admin,
  s.selectors,
  s.event_time AS selectors_time,
  s.principal AS selectors_by,
  l.is_recording,
  l.event_time AS last_change_time,
  l.event_name AS last_change,
  l.principal AS last_change_by,
  g.is_multi_region,
  g.is_organization,
  COALESCE(b.blind_count, 0) AS blind_count,
  b.blind_time,
  CASE WHEN b.is_open = 0 THEN b.until_time END AS blind_until_time,
  b.last_blind_time,
  b.last_blind_epoch,
  b.blind_epoch,
  CASE WHEN b.is_open = 0 THEN b.until_epoch END AS blind_until_epoch,
  COALESCE(n.named_count, 0) AS named_count
FROM refs AS r
LEFT JOIN last_calls AS l ON l.trail_ref = r.one_ref
LEFT JOIN named AS n ON n.named_ref = r.one_ref
LEFT JOIN last_selections AS s ON s.selected_ref = r.one_ref
LEFT JOIN last_configs AS g ON g.config_ref = r.one_ref
LEFT JOIN spells AS b ON b.blind_ref = r.one_ref
ORDER BY account_id NULLS LAST, region NULLS LAST, trail_name NULLS LAST, last_change_time NULLS LAST
