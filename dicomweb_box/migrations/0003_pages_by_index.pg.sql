-- Beside each modality what pages of studies are chosen and sorted by: one is read from the index alone.
drop index study_modality_by_date;
create table study_modality_ordered (
    study_id bigint not null,
    modality text collate "C" not null,
    realm text collate "C" not null,
    study_date text collate "C" not null,
    study_time text collate "C" not null,
    study_uid text collate "C" not null,
    series_count bigint not null,
    primary key (study_id, modality)
);
insert into study_modality_ordered
select brief.id, modality, brief.realm, brief.study_date, brief.study_time, brief.study_uid, series_count
from study_modality join study_brief as brief on brief.id = study_id order by 1, 2;
drop table study_modality;
alter table study_modality_ordered rename to study_modality;
alter index study_modality_ordered_pkey rename to study_modality_pkey;
alter table study_modality add foreign key (study_id) references study (id) on delete cascade;
create index study_modality_by_date
on study_modality (realm, modality, study_date desc, study_time desc, study_uid) include (study_id);
