-- Who did what: rows are only ever added. Each row's code covers it and the code before it in its chain.
-- Times are UTC, ISO 8601 to the millisecond. No column holds an attribute of a patient, or what was searched for.

create table audit (
    id bigint generated always as identity primary key,
    moment text collate "C" not null,
    chain text collate "C" not null,         -- of the process that wrote it
    sequence bigint not null,                -- place in the chain, from 1 without a gap
    actor text collate "C" not null,
    kind text collate "C" not null,          -- of actor: user, token, peer, link, system, anonymous
    address text collate "C" not null,       -- network address it came from; empty: none
    action text collate "C" not null,
    outcome text collate "C" not null,
    study_uid text collate "C" not null,     -- empty: about none, or several
    about text collate "C" not null,         -- JSON object: UIDs, keys and names of accounts
    count bigint not null,                   -- how many times, or of how many instances
    mac bytea not null,                      -- HMAC-SHA256
    unique (chain, sequence)
);
create index audit_by_moment on audit (moment, id);
create index audit_by_actor on audit (actor, moment, id);
create index audit_by_address on audit (address, moment, id);
create index audit_by_action on audit (action, moment, id);
create index audit_by_outcome on audit (outcome, moment, id) where outcome <> 'success';
create index audit_by_study on audit (study_uid, moment, id) where study_uid <> '';

create function audit_stays() returns trigger language plpgsql as $$
begin
    raise exception 'audit rows are never changed or deleted';
end
$$;
create trigger audit_never_changes before update or delete on audit for each row execute function audit_stays();

-- The chains there are; each one's first row names those that none named before.
create table audit_chain (
    chain text collate "C" primary key,
    named bigint not null
);
