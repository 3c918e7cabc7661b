"""Is an answer the captured one? Everything must be equal but what a rule below masks; no field is left out.

A mask says what form an id, a time, an address or an amount must have. Ids that a test knows are translated
(`Names`), in paths and in texts. Lists of stores, members, regions and names have no order in PD: each element must
match a captured one, and stores must have the captured states, as many of each.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.contract.programs import Answer

BLOCKING = 2.5  # captured seconds from which on an answer counts as one that waits
AT_LEAST = 2.0  # and what it must take then; one that came at once must take less


# Where a number is an id, in paths and in PD's texts; elsewhere it is an amount.
_BEFORE_ID = (
    "/store/",
    "store ",
    "?id=",
    "ID: ",
    " id:",
    "scheduler-",
    "/members/id/",
    "pd: ",
    "by id:",
)
_NAME = re.compile(r"\bpd-\d+\b|" + "|".join(rf"(?<={re.escape(b)})\d+" for b in _BEFORE_ID))


@dataclass(frozen=True)
class Names:
    """What the capture's ids and names are called here: `{15: 42}`, `{"pd-1": "pd-0"}`."""

    ids: dict[int, int] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)

    def translate(self, text: str) -> str:
        def one(match: re.Match[str]) -> str:
            word = match.group()
            return (
                str(self.ids.get(int(word), word)) if word.isdigit() else self.words.get(word, word)
            )

        return _NAME.sub(one, text)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(pattern: str) -> Callable[[Any, Any], bool]:
    compiled = re.compile(pattern)

    def fits(captured: Any, got: Any) -> bool:
        if not isinstance(captured, str) or (not captured and not compiled.fullmatch("")):
            return bool(got == captured)
        return isinstance(got, str) and bool(compiled.fullmatch(got))

    return fits


def _id(captured: Any, got: Any) -> bool:
    return _is_int(got) and got > 0 if _is_int(captured) else bool(got == captured)


def _amount(_: Any, got: Any) -> bool:
    return _is_number(got) and got >= 0


def _same_zero(captured: Any, got: Any) -> bool:
    """An amount that is 0 exactly where the capture's is."""
    return _amount(captured, got) and (got == 0) == (captured == 0)


def _size(captured: Any, got: Any) -> bool:
    form = re.compile(r"\d+(\.\d+)?([KMGTP]i)?B")
    return (
        isinstance(got, str) and bool(form.fullmatch(got)) and (got == "0B") == (captured == "0B")
    )


def _time(captured: Any, got: Any) -> bool:
    form = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")
    zero = ("0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z")
    return (
        isinstance(got, str)
        and bool(form.fullmatch(got))
        and (captured in zero) == (got in zero)
        and (captured not in zero or captured == got)
    )


def _progress(captured: Any, got: Any) -> bool:
    return _is_number(got) and 0 <= got <= 1 and (got == 0) == (captured == 0)


def _url(captured: Any, got: Any) -> bool:
    return (
        isinstance(got, str) and bool(re.fullmatch(r"https?://[^/]+:\d+", got)) and bool(captured)
    )


