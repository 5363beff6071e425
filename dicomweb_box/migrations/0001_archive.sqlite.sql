-- The archive's index. Everything here can be rebuilt from the blobs (`reindex`), except provenance and decisions.
-- Text is compared byte by byte (SQLite's BINARY; PostgreSQL's "C"), so that both databases give one order.

create table study (
    id integer primary key,
    realm text not null default 'main',
    study_uid text not null,
    patient_id text not null default '',
    issuer_of_patient_id text not null default '',
    patient_name text not null default '',            -- folded, component groups joined by '=' (dicom.person_name.fold)
    patient_birth_date text not null default '',
    patient_sex text not null default '',
    study_date text not null default '',              -- YYYYMMDD, '' where absent or not a date
    study_time text not null default '',              -- HHMMSS.FFFFFF padded, '' where absent or not a time
    accession_number text not null default '',
    study_id text not null default '',
    study_description text not null default '',
    referring_physician_name text not null default '',-- folded
    patient_name_sounds text not null default '',     -- phonetic keys of its words, each as ~key~ (fuzzy matching)
    referring_physician_name_sounds text not null default '',
    attributes text not null default '{}',            -- DICOM JSON of every patient- and study-level attribute, as served
    answer text not null default '{}',                -- DICOM JSON of Table 10.6.3-3 but for what is counted (modalities, counts)
    modalities text not null default '',              -- distinct, sorted, joined by '\'
    series_count integer not null default 0,          -- current series and instances only
    instance_count integer not null default 0,
    size integer not null default 0,                  -- bytes of the current instances' blobs
    disagreement text not null default '',            -- tags whose values differ between instances, joined by ','
    revision integer not null default 0,              -- grows with every change below this study
    stored_at text not null,
    changed_at text not null,
    unique (realm, study_uid)
);
create index study_by_date on study (realm, study_date desc, study_time desc, study_uid);
create index study_by_patient on study (realm, patient_id, study_date desc, study_time desc, study_uid);
create index study_by_time on study (realm, study_time, study_date desc, study_uid);
create index study_by_name on study (realm, patient_name, study_date desc, study_time desc, study_uid);
create index study_by_accession on study (realm, accession_number, study_uid) where accession_number <> '';
create index study_by_study_id on study (realm, study_id, study_uid) where study_id <> '';
create index study_by_referrer on study (realm, referring_physician_name, study_uid) where referring_physician_name <> '';
create index study_by_changed on study (realm, changed_at desc, study_uid);

-- Substring search (`*x*`): trigrams over the values that people type. The rowid begins with the study date, newest first,
-- so that a page of matches in date order is read from the front and the rest is never touched. Names are written behind a
-- '=', as each of their component groups is: what a group begins with is then a text like any other.
create virtual table study_text using fts5 (
    patient_name, patient_id, accession_number, study_description, referring_physician_name,
    patient_name_sounds, referring_physician_name_sounds,
    content = '', tokenize = 'trigram case_sensitive 1', detail = 'full'
);
create trigger study_text_insert after insert on study begin
    insert into study_text (rowid, patient_name, patient_id, accession_number, study_description, referring_physician_name,
        patient_name_sounds, referring_physician_name_sounds)
    values (((99999999 - cast(new.study_date as integer)) << 32) | new.id,
        '=' || new.patient_name, new.patient_id, new.accession_number, new.study_description,
        '=' || new.referring_physician_name, new.patient_name_sounds, new.referring_physician_name_sounds);
end;
create trigger study_text_delete after delete on study begin
    insert into study_text (study_text, rowid, patient_name, patient_id, accession_number, study_description, referring_physician_name,
        patient_name_sounds, referring_physician_name_sounds)
    values ('delete', ((99999999 - cast(old.study_date as integer)) << 32) | old.id,
        '=' || old.patient_name, old.patient_id, old.accession_number, old.study_description,
        '=' || old.referring_physician_name, old.patient_name_sounds, old.referring_physician_name_sounds);
