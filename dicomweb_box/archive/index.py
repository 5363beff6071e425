"""The row writer: one transaction makes a whole group of arrived instances searchable.

`apply` runs inside `database.GroupCommit`: it sees the index, decides what each arrival is (new, the same
again, other bytes under a known UID), and writes instances, series, studies, counters and the change feed
together. It works in UID order, so that processes on PostgreSQL lock rows in one order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dicomweb_box.accounts.access import EVERYTHING, Actor, Scope
from dicomweb_box.archive import aggregates, declared, scoped_arrival
from dicomweb_box.archive.realms import is_lasting
from dicomweb_box.database import Row, Writer, in_list

Policy = Literal["same-source", "keep-first", "replace"]
State = Literal["current", "earlier", "held", "rejected"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """One instance whose blob is durable, ready to become a row."""

    realm: str
    study_uid: str
    series_uid: str
    instance_uid: str
    columns: dict[str, Any]
    """The instance's own columns but for keys, state and value sets."""
    study_values: str
    series_values: str
    json: bytes
    dictionary_digest: bytes | None
    """Of the series dictionary that `columns["metadata"]` was compressed with; None: with none."""
    source: str
    actor: str
    at: str
    by: Actor | None = None
    """Who is told to the audit; None: nobody, since nothing new has come."""
    policy: Policy
    decided: State | None = None
    """What a former index said of this blob (`reindex`); None: the policy decides."""
    different: bool = False
    """The data set was compared byte by byte with the served one and is not the same, whatever the digests
    say.
    """
    scope: Scope = EVERYTHING
    """The part of the archive that whoever sent it may touch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Indexed:
    """The arrival is the served version now."""

    replaced: bool
    dictionary: bytes | None
    """The series' dictionary (zstd), where the arrival was compressed without it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SameDigest:
    """A served or held version has the same transfer syntax and data set digest; the bytes are still to be
    compared.
    """

    blob_key: str
    dataset_offset: int
    size: int
    state: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """Other bytes under a known SOP Instance UID, kept but not served; what was served stays served."""

    rejected: bool = False
    """What they came for was rejected by a person."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StaleDictionary:
    """The series was made anew meanwhile; compress the metadata again with this dictionary (zstd; None: with
    none).
    """

    dictionary: bytes | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Outside:
    """It would touch what is outside of its sender's part of the archive: nothing was written."""


Result = Indexed | SameDigest | Held | StaleDictionary | Outside


async def apply(w: Writer, arrivals: Sequence[Arrival]) -> Sequence[Result]:
    """What became of each arrival, in the order given; all rows are written when the transaction commits."""
    results: dict[int, Result] = {}
    for unique in _rounds(arrivals):
        await _apply_round(w, arrivals, unique, results)
    return [results[position] for position in range(len(arrivals))]


def _rounds(arrivals: Sequence[Arrival]) -> list[list[int]]:
    """Positions in UID order, split so that no round names one instance twice: a second copy must see the
    first.
    """
    order = sorted(
        range(len(arrivals)),
        key=lambda i: (arrivals[i].study_uid, arrivals[i].series_uid, arrivals[i].instance_uid, i),
    )
    rounds: list[list[int]] = []
    seen: dict[tuple[str, str], int] = {}
    for position in order:
        key = (arrivals[position].realm, arrivals[position].instance_uid)
        turn = seen.get(key, 0)
        seen[key] = turn + 1
        if turn == len(rounds):
            rounds.append([])
        rounds[turn].append(position)
    return rounds


async def _apply_round(
    w: Writer, arrivals: Sequence[Arrival], positions: list[int], results: dict[int, Result]
) -> None:
    known = await _known(w, [arrivals[position] for position in positions])
    fresh: list[tuple[int, Arrival]] = []
    for position in positions:
        arrival = arrivals[position]
        versions = known.get((arrival.realm, arrival.instance_uid), [])
        if not arrival.scope.whole and await scoped_arrival.is_outside(w, arrival, versions):
            results[position] = Outside()
        elif (itself := _itself(arrival, versions)) is not None:
            results[position] = itself
        elif (same := _same(arrival, versions, "current")) is not None:
            results[position] = same
        elif (refused := _as_rejected(arrival, versions)) is not None:
            results[position] = refused
            if isinstance(refused, Held):
                await _keep_unserved(w, arrival, "held")
        elif _is_served(arrival, versions):
            fresh.append((position, arrival))
        elif (same := _same(arrival, versions, "held")) is not None:
            results[position] = same
        else:
            await _keep_unserved(w, arrival, arrival.decided or "held")
            results[position] = Held()
    for realm in sorted({arrival.realm for _, arrival in fresh}):
        of_realm = [(position, arrival) for position, arrival in fresh if arrival.realm == realm]
        await _serve(w, realm, of_realm, known, results)


