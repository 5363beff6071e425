-- Words of one or two characters by the trigrams that begin with them: a text ends with two line feeds, so that each of
-- its characters begins one. The index of whole texts, which was scanned for them, is no longer needed.
drop index study_words_short;
drop trigger study_words_update;
update study set words = words || char(10) || char(10);
insert into study_words (study_words) values ('delete-all');
insert into study_words (rowid, words) select id, words from study order by id;
create trigger study_words_update after update of words on study when old.words <> new.words begin
    insert into study_words (study_words, rowid, words) values ('delete', old.id, old.words);
    insert into study_words (rowid, words) values (new.id, new.words);
end;
create virtual table study_words_terms using fts5vocab (study_words, 'row');