DURATION = r"(\d+h)?(\d+m)?\d+(\.\d+)?(ms|µs|s)"
MASKS: dict[str, Callable[[Any, Any], bool]] = {
    "id": _id,
    "store_id": _id,
    "member_id": _id,
    "cluster_id": _id,
    "address": _text(r"[^/]+:\d+"),
    "peer_address": _text(r"[^/]+:\d+"),
    "status_address": _text(r"[^/]+:\d+"),
    "deploy_path": _text(r"/.*"),
    "binary_version": _text(r"v\d+\.\d+\.\d+"),
    "version": _text(r"v?\d+\.\d+\.\d+"),
    "git_hash": _text(r".+"),
    "build_ts": _text(r".+"),
    "cluster-version": _text(r"\d+\.\d+\.\d+"),
    "start_timestamp": _id,
    "last_heartbeat": _id,
    "start_ts": _time,
    "last_heartbeat_ts": _time,
    "raft_bootstrap_time": _time,
    "uptime": _text(DURATION),
    "capacity": _size,
    "available": _size,
    "used_size": _text(r"\d+(\.\d+)?([KMGTP]i)?B"),
    "leader_count": _amount,
    "leader_score": _amount,
    "leader_size": _amount,
    "region_count": _same_zero,
    "region_score": _amount,
    "region_size": _same_zero,
    "count": _same_zero,
    "conf_ver": _id,
    "start_key": _text(r"[0-9A-F]*"),
    "end_key": _text(r"[0-9A-F]*"),
    "approximate_size": _amount,
    "approximate_keys": _amount,
    "down_seconds": _amount,
    "storage_size": _amount,
    "storage_keys": _amount,
    "learner_count": _id,
    "pending_peer_count": _id,
    "progress": _progress,
    "current_speed": _same_zero,
    "left_seconds": lambda captured, got: _is_number(got) and (captured > 1e300) == (got > 1e300),
    # of /config: what each member says of itself
    "client-urls": _url,
    "peer-urls": _url,
    "advertise-client-urls": _url,
    "advertise-peer-urls": _url,
    "data-dir": _text(r".+"),
    "initial-cluster": _text(r"[^=]+=https?://.+"),
    "filename": _text(r".*"),
    "job": _text(r"pd-\d+"),
}
# Keys that may be absent on either side: a new store has no node_state until PD looked at it, and only a store that
# is in the middle of a move has the two counts.
OPTIONAL = {"node_state", "learner_count", "pending_peer_count"}
# Objects whose keys are store ids: the values must match a captured one each.
BY_STORE = {
    "store_leader_count",
    "store_peer_count",
    "store_leader_size",
    "store_leader_keys",
    "store_peer_size",
    "store_peer_keys",
    "store-limit",
}
AMOUNTS_BY_STORE = BY_STORE - {"store-limit"}
PLAIN_REGION_VERSION = {"epoch": _id}
# Lists without an order.
UNORDERED = {"stores", "regions", "peers", "down_peers", "members", "labels", "pending_peers", ""}


def differences(captured: Any, got: Any, names: Names, path: str = "") -> list[str]:
    """What keeps `got` from being the captured body; empty when it is."""
    key = path.rpartition(".")[2]
    if key in ("client_urls", "peer_urls") and isinstance(captured, list):
        good = (
            isinstance(got, list)
            and len(got) == len(captured)
            and all(_url("", u) or _url(u, u) for u in got)
        )
        return [] if good else [f"{path}: {got!r} is no list of {len(captured)} URLs"]
    if path.endswith("epoch.version"):
        return [] if _id(captured, got) else [f"{path}: {got!r}"]
    if key in MASKS and not isinstance(captured, dict | list):
        return [] if MASKS[key](captured, got) else [f"{path}: {got!r} does not fit {captured!r}"]
    if isinstance(captured, dict):
        return _object(captured, got, names, path, key)
    if isinstance(captured, list):
        return _list(captured, got, names, path, key)
    if isinstance(captured, str):
        wanted, found = masked(names.translate(captured)), masked(str(got))
        same = isinstance(got, str) and wanted == found
        return [] if same else [f"{path or 'body'}: {got!r} instead of {wanted!r}"]
    if key.startswith("evicted-stores["):
        captured = names.ids.get(captured, captured)
    if _is_number(captured):
        return (
            []
            if _is_number(got) and got == captured
            else [f"{path}: {got!r} instead of {captured!r}"]
        )
    return (
        []
        if got == captured and type(got) is type(captured)
        else [f"{path}: {got!r} instead of {captured!r}"]
    )


def _object(captured: dict[str, Any], got: Any, names: Names, path: str, key: str) -> list[str]:
    if not isinstance(got, dict):
        return [f"{path or 'body'}: {got!r} is no object"]
    if key in BY_STORE or (not key and captured and all(k.isdigit() for k in captured)):
        wrong = [k for k in got if not k.isdigit()]
        if wrong or len(got) != len(captured):
            return [f"{path}: its keys are {sorted(got)}, not {len(captured)} store ids"]
        if key in AMOUNTS_BY_STORE:
            return [f"{path}.{k}: {v!r}" for k, v in got.items() if not _amount(0, v)]
        return _match_each(list(captured.values()), list(got.values()), names, path)
    translated = {
        str(names.ids.get(int(k), k)) if k.isdigit() else k: v for k, v in captured.items()
    }
    missing = set(translated) - set(got) - OPTIONAL
    extra = set(got) - set(translated) - OPTIONAL
    found = [f"{path}: {name} is missing" for name in sorted(missing)]
    found += [f"{path}: {name} is more than was captured" for name in sorted(extra)]
    for name in sorted(set(translated) & set(got)):
        found += differences(translated[name], got[name], names, f"{path}.{name}")
    return found


