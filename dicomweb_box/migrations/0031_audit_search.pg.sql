-- What the audit is searched by lies together: several filters are compared without a look at the rows.
drop index audit_by_actor;
drop index audit_by_address;
drop index audit_by_action;
create index audit_by_actor on audit (actor, moment, id) include (action, outcome, address);
create index audit_by_address on audit (address, moment, id) include (actor, action, outcome);
create index audit_by_action on audit (action, moment, id) include (actor, outcome, address);
