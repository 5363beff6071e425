"""What each address needs: the one table of who may ask what, by method and path.

A route that is not in it cannot be wired (`guard`): the program does not start.
"""

from dicomweb_box.accounts.access import Identity
from dicomweb_box.accounts.rights import Right

Needed = frozenset[Right] | None
"""Every one of these; None: open to everybody, whoever they are."""

_SEE, _STORE = "see", "see store"
_KNOWING = "see identities"
_OWN, _PROXY = "/dicom-web", "/dicom-web/proxy/{peer}"
_STUDY = "/studies/{study}"
_SERIES = f"{_STUDY}/series/{{series}}"
_INSTANCE = f"{_SERIES}/instances/{{instance}}"
_RETRIEVED = (
    f"{_STUDY}",
    f"{_SERIES}",
    f"{_INSTANCE}",
    f"{_STUDY}/metadata",
    f"{_SERIES}/metadata",
    f"{_INSTANCE}/metadata",
    f"{_STUDY}/bulkdata",
    f"{_SERIES}/bulkdata",
    f"{_INSTANCE}/bulkdata",
    f"{_STUDY}/pixeldata",
    f"{_SERIES}/pixeldata",
    f"{_INSTANCE}/pixeldata",
    f"{_INSTANCE}/bulkdata/{{path:path}}",
    f"{_STUDY}/instances/{{instance}}/bulkdata/{{path:path}}",
    f"{_INSTANCE}/frames",
    f"{_INSTANCE}/frames/{{frames}}",
    f"{_STUDY}/rendered",
    f"{_SERIES}/rendered",
    f"{_INSTANCE}/rendered",
    f"{_INSTANCE}/frames/{{frames}}/rendered",
    f"{_STUDY}/thumbnail",
    f"{_SERIES}/thumbnail",
    f"{_INSTANCE}/thumbnail",
    f"{_INSTANCE}/frames/{{frames}}/thumbnail",
)
_SEARCHED = (
    "/studies",
    "/series",
    "/instances",
    f"{_STUDY}/series",
    f"{_STUDY}/instances",
    f"{_SERIES}/instances",
)
_SHOWN = "/studies/{study_uid}"
_SHOWN_INSTANCE = f"{_SHOWN}/series/{{series_uid}}/instances/{{instance_uid}}"
_HELD = "/held/{instance_uid}/{sha256}"
_REJECTING = (
    "/reject",
    f"{_SHOWN}/reject",
    f"{_SHOWN}/series/{{series_uid}}/reject",
    f"{_SHOWN_INSTANCE}/reject",
)