end;
create trigger study_text_update
after update of study_date, patient_name, patient_id, accession_number, study_description, referring_physician_name,
    patient_name_sounds, referring_physician_name_sounds on study
-- An upsert names every column; the trigrams are made anew only where a value really changed.
when (old.study_date, old.patient_name, old.patient_id, old.accession_number, old.study_description,
        old.referring_physician_name, old.patient_name_sounds, old.referring_physician_name_sounds)
    is not (new.study_date, new.patient_name, new.patient_id, new.accession_number, new.study_description,
        new.referring_physician_name, new.patient_name_sounds, new.referring_physician_name_sounds)
begin
    insert into study_text (study_text, rowid, patient_name, patient_id, accession_number, study_description, referring_physician_name,
        patient_name_sounds, referring_physician_name_sounds)
    values ('delete', ((99999999 - cast(old.study_date as integer)) << 32) | old.id,
        '=' || old.patient_name, old.patient_id, old.accession_number, old.study_description,
        '=' || old.referring_physician_name, old.patient_name_sounds, old.referring_physician_name_sounds);
    insert into study_text (rowid, patient_name, patient_id, accession_number, study_description, referring_physician_name,
        patient_name_sounds, referring_physician_name_sounds)
    values (((99999999 - cast(new.study_date as integer)) << 32) | new.id,
        '=' || new.patient_name, new.patient_id, new.accession_number, new.study_description,
        '=' || new.referring_physician_name, new.patient_name_sounds, new.referring_physician_name_sounds);
end;

-- How many studies each day holds: a deep page seeks by it instead of counting rows.
create table study_day (
    realm text not null,
    study_date text not null,
    study_count integer not null,
    primary key (realm, study_date)
) without rowid;

create table study_modality (
    study_id integer not null references study (id) on delete cascade,
    modality text not null,
    study_date text not null,
    series_count integer not null,
    primary key (study_id, modality)
) without rowid;
create index study_modality_by_date on study_modality (modality, study_date desc, study_id);

create table series (
    id integer primary key,
    realm text not null default 'main',
    study_id integer not null references study (id) on delete cascade,
    series_uid text not null,
    modality text not null default '',
    series_number integer,
    series_description text not null default '',
    body_part_examined text not null default '',
    pps_start_date text not null default '',          -- Performed Procedure Step Start Date and Time
    pps_start_time text not null default '',
    manufacturer text not null default '',
    station_name text not null default '',
    attributes text not null default '{}',            -- DICOM JSON of every series-level attribute, as served
    answer text not null default '{}',                -- DICOM JSON of Table 10.6.3-4 but for what is counted
    instance_count integer not null default 0,
    size integer not null default 0,
    disagreement text not null default '',
    revision integer not null default 0,
    dictionary blob,                                  -- zstd of the first instance's DICOM JSON: dictionary of the others'
    dictionary_digest blob,                           -- xxh3-128 of that DICOM JSON
    stored_at text not null,
    changed_at text not null,
    unique (study_id, series_uid)
);
create index series_by_uid on series (realm, series_uid);
create index series_by_modality on series (realm, modality, series_uid);

-- One row for each item of Request Attributes Sequence (0040,0275).
create table series_request (
    series_id integer not null references series (id) on delete cascade,
    scheduled_procedure_step_id text not null default '',
    requested_procedure_id text not null default '',
    primary key (series_id, scheduled_procedure_step_id, requested_procedure_id)
) without rowid;
create index series_request_by_step on series_request (scheduled_procedure_step_id);
create index series_request_by_procedure on series_request (requested_procedure_id);

