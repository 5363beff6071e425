-- What somebody ticked: studies and series by their UIDs, so that it outlives a rebuilt index.
create table selection (
    id text primary key,                              -- random: who has it may use it, within their own scope
    realm text not null default 'main',
    actor text not null,                              -- who made it
    used_at text not null                             -- swept when this is long ago
) without rowid;
create index selection_by_use on selection (used_at);

create table selection_member (
    selection_id text not null references selection (id) on delete cascade,
    study_uid text not null,
    series_uid text not null default '',              -- '': the whole study
    primary key (selection_id, study_uid, series_uid)
) without rowid;
