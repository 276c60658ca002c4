"""Mistakes that mypy finds; each line that is marked is an error, of the kind that it names."""

from __future__ import annotations

import safewriter
from safewriter import SafeSummaryWriter, patch, unpatch

SafeSummaryWriter(5)  # type: ignore[arg-type]
SafeSummaryWriter("logs", uniqe=True)  # type: ignore[call-arg]
SafeSummaryWriter("logs", "", None, 10, 120, "", True)  # type: ignore[call-arg]
SafeSummaryWriter("logs", ranks="one")  # type: ignore[arg-type]
SafeSummaryWriter("logs", unique="no")  # type: ignore[arg-type]
SafeSummaryWriter("logs", purge_step="5")  # type: ignore[arg-type]
SafeSummaryWriter("logs", train_tags=5)  # type: ignore[arg-type]

writer = SafeSummaryWriter("logs")
writer.add_scalar(5, 1.0, 1)  # type: ignore[arg-type]
writer.add_scalar("loss")  # type: ignore[call-arg]
writer.add_scalar("loss", 1.0, "1")  # type: ignore[arg-type]
writer.add_scalar("loss", 1.0, step=1)  # type: ignore[call-arg]
writer.add_scalars("loss", [1.0], 1)  # type: ignore[arg-type]
writer.add_hparams({"lr": 1}, None)  # type: ignore[arg-type]
writer.add_text("text", 5)  # type: ignore[arg-type]
writer.add_scaler("loss", 1.0)  # type: ignore[attr-defined]
writer.log_dir = 5  # type: ignore[assignment]
directory: int = writer.get_logdir()  # type: ignore[assignment]

patch(True)  # type: ignore[call-arg]
patch(tensorboardx="no")  # type: ignore[arg-type]
patch(log_dirs="runs")  # type: ignore[call-arg]
patch(ranks="zer")  # type: ignore[arg-type]
unpatch(True)  # type: ignore[call-arg]
safewriter.SafeWriter  # type: ignore[attr-defined]  # noqa: B018