-- Votes on the study- (series-) level attributes that instances disagree on: the most frequent value is served, ties
-- going to the lowest SOP Instance UID, whatever the order of arrival. Where all agree there are no rows.
create table study_vote (
    study_id integer not null references study (id) on delete cascade,
    tag text not null,
    digest blob not null,
    value text not null,
    instance_count integer not null,
    first_instance_uid text not null,
    primary key (study_id, tag, digest)
) without rowid;
create index study_vote_by_count on study_vote (study_id, tag, instance_count desc, first_instance_uid);
create table series_vote (
    series_id integer not null references series (id) on delete cascade,
    tag text not null,
    digest blob not null,
    value text not null,
    instance_count integer not null,
    first_instance_uid text not null,
    primary key (series_id, tag, digest)
) without rowid;
create index series_vote_by_count on series_vote (series_id, tag, instance_count desc, first_instance_uid);

create table instance (
    id integer primary key,
    realm text not null default 'main',
    instance_uid text not null,
    study_id integer,                                 -- both null for what is not current: those are found by their UID
    series_id integer references series (id),
    state text not null default 'current' check (state in ('current', 'earlier', 'held', 'rejected')),
    sop_class_uid text not null,
    transfer_syntax_uid text not null,
    instance_number integer,
    "rows" integer,
    "columns" integer,
    bits_allocated integer,
    number_of_frames integer,
    blob_key text not null unique,
    size integer not null,                            -- bytes of the blob
    sha256 blob not null,                             -- of the blob
    dataset_offset integer not null,                  -- where the data set begins in the blob
    dataset_digest blob not null,                     -- xxh3-128 of the data set's bytes, preamble and group 0002 left out
    frames blob,                                      -- dicom.frames.FrameTable.pack(); null without Pixel Data
    metadata blob not null,                           -- zstd of its DICOM JSON
    metadata_dictionary integer not null,             -- 1 where compressed with series.dictionary
    source text not null,
    warnings text not null default '',
    stored_at text not null,
    check (state <> 'current' or (study_id is not null and series_id is not null))
);
create unique index instance_current on instance (realm, instance_uid) where state = 'current';
create index instance_not_current on instance (realm, instance_uid) where state <> 'current';
create index instance_by_series on instance (series_id, state, instance_number, instance_uid);
create index instance_by_class on instance (realm, sop_class_uid, instance_uid) where state = 'current';
create index instance_waiting on instance (realm, stored_at) where state <> 'current';

create table series_source (
    series_id integer not null references series (id) on delete cascade,
    source text not null,
    instance_count integer not null,
    primary key (series_id, source)
) without rowid;

-- The feed: one row for each lasting change, written in the change's own transaction.
create table change (
    id integer primary key autoincrement,
    at text not null,
    kind text not null,                               -- stored, replaced, held, removed
    realm text not null,
    study_uid text not null,
    series_uid text,
    instance_uid text,
    source text not null,
    actor text not null
);

-- Blobs that no row names any more; the worker deletes them after the transaction that let go of them.
create table blob_removal (
    blob_key text primary key,
    at text not null
) without rowid;

-- What an index that is being rebuilt said of each blob, kept until the rebuilding is done (`reindex` can be resumed).
create table provenance (
    blob_key text primary key,
    state text not null,
    source text not null,
    stored_at text not null
) without rowid;

-- Attributes declared for search: standard, private (with creator), in sequences (dotted path).
create table attribute (
    id integer primary key,
    path text not null unique,                        -- tags joined by '.', a private tag written ggggxxee:CREATOR
    vr text not null,
    state text not null check (state in ('filling', 'ready')),
    filled_to integer not null default 0,             -- instances up to this id have their values
    declared_at text not null
);
create table attribute_value (
    attribute_id integer not null references attribute (id) on delete cascade,
    value text not null,                              -- folded for person names, padded for dates and times
    study_id integer not null,
    series_id integer not null,
    instance_id integer not null references instance (id) on delete cascade,
    primary key (attribute_id, value, study_id, series_id, instance_id)
) without rowid;
create index attribute_value_by_instance on attribute_value (instance_id);

create table mark (                                   -- facts about this database, such as "demo loaded"
    name text primary key,
    value text not null
) without rowid;
