"""The rules: what each finding means, what TensorBoard shows because of it, and the cure.

What the two readers of TensorBoard show was measured with TensorBoard 2.21 and its data server
0.7.2; the tests build each situation and ask both. The *fast* reader is the default, the *Python*
reader is ``tensorboard --load_fast=false`` and what runs where there is no data server.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, cast

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Rule:
    """One kind of finding: what TensorBoard makes of it, and the cure."""

    code: str
    severity: Severity
    title: str
    fast: str
    python: str
    cure: str


# Without a line for the Python reader it shows the same.
_TABLE = """
# The log directory itself.

[SW101 error: The log directory does not exist]
fast = an empty page, without a message
cure = Start TensorBoard on the directory that holds the runs.

[SW102 error: The log directory is a file]
fast = an empty page, without a message
cure = Name the directory that holds the file.

[SW103 error: The log directory is empty]
fast = an empty page, without a message
cure = Check where the program writes: a relative log_dir is resolved from the directory in which
    the program was started.

[SW104 error: Several directories in one --logdir]
fast = an empty page, without a message
cure = --logdir takes one directory. Give the common parent, or use --logdir_spec.

[SW105 error: No event file below the log directory]
fast = an empty page, without a message
cure = TensorBoard reads only files with 'tfevents' in their name. Rename event files back, or name
    the directory that holds them.

# The bytes of a file.

[SW201 error: An event file without one whole record]
fast = does not list the run, if it has no other file
python = lists the run, empty
cure = The writer has not written, or its disk was full. If it is dead, delete the file.

[SW202 warning: A run without data]
fast = lists the run, empty
cure = A writer was made here but nothing was logged. Delete the directory if it is not wanted.

[SW203 note: The last record is torn]
fast = shows everything before it
cure = The writer was killed in the middle of a record, or its disk was full. Nothing else is lost.
    Do not append to this file: what follows a torn record is never shown.

[SW204 error: A record with a bad checksum]
fast = shows the damaged value as if it were good, if it can be decoded
python = stops there, without a message: the rest of the file is not shown
cure = The bytes were damaged after they were written: check the disk. --fix puts the good records
    into a new file.

[SW205 warning: The file ends in zeros]
fast = shows everything before them; what is appended behind them is never shown
cure = The machine went down before the data reached the disk. --fix makes a file without the zeros.

[SW206 error: Readable records behind a fault]
fast = shows nothing behind the fault, and may show an invented value at it
python = shows nothing behind the fault
cure = --fix puts the readable records into a new file.

[SW207 error: The file ends in bytes that are no record]
fast = shows everything before them; what is appended behind them is never shown
cure = Something else wrote into the file, or the disk damaged it. --fix makes a file of the good
    records.

[SW208 error: A record that is no event]
fast = stops reading the file there
python = the reloader dies: no run of the whole log directory is updated any more
cure = The writer wrote a tag that is not valid UTF-8, or bytes that are no event. --fix puts the
    other records into a new file. Restart TensorBoard afterwards.

[SW209 error: A wall time that is not finite]
fast = stops reading the file at a NaN; drops the record of an infinite one
python = shows it right
cure = Do not pass a NaN or infinite walltime. --fix puts the other records into a new file.

# The files of one run.

[SW301 error: The names of the files contradict their times]
fast = after a restart, hides points of the later data where steps are shared
python = never reads the newer file while it runs; after a restart draws a zigzag
cure = The clock went back, or a process id or counter got another digit. --fix merges the files in
    time order.

[SW302 error: Two writers logged the same tags at the same time]
fast = right while live; after a restart, points of the first file vanish
python = stops following the first file; after a restart draws a zigzag
cure = Give each writer a log_dir of its own. --fix merges the files in time order.

[SW303 warning: Several files of one run are growing]
fast = right while live; after a restart, shared tags lose points
python = follows only the file whose name sorts last
cure = Two processes write one directory now. Stop one, and give each a log_dir of its own.

[SW304 warning: A growing file is not the last of its run]
fast = shows it right
python = does not show what is written to it now
cure = Restart TensorBoard, or delete the later-named file if it is not wanted.

[SW305 error: A later file starts its steps over]
fast = hides the points of the earlier file from the first repeated step on
python = draws both as one zigzag curve
cure = Two starts of a program logged to one directory. Give each start a log_dir of its own; to
    separate these two, move the later file to a directory of its own.

# Steps, tags and values.

[SW401 error: Steps go back]
fast = hides every earlier point of the tag from the repeated step on
python = draws a zigzag
cure = Let global_step rise within a tag; log a second pass to a run of its own.

[SW402 warning: The same step twice]
fast = shows only the last point of a step
python = shows all of them at one place
cure = Pass global_step, and let it rise with every call.

[SW403 error: A lone step 0 behind higher steps]
fast = erases the whole curve before it
python = draws an extra point at 0
cure = One call forgot global_step (torch then writes step 0). Pass it.

[SW404 warning: A purge that does nothing]
fast = ignores it: only tags that are logged again lose their old points
python = ignores the first purge of a run: old and new points are both shown
cure = purge_step of torch's writer has no effect on a first restart. Log to a new directory, or
    resume with safewriter.

