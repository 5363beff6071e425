-- Who may do what. Times are UTC, ISO 8601 to the second; secrets are kept as digests or sealed, never as they are.

create table role (
    name text collate "C" primary key,
    rights text collate "C" not null,                    -- JSON: names of rights
    made_at text collate "C" not null,
    made_by text collate "C" not null
);
insert into role (name, rights, made_at, made_by) values
    ('viewer', '["see","identities"]', '1970-01-01T00:00:00+00:00', 'dicomweb_box'),
    ('researcher', '["see","export","label","store"]', '1970-01-01T00:00:00+00:00', 'dicomweb_box'),
    ('operator', '["see","identities","store","label","rules","correct","delete","export","send","share","operate"]',
        '1970-01-01T00:00:00+00:00', 'dicomweb_box'),
    ('administrator', '["see","identities","store","label","rules","correct","delete","export","send","share","peers","audit","operate","administer"]',
        '1970-01-01T00:00:00+00:00', 'dicomweb_box');

create table account (
    id text collate "C" primary key,
    name text collate "C" not null,
    folded text collate "C" not null unique,             -- what two accounts may not share
    full_name text collate "C" not null default '',
    role text collate "C" not null references role (name),
    scope text collate "C" not null default '{}',       -- JSON: studies, sources, labels; a missing one: all
    password text collate "C",                           -- argon2id; null: cannot log in by password
    must_change integer not null default 0, -- 1: given by somebody else, good for choosing another
    initial integer not null default 0,     -- 1: made at the first start, never used
    disabled integer not null default 0,
    issuer text collate "C",                             -- of single sign-on
    subject text collate "C",
    second_factor text collate "C",                      -- sealed; of time-based one-time passwords (RFC 6238)
    second_factor_step integer not null default 0,  -- the last one used
    made_at text collate "C" not null,
    made_by text collate "C" not null,
    seen_at text collate "C",
    unique (issuer, subject)
);
create index account_by_role on account (role);

create table recovery_code (
    account_id text collate "C" not null references account (id),
    digest text collate "C" not null,
    primary key (account_id, digest)
);

create table session (
    id text collate "C" primary key,
    digest text collate "C" not null unique,             -- SHA-256 of the cookie
    account_id text collate "C" not null references account (id),
    complete integer not null,              -- 0: the second factor is still to come
    made_at text collate "C" not null,
    seen_at text collate "C" not null,
    ends_at text collate "C" not null,
    address text collate "C" not null,
    agent text collate "C" not null
);
create index session_by_account on session (account_id);

create table token (
    id text collate "C" primary key,
    name text collate "C" not null,
    digest text collate "C" not null unique,             -- SHA-256 of the secret
    account_id text collate "C" references account (id), -- whose rights bound its own; null: made at the command line
    rights text collate "C" not null,
    scope text collate "C" not null default '{}',
    peer text collate "C",
    made_at text collate "C" not null,
    made_by text collate "C" not null,
    ends_at text collate "C",
    revoked_at text collate "C",
    used_at text collate "C"
);
create index token_by_account on token (account_id);

-- What slows guessing: failures by account and address, by address, and by account from unknown addresses.
create table login_failure (
    bucket text collate "C" primary key,                 -- a keyed digest
    failures integer not null,
    until text collate "C" not null,
    at text collate "C" not null
);
create index login_failure_by_at on login_failure (at);
