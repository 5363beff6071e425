-- What people decided about the data: rejections and corrections. By realm and UIDs, so that they outlive a rebuilt index.

-- One act of rejecting a study, series (series_uid) or instance (both). Kept while anything of it is rejected.
create table rejection (
    id text primary key,                              -- random; names it outside
    realm text not null,
    study_uid text not null,
    series_uid text,
    instance_uid text,
    reason text not null,                             -- code value of PS3.16 CID 7011
    note text not null,
    about text not null,                              -- DICOM JSON of what a person knows it by: its rows are gone meanwhile
    actor text not null,
    at text not null,
    until text not null                               -- when it is erased; '' where nobody set an end
) without rowid;
create index rejection_by_at on rejection (realm, at desc, id);
create index rejection_by_until on rejection (until) where until <> '';

-- The instances that are rejected now; their bytes' row is the one of `instance` in state 'rejected'.
create table rejected_instance (
    realm text not null,
    instance_uid text not null,
    study_uid text not null,
    series_uid text not null,
    source text not null,
    size integer not null,
    rejection_id text not null references rejection (id),
    primary key (realm, instance_uid)
) without rowid;
create index rejected_instance_by_study on rejected_instance (realm, study_uid, series_uid);
create index rejected_instance_by_series on rejected_instance (realm, series_uid);
create index rejected_instance_by_rejection on rejected_instance (rejection_id, instance_uid);

-- One act of correcting attributes; undone ones stay, as history.
create table correction (
    number integer primary key autoincrement,         -- of several for one attribute the latest counts
    id text not null unique,                          -- random; names it outside
    realm text not null,
    kind text not null check (kind in ('COERCE', 'CORRECT')),  -- Reason for the Attribute Modification (0400,0565)
    reason text not null,
    actor text not null,
    at text not null,
    undone_at text,
    undone_by text
);
create index correction_by_realm on correction (realm, number desc);

create table corrected_value (
    correction_id text not null references correction (id) on delete cascade,
    realm text not null,
    study_uid text not null,
    tag text not null,
    value text not null,                              -- element of the DICOM JSON Model; without Value: empty
    former text not null,                             -- what was served before
    primary key (correction_id, study_uid, tag)
) without rowid;
create index corrected_value_by_study on corrected_value (realm, study_uid);

-- Both null where nothing is corrected.
alter table study add column overlay text;            -- [[at, kind, {tag: element}], …], each tag once, the earliest first
alter table study add column uncorrected text;        -- what `attributes` would be without
