"""The session of a run with hyperparameters: a row of TensorBoard's HParams page.

It begins in the run's own event file and ends with the run. Both readers keep the first of several
records of a run. So what takes the place of an earlier one goes to a small event file whose name
sorts before all others: it is shown by each TensorBoard that has not yet loaded the run.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from google_crc32c import value as crc32c
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata

from safewriter._disk.file_names import MARK, newest_timestamp
from safewriter._disk.open_files import DiskErrorsIgnored
from safewriter._kinds import SESSION_START
from safewriter._run.ending import FINISHED, Ending
from safewriter._tfrecord import frame, version_record
from safewriter.events import event_files, read_events

if TYPE_CHECKING:
    from safewriter._run.part import Part

START, END = SESSION_START, "_hparams_/session_end_info"

# Of TensorBoard's Status. Who writes both ends of a session at once has its own idea of it.
_SUCCESS, _FAILURE, _RUNNING = 1, 2, 3
FOREIGN = 0

_SUFFIX = ".session"


def name_of(directory: str, log_dir: str) -> str:
    """Return what the page calls a run: what tells it from others comes first, or ``""``.

    A name that two runs share would make one row of them.
    """
    below = os.path.relpath(directory, log_dir)
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)_(\d\d-\d\d-\d\d)[_/]?(.*)", below)
    if found is None:
        return ""
    date, time_of_day, rest = found.groups()
    return f"{rest} {time_of_day} {date} #{crc32c(directory.encode()):08x}".lstrip()


def start_of(name: str, hparams: Mapping[str, bool | float | str]) -> Summary:
    """Return the record that begins a session."""
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionStartInfo

    start = SessionStartInfo(group_name=name, start_time_secs=time.time())
    for key, value in hparams.items():
        entry = start.hparams[key]
        if isinstance(value, bool):
            entry.bool_value = value
        elif isinstance(value, str):
            entry.string_value = value
        else:
            entry.number_value = value
    return _summary(START, HParamsPluginData(session_start_info=start).SerializeToString())


def end(part: Part, ending: Ending, generation: int) -> None:
    """End the session of a run, if it has one that has not ended so."""
    contents = part.ledger.contents
    before = contents.get(END)
    status = _SUCCESS if ending.status == FINISHED.status else _FAILURE
    if START not in contents or before in (FOREIGN, status):
        return
    if before is None:
        event = Event(wall_time=time.time(), summary=_end_of(status))
        part.file.append(event.SerializeToString(), time.time(), generation=generation)
    else:
        replace(part.file.directory, status)
    contents[END] = status


def look_back(part: Part, tags: Mapping[str, object]) -> None:
    """Note the session of a run that goes on; one that has ended runs again."""
    contents, directory = part.ledger.contents, part.file.directory
    if START in tags:
        contents[START] = 0
    if END in tags:
        contents[END] = _status_in(directory)
        if contents[END] in (_SUCCESS, _FAILURE):
            contents[END] = _RUNNING
            replace(directory, _RUNNING)


def replace(directory: str, status: int | None, start: Summary | None = None) -> None:
    """Show another end of a session, or another start, from the next loading on.

    Nothing is shown differently where the disk refuses: training goes on.
    """
    now = time.time()
    hidden = os.path.join(directory, f".session-{secrets.token_hex(8)}")
    with DiskErrorsIgnored():
        summaries = [start or _first(directory, START)]
        if status is not None:
            summaries.append(_end_of(status))
        records = [version_record()]
        for summary in filter(None, summaries):
            records.append(frame(Event(wall_time=now, summary=summary).SerializeToString()))
        names = [name for name in os.listdir(directory) if MARK in name]
        stamp = min((newest_timestamp([name]) for name in names), default=int(now)) - 1
        tail = f"{stamp:010d}.{socket.gethostname()}.{os.getpid()}.00{_SUFFIX}"
        with open(hidden, "xb") as file:
            file.write(b"".join(records))
        os.rename(hidden, os.path.join(directory, f"events.out.tfevents.{tail}"))
        for name in names:
            if name.endswith(_SUFFIX):
                os.unlink(os.path.join(directory, name))
    with DiskErrorsIgnored():
        os.unlink(hidden)  # What a full disk has left of it.


def _first(directory: str, tag: str) -> Summary | None:
    """Return the first record of a tag, which is the one that is shown."""
    for path in event_files(directory):
        for event in read_events(path):
            for value in event.summary.value:
                if value.tag == tag:
                    return Summary(value=[value])
    return None


def _status_in(directory: str) -> int:
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    found = _first(directory, END)
    if found is None:
        return FOREIGN
    info = HParamsPluginData.FromString(found.value[0].metadata.plugin_data.content)
    end = info.session_end_info
    return int(end.status) if end.end_time_secs else FOREIGN


def _end_of(status: int) -> Summary:
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo

    end = SessionEndInfo(status=status, end_time_secs=time.time())
    return _summary(END, HParamsPluginData(session_end_info=end).SerializeToString())


def _summary(tag: str, content: bytes) -> Summary:
    plugin = SummaryMetadata.PluginData(plugin_name="hparams", content=content)
    return Summary(value=[Summary.Value(tag=tag, metadata=SummaryMetadata(plugin_data=plugin))])
