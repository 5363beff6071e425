-- Beside each modality what pages of studies are chosen and sorted by: one is read from the index alone.
drop index study_modality_by_date;
create table study_modality_ordered (
    study_id integer not null references study (id) on delete cascade,
    modality text not null,
    realm text not null,
    study_date text not null,
    study_time text not null,
    study_uid text not null,
    series_count integer not null,
    primary key (study_id, modality)
) without rowid;
insert into study_modality_ordered
select study.id, modality, realm, study.study_date, study.study_time, study.study_uid, study_modality.series_count
from study_modality join study on study.id = study_modality.study_id order by 1, 2;
drop table study_modality;
alter table study_modality_ordered rename to study_modality;
create index study_modality_by_date on study_modality (realm, modality, study_date desc, study_time desc, study_uid);

-- study_day summed by quarter (its first month, YYYYMM; '' where there is no date): a deep page looks here first.
create table study_period (
    realm text not null,
    period text not null,
    study_count integer not null,
    primary key (realm, period)
) without rowid;
create trigger study_period_insert after insert on study_day begin
    insert into study_period (realm, period, study_count) values (
        new.realm, case when new.study_date = '' then '' else substr(new.study_date, 1, 4) || case
            when substr(new.study_date, 5, 2) < '04' then '01' when substr(new.study_date, 5, 2) < '07' then '04'
            when substr(new.study_date, 5, 2) < '10' then '07' else '10' end end, new.study_count)
    on conflict (realm, period) do update set study_count = study_period.study_count + excluded.study_count;
end;
create trigger study_period_update after update of study_count on study_day begin
    update study_period set study_count = study_count + new.study_count - old.study_count
    where realm = old.realm and period = case when old.study_date = '' then '' else substr(old.study_date, 1, 4) || case
        when substr(old.study_date, 5, 2) < '04' then '01' when substr(old.study_date, 5, 2) < '07' then '04'
        when substr(old.study_date, 5, 2) < '10' then '07' else '10' end end;
end;
create trigger study_period_delete after delete on study_day begin
    update study_period set study_count = study_count - old.study_count
    where realm = old.realm and period = case when old.study_date = '' then '' else substr(old.study_date, 1, 4) || case
        when substr(old.study_date, 5, 2) < '04' then '01' when substr(old.study_date, 5, 2) < '07' then '04'
        when substr(old.study_date, 5, 2) < '10' then '07' else '10' end end;
end;
insert into study_period (realm, period, study_count)
select realm, case when study_date = '' then '' else substr(study_date, 1, 4) || case
    when substr(study_date, 5, 2) < '04' then '01' when substr(study_date, 5, 2) < '07' then '04'
    when substr(study_date, 5, 2) < '10' then '07' else '10' end end, sum(study_count) from study_day group by 1, 2;
