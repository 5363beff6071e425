-- What people decided about instances that disagree on their study or series: hidden from the list of what waits, until
-- the tags in dispute are others. Keyed by UIDs: a rebuilt index keeps it.
create table disagreement_decision (
    realm text collate "C" not null,
    study_uid text collate "C" not null,
    series_uid text collate "C" not null default '',  -- '' for the study's own attributes
    tags text collate "C" not null,                   -- study.disagreement (series.disagreement) as it was
    actor text not null,
    at text collate "C" not null,
    primary key (realm, study_uid, series_uid)
);
create index study_disagreeing on study (realm, study_uid) where disagreement <> '';
create index series_disagreeing on series (realm, series_uid) where disagreement <> '';
