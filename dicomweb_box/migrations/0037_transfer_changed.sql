-- Pages are told which transfers went on of late.
create index transfer_by_change on transfer (changed_at);
