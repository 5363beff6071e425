-- What the pages search studies by, as one text: patient name, patient ID, accession number and description, each folded
-- (dicom.person_name.words) and on a line of its own.
alter table study add column words text not null default '';
-- Letters beyond ASCII keep their case here; `reindex` levels them, too.
update study set words = replace(replace(patient_name, '^', ' '), '=', ' ') || char(10) || lower(patient_id) || char(10)
    || lower(accession_number) || char(10) || lower(study_description);

-- Narrow, for words too short for trigrams and for what many studies hold.
create index study_words_short on study (realm, words);

-- Candidates alone: which trigrams a text holds, not where.
create virtual table study_words using fts5 (words, content = '', tokenize = 'trigram case_sensitive 1', detail = 'none');
insert into study_words (rowid, words) select id, words from study order by id;
create trigger study_words_insert after insert on study begin
    insert into study_words (rowid, words) values (new.id, new.words);
end;
create trigger study_words_delete after delete on study begin
    insert into study_words (study_words, rowid, words) values ('delete', old.id, old.words);
end;
create trigger study_words_update after update of words on study when old.words <> new.words begin
    insert into study_words (study_words, rowid, words) values ('delete', old.id, old.words);
    insert into study_words (rowid, words) values (new.id, new.words);
end;

-- What lists are sorted and narrowed by.
create index study_by_size on study (realm, size, study_uid);
create index series_by_body_part on series (realm, body_part_examined, study_id) where body_part_examined <> '';
create index series_source_by_source on series_source (source, series_id);
