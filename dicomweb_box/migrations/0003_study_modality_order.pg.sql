-- Beside each modality what pages of studies are chosen and sorted by: one is read from the index alone.
drop index study_modality_by_date;
create table study_modality_ordered (
    study_id bigint not null references study (id) on delete cascade,
    modality text collate "C" not null,
    realm text collate "C" not null,
    study_date text collate "C" not null,
    study_time text collate "C" not null,
    study_uid text collate "C" not null,
    series_count bigint not null,
    primary key (study_id, modality)
);
insert into study_modality_ordered
select study.id, modality, realm, study.study_date, study.study_time, study.study_uid, study_modality.series_count
from study_modality join study on study.id = study_modality.study_id order by 1, 2;
drop table study_modality;
alter table study_modality_ordered rename to study_modality;
alter index study_modality_ordered_pkey rename to study_modality_pkey;
alter table study_modality rename constraint study_modality_ordered_study_id_fkey to study_modality_study_id_fkey;
create index study_modality_by_date
on study_modality (realm, modality, study_date desc, study_time desc, study_uid) include (study_id);
