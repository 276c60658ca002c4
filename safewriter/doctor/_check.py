"""Look at a log directory: walk, read, judge."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from safewriter._errors import ArgumentValueError
from safewriter.doctor._check_file import check_bytes, stray
from safewriter.doctor._check_files import check_order
from safewriter.doctor._check_logdir import check_logdir, no_event_files
from safewriter.doctor._check_server import check_server
from safewriter.doctor._check_status import check_status
from safewriter.doctor._check_tags import check_tags
from safewriter.doctor._check_tree import Tree, check_name
from safewriter.doctor._finding import Finding
from safewriter.doctor._journal import check_journal
from safewriter.doctor._rules import RULES
from safewriter.doctor._scan import scan_run
from safewriter.runs._names import printable
from safewriter.runs._user import User
from safewriter.runs._walk import Directory, Progress, counted, walk


def check(
    path: str | os.PathLike[str],
    *,
    select: Iterable[str] = (),
    ignore: Iterable[str] = (),
    as_user: str | None = None,
    server: str | None = None,
    progress: Progress | None = None,
) -> list[Finding]:
    """Return what is wrong with a log directory, written by any tool. Nothing is changed.

    Args:
        path: what is given to ``tensorboard --logdir``.
        select: report only these codes; a beginning such as ``"SW4"`` stands for all that have it.
        ignore: do not report these codes; beginnings as above.
        as_user: name or number of the user who runs TensorBoard, if it is another one: also report
            what that user may not read (by mode bits; access control lists are not looked at).
        server: address of a running TensorBoard, such as ``"http://localhost:6006"``: also compare
            what it serves with what is on disk.
        progress: called now and then.

    Returns:
        The findings, errors first.

    Raises:
        ArgumentValueError: a code is unknown.
        LookupError: the user is unknown.
    """
    wanted = wanted_codes(select, ignore)
    user = User.named(as_user) if as_user is not None else User.current()
    findings = _check(os.fsdecode(path), user, as_user is not None, server, progress)
    severities = ("error", "warning", "note")
    return sorted(
        (finding for finding in findings if finding.code in wanted),
        key=lambda finding: severities.index(finding.severity),
    )


def wanted_codes(select: Iterable[str], ignore: Iterable[str]) -> set[str]:
    """Return the codes that are selected and not ignored.

    Raises:
        ArgumentValueError: no code begins like this.
    """

    def matching(argument: str, beginnings: Iterable[str]) -> set[str]:
        codes = set()
        for beginning in beginnings:
            found = {code for code in RULES if beginning and code.startswith(beginning.upper())}
            if not found:
                raise ArgumentValueError(
                    f"no code begins with {beginning!r}; --explain lists all codes",
                    argument=argument,
                )
            codes |= found
        return codes

    return (matching("select", select) or set(RULES)) - matching("ignore", ignore)


def _check(
    given: str, user: User, other_user: bool, server: str | None, progress: Progress | None
) -> list[Finding]:
    if (finding := check_logdir(given)) is not None:
        return [finding]
    top = os.path.abspath(os.path.expanduser(given))
    findings: list[Finding] = []
    if other_user:
        findings += _barriers(top, user)
    directories: list[Directory] = []
    for met in walk(top, user):
        if isinstance(met, Directory):
            directories.append(met)
        else:
            findings.append(check_name(met))
    runs = [directory for directory in directories if directory.files or directory.strays]
    if not runs and not findings:
        others = sum(directory.others for directory in directories)
        findings.append(no_event_files(top, others, len(directories)))
    tree = Tree(top)
    found: list[Finding] = []
    for directory in counted(runs, progress):
        found += _check_run(directory, tree)
    findings += tree.findings(_descriptor_limit())
    findings += found
    if server is not None:
        findings += check_server(server, top, {run.name: run.path for run in runs}, findings)
    return findings


def _check_run(directory: Directory, tree: Tree) -> Iterator[Finding]:
    run = scan_run(directory)
    for path in directory.strays:
        yield stray(run, path, "is no event file of the run by its name")
    yield from check_bytes(run)
    yield from check_order(run)
    yield from check_tags(run)
    yield from check_status(run)
    yield from check_journal(run)
    tree.add(run)


def _barriers(top: str, user: User) -> Iterator[Finding]:
    for path in user.barriers(top):
        yield Finding(
            "SW503",
            f"{user.name} may not pass through {printable(path)!r}.",
            Path(path),
            evidence={"user": user.name, "mode": f"{os.stat(path).st_mode & 0o7777:04o}"},
        )


def _descriptor_limit() -> int | None:
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft
