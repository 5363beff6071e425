-- What PostgreSQL chooses a page of studies by. SQLite needs none of it: the rows of its text index lie in date order.

-- The quarter of a study date by its first month, YYYYMM; '' where there is no date.
create function study_period(study_date text) returns text language sql immutable parallel safe as $$
    select case when study_date = '' then '' else left(study_date, 4) || case
        when substr(study_date, 5, 2) < '04' then '01' when substr(study_date, 5, 2) < '07' then '04'
        when substr(study_date, 5, 2) < '10' then '07' else '10' end end
$$;

-- The trigrams of a folded name behind a '=', which each of its component groups then begins with, and the phonetic keys
-- of its words; each hashed with its period, so that the newest studies with a text are listed without all the others.
-- (It names no other function of ours: a restored dump builds the index without a search path.)
create function study_name_tokens(period text, name text, sounds text) returns bigint[]
language plpgsql immutable parallel safe cost 1000 as $$
declare
    seed bigint := cast('0' || period as bigint);
    behind text collate "C" := '=' || name;
    word text collate "C";
    tokens bigint[] := array[]::bigint[];
begin
    for place in 1 .. length(behind) - 2 loop
        tokens := tokens || hashtextextended(substr(behind, place, 3), seed);
    end loop;
    foreach word in array string_to_array(sounds, ' ') loop
        tokens := tokens || hashtextextended(word, seed);
    end loop;
    return tokens;
end $$;

-- Of each study what pages are chosen and sorted by: rows ten times smaller than study's, and untouched by counters.
create table study_brief (
    id bigint primary key references study (id) on delete cascade,
    realm text collate "C" not null,
    study_uid text collate "C" not null,
    study_date text collate "C" not null,
    study_time text collate "C" not null,
    period text collate "C" not null,
    patient_name text collate "C" not null,
    patient_name_sounds text collate "C" not null
);
insert into study_brief
select id, realm, study_uid, study_date, study_time, study_period(study_date), patient_name, patient_name_sounds from study;
-- Without a list of pending entries: every search would read it, once for each period.
create index study_brief_by_name on study_brief
using gin (study_name_tokens(period, patient_name, patient_name_sounds)) with (fastupdate = off);
alter index study_brief_by_name alter column 1 set statistics 0;

create function study_brief_write() returns trigger language plpgsql as $$ begin
    insert into study_brief
        (id, realm, study_uid, study_date, study_time, period, patient_name, patient_name_sounds)
    values (new.id, new.realm, new.study_uid, new.study_date, new.study_time, study_period(new.study_date),
        new.patient_name, new.patient_name_sounds)
    on conflict (id) do update set study_date = excluded.study_date, study_time = excluded.study_time,
        period = excluded.period, patient_name = excluded.patient_name,
        patient_name_sounds = excluded.patient_name_sounds;
    return null;
end $$;
create trigger study_brief_insert after insert on study for each row execute function study_brief_write();
create trigger study_brief_update
after update of study_date, study_time, patient_name, patient_name_sounds on study for each row
when ((old.study_date, old.study_time, old.patient_name, old.patient_name_sounds)
    is distinct from (new.study_date, new.study_time, new.patient_name, new.patient_name_sounds))
execute function study_brief_write();

-- study_brief_by_name answers what these did.
drop index study_text_patient_name;
drop index study_text_patient_name_sounds;

-- study_day summed by period: a deep page looks here first.
create table study_period (
    realm text collate "C" not null,
    period text collate "C" not null,
    study_count bigint not null,
    primary key (realm, period)
);
insert into study_period select realm, study_period(study_date), sum(study_count) from study_day group by 1, 2;

create function study_period_write() returns trigger language plpgsql as $$ begin
    insert into study_period (realm, period, study_count) values (
        case tg_op when 'DELETE' then old.realm else new.realm end,
        study_period(case tg_op when 'DELETE' then old.study_date else new.study_date end),
        case tg_op when 'DELETE' then 0 else new.study_count end - case tg_op when 'INSERT' then 0 else old.study_count end)
    on conflict (realm, period) do update set study_count = study_period.study_count + excluded.study_count;
    return null;
end $$;
create trigger study_period_write after insert or update or delete on study_day
for each row execute function study_period_write();
