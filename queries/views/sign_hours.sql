-- title: Hours with a sign of recording
-- description: The hours in which a log file was delivered, or a record was made that the case keeps, for each account and
--   Region. What lies between them tells the rhythm of a place, and its gaps.
-- reads: delivery_hours, place_hours
-- partition: hour
-- column: account_id: The account.
-- column: region: The Region.
-- column: hour_epoch: Start of the hour, seconds since 1970-01-01 UTC.
-- column: first_sign_time: The first delivery or record in it; of a file whose name has no time, its latest record.
-- column: last_sign_time: The last one.
WITH signs AS (
  SELECT
    d.account_id, d.region, d.hour_epoch,
    COALESCE(d.first_delivery_time, d.last_time) AS first_sign,
    COALESCE(d.last_delivery_time, d.last_time) AS last_sign
  FROM delivery_hours AS d
  UNION ALL
  SELECT h.account_id, h.region, h.hour_epoch, h.first_time AS first_sign, h.last_time AS last_sign
  FROM place_hours AS h
  WHERE h.account_id IS NOT NULL
    AND h.region IS NOT NULL
)
SELECT
  s.account_id,
  s.region,
  s.hour_epoch,
  MIN(s.first_sign) AS first_sign_time,
  MAX(s.last_sign) AS last_sign_time
FROM signs AS s
GROUP BY s.account_id, s.region, s.hour_epoch
ORDER BY hour_epoch, account_id, region
