-- Words of one or two characters, which trigrams cannot find: each character of a text, and each with the one behind it.
-- Dear, so that a condition is tried by the index and not on row after row.
create function study_words_parts(words text) returns text[]
language plpgsql immutable strict parallel safe cost 1000 as $$
declare
    parts text[] := string_to_array(words, null);
    characters integer := cardinality(parts);
begin
    for place in 1 .. characters - 1 loop
        parts[characters + place] := parts[place] || parts[place + 1];
    end loop;
    return parts;
end $$;
create index study_words_short on study_words using gin (study_words_parts(words));
