"""The DIMSE door: what legacy systems ask of the archive (PS3.4), translated."""
