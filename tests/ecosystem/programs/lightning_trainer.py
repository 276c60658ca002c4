"""Lightning's Trainer with the TensorBoardLogger."""

import logging
import sys
import warnings

import torch
from pytorch_lightning import LightningModule, Trainer, seed_everything
from pytorch_lightning.callbacks import LearningRateMonitor, ModelCheckpoint
from pytorch_lightning.loggers import TensorBoardLogger

warnings.filterwarnings("ignore", module="pytorch_lightning")
logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)

data = torch.utils.data.DataLoader(
    torch.randn(16, 4, generator=torch.Generator().manual_seed(0)), batch_size=4
)


class Module(LightningModule):
    def __init__(self, lr=0.1):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch, index):
        loss = self.layer(batch).square().mean()
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        self.log("lr_used", self.hparams.lr)
        return loss

    def validation_step(self, batch, index):
        self.log("val_loss", self.layer(batch).square().mean(), on_epoch=True)

    def test_step(self, batch, index):
        self.log("test_loss", self.layer(batch).square().mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.hparams.lr)


def trainer(logger, epochs=3, callbacks=(), **options):
    seed_everything(0, verbose=False)
    return Trainer(
        logger=logger,
        max_epochs=epochs,
        accelerator="cpu",
        log_every_n_steps=2,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[LearningRateMonitor(), *callbacks],
        **{"enable_checkpointing": bool(callbacks), **options},
    )


def fit_validate_test():
    it, module = trainer(TensorBoardLogger("lightning_logs", name="model")), Module()
    it.fit(module, data, data)
    it.validate(module, data, verbose=False)
    it.test(module, data, verbose=False)


def defaults():
    """No logger is named: Lightning makes one, and the sanity check validates first."""
    it, module = trainer(True), Module()
    it.fit(module, data, data)
    it.test(module, data, verbose=False)


def validate_first():
    it, module = trainer(TensorBoardLogger("lightning_logs", name="model")), Module()
    it.validate(module, data, verbose=False)
    it.fit(module, data, data)


def two_fits():
    """A logger for each fit: version_0 and version_1."""
    for _ in range(2):
        trainer(TensorBoardLogger("lightning_logs", name="model")).fit(Module(), data, data)


def fit_twice():
    """One Trainer, fitted further."""
    it, module = trainer(TensorBoardLogger("lightning_logs", name="model"), epochs=2), Module()
    it.fit(module, data, data)
    it.fit_loop.max_epochs = 4
    it.fit(module, data, data)


def sweep():
    """Three rounds on one version, each with hyperparameters of its own."""
    for lr in (0.1, 0.2, 0.3):
        logger = TensorBoardLogger("lightning_logs", name="sweep", version="one")
        trainer(logger).fit(Module(lr), data, data)


def resume():
    """In the process, on the version that the checkpoint is of."""
    logger = TensorBoardLogger("lightning_logs", name="model", version=0)
    trainer(logger, 2, [ModelCheckpoint("checkpoints", "last")]).fit(Module(), data, data)
    logger = TensorBoardLogger("lightning_logs", name="model", version=0)
    trainer(logger, 4).fit(Module(), data, data, ckpt_path="checkpoints/last.ckpt")


def first_process():
    logger = TensorBoardLogger("lightning_logs", name="model")
    trainer(logger, 2, [ModelCheckpoint("checkpoints", "last")]).fit(Module(), data, data)


def second_process():
    logger = TensorBoardLogger("lightning_logs", name="model")
    trainer(logger, 4).fit(Module(), data, data, ckpt_path="checkpoints/last.ckpt")


def second_process_same_version():
    logger = TensorBoardLogger("lightning_logs", name="model", version=0)
    trainer(logger, 4).fit(Module(), data, data, ckpt_path="checkpoints/last.ckpt")


globals()[sys.argv[1]]()
