-- The vault: who stands behind the pseudonyms of a project. Everything that could tell is sealed under a key of its patient, which
-- lies outside of the database; words, pseudonyms and patients are keyed indexes (HMAC) that nobody can read without the project's key.
create table vault (
    project text primary key,
    key_name text not null,                  -- of the project's key; tells nothing about it
    pattern text,                            -- of the patients' pseudonyms; null: the policy's
    listed integer not null,                 -- 1: patients that are not entered already are held back
    last_number integer not null default 0,  -- of those that a pattern counts
    made_at text not null
) without rowid;

create table pseudonym (
    project text not null references vault (project) on delete cascade,
    kind text not null,                      -- patient, name, study, series, instance …
    word text not null,                      -- index of the original
    pseudonym text not null,                 -- index of what stands in its place
    patient text not null,                   -- index of whose it is; names the patient's key
    sealed blob not null,
    made_at text not null,
    primary key (project, kind, word, pseudonym, patient)
) without rowid;
create index pseudonym_by_pseudonym on pseudonym (project, pseudonym);
create index pseudonym_by_patient on pseudonym (project, patient);
create unique index pseudonym_one_of_patient on pseudonym (project, patient) where kind = 'patient';
create unique index pseudonym_one_patient on pseudonym (project, pseudonym) where kind = 'patient';

-- Patients of whom nothing may go out.
create table vault_opt_out (
    project text not null references vault (project) on delete cascade,
    patient text not null,                   -- index of a patient, or of a Patient ID whoever issued it
    made_at text not null,
    primary key (project, patient)
) without rowid;
