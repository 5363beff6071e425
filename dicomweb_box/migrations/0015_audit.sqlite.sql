-- Who did what: rows are only ever added. Each row's code covers it and the code before it in its chain.
-- Times are UTC, ISO 8601 to the millisecond. No column holds an attribute of a patient, or what was searched for.

create table audit (
    id integer primary key,
    moment text not null,
    chain text not null,                     -- of the process that wrote it
    sequence integer not null,               -- place in the chain, from 1 without a gap
    actor text not null,
    kind text not null,                      -- of actor: user, token, peer, link, system, anonymous
    address text not null,                   -- network address it came from; empty: none
    action text not null,
    outcome text not null,
    study_uid text not null,                 -- empty: about none, or several
    about text not null,                     -- JSON object: UIDs, keys and names of accounts
    count integer not null,                  -- how many times, or of how many instances
    mac blob not null,                       -- HMAC-SHA256
    unique (chain, sequence)
);
create index audit_by_moment on audit (moment);
create index audit_by_actor on audit (actor, moment);
create index audit_by_address on audit (address, moment);
create index audit_by_action on audit (action, moment);
create index audit_by_outcome on audit (outcome, moment) where outcome <> 'success';
create index audit_by_study on audit (study_uid, moment) where study_uid <> '';

create trigger audit_never_changes before update on audit begin
    select raise(abort, 'audit rows are never changed');
end;
create trigger audit_never_goes before delete on audit begin
    select raise(abort, 'audit rows are never deleted');
end;

-- The chains there are; each one's first row names those that none named before.
create table audit_chain (
    chain text primary key,
    named integer not null
) without rowid;