async def _known(w: Writer, arrivals: list[Arrival]) -> dict[tuple[str, str], list[Row]]:
    """Every version that the index holds of these instances, the first that arrived first."""
    known: dict[tuple[str, str], list[Row]] = {}
    for realm in sorted({arrival.realm for arrival in arrivals}):
        names, params = in_list("uid", sorted({a.instance_uid for a in arrivals if a.realm == realm}))
        # Two partial indexes: one for what is served, which is unique, and one for the few that are not.
        rows = await w.fetch_all(
            f"{_VERSION} and instance_uid in {names} and state = 'current'"
            f" union all {_VERSION} and instance_uid in {names} and state <> 'current' order by id",
            {**params, "realm": realm},
        )
        for row in rows:
            known.setdefault((realm, row["instance_uid"]), []).append(row)
    return known


_VERSION = (
    "select id, instance_uid, state, transfer_syntax_uid, dataset_digest, blob_key, dataset_offset,"
    " size, source"
    " from instance where realm = :realm"
)


def _itself(arrival: Arrival, versions: list[Row]) -> Indexed | Held | None:
    """What the index says of this very blob already: a commit was repeated, or `reindex` met it first."""
    for row in versions:
        if row["blob_key"] == arrival.columns["blob_key"]:
            served = row["state"] in ("current", "earlier")
            return Indexed(replaced=False, dictionary=None) if served else Held()
    return None


def _as_rejected(arrival: Arrival, versions: list[Row]) -> SameDigest | Held | None:
    """What becomes of an arrival whose instance a person rejected: it must not come back by itself."""
    if arrival.decided is not None or not any(row["state"] == "rejected" for row in versions):
        return None
    return _same(arrival, versions, "rejected") or _same(arrival, versions, "held") or Held(rejected=True)


def _same(arrival: Arrival, versions: list[Row], state: State) -> SameDigest | None:
    """The version in this state that the arrival seems to repeat."""
    if arrival.different:
        return None
    for row in versions:
        if (
            row["state"] == state
            and row["dataset_digest"] == arrival.columns["dataset_digest"]
            and row["transfer_syntax_uid"] == arrival.columns["transfer_syntax_uid"]
        ):
            return SameDigest(
                blob_key=row["blob_key"],
                dataset_offset=row["dataset_offset"],
                size=row["size"],
                state=row["state"],
            )
    return None


def _is_served(arrival: Arrival, versions: list[Row]) -> bool:
    """Whether the arrival becomes the served version, by the `duplicates` setting."""
    if arrival.decided is not None:
        return arrival.decided == "current"
    current = [row for row in versions if row["state"] == "current"]
    if not current or arrival.policy == "replace":
        return True
    first = next(row for row in versions if row["state"] in ("current", "earlier"))
    return arrival.policy == "same-source" and first["source"] == arrival.source


async def _keep_unserved(w: Writer, arrival: Arrival, state: State) -> None:
    columns = {**arrival.columns, "metadata": b"", "metadata_dictionary": 0}
    await w.execute_many(_INSERT, [_row(arrival, columns, state, None, None)])
    if arrival.decided is None and is_lasting(arrival.realm):
        await w.execute_many(_CHANGE, [_change(arrival, state)])


