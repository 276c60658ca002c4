"""Optuna: five trials that name one directory."""

import sys

import optuna
import torch
from torch.utils.tensorboard import SummaryWriter

optuna.logging.set_verbosity(optuna.logging.ERROR)


def train(writer, trial, lr):
    weight = torch.tensor(1.0)
    for step in range(8):
        weight = weight * (1 - lr)
        writer.add_scalar("train/loss", weight.item(), step)
        if step % 4 == 3:
            writer.add_scalar("val/loss", 2 * weight.item(), step)
            trial.report(weight.item(), step)
    return weight.item()


def one_directory(trial):
    lr = trial.suggest_float("lr", 0.1, 0.5)
    with SummaryWriter("optuna/study") as writer:
        return train(writer, trial, lr)


def config_first(trial):
    """Each trial writes down its number before it logs a curve."""
    lr = trial.suggest_float("lr", 0.1, 0.5)
    writer = SummaryWriter("optuna/study")
    writer.add_text("config", f"trial {trial.number}: lr={lr}")
    loss = train(writer, trial, lr)
    writer.add_hparams({"lr": lr, "number": trial.number}, {"loss": loss}, run_name=".")
    writer.close()
    return loss


def forgotten(trial):
    """Never closed: collected when the next trial's takes its place."""
    lr = trial.suggest_float("lr", 0.1, 0.5)
    writer = SummaryWriter(log_dir="optuna/study")
    loss = train(writer, trial, lr)
    writer.flush()  # torch's own would lose some
    return loss


def directory_each(trial):
    lr = trial.suggest_float("lr", 0.1, 0.5)
    with SummaryWriter(f"optuna/trial_{trial.number}") as writer:
        return train(writer, trial, lr)


study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
study.optimize(globals()[sys.argv[1]], n_trials=5)
