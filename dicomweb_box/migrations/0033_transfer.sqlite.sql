-- What goes to peers and is fetched from them: the one durable queue. It outlives the index (`reindex` leaves it alone), so it names things by UID.
create table transfer (
    id text primary key,                              -- random, its public name
    realm text not null,
    kind text not null check (kind in ('send', 'retrieve', 'commitment')),
    peer text not null,                               -- its name
    owner text not null,                              -- who asked, by a name that nobody else has
    actor text not null,                              -- the same for the audit
    actor_kind text not null,
    scope text not null default '',                   -- JSON: the part of the archive that who asked may see
    about text not null default '{}',                 -- JSON: what else its kind needs to know
    priority integer not null default 0,              -- the higher the sooner
    state text not null default 'queued' check (state in ('queued', 'sending', 'delivered', 'refused', 'failed', 'withdrawn')),
    reason text not null default '',                  -- why it waits, where the peer does not answer
    paused integer not null default 0,
    cancelled integer not null default 0,
    attempts integer not null default 0,              -- in a row at which the peer did not answer
    due_at text not null,                             -- not before
    claimed_at text not null default '',              -- those that waited longest have their turn first
    created_at text not null,
    changed_at text not null,
    queued integer not null default 0,                -- items in each state, kept by whoever changes an item
    sending integer not null default 0,
    delivered integer not null default 0,
    refused integer not null default 0,
    failed integer not null default 0,
    withdrawn integer not null default 0
) without rowid;
create index transfer_open on transfer (priority desc, claimed_at, created_at) where state in ('queued', 'sending');
create index transfer_by_time on transfer (realm, created_at desc, id desc);

create table transfer_item (
    transfer_id text not null references transfer (id) on delete cascade,
    number integer not null,
    what text not null check (what in ('study', 'series', 'instance', 'report')),
    study_uid text not null default '',
    series_uid text not null default '',
    instance_uid text not null default '',
    state text not null default 'queued' check (state in ('queued', 'sending', 'delivered', 'refused', 'failed', 'withdrawn')),
    reason text not null default '',
    attempts integer not null default 0,
    due_at text not null,
    lease text not null default '',                   -- who is at it
    changed_at text not null,
    done integer not null default 0,                  -- instances of it that have come or gone
    expected integer not null default 0,              -- … of how many; 0: not known
    primary key (transfer_id, number)
) without rowid;
create index transfer_item_due on transfer_item (transfer_id, due_at, number) where state = 'queued';
create index transfer_item_leased on transfer_item (lease) where lease <> '';
create index transfer_item_by_state on transfer_item (transfer_id, state, number);

-- Somebody is at some items of a transfer, and says so again and again; who is dead does not.
create table transfer_lease (
    id text primary key,
    transfer_id text not null references transfer (id) on delete cascade,
    peer text not null,
    until text not null
) without rowid;
create index transfer_lease_by_peer on transfer_lease (peer);
