"""Which of how many processes of a job this one is."""

from __future__ import annotations

import contextlib
import os
import sys


def process_rank() -> tuple[int, int]:
    """Return the rank of this process and the number of ranks; ``(0, 1)`` if it runs alone.

    The variables are those of torchrun, Slurm and Open MPI; an initialised process group wins.
    """
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    for rank, size in (
        ("RANK", "WORLD_SIZE"),
        ("SLURM_PROCID", "SLURM_NTASKS"),
        ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ):
        with contextlib.suppress(KeyError, ValueError):
            return int(os.environ[rank]), int(os.environ[size])
    return 0, 1
