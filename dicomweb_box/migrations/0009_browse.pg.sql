-- The twin of 0009_browse.sqlite.sql.
alter table study add column words text collate "C" not null default '';
update study set words = replace(replace(patient_name, '^', ' '), '=', ' ') || chr(10) || lower(patient_id) || chr(10)
    || lower(accession_number) || chr(10) || lower(study_description);

-- Apart from study, whose rows are written anew, with all their index entries, whenever a counter grows.
create table study_words (
    id bigint primary key references study (id) on delete cascade,
    realm text collate "C" not null,
    words text collate "C" not null
);
insert into study_words select id, realm, words from study;
create index study_words_text on study_words using gin (words gin_trgm_ops);

create function study_words_write() returns trigger language plpgsql as $$ begin
    insert into study_words (id, realm, words) values (new.id, new.realm, new.words)
    on conflict (id) do update set words = excluded.words;
    return null;
end $$;
create trigger study_words_insert after insert on study for each row execute function study_words_write();
create trigger study_words_update after update of words on study for each row
when (old.words is distinct from new.words) execute function study_words_write();

create index study_by_size on study (realm, size, study_uid);
create index series_by_body_part on series (realm, body_part_examined, study_id) where body_part_examined <> '';
create index series_source_by_source on series_source (source, series_id);
