-- Peers offered as proxies. What was fetched lies in a realm of its own, `proxy:` and the peer's id. Times are UTC, ISO 8601.

create table proxied_study (
    realm text not null,
    study_uid text not null,
    fetched_at text not null,                -- when the first of it came
    used_at text not null,                   -- when it was last asked for; within a minute
    primary key (realm, study_uid)
);
create index proxied_study_by_use on proxied_study (used_at);

-- Who fetches what now: one process, as long as it keeps its lease.
create table proxy_fetch (
    realm text not null,
    study_uid text not null,
    what text not null,                      -- a series, or one instance of it
    holder text not null,
    until text not null,
    primary key (realm, study_uid, what)
);