[SW405 error: One tag, two kinds of data]
fast = shows only the kind that came first; at the same step both vanish
python = answers HTTP 500 for the tag, or shows only the kind that came first
cure = Give each kind a tag of its own.

[SW406 error: Scalars in double precision]
fast = does not show them: only float32 tensors are accepted as scalars
python = shows it right
cure = Do not pass double_precision=True.

[SW407 error: Tensors without metadata]
fast = does not show the tag
cure = The first event of a tag must say which plugin shows it. Its file may be missing, or the
    writer is faulty.

[SW408 warning: A curve ends in NaN or infinity]
fast = ends the line there; a triangle marks each NaN, nothing an infinity
cure = Training diverged: lower the learning rate, or look at the inputs of that step.

[SW409 note: A run without curves]
fast = lists the run; its data are on the Text, Graphs or HParams page only
cure = Log a scalar to see the run among the time series.

[SW410 note: More points than TensorBoard keeps]
fast = shows a random sample, the last point always included
cure = Start TensorBoard with --samples_per_plugin, for example scalars=100000.

[SW411 error: Values without data]
fast = does not show them
cure = torch's add_video writes them without moviepy 1. safewriter's needs no moviepy.

# The tree.

[SW501 error: A stray file with 'tfevents' in its name]
fast = reads it as events of the run, which can hide newer points
python = moves on to it: the real file is not followed any more
cure = Move it away, or rename it so that its name has no 'tfevents'. --fix does.

[SW502 error: A directory with 'tfevents' in its name]
fast = shows it right
python = answers HTTP 500 to the list of runs: no run of the whole log directory is shown
cure = Rename the directory.

[SW503 error: TensorBoard may not read it]
fast = does not show it, not even after a later chmod, until it is restarted
python = answers HTTP 500, or shows nothing at all
cure = Give the user who runs TensorBoard read permission (chmod -R a+rX), then restart TensorBoard.

[SW504 error: A symbolic link to a directory above it]
fast = shows it right
python = lists every run dozens of times, under longer and longer names
cure = Delete the link.

[SW505 error: A pipe, socket or device with 'tfevents' in its name]
fast = shows it right
python = hangs: the page never loads
cure = Delete it, or move it away.

[SW506 error: A name that is not valid UTF-8]
fast = shows other runs right
python = the reloader dies: no run of the whole log directory is shown
cure = Rename the file or directory.

[SW507 error: More event files than TensorBoard may open]
fast = keeps one descriptor for each file: runs come and go between all and none
python = shows it right
cure = Raise the limit before starting TensorBoard (ulimit -n 65536), name a smaller directory, or
    use --load_fast=false.

[SW508 note: More than 500 runs]
fast = lists the runs, but selects none of the new ones: no curve until one is ticked
cure = Tick the runs or filter them by name, or start TensorBoard on a smaller directory.

# How a run ended; an interrupted --fix.

[SW601 note: The run crashed]
fast = shows what was logged until then
cure = Its process ended without closing the run: look at its output. safewriter continues it with
    resume=True.

[SW602 warning: A live process holds a run but does not write]
fast = shows what was logged until then
cure = Look at that process: it may hang. The run stays locked until it ends.

[SW603 warning: An interrupted --fix]
fast = shows records twice: in the old file and in the new one
cure = Run --fix again: it finishes what it began.

[SW604 warning: Events that wait in the hidden folder]
fast = shows everything but them
cure = The process was killed before it was known which run they are of. Nothing is lost: resume the
    run with SafeSummaryWriter(DIRECTORY, resume=True), which writes them down.

# A running TensorBoard.

[SW701 error: TensorBoard does not answer]
fast = nothing
python = nothing
cure = Start TensorBoard, or correct the URL.

[SW702 error: TensorBoard answers with an error]
fast = no run
python = no run
cure = Cure the findings about the log directory, then restart TensorBoard.

[SW703 error: TensorBoard serves another directory]
fast = the runs of the other directory
cure = Start TensorBoard on this directory.

[SW704 error: Runs on disk that TensorBoard does not serve]
fast = not these runs
cure = Restart TensorBoard.

[SW705 error: TensorBoard serves stale data]
fast = only the older points
cure = Restart TensorBoard.

[SW706 warning: Runs that TensorBoard serves and that are not on disk]
fast = runs that were deleted or moved
cure = Restart TensorBoard.
"""


def _rules() -> Iterator[Rule]:
    unfolded = _TABLE.strip().replace("\n    ", " ")
    for heading, *lines in map(str.splitlines, unfolded.split("\n\n")):
        if heading.startswith("#"):
            continue
        head, _, title = heading.strip("[]").partition(": ")
        code, severity = head.split()
        shows = {"python": "the same", **dict(line.split(" = ", 1) for line in lines)}
        yield Rule(code, cast(Severity, severity), title, **shows)


RULES: dict[str, Rule] = {rule.code: rule for rule in _rules()}
"""Every rule by its code, in order."""
