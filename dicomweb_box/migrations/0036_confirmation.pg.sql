-- What peers say of what was sent to them (Storage Commitment, this box asking): the asking is a transfer of its own.
alter table transfer add column verified bigint not null default 0;              -- items that the peer said it keeps
alter table transfer_item add column verified_at text collate "C" not null default '';        -- when it said so

create table confirmation (
    transfer_id text collate "C" primary key references transfer (id) on delete cascade,      -- what was sent
    asking_id text collate "C" not null unique references transfer (id) on delete cascade     -- and what asks
);

-- Each time a peer was asked: what a report is known by.
create table confirmation_asked (
    transaction_uid text collate "C" primary key,
    asking_id text collate "C" not null references transfer (id) on delete cascade,
    number bigint not null,                                                      -- of the item that asks
    asked_at text collate "C" not null
);
create index confirmation_asked_by_asking on confirmation_asked (asking_id);
