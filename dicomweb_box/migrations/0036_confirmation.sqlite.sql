-- What peers say of what was sent to them (Storage Commitment, this box asking): the asking is a transfer of its own.
alter table transfer add column verified integer not null default 0;              -- items that the peer said it keeps
alter table transfer_item add column verified_at text not null default '';        -- when it said so

create table confirmation (
    transfer_id text primary key references transfer (id) on delete cascade,      -- what was sent
    asking_id text not null unique references transfer (id) on delete cascade     -- and what asks
) without rowid;

-- Each time a peer was asked: what a report is known by.
create table confirmation_asked (
    transaction_uid text primary key,
    asking_id text not null references transfer (id) on delete cascade,
    number integer not null,                                                      -- of the item that asks
    asked_at text not null
) without rowid;
create index confirmation_asked_by_asking on confirmation_asked (asking_id);
