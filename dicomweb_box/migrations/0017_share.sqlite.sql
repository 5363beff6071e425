-- Links that show a part of the archive to whoever has them, and the browsers in which one was opened.

create table share (
    id text primary key,
    digest text not null unique,             -- SHA-256 of what is in the address
    name text not null,
    account_id text references account (id), -- whose rights bound it; null: made without accounts
    rights text not null,
    scope text not null,
    opens text not null,                     -- address of the page to begin with
    password text,                           -- argon2id; null: the link is enough
    made_at text not null,
    made_by text not null,
    ends_at text not null,
    revoked_at text,
    uses integer not null default 0,
    used_at text
) without rowid;
create index share_by_account on share (account_id);

create table share_session (
    digest text primary key,                 -- SHA-256 of the cookie
    share_id text not null references share (id),
    ends_at text not null
) without rowid;
create index share_session_by_share on share_session (share_id);
