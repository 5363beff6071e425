-- What people and programs bring by upload: the record outlives the index (`reindex` leaves it alone), so it names studies by UID.
create table upload_session (
    id text primary key,                              -- random, its public name
    realm text not null,
    name text not null,
    actor text not null,                              -- who began it
    labels text not null default '[]',                -- JSON: labels for each study it brings
    begun_at text not null,
    changed_at text not null,
    files integer not null default 0,                 -- announced
    size integer not null default 0,                  -- bytes that are to be sent
    received integer not null default 0,              -- files of which every byte is here
    received_size integer not null default 0,         -- bytes that are durable
    settled integer not null default 0,               -- files whose outcome is known
    stored integer not null default 0,                -- instances that are new
    already integer not null default 0,
    skipped integer not null default 0,               -- files and members that are no instances
    refused integer not null default 0
) without rowid;
create index upload_session_by_time on upload_session (realm, begun_at desc, id desc);

create table upload_file (
    id text primary key,                              -- random
    session_id text not null references upload_session (id) on delete cascade,
    digest text not null,                             -- SHA-256 of path, size and last modification: the same file again
    path text not null,                               -- as its sender names it; never a place on this machine
    size integer not null,
    state text not null check (state in ('waiting', 'arrived', 'stored', 'already', 'skipped', 'refused', 'unpacked', 'expired')),
    message text not null default '',
    received integer not null default 0,              -- bytes that are durable
    chunk_offset integer not null default 0,          -- where the last chunk begins
    chunk_sha256 text not null default '',            -- its digest: is it the same file that goes on
    stored integer not null default 0,
    already integer not null default 0,
    skipped integer not null default 0,
    refused integer not null default 0,
    member integer not null default 0,                -- 1: refused within an archive, not announced by itself
    changed_at text not null,
    unique (session_id, digest)
) without rowid;
create index upload_file_by_state on upload_file (session_id, state, changed_at desc, id desc);
create index upload_file_by_time on upload_file (session_id, changed_at desc, id desc);
create index upload_file_arrived on upload_file (changed_at) where state = 'arrived';
create index upload_file_waiting on upload_file (changed_at) where state = 'waiting';

create table upload_study (
    session_id text not null references upload_session (id) on delete cascade,
    study_uid text not null,
    primary key (session_id, study_uid)
) without rowid;
