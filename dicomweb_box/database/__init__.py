"""SQLite and PostgreSQL, asked in the same words."""

from dicomweb_box.database.database import Database
from dicomweb_box.database.group_commit import GroupCommit
from dicomweb_box.database.statements import Reader, Row, UniqueViolation, Writer, chunks, in_list

__all__ = ["Database", "GroupCommit", "Reader", "Row", "UniqueViolation", "Writer", "chunks", "in_list"]