def _list(captured: list[Any], got: Any, names: Names, path: str, key: str) -> list[str]:
    if not isinstance(got, list):
        return [f"{path or 'body'}: {got!r} is no list"]
    if key not in UNORDERED:
        if len(captured) != len(got):
            return [f"{path}: {len(got)} elements instead of {len(captured)}"]
        pairs = enumerate(zip(captured, got, strict=True))
        return [d for i, (c, g) in pairs for d in differences(c, g, names, f"{path}[{i}]")]
    if bool(captured) != bool(got):
        return [f"{path or 'body'}: {len(got)} elements instead of {len(captured)}"]
    if all(isinstance(c, str) for c in captured):
        if any(" " in c for c in captured):  # /operators: sentences
            return (
                [] if all(isinstance(g, str) for g in got) else [f"{path}: not all texts: {got!r}"]
            )
        return (
            []
            if sorted(captured) == sorted(got)
            else [f"{path}: {sorted(got)} instead of {sorted(captured)}"]
        )
    if key != "regions" and len(captured) != len(got):
        return [f"{path}: {len(got)} elements instead of {len(captured)}"]
    wanted, found = (_states(captured), _states(got)) if key == "stores" else (None, None)
    if wanted != found:
        return [f"{path}: the states are {found}, not {wanted}"]
    return _match_each(captured, got, names, path)


def _match_each(captured: list[Any], got: list[Any], names: Names, path: str) -> list[str]:
    """Every element must match one that was captured; of one that does not, the differences to the nearest."""
    found: list[str] = []
    for i, element in enumerate(got):
        nearest = min((differences(c, element, names, f"{path}[{i}]") for c in captured), key=len)
        found += nearest
    return found


def _states(stores: Iterable[Any]) -> Counter[str]:
    return Counter(str(s.get("store", {}).get("state_name")) for s in stores)


def masked(text: str) -> str:
    """A text without its addresses, times and labels, and without the ids that etcd makes up."""
    text = re.sub(r"labels:<[^>]*> ", "", text)
    text = re.sub(r"[\w.-]+:\d{4,5}\b", "ADDRESS", text)
    text = re.sub(r"(start_timestamp|last_heartbeat):\d+", r"\1:TIME", text)
    text = re.sub(r'version:"[\d.]+"|deploy_path:"[^"]*"', "", text)
    text = re.sub(r"node_state:(Preparing|Serving) ", "", text)
    return re.sub(r"\b\d{10,}\b|\b[0-9a-f]{15,16}\b", "ID", text)


def without_stats(body: Any) -> Any:
    """/stores as a leader gives it that has not heard the stores yet: without their sizes."""
    unknown = {"capacity": "0B", "available": "0B", "used_size": "0B"}
    stores = [
        {**s, "status": {k: v for k, v in s["status"].items() if k != "slow_score"} | unknown}
        for s in body["stores"]
    ]
    return {**body, "stores": stores}


def compare(capture: dict[str, Any], answer: Answer, names: Names) -> list[str]:
    """Status, content type, time and body of an HTTP capture against an answer."""
    found = []
    if answer.status != capture["status"]:
        found.append(f"status {answer.status} instead of {capture['status']}: {answer.text[:300]}")
        return found
    if capture["status"] == 0:
        return found
    wanted_type = (capture["headers"] or {}).get("Content-Type", "")
    if capture["body"] not in ("", None) and answer.content_type != wanted_type:
        found.append(f"content type {answer.content_type!r} instead of {wanted_type!r}")
    waits = capture["seconds"] >= BLOCKING
    if waits != (answer.seconds >= AT_LEAST):
        found.append(f"took {answer.seconds:.1f} s, captured {capture['seconds']:.1f} s")
    return found + differences(capture["body"], answer.body, names)
