-- What peers asked to be kept (Storage Commitment), and what was found of each instance: the report is a transfer of its own.
create table commitment (
    transfer_id text collate "C" not null references transfer (id) on delete cascade,
    number bigint not null,
    sop_class_uid text collate "C" not null,
    instance_uid text collate "C" not null,
    reason bigint,                                   -- null: not looked at yet; 0: kept; else why not (PS3.3 C.14.1.1)
    primary key (transfer_id, number)
);