_TABLE: dict[str | None, tuple[str, ...]] = {
    None: (
        "GET /healthz",
        "GET /readyz",
        "GET /static/{digest}/{path:path}",
        "GET /ohif/manifest.json",
        "GET /login",
        "POST /login",
        "GET /login/code",
        "POST /login/code",
        "GET /login/oidc",
        "GET /login/oidc/back",
        "POST /logout",
        "OPTIONS /dicom-web/",
        # The address itself is the proof.
        "GET /shared/{secret}",
        "POST /shared/{secret}",
    ),
    # Any person who has logged in, whatever they may.
    "": (
        "GET /profile",
        "GET /profile.json",
        "POST /profile/password",
        "POST /profile/sessions/{id}/end",
        "GET /profile/second-factor",
        "GET /profile/second-factor.json",
        "POST /profile/second-factor",
        "POST /profile/second-factor/codes",
        "POST /profile/second-factor/remove",
        # One's own tokens, with at most one's own rights.
        "GET /tokens",
        "GET /tokens.json",
        "POST /tokens",
        "GET /tokens/new",
        "DELETE /tokens/{id}",
        "GET /tokens/{id}/revoke",
        "POST /tokens/{id}/revoke",
    ),
    # Searches and lists: what they tell about patients is left out where identities may not be seen.
    _SEE: (
        "GET /",
        "GET /ohif",
        "GET /ohif/{path:path}",
        "GET /events",
        "GET /dicom-web/openapi.json",
        "GET /dicom-web/studies",
        "GET /dicom-web/series",
        "GET /dicom-web/instances",
        "GET /dicom-web/patients",
        "GET /dicom-web/studies/count",
        "GET /dicom-web/series/count",
        "GET /dicom-web/instances/count",
        f"GET {_OWN}{_STUDY}/series",
        f"GET {_OWN}{_STUDY}/series/count",
        f"GET {_OWN}{_STUDY}/instances",
        f"GET {_OWN}{_STUDY}/instances/count",
        f"GET {_OWN}{_SERIES}/instances",
        f"GET {_OWN}{_SERIES}/instances/count",
        "GET /studies",
        "GET /studies.json",
        f"GET {_SHOWN}",
        f"GET {_SHOWN}.json",
        "GET /series",
        "GET /series.json",
        f"GET {_SHOWN}/series/{{series_uid}}",
        f"GET {_SHOWN}/series/{{series_uid}}.json",
        "POST /signed",
        "POST /selection",
        "POST /selections",
        "GET /selections/{id}",
        "GET /selections/{id}.json",
        "DELETE /selections/{id}",
        "POST /selections/{id}/clear",
        "POST /selections/{id}/members",
        "POST /selections/{id}/members/remove",
        "GET /labels",
        "GET /labels.json",
        # One's own alone.
        "GET /transfers",
        "GET /transfers.json",
        "GET /transfers/events",
        "GET /transfers/{id}",
        "GET /transfers/{id}.json",
        "POST /transfers/{id}/cancel",
        "POST /transfers/{id}/retry",
        "POST /transfers/{id}/hold",
        "GET /labels/{label_id}",
        "GET /labels/{label_id}.json",
    ),
    # Objects, or parts of them: nothing is left out of those.
    _KNOWING: (
        *(f"GET {_OWN}{path}" for path in _RETRIEVED),
        # What another archive holds says who its patients are, whatever is asked.
        *(f"GET {_PROXY}{path}" for path in (*_SEARCHED, *_RETRIEVED)),
        "GET /dicom-web/series/{series}",
        "GET /dicom-web/series/{series}/{rest:path}",
        "GET /dicom-web/instances/{instance}",
        "GET /dicom-web/instances/{instance}/{rest:path}",
        "GET /wado",
        f"GET {_SHOWN_INSTANCE}",
        f"GET {_SHOWN_INSTANCE}.json",
        f"GET {_SHOWN_INSTANCE}/compare",
        f"GET {_SHOWN_INSTANCE}/compare.json",
        f"GET {_SHOWN}/viewer",
        f"GET {_SHOWN}/viewer.json",
        f"GET {_SHOWN}/viewer/window.json",
        "GET /patients",
        "GET /patients.json",
        "GET /patients/{key}",
        "GET /patients/{key}.json",
        "GET /worklist",
        "GET /worklist.json",
        "GET /worklist/{id}",
        "GET /worklist/{id}.json",
    ),
    _STORE: (
        "POST /dicom-web/studies",
        f"POST {_OWN}{_STUDY}",
        "GET /upload",
        "POST /upload",
        "GET /upload.json",
        "GET /upload/{session}",
        "GET /upload/{session}.json",
        "POST /upload/{session}",
        "DELETE /upload/{session}",
        "GET /upload/{session}/remove",
        "POST /upload/{session}/remove",
        "POST /upload/{session}/files",
        "GET /upload/{session}/files.json",
        "GET /upload/{session}/files/{file}",
        "PATCH /upload/{session}/files/{file}",
    ),
    # What another archive holds says who its patients are; what is brought is stored.
    "see identities store": (
        "GET /query",
        "GET /query.json",
        "GET /peers/{name}/query",
        "GET /peers/{name}/query.json",
        "POST /peers/{name}/retrieve",
        # The patients of a worklist are of no study, so that no part of the archive tells whose they are.
        "POST /worklist",
        "GET /worklist/new",
        "POST /worklist/{id}",
        "DELETE /worklist/{id}",
        "GET /worklist/{id}/remove",
        "POST /worklist/{id}/remove",
    ),
    "see label": (
        "POST /labels",
        "GET /labels/apply",
        "GET /labels/apply.json",
        "POST /labels/apply",
        "POST /labels/{label_id}",
        "DELETE /labels/{label_id}",
        "GET /labels/{label_id}/delete",
        "POST /labels/{label_id}/delete",
    ),
    # Conditions are of any attribute, and what they match tells of it.
    "see identities label rules": (
        "GET /rules",
        "GET /rules.json",
        "POST /rules",
        "GET /rules/new",
        "GET /rules/{rule_id}",
        "GET /rules/{rule_id}.json",
        "POST /rules/{rule_id}",
        "DELETE /rules/{rule_id}",
        "POST /rules/{rule_id}/run",
        "POST /rules/{rule_id}/enabled",
        "GET /rules/{rule_id}/delete",
        "POST /rules/{rule_id}/delete",
    ),
    "see identities correct": (
        "GET /correct",
        f"GET {_SHOWN}/correct",
        f"GET {_SHOWN}/correct.json",
        f"POST {_SHOWN}/correct",
        "GET /corrections",
        "GET /corrections.json",
        "POST /corrections/{id}/undo",
        "GET /held",
        "GET /held.json",
        f"GET {_HELD}",
        f"GET {_HELD}.json",
        f"POST {_HELD}/serve",
        f"POST {_HELD}/discard",
        "GET /disagreements",
        "GET /disagreements.json",
        "POST /disagreements/accept",
    ),
    "see identities delete": (
        f"DELETE {_OWN}{_STUDY}",
        f"DELETE {_OWN}{_SERIES}",
        f"DELETE {_OWN}{_INSTANCE}",
        *(
            ask
            for address in _REJECTING
            for ask in (f"GET {address}", f"GET {address}.json", f"POST {address}")
        ),
        "GET /rejected",
        "GET /rejected.json",
        "POST /rejected/{id}/restore",
        "GET /rejected/{id}/erase",
        "GET /rejected/{id}/erase.json",
        "POST /rejected/{id}/erase",
        "GET /erase",
        "GET /erase.json",
        "POST /erase",
    ),
    "see identities export": ("GET /download",),
    "see identities share": (
        "GET /shares",
        "GET /shares.json",
        "POST /shares",
        "GET /shares/new",
        "DELETE /shares/{id}",
        "GET /shares/{id}/revoke",
        "POST /shares/{id}/revoke",
    ),
    "peers": (
        "GET /peers",
        "GET /peers.json",
        "POST /peers",
        "GET /peers/new",
        "GET /peers/{name}",
        "GET /peers/{name}.json",
        "POST /peers/{name}",
        "DELETE /peers/{name}",
        "POST /peers/{name}/echo",
        "GET /peers/{name}/remove",
        "POST /peers/{name}/remove",
    ),
    "audit": ("GET /audit", "GET /audit.json", "GET /audit.csv"),
    "operate": ("GET /status", "GET /status.json", "GET /metrics"),
    "administer": (
        "GET /users",
        "GET /users.json",
        "POST /users",
        "GET /users/new",
        "GET /users/{id}",
        "GET /users/{id}.json",
        "POST /users/{id}",
        "POST /users/{id}/enabled",
        "POST /users/{id}/password",
        "POST /users/{id}/second-factor/reset",
        "POST /users/{id}/sessions/end",
        "GET /roles",
        "GET /roles.json",
        "POST /roles",
        "GET /roles/new",
        "GET /roles/{name}",
        "GET /roles/{name}.json",
        "POST /roles/{name}",
        "DELETE /roles/{name}",
        "GET /roles/{name}/delete",
        "POST /roles/{name}/delete",
    ),
}


def _needed() -> dict[str, Needed]:
    table: dict[str, Needed] = {}
    for names, addresses in _TABLE.items():
        for address in addresses:
            if address in table:
                raise ValueError(f"{address} is in the table twice")
            table[address] = None if names is None else frozenset(map(Right, names.split()))
    return table


NEEDED = _needed()


def may_ask(identity: Identity, address: str) -> bool:
    """Whether somebody may ask an address of the table, as `GET /labels/apply`."""
    needed = NEEDED[address]
    return needed is None or needed <= identity.rights
