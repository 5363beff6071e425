-- What a first ask of a frame needs of the metadata, so that they need not be read: the Image Pixel module (dicom/image.py),
-- and what tells instances that are shown differently apart (dicom/display/display.py). Null: they are read.
alter table instance add column pixels text;
alter table instance add column display_key text;
