"""No false alarm: trees as the usual tools write them have no finding."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from safewriter.doctor import check
from safewriter.runs import list_runs
from tests.support import run_python

_BODY = """
    import math, sys
    {imports}

    def log(writer, number):
        for step in range(20):
            writer.add_scalar("train/loss", math.exp(-step / 10), step)
            writer.add_scalar("lr", 0.1, step)
            if step % 5 == 4:
                writer.add_scalar("val/loss", math.exp(-step / 9), step)
        if number % 10 == 0:
            import numpy
            writer.add_histogram("weights", numpy.arange(100.0), 19)
            writer.add_image("picture", numpy.zeros((3, 8, 8), numpy.uint8), 19)
            writer.add_text("note", "one", 0)
            writer.add_scalars("both", {{"a": 1.0, "b": 2.0}}, 1)
            writer.add_hparams({{"lr": 0.1}}, {{"hparam/loss": 0.5}})

    for number in range(50):
        writer = {writer}
        log(writer, number)
        {after}
        writer.close()
"""

_IMPORTS = {
    "torch": "from torch.utils.tensorboard import SummaryWriter",
    "tensorboardX": "from tensorboardX import SummaryWriter",
    "safewriter": "from safewriter import SafeSummaryWriter as SummaryWriter",
}


@pytest.mark.parametrize("tool", _IMPORTS)
def test_fifty_runs_of_a_writer(tmp_path: Path, tool: str) -> None:
    """Scalars, media, series and hparams of finished runs: nothing to find."""
    if importlib.util.find_spec(tool) is None:
        pytest.skip(f"{tool} is not installed")
    code = _BODY.format(
        imports=_IMPORTS[tool],
        writer='SummaryWriter(f"{sys.argv[1]}/run-{number:02}")',
        after="",
    )
    run_python(code, args=[tmp_path / "runs"], deadline=120, check=True)
    assert len(list_runs(tmp_path / "runs")) >= 50
    assert check(tmp_path / "runs") == []


def test_fifty_runs_of_lightning(tmp_path: Path) -> None:
    """Lightning's logger: versions, hparams files, its own epoch curve, a reopened writer."""
    if importlib.util.find_spec("pytorch_lightning") is None:
        pytest.skip("pytorch_lightning is not installed")
    code = """
        import logging, sys, warnings
        warnings.simplefilter("ignore")
        logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
        import torch
        from pytorch_lightning import LightningModule, Trainer
        from pytorch_lightning.loggers import TensorBoardLogger

        class Module(LightningModule):
            def __init__(self, lr=0.1):
                super().__init__()
                self.save_hyperparameters()
                self.layer = torch.nn.Linear(4, 1)
            def training_step(self, batch, index):
                loss = self.layer(batch).square().mean()
                self.log("train_loss", loss, on_step=True, on_epoch=True)
                return loss
            def validation_step(self, batch, index):
                self.log("val_loss", self.layer(batch).square().mean())
            def test_step(self, batch, index):
                self.log("test_loss", self.layer(batch).square().mean())
            def configure_optimizers(self):
                return torch.optim.SGD(self.parameters(), lr=0.01)

        data = torch.utils.data.DataLoader(torch.randn(16, 4), batch_size=4)
        quiet = dict(enable_progress_bar=False, enable_model_summary=False, accelerator="cpu",
                     enable_checkpointing=False, log_every_n_steps=1, max_epochs=2)
        for number in range(5):
            logger = TensorBoardLogger(sys.argv[1], name="model")
            trainer = Trainer(logger=logger, **quiet)
            trainer.fit(Module(), data, data)
            trainer.test(Module(), data, verbose=False)
        for number in range(45):
            logger = TensorBoardLogger(sys.argv[1], name="model")
            logger.log_hyperparams({"lr": 0.1}, {"hp/metric": 0.0})
            for step in range(10):
                logger.log_metrics({"loss": 1.0 / (step + 1), "epoch": step // 5}, step)
            logger.finalize("success")
    """
    run_python(code, args=[tmp_path / "runs"], deadline=240, check=True)
    assert len(list_runs(tmp_path / "runs")) == 50
    assert check(tmp_path / "runs") == []


def test_a_run_that_was_killed_and_resumed(tmp_path: Path) -> None:
    """Steps that are logged again after ``resume=True`` are purged the way readers honour."""
    script = """
        import os, sys
        from safewriter import SafeSummaryWriter
        first, last, how = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
        writer = SafeSummaryWriter(sys.argv[1], unique=False, resume=first > 0)
        for step in range(first, last):
            writer.add_scalar("loss", first + 1.0 / (step + 1), step)
        if how == "kill":
            os.kill(os.getpid(), 9)
        writer.close()
    """
    for first, last, how in ((0, 10, "kill"), (5, 20, "kill"), (15, 30, "close")):
        run_python(script, args=[tmp_path / "run", str(first), str(last), how], deadline=60)
    assert [run.status.value for run in list_runs(tmp_path)] == ["finished"]
    assert check(tmp_path) == []
