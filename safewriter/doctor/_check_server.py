"""What a running TensorBoard serves, against what is on disk."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safewriter.doctor._finding import MAX_EXAMPLES, Finding, listing, plural
from safewriter.events import summarise
from safewriter.runs._names import printable
from safewriter.runs._walk import MARK

SETTLE_SECONDS = 30.0
"""What was written so recently need not be served yet: TensorBoard reloads every 5 s by default."""

_TIMEOUT = 20.0
_COMPARED_RUNS = 20
_COMPARED_TAGS = 20


class _ServerError(Exception):
    """TensorBoard did not answer as it should: the route, the HTTP status if any, the reason."""


def check_server(
    server: str, top: str, runs: dict[str, str], findings: list[Finding]
) -> Iterator[Finding]:
    """Compare what ``server`` serves with the runs below ``top``.

    Args:
        server: address, such as ``"http://localhost:6006"``.
        top: the log directory.
        runs: name of each run with event files to its directory.
        findings: those about the log directory; they tell whether a restart would help.
    """
    try:
        yield from _compare(server.rstrip("/"), top, runs, findings)
    except _ServerError as error:
        route, status, reason = error.args
        yield Finding(
            "SW701" if status is None else "SW702",
            f"{server}: {route} {reason}.",
            Path(top),
            evidence={"server": server, "route": route, "status": status},
        )


def _compare(
    server: str, top: str, runs: dict[str, str], findings: list[Finding]
) -> Iterator[Finding]:
    served_from = str(_get(server, "data/environment").get("data_location") or "")
    if served_from and not _may_be(served_from, top):
        yield Finding(
            "SW703",
            f"{server} serves {served_from!r}.",
            Path(top),
            evidence={"server": server, "served": served_from},
            cure=f"Start TensorBoard with --logdir {printable(top)}",
        )
        return
    served = set(_get(server, "data/runs"))
    hopeless = {finding.run for finding in findings if finding.severity == "error"}
    missing = [run for run in runs if run not in served and _is_old(runs[run])]
    if missing:
        yield _missing(server, top, missing, hopeless, bool(served))
    gone = sorted(run for run in served if not os.path.isdir(os.path.join(top, run)))
    if gone:
        yield Finding(
            "SW706",
            f"{server} serves {plural(len(gone), 'run')} not on disk: {listing(gone)}.",
            Path(top),
            evidence={"server": server, "runs": gone[:MAX_EXAMPLES], "run_count": len(gone)},
        )
    tags: dict[str, Any] = _get(server, "data/plugin/scalars/tags")
    shown = sorted((run for run in runs if run in served), key=lambda run: -_modified(runs[run]))
    for run in shown[:_COMPARED_RUNS]:
        yield from _compare_run(server, run, runs[run], set(tags.get(run, ())), run in hopeless)


def _may_be(served: str, top: str) -> bool:
    """Whether the directory that TensorBoard was given can be ``top``."""
    path = os.path.expanduser(served)
    if os.path.realpath(path) == os.path.realpath(top):
        return True
    # A relative path is relative to where TensorBoard was started, which it does not tell.
    end = tuple(part for part in Path(os.path.normpath(path)).parts if part != "..")
    return not os.path.isabs(path) and Path(top).parts[-len(end) or len(top) :] == end


def _missing(
    server: str, top: str, missing: list[str], hopeless: set[str | None], others: bool
) -> Finding:
    explained = [run for run in missing if run in hopeless]
    if len(explained) == len(missing):
        cure = "A restart does not help: cure the other findings about these runs first."
    elif not others:
        cure = "Restart TensorBoard: it serves no run at all, so its reloader has died."
    else:
        cure = "Restart TensorBoard."
    return Finding(
        "SW704",
        f"{server} does not serve {plural(len(missing), 'run')}: {listing(missing)}.",
        Path(top),
        evidence={
            "server": server,
            "runs": missing[:MAX_EXAMPLES],
            "run_count": len(missing),
            "explained": len(explained),
        },
        cure=cure,
    )


def _compare_run(
    server: str, run: str, directory: str, tags: set[str], hopeless: bool
) -> Iterator[Finding]:
    summary = summarise(directory)
    stale: list[tuple[str, int, int | None]] = []
    deadline = time.time() - SETTLE_SECONDS
    curves = [tag for tag in summary.tags.values() if tag.kind == "scalar"]
    for tag in sorted(curves, key=lambda tag: -tag.last_wall_time)[:_COMPARED_TAGS]:
        if tag.last_wall_time > deadline or tag.double_precision or tag.other_kinds:
            continue
        points = []
        if tag.tag in tags:
            points = _get(server, "data/plugin/scalars/scalars", run=run, tag=tag.tag)
        last = max((step for _, step, _ in points), default=None)
        if last is None or last < tag.last_step:
            stale.append((tag.tag, tag.last_step, last))
    if not stale:
        return
    name, on_disk, last = stale[0]
    shown = "nothing" if last is None else f"step {last:,}"
    cure = "A restart does not help: cure the other findings about this run first."
    yield Finding(
        "SW705",
        f"{server} shows {shown} as the last of {name!r}; on disk it is step {on_disk:,}.",
        Path(directory),
        run,
        {
            "server": server,
            "tag": name,
            "on_disk": on_disk,
            "served": last,
            "tags": [tag for tag, _, _ in stale][:MAX_EXAMPLES],
            "tag_count": len(stale),
        },
        cure=cure if hopeless else "",
    )


def _get(server: str, route: str, **params: str) -> Any:
    query = f"?{urllib.parse.urlencode(params)}" if params else ""
    # A proxy of the environment is not asked for a TensorBoard on this machine.
    host = urllib.parse.urlsplit(server).hostname or ""
    handlers = [urllib.request.ProxyHandler({})] if host in ("localhost", "127.0.0.1") else []
    opener = urllib.request.build_opener(*handlers)
    try:
        with opener.open(f"{server}/{route}{query}", timeout=_TIMEOUT) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            raise _ServerError(route, error.code, f"answers HTTP {error.code}") from None
    except ValueError:  # not JSON, or not an address
        raise _ServerError(route, None, "is not answered by a TensorBoard") from None
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        raise _ServerError(route, None, f"does not answer ({reason})") from None


def _modified(directory: str) -> float:
    with os.scandir(directory) as entries:
        return max(entry.stat().st_mtime for entry in entries if MARK in entry.name)


def _is_old(directory: str) -> bool:
    return time.time() - _modified(directory) > SETTLE_SECONDS
