-- Who may do what. Times are UTC, ISO 8601 to the second; secrets are kept as digests or sealed, never as they are.

create table role (
    name text primary key,
    rights text not null,                    -- JSON: names of rights
    made_at text not null,
    made_by text not null
) without rowid;
insert into role (name, rights, made_at, made_by) values
    ('viewer', '["see","identities"]', '1970-01-01T00:00:00+00:00', 'dicomweb_box'),
    ('researcher', '["see","export","label","store"]', '1970-01-01T00:00:00+00:00', 'dicomweb_box'),
    ('operator', '["see","identities","store","label","rules","correct","delete","export","send","share","operate"]',
        '1970-01-01T00:00:00+00:00', 'dicomweb_box'),
    ('administrator', '["see","identities","store","label","rules","correct","delete","export","send","share","peers","audit","operate","administer"]',
        '1970-01-01T00:00:00+00:00', 'dicomweb_box');

create table account (
    id text primary key,
    name text not null,
    folded text not null unique,             -- what two accounts may not share
    full_name text not null default '',
    role text not null references role (name),
    scope text not null default '{}',       -- JSON: studies, sources, labels; a missing one: all
    password text,                           -- argon2id; null: cannot log in by password
    must_change integer not null default 0, -- 1: given by somebody else, good for choosing another
    initial integer not null default 0,     -- 1: made at the first start, never used
    disabled integer not null default 0,
    issuer text,                             -- of single sign-on
    subject text,
    second_factor text,                      -- sealed; of time-based one-time passwords (RFC 6238)
    second_factor_step integer not null default 0,  -- the last one used
    made_at text not null,
    made_by text not null,
    seen_at text,
    unique (issuer, subject)
) without rowid;
create index account_by_role on account (role);

create table recovery_code (
    account_id text not null references account (id),
    digest text not null,
    primary key (account_id, digest)
) without rowid;

create table session (
    id text primary key,
    digest text not null unique,             -- SHA-256 of the cookie
    account_id text not null references account (id),
    complete integer not null,              -- 0: the second factor is still to come
    made_at text not null,
    seen_at text not null,
    ends_at text not null,
    address text not null,
    agent text not null
) without rowid;
create index session_by_account on session (account_id);

create table token (
    id text primary key,
    name text not null,
    digest text not null unique,             -- SHA-256 of the secret
    account_id text references account (id), -- whose rights bound its own; null: made at the command line
    rights text not null,
    scope text not null default '{}',
    peer text,
    made_at text not null,
    made_by text not null,
    ends_at text,
    revoked_at text,
    used_at text
) without rowid;
create index token_by_account on token (account_id);

-- What slows guessing: failures by account and address, by address, and by account from unknown addresses.
create table login_failure (
    bucket text primary key,                 -- a keyed digest
    failures integer not null,
    until text not null,
    at text not null
) without rowid;
create index login_failure_by_at on login_failure (at);
