-- Labels, and the rules that give them. All of it is what people decided: it names studies and series by UID and
-- outlives a rebuilt index.

create table label (
    id text primary key,
    realm text not null,
    name text not null,                               -- as first written
    folded text not null,                             -- what two labels may not share
    made_at text not null,
    made_by text not null,
    unique (realm, folded)
) without rowid;

-- By hand (rule_id '') and by each rule, side by side: neither ever touches the other's rows.
create table label_member (
    label_id text not null references label (id),
    study_uid text not null,
    series_uid text not null default '',              -- '': the study itself
    rule_id text not null default '',
    realm text not null,
    actor text not null,
    at text not null,
    primary key (label_id, study_uid, series_uid, rule_id)
) without rowid;
create index label_member_by_target on label_member (realm, study_uid, series_uid);
create index label_member_by_rule on label_member (rule_id, study_uid) where rule_id <> '';

create table rule (
    id text primary key,
    realm text not null,
    name text not null,
    folded text not null,
    conditions text not null,                         -- JSON: [[attribute, value], …]
    level text not null check (level in ('study', 'series')),
    label_id text not null references label (id),
    enabled integer not null,
    ended integer not null default 0,                 -- 1: being deleted, once its labels are gone
    version integer not null default 1,               -- grows with each change
    run text not null check (run in ('waiting', 'running', 'done')),
    run_after text not null default '',               -- studies up to this UID are done
    run_done integer not null default 0,
    run_total integer not null default 0,
    run_at text not null,
    made_at text not null,
    made_by text not null,
    unique (realm, folded)
) without rowid;

-- How far each reader of the feed has come; `transaction_id` is PostgreSQL's (archive/changes.py).
create table change_cursor (
    reader text primary key,
    transaction_id integer not null,
    change_id integer not null
) without rowid;
