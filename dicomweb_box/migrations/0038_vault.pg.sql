-- The vault: who stands behind the pseudonyms of a project. Everything that could tell is sealed under a key of its patient, which
-- lies outside of the database; words, pseudonyms and patients are keyed indexes (HMAC) that nobody can read without the project's key.
create table vault (
    project text collate "C" primary key,
    key_name text collate "C" not null,                  -- of the project's key; tells nothing about it
    pattern text collate "C",                            -- of the patients' pseudonyms; null: the policy's
    listed integer not null,                 -- 1: patients that are not entered already are held back
    last_number bigint not null default 0,  -- of those that a pattern counts
    made_at text collate "C" not null
);

create table pseudonym (
    project text collate "C" not null references vault (project) on delete cascade,
    kind text collate "C" not null,                      -- patient, name, study, series, instance …
    word text collate "C" not null,                      -- index of the original
    pseudonym text collate "C" not null,                 -- index of what stands in its place
    patient text collate "C" not null,                   -- index of whose it is; names the patient's key
    sealed bytea not null,
    made_at text collate "C" not null,
    primary key (project, kind, word, pseudonym, patient)
);
create index pseudonym_by_pseudonym on pseudonym (project, pseudonym);
create index pseudonym_by_patient on pseudonym (project, patient);
create unique index pseudonym_one_of_patient on pseudonym (project, patient) where kind = 'patient';
create unique index pseudonym_one_patient on pseudonym (project, pseudonym) where kind = 'patient';

-- Patients of whom nothing may go out.
create table vault_opt_out (
    project text collate "C" not null references vault (project) on delete cascade,
    patient text collate "C" not null,                   -- index of a patient, or of a Patient ID whoever issued it
    made_at text collate "C" not null,
    primary key (project, patient)
);
