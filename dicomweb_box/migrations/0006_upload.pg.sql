-- What people and programs bring by upload: the record outlives the index (`reindex` leaves it alone), so it names studies by UID.
create table upload_session (
    id text collate "C" primary key,                              -- random, its public name
    realm text collate "C" not null,
    name text collate "C" not null,
    actor text collate "C" not null,                              -- who began it
    labels text collate "C" not null default '[]',                -- JSON: labels for each study it brings
    begun_at text collate "C" not null,
    changed_at text collate "C" not null,
    files bigint not null default 0,                 -- announced
    size bigint not null default 0,                  -- bytes that are to be sent
    received bigint not null default 0,              -- files of which every byte is here
    received_size bigint not null default 0,         -- bytes that are durable
    settled bigint not null default 0,               -- files whose outcome is known
    stored bigint not null default 0,                -- instances that are new
    already bigint not null default 0,
    skipped bigint not null default 0,               -- files and members that are no instances
    refused bigint not null default 0
);
create index upload_session_by_time on upload_session (realm, begun_at desc, id desc);

create table upload_file (
    id text collate "C" primary key,                              -- random
    session_id text collate "C" not null references upload_session (id) on delete cascade,
    digest text collate "C" not null,                             -- SHA-256 of path, size and last modification: the same file again
    path text collate "C" not null,                               -- as its sender names it; never a place on this machine
    size bigint not null,
    state text collate "C" not null check (state in ('waiting', 'arrived', 'stored', 'already', 'skipped', 'refused', 'unpacked', 'expired')),
    message text collate "C" not null default '',
    received bigint not null default 0,              -- bytes that are durable
    chunk_offset bigint not null default 0,          -- where the last chunk begins
    chunk_sha256 text collate "C" not null default '',            -- its digest: is it the same file that goes on
    stored bigint not null default 0,
    already bigint not null default 0,
    skipped bigint not null default 0,
    refused bigint not null default 0,
    member bigint not null default 0,                -- 1: refused within an archive, not announced by itself
    changed_at text collate "C" not null,
    unique (session_id, digest)
);
create index upload_file_by_state on upload_file (session_id, state, changed_at desc, id desc);
create index upload_file_by_time on upload_file (session_id, changed_at desc, id desc);
create index upload_file_arrived on upload_file (changed_at) where state = 'arrived';
create index upload_file_waiting on upload_file (changed_at) where state = 'waiting';

create table upload_study (
    session_id text collate "C" not null references upload_session (id) on delete cascade,
    study_uid text collate "C" not null,
    primary key (session_id, study_uid)
);
