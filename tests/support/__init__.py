"""What the tests share: real processes, the real TensorBoard, its readers, and raw event bytes."""

from tests.support.processes import PythonProcess, run_python, spawn_python
from tests.support.readers import event_files, read_events, read_runs, read_scalars
from tests.support.tensorboard_server import TensorBoardServer
from tests.support.waiting import wait_until

__all__ = [
    "PythonProcess",
    "TensorBoardServer",
    "event_files",
    "read_events",
    "read_runs",
    "read_scalars",
    "run_python",
    "spawn_python",
    "wait_until",
]
