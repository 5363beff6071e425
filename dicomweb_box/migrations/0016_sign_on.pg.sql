-- What a provider of single sign-on gave with a log-in, sealed: it asks for it again when one logs out there.
alter table session add column id_token text collate "C";