async def _serve(
    w: Writer,
    realm: str,
    fresh: list[tuple[int, Arrival]],
    known: dict[tuple[str, str], list[Row]],
    results: dict[int, Result],
) -> None:
    touched = await aggregates.Touched.load(w, realm, [(a.study_uid, a.series_uid) for _, a in fresh])
    ready = []
    for position, arrival in fresh:
        stale = touched.stale_dictionary(arrival.study_uid, arrival.series_uid, arrival.dictionary_digest)
        if stale is not None:
            results[position] = StaleDictionary(dictionary=stale[0])
        else:
            ready.append((position, arrival))
    if not ready:
        return
    replaced = await _retire(w, touched, [arrival for _, arrival in ready], known)
    for _, arrival in ready:
        touched.add(arrival)
    await touched.settle(w, at=max(arrival.at for _, arrival in ready))
    await w.execute_many(_INSERT, [_served_row(arrival, touched) for _, arrival in ready])
    await declared.index_arrivals(w, realm, [(arrival.instance_uid, arrival.json) for _, arrival in ready])
    await w.execute_many(
        _CHANGE,
        [
            _change(a, "replaced" if a.instance_uid in replaced else "stored")
            for _, a in ready
            if a.decided is None and is_lasting(realm)
        ],
    )
    for position, arrival in ready:
        series = touched.series[arrival.study_uid, arrival.series_uid]
        results[position] = Indexed(
            replaced=arrival.instance_uid in replaced,
            dictionary=series.dictionary if arrival.dictionary_digest is None else None,
        )


async def _retire(
    w: Writer, touched: "aggregates.Touched", arrivals: list[Arrival], known: dict[tuple[str, str], list[Row]]
) -> set[str]:
    """Make the versions that these arrivals replace earlier ones; their UIDs."""
    replaced = set()
    for arrival in arrivals:
        for row in known.get((arrival.realm, arrival.instance_uid), []):
            if row["state"] == "current":
                await touched.take_out(w, [row["id"]])
                await w.execute(
                    "update instance set state = 'earlier', study_id = null, series_id = null,"
                    " metadata = :none, metadata_dictionary = 0 where id = :id",
                    {"id": row["id"], "none": b""},
                )
                await w.execute("delete from attribute_value where instance_id = :id", {"id": row["id"]})
                replaced.add(arrival.instance_uid)
    return replaced


_COLUMNS = (
    "sop_class_uid",
    "transfer_syntax_uid",
    "instance_number",
    "rows",
    "columns",
    "bits_allocated",
    "number_of_frames",
    "blob_key",
    "size",
    "sha256",
    "dataset_offset",
    "dataset_digest",
    "frames",
    "pixels",
    "display_key",
    "metadata",
    "metadata_dictionary",
    "warnings",
)
_INSERT = (
    "insert into instance (realm, instance_uid, study_id, series_id, state, source, stored_at, "
    + ", ".join(f'"{name}"' for name in _COLUMNS)
    + ") values (:realm, :instance_uid, :study_id, :series_id, :state, :source, :stored_at, "
    + ", ".join(f":{name}" for name in _COLUMNS)
    + ")"
)
_CHANGE = (
    "insert into change (at, kind, realm, study_uid, series_uid, instance_uid, source, actor)"
    " values (:at, :kind, :realm, :study_uid, :series_uid, :instance_uid, :source, :actor)"
)


def _row(
    arrival: Arrival,
    columns: dict[str, Any],
    state: State,
    study_id: int | None,
    series_id: int | None,
) -> dict[str, Any]:
    return {
        **columns,
        "realm": arrival.realm,
        "instance_uid": arrival.instance_uid,
        "study_id": study_id,
        "series_id": series_id,
        "state": state,
        "source": arrival.source,
        "stored_at": arrival.at,
    }


def _served_row(arrival: Arrival, touched: "aggregates.Touched") -> dict[str, Any]:
    study = touched.studies[arrival.study_uid]
    series = touched.series[arrival.study_uid, arrival.series_uid]
    return _row(
        arrival,
        arrival.columns,
        "current",
        study.id,
        series.id,
    )


def _change(arrival: Arrival, kind: str) -> dict[str, Any]:
    return {
        "at": arrival.at,
        "kind": kind,
        "realm": arrival.realm,
        "study_uid": arrival.study_uid,
        "series_uid": arrival.series_uid,
        "instance_uid": arrival.instance_uid,
        "source": arrival.source,
        "actor": arrival.actor,
    }
