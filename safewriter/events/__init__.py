"""Read event files back: records, faults, events, curves, and how a run stands.

No content of a file makes these functions raise or hang. They hold one record at a time, and its
payload only once both its CRCs proved right, so a record that merely claims to be huge takes no
memory. A file is read up to the size it has when reading begins, so one that is still being
written can be read at any time. Importing this does not import torch.
"""

from __future__ import annotations

from safewriter._kinds import scalar_value, value_kind

from ._events import Scalars, event_files, read_events, read_scalars
from ._records import Record, Verdict, read_records
from ._status import RunStatus, run_record, run_status
from ._summary import Fault, RunSummary, TagSummary, summarise

__all__ = [
    "Fault",
    "Record",
    "RunStatus",
    "RunSummary",
    "Scalars",
    "TagSummary",
    "Verdict",
    "event_files",
    "read_events",
    "read_records",
    "read_scalars",
    "run_record",
    "run_status",
    "scalar_value",
    "summarise",
    "value_kind",
]
