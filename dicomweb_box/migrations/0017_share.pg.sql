-- Links that show a part of the archive to whoever has them, and the browsers in which one was opened.

create table share (
    id text collate "C" primary key,
    digest text collate "C" not null unique,             -- SHA-256 of what is in the address
    name text collate "C" not null,
    account_id text collate "C" references account (id), -- whose rights bound it; null: made without accounts
    rights text collate "C" not null,
    scope text collate "C" not null,
    opens text collate "C" not null,                     -- address of the page to begin with
    password text collate "C",                           -- argon2id; null: the link is enough
    made_at text collate "C" not null,
    made_by text collate "C" not null,
    ends_at text collate "C" not null,
    revoked_at text collate "C",
    uses integer not null default 0,
    used_at text
);
create index share_by_account on share (account_id);

create table share_session (
    digest text collate "C" primary key,                 -- SHA-256 of the cookie
    share_id text collate "C" not null references share (id),
    ends_at text collate "C" not null
);
create index share_session_by_share on share_session (share_id);
