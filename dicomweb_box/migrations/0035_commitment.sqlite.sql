-- What peers asked to be kept (Storage Commitment), and what was found of each instance: the report is a transfer of its own.
create table commitment (
    transfer_id text not null references transfer (id) on delete cascade,
    number integer not null,
    sop_class_uid text not null,
    instance_uid text not null,
    reason integer,                                   -- null: not looked at yet; 0: kept; else why not (PS3.3 C.14.1.1)
    primary key (transfer_id, number)
) without rowid;
