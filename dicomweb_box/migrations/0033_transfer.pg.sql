-- What goes to peers and is fetched from them: the one durable queue. It outlives the index (`reindex` leaves it alone), so it names things by UID.
create table transfer (
    id text collate "C" primary key,                              -- random, its public name
    realm text collate "C" not null,
    kind text collate "C" not null check (kind in ('send', 'retrieve', 'commitment')),
    peer text collate "C" not null,                               -- its name
    owner text collate "C" not null,                              -- who asked, by a name that nobody else has
    actor text collate "C" not null,                              -- the same for the audit
    actor_kind text collate "C" not null,
    scope text collate "C" not null default '',                   -- JSON: the part of the archive that who asked may see
    about text collate "C" not null default '{}',                 -- JSON: what else its kind needs to know
    priority bigint not null default 0,              -- the higher the sooner
    state text collate "C" not null default 'queued' check (state in ('queued', 'sending', 'delivered', 'refused', 'failed', 'withdrawn')),
    reason text collate "C" not null default '',                  -- why it waits, where the peer does not answer
    paused bigint not null default 0,
    cancelled bigint not null default 0,
    attempts bigint not null default 0,              -- in a row at which the peer did not answer
    due_at text collate "C" not null,                             -- not before
    claimed_at text collate "C" not null default '',              -- those that waited longest have their turn first
    created_at text collate "C" not null,
    changed_at text collate "C" not null,
    queued bigint not null default 0,                -- items in each state, kept by whoever changes an item
    sending bigint not null default 0,
    delivered bigint not null default 0,
    refused bigint not null default 0,
    failed bigint not null default 0,
    withdrawn bigint not null default 0
);
create index transfer_open on transfer (priority desc, claimed_at, created_at) where state in ('queued', 'sending');
create index transfer_by_time on transfer (realm, created_at desc, id desc);

create table transfer_item (
    transfer_id text collate "C" not null references transfer (id) on delete cascade,
    number bigint not null,
    what text collate "C" not null check (what in ('study', 'series', 'instance', 'report')),
    study_uid text collate "C" not null default '',
    series_uid text collate "C" not null default '',
    instance_uid text collate "C" not null default '',
    state text collate "C" not null default 'queued' check (state in ('queued', 'sending', 'delivered', 'refused', 'failed', 'withdrawn')),
    reason text collate "C" not null default '',
    attempts bigint not null default 0,
    due_at text collate "C" not null,
    lease text collate "C" not null default '',                   -- who is at it
    changed_at text collate "C" not null,
    done bigint not null default 0,                  -- instances of it that have come or gone
    expected bigint not null default 0,              -- … of how many; 0: not known
    primary key (transfer_id, number)
);
create index transfer_item_due on transfer_item (transfer_id, due_at, number) where state = 'queued';
create index transfer_item_leased on transfer_item (lease) where lease <> '';
create index transfer_item_by_state on transfer_item (transfer_id, state, number);

-- Somebody is at some items of a transfer, and says so again and again; who is dead does not.
create table transfer_lease (
    id text collate "C" primary key,
    transfer_id text collate "C" not null references transfer (id) on delete cascade,
    peer text collate "C" not null,
    until text collate "C" not null
);
create index transfer_lease_by_peer on transfer_lease (peer);
