-- The twin of 0004_selection.sqlite.sql, where each column is explained.
create table selection (
    id text collate "C" primary key,
    realm text collate "C" not null default 'main',
    actor text collate "C" not null,
    used_at text collate "C" not null
);
create index selection_by_use on selection (used_at);

create table selection_member (
    selection_id text collate "C" not null references selection (id) on delete cascade,
    study_uid text collate "C" not null,
    series_uid text collate "C" not null default '',
    primary key (selection_id, study_uid, series_uid)
);
