-- How many different records of this table each principal read in the last days, over all hosts together: what was read on two
-- hosts, or twice, counts once. Needs [export.records] on the hosts, and the same history.key on all of them: principals with more
-- than one line here were seen by hosts whose keys differ.
WITH
    'customers' AS the_table, now() - toIntervalDay(7) AS since,
    4294967296 AS all_hashes,
    sketches AS (
        SELECT
            LogAttributes['user.name'] AS user,
            LogAttributes['db.namespace'] AS database,
            LogAttributes['data_access.records.secret'] AS secret,
            ResourceAttributes['host.name'] AS host,
            toUInt64(LogAttributes['data_access.records.limit']) AS limit_of_one,
            arrayMap(hash -> reinterpretAsUInt32(reverse(unhex(hash))),
                     splitByChar(' ', LogAttributes['data_access.records.hashes'])) AS hashes
        FROM otel_logs
        WHERE mapContains(LogAttributes, 'data_access.records.hashes') AND Timestamp >= since
          AND has(splitByChar(',', LogAttributes['db.collection.name']), the_table)
    ),
    -- Hashes below the lowest limit are complete in all sketches: of them, the 512 smallest, as in one sketch of all.
    united AS (
        SELECT
            user, database, secret,
            arraySort(groupUniqArray(host)) AS hosts,
            min(limit_of_one) AS lowest,
            arrayFilter(hash -> hash < lowest, arraySort(groupUniqArrayArray(hashes))) AS below,
            if(length(below) > 512, toUInt64(below[513]), lowest) AS limit_of_all
        FROM sketches
        GROUP BY user, database, secret
    )
SELECT
    user, database, hosts,
    toUInt64(round(arrayCount(hash -> hash < limit_of_all, below) * all_hashes / limit_of_all)) AS records,
    limit_of_all = all_hashes AS exact,
    secret
FROM united
ORDER BY records DESC;
