-- What is to be done (Modality Worklist) and what modalities say was done (MPPS). Times are UTC, ISO 8601 to the second.

create table scheduled_step (
    id text primary key,                     -- random, for addresses
    step_id text not null unique,            -- Scheduled Procedure Step ID
    ae_title text not null,                  -- of the scheduled station
    start_date text not null,                -- YYYYMMDD
    start_time text not null,
    status text not null,                    -- SCHEDULED, STARTED, COMPLETED, DISCONTINUED
    told text not null,                      -- JSON: all that was told of it
    made_at text not null,
    made_by text not null,
    changed_at text not null
);
create index scheduled_step_by_start on scheduled_step (start_date, start_time, id);

create table performed_step (
    instance_uid text primary key,           -- as the modality named it
    status text not null,                    -- IN PROGRESS, COMPLETED, DISCONTINUED
    scheduled text not null,                 -- JSON: ids of the scheduled steps it is of
    attributes text not null,                -- DICOM JSON
    source text not null,
    made_at text not null,
    changed_at text not null
);
