-- Systems that this box talks to, and those that called and are none of them. Times are UTC, ISO 8601 to the second.

create table peer (
    id text collate "C" primary key,
    name text collate "C" not null,
    folded text collate "C" not null unique,             -- what two peers may not share
    kind text collate "C" not null,                      -- dimse
    ae_title text collate "C" unique,                    -- of DIMSE ones
    host text collate "C",                               -- where it listens; null: it only calls
    port integer,
    tls integer not null default 0,          -- 1: it is called by TLS
    certificate text collate "C",                        -- SHA-256 of the one that it shows; null: it needs none
    addresses text collate "C" not null default '[]',    -- JSON: networks that it calls from; none: those of host
    may text collate "C" not null default '[]',          -- JSON: services that it may ask for
    scope text collate "C" not null default '{}',        -- JSON: studies, sources, labels; a missing one: all
    options text collate "C" not null default '{}',      -- JSON: how its kind is talked to
    made_at text collate "C" not null,
    made_by text collate "C" not null,
    changed_at text collate "C" not null
);

create table refused_caller (
    ae_title text collate "C" not null,                  -- as it said, made printable
    address text collate "C" not null,
    place text collate "C" not null,                     -- what is bounded: the address, of IPv6 its network
    why text collate "C" not null,
    count integer not null,
    first_at text collate "C" not null,
    last_at text collate "C" not null,
    primary key (ae_title, address)
);
