-- Labels, and the rules that give them. All of it is what people decided: it names studies and series by UID and
-- outlives a rebuilt index.

create table label (
    id text collate "C" primary key,
    realm text collate "C" not null,
    name text collate "C" not null,                               -- as first written
    folded text collate "C" not null,                             -- what two labels may not share
    made_at text collate "C" not null,
    made_by text collate "C" not null,
    unique (realm, folded)
);

-- By hand (rule_id '') and by each rule, side by side: neither ever touches the other's rows.
create table label_member (
    label_id text collate "C" not null references label (id),
    study_uid text collate "C" not null,
    series_uid text collate "C" not null default '',              -- '': the study itself
    rule_id text collate "C" not null default '',
    realm text collate "C" not null,
    actor text collate "C" not null,
    at text collate "C" not null,
    primary key (label_id, study_uid, series_uid, rule_id)
);
create index label_member_by_target on label_member (realm, study_uid, series_uid);
create index label_member_by_rule on label_member (rule_id, study_uid) where rule_id <> '';

create table rule (
    id text collate "C" primary key,
    realm text collate "C" not null,
    name text collate "C" not null,
    folded text collate "C" not null,
    conditions text collate "C" not null,                         -- JSON: [[attribute, value], …]
    level text collate "C" not null check (level in ('study', 'series')),
    label_id text collate "C" not null references label (id),
    enabled integer not null,
    ended integer not null default 0,                 -- 1: being deleted, once its labels are gone
    version bigint not null default 1,               -- grows with each change
    run text collate "C" not null check (run in ('waiting', 'running', 'done')),
    run_after text collate "C" not null default '',               -- studies up to this UID are done
    run_done bigint not null default 0,
    run_total bigint not null default 0,
    run_at text collate "C" not null,
    made_at text collate "C" not null,
    made_by text collate "C" not null,
    unique (realm, folded)
);

-- How far each reader of the feed has come. Rows are read in the order of their transactions: none with a number
-- below pg_snapshot_xmin can still come, while one with a lower id can.
create table change_cursor (
    reader text collate "C" primary key,
    transaction_id bigint not null,
    change_id bigint not null
);
create index change_by_transaction on change (txid, id);
