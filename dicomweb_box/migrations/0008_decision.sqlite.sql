-- What people decided about instances that disagree on their study or series: hidden from the list of what waits, until
-- the tags in dispute are others. Keyed by UIDs: a rebuilt index keeps it.
create table disagreement_decision (
    realm text not null,
    study_uid text not null,
    series_uid text not null default '',              -- '' for the study's own attributes
    tags text not null,                               -- study.disagreement (series.disagreement) as it was
    actor text not null,
    at text not null,
    primary key (realm, study_uid, series_uid)
) without rowid;
create index study_disagreeing on study (realm, study_uid) where disagreement <> '';
create index series_disagreeing on series (realm, series_uid) where disagreement <> '';
