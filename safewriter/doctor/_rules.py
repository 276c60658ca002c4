"""The rules: what each finding means, what TensorBoard shows because of it, and the cure.

What the two readers of TensorBoard show was measured with TensorBoard 2.21 and its data server
0.7.2; the tests build each situation and ask both. The *fast* reader is the default, the *Python*
reader is ``tensorboard --load_fast=false`` and what runs where there is no data server.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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


_SAME = "the same"
_EMPTY_PAGE = "an empty page, without a message"
_RIGHT = "shows it right"

_ALL = [
    # The log directory itself.
    Rule(
        "SW101",
        "error",
        "The log directory does not exist",
        _EMPTY_PAGE,
        _SAME,
        "Start TensorBoard on the directory that holds the runs.",
    ),
    Rule(
        "SW102",
        "error",
        "The log directory is a file",
        _EMPTY_PAGE,
        _SAME,
        "Name the directory that holds the file.",
    ),
    Rule(
        "SW103",
        "error",
        "The log directory is empty",
        _EMPTY_PAGE,
        _SAME,
        "Check where the program writes: a relative log_dir is resolved from the directory in"
        " which the program was started.",
    ),
    Rule(
        "SW104",
        "error",
        "Several directories in one --logdir",
        _EMPTY_PAGE,
        _SAME,
        "--logdir takes one directory. Give the common parent, or use --logdir_spec.",
    ),
    Rule(
        "SW105",
        "error",
        "No event file below the log directory",
        _EMPTY_PAGE,
        _SAME,
        "TensorBoard reads only files with 'tfevents' in their name. Rename event files back, or"
        " name the directory that holds them.",
    ),
    # The bytes of a file.
    Rule(
        "SW201",
        "error",
        "An event file without one whole record",
        "does not list the run, if it has no other file",
        "lists the run, empty",
        "The writer has not written, or its disk was full. If it is dead, delete the file.",
    ),
    Rule(
        "SW202",
        "warning",
        "A run without data",
        "lists the run, empty",
        _SAME,
        "A writer was made here but nothing was logged. Delete the directory if it is not wanted.",
    ),
    Rule(
        "SW203",
        "note",
        "The last record is torn",
        "shows everything before it",
        _SAME,
        "The writer was killed in the middle of a record, or its disk was full. Nothing else is"
        " lost. Do not append to this file: what follows a torn record is never shown.",
    ),
    Rule(
        "SW204",
        "error",
        "A record with a bad checksum",
        "shows the damaged value as if it were good, if it can be decoded",
        "stops there, without a message: the rest of the file is not shown",
        "The bytes were damaged after they were written: check the disk. --fix puts the good"
        " records into a new file.",
    ),
    Rule(
        "SW205",
        "warning",
        "The file ends in zeros",
        "shows everything before them; what is appended behind them is never shown",
        _SAME,
        "The machine went down before the data reached the disk. --fix makes a file without the"
        " zeros.",
    ),
    Rule(
        "SW206",
        "error",
        "Readable records behind a fault",
        "shows nothing behind the fault, and may show an invented value at it",
        "shows nothing behind the fault",
        "--fix puts the readable records into a new file.",
    ),
    Rule(
        "SW207",
        "error",
        "The file ends in bytes that are no record",
        "shows everything before them; what is appended behind them is never shown",
        _SAME,
        "Something else wrote into the file, or the disk damaged it. --fix makes a file of the"
        " good records.",
    ),
    Rule(
        "SW208",
        "error",
        "A record that is no event",
        "stops reading the file there",
        "the reloader dies: no run of the whole log directory is updated any more",
        "The writer wrote a tag that is not valid UTF-8, or bytes that are no event. --fix puts"
        " the other records into a new file. Restart TensorBoard afterwards.",
    ),
    Rule(
        "SW209",
        "error",
        "A wall time that is not finite",
        "stops reading the file at a NaN; drops the record of an infinite one",
        _RIGHT,
        "Do not pass a NaN or infinite walltime. --fix puts the other records into a new file.",
    ),
    # The files of one run.
    Rule(
        "SW301",
        "error",
        "The names of the files contradict their times",
        "after a restart, hides points of the later data where steps are shared",
        "never reads the newer file while it runs; after a restart draws a zigzag",
        "The clock went back, or a process id or counter got another digit. --fix merges the"
        " files in time order.",
    ),
    Rule(
        "SW302",
        "error",
        "Two writers logged the same tags at the same time",
        "right while live; after a restart, points of the first file vanish",
        "stops following the first file; after a restart draws a zigzag",
        "Give each writer a log_dir of its own. --fix merges the files in time order.",
    ),
    Rule(
        "SW303",
        "warning",
        "Several files of one run are growing",
        "right while live; after a restart, shared tags lose points",
        "follows only the file whose name sorts last",
        "Two processes write one directory now. Stop one, and give each a log_dir of its own.",
    ),
    Rule(
        "SW304",
        "warning",
        "A growing file is not the last of its run",
        _RIGHT,
        "does not show what is written to it now",
        "Restart TensorBoard, or delete the later-named file if it is not wanted.",
    ),
    Rule(
        "SW305",
        "error",
        "A later file starts its steps over",
        "hides the points of the earlier file from the first repeated step on",
        "draws both as one zigzag curve",
        "Two starts of a program logged to one directory. Give each start a log_dir of its own;"
        " to separate these two, move the later file to a directory of its own.",
    ),
    # Steps, tags and values.
    Rule(
        "SW401",
        "error",
        "Steps go back",
        "hides every earlier point of the tag from the repeated step on",
        "draws a zigzag",
        "Let global_step rise within a tag; log a second pass to a run of its own.",
    ),
    Rule(
        "SW402",
        "warning",
        "The same step twice",
        "shows only the last point of a step",
        "shows all of them at one place",
        "Pass global_step, and let it rise with every call.",
    ),
    Rule(
        "SW403",
        "error",
        "A lone step 0 behind higher steps",
        "erases the whole curve before it",
        "draws an extra point at 0",
        "One call forgot global_step (torch then writes step 0). Pass it.",
    ),
    Rule(
        "SW404",
        "warning",
        "A purge that does nothing",
        "ignores it: only tags that are logged again lose their old points",
        "ignores the first purge of a run: old and new points are both shown",
        "purge_step of torch's writer has no effect on a first restart. Log to a new directory,"
        " or resume with safewriter.",
    ),
    Rule(
        "SW405",
        "error",
        "One tag, two kinds of data",
        "shows only the kind that came first; at the same step both vanish",
        "answers HTTP 500 for the tag, or shows only the kind that came first",
        "Give each kind a tag of its own.",
    ),
    Rule(
        "SW406",
        "error",
        "Scalars in double precision",
        "does not show them: only float32 tensors are accepted as scalars",
        _RIGHT,
        "Do not pass double_precision=True.",
    ),
    Rule(
        "SW407",
        "error",
        "Tensors without metadata",
        "does not show the tag",
        _SAME,
        "The first event of a tag must say which plugin shows it. Its file may be missing, or the"
        " writer is faulty.",
    ),
    Rule(
        "SW408",
        "warning",
        "A curve ends in NaN or infinity",
        "ends the line there; a triangle marks each NaN, nothing an infinity",
        _SAME,
        "Training diverged: lower the learning rate, or look at the inputs of that step.",
    ),
    Rule(
        "SW409",
        "note",
        "A run without curves",
        "lists the run; its data are on the Text, Graphs or HParams page only",
        _SAME,
        "Log a scalar to see the run among the time series.",
    ),
    Rule(
        "SW410",
        "note",
        "More points than TensorBoard keeps",
        "shows a random sample, the last point always included",
        _SAME,
        "Start TensorBoard with --samples_per_plugin, for example scalars=100000.",
    ),
    Rule(
        "SW411",
        "error",
        "Values without data",
        "does not show them",
        _SAME,
        "torch's add_video writes them without moviepy 1. safewriter's needs no moviepy.",
    ),
    # The tree.
    Rule(
        "SW501",
        "error",
        "A stray file with 'tfevents' in its name",
        "reads it as events of the run, which can hide newer points",
        "moves on to it: the real file is not followed any more",
        "Move it away, or rename it so that its name has no 'tfevents'. --fix does.",
    ),
    Rule(
        "SW502",
        "error",
        "A directory with 'tfevents' in its name",
        _RIGHT,
        "answers HTTP 500 to the list of runs: no run of the whole log directory is shown",
        "Rename the directory.",
    ),
    Rule(
        "SW503",
        "error",
        "TensorBoard may not read it",
        "does not show it, not even after a later chmod, until it is restarted",
        "answers HTTP 500, or shows nothing at all",
        "Give the user who runs TensorBoard read permission (chmod -R a+rX), then restart"
        " TensorBoard.",
    ),
    Rule(
        "SW504",
        "error",
        "A symbolic link to a directory above it",
        _RIGHT,
        "lists every run dozens of times, under longer and longer names",
        "Delete the link.",
    ),
    Rule(
        "SW505",
        "error",
        "A pipe, socket or device with 'tfevents' in its name",
        _RIGHT,
        "hangs: the page never loads",
        "Delete it, or move it away.",
    ),
    Rule(
        "SW506",
        "error",
        "A name that is not valid UTF-8",
        "shows other runs right",
        "the reloader dies: no run of the whole log directory is shown",
        "Rename the file or directory.",
    ),
    Rule(
        "SW507",
        "error",
        "More event files than TensorBoard may open",
        "keeps one descriptor for each file: runs come and go between all and none",
        _RIGHT,
        "Raise the limit before starting TensorBoard (ulimit -n 65536), name a smaller directory,"
        " or use --load_fast=false.",
    ),
    Rule(
        "SW508",
        "note",
        "More than 500 runs",
        "lists the runs, but selects none of the new ones: no curve until one is ticked",
        _SAME,
        "Tick the runs or filter them by name, or start TensorBoard on a smaller directory.",
    ),
    # How a run ended; an interrupted --fix.
    Rule(
        "SW601",
        "note",
        "The run crashed",
        "shows what was logged until then",
        _SAME,
        "Its process ended without closing the run: look at its output. safewriter continues it"
        " with resume=True.",
    ),
    Rule(
        "SW602",
        "warning",
        "A live process holds a run but does not write",
        "shows what was logged until then",
        _SAME,
        "Look at that process: it may hang. The run stays locked until it ends.",
    ),
    Rule(
        "SW603",
        "warning",
        "An interrupted --fix",
        "shows records twice: in the old file and in the new one",
        _SAME,
        "Run --fix again: it finishes what it began.",
    ),
    Rule(
        "SW604",
        "warning",
        "Events that wait in the hidden folder",
        "shows everything but them",
        _SAME,
        "The process was killed before it was known which run they are of. Nothing is lost: resume"
        " the run with SafeSummaryWriter(DIRECTORY, resume=True), which writes them down.",
    ),
    # A running TensorBoard.
    Rule(
        "SW701",
        "error",
        "TensorBoard does not answer",
        "nothing",
        "nothing",
        "Start TensorBoard, or correct the URL.",
    ),
    Rule(
        "SW702",
        "error",
        "TensorBoard answers with an error",
        "no run",
        "no run",
        "Cure the findings about the log directory, then restart TensorBoard.",
    ),
    Rule(
        "SW703",
        "error",
        "TensorBoard serves another directory",
        "the runs of the other directory",
        _SAME,
        "Start TensorBoard on this directory.",
    ),
    Rule(
        "SW704",
        "error",
        "Runs on disk that TensorBoard does not serve",
        "not these runs",
        _SAME,
        "Restart TensorBoard.",
    ),
    Rule(
        "SW705",
        "error",
        "TensorBoard serves stale data",
        "only the older points",
        _SAME,
        "Restart TensorBoard.",
    ),
    Rule(
        "SW706",
        "warning",
        "Runs that TensorBoard serves and that are not on disk",
        "runs that were deleted or moved",
        _SAME,
        "Restart TensorBoard.",
    ),
]

RULES: dict[str, Rule] = {rule.code: rule for rule in _ALL}
"""Every rule by its code, in order."""
