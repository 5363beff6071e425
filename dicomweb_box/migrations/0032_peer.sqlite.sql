-- Systems that this box talks to, and those that called and are none of them. Times are UTC, ISO 8601 to the second.

create table peer (
    id text primary key,
    name text not null,
    folded text not null unique,             -- what two peers may not share
    kind text not null,                      -- dimse
    ae_title text unique,                    -- of DIMSE ones
    host text,                               -- where it listens; null: it only calls
    port integer,
    tls integer not null default 0,          -- 1: it is called by TLS
    certificate text,                        -- SHA-256 of the one that it shows; null: it needs none
    addresses text not null default '[]',    -- JSON: networks that it calls from; none: those of host
    may text not null default '[]',          -- JSON: services that it may ask for
    scope text not null default '{}',        -- JSON: studies, sources, labels; a missing one: all
    options text not null default '{}',      -- JSON: how its kind is talked to
    made_at text not null,
    made_by text not null,
    changed_at text not null
) without rowid;

create table refused_caller (
    ae_title text not null,                  -- as it said, made printable
    address text not null,
    place text not null,                     -- what is bounded: the address, of IPv6 its network
    why text not null,
    count integer not null,
    first_at text not null,
    last_at text not null,
    primary key (ae_title, address)
) without rowid;
