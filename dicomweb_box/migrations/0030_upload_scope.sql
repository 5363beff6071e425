-- The part of the archive of whoever began an upload: what the worker stores later keeps to it. JSON (archive/uploads.py).
alter table upload_session add column scope text not null default '';
