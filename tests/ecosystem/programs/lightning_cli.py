"""LightningCLI: jsonargparse reads the signatures of the logger and of the writer."""

import logging

import torch
from jsonargparse import ArgumentParser
from pytorch_lightning import LightningModule
from pytorch_lightning.cli import LightningCLI
from torch.utils.tensorboard import SummaryWriter

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)


class Module(LightningModule):
    def __init__(self, lr: float = 0.1):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch, index):
        loss = self.layer(batch).square().mean()
        self.log("train_loss", loss)
        return loss

    def train_dataloader(self):
        return torch.utils.data.DataLoader(torch.ones(8, 4), batch_size=4)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.hparams.lr)


parser = ArgumentParser()
parser.add_class_arguments(SummaryWriter, "writer")
writer_options = parser.parse_args(["--writer.flush_secs=30", "--writer.log_dir=unused"]).writer
assert writer_options.flush_secs == 30

LightningCLI(
    Module,
    seed_everything_default=0,
    args=[
        "fit",
        "--trainer.max_epochs=2",
        "--trainer.accelerator=cpu",
        "--trainer.log_every_n_steps=1",
        "--trainer.enable_progress_bar=false",
        "--trainer.enable_model_summary=false",
        "--trainer.logger=pytorch_lightning.loggers.TensorBoardLogger",
        "--trainer.logger.save_dir=cli",
        "--trainer.logger.flush_secs=30",
    ],
)
