"""ignite's TensorboardLogger on a trainer and an evaluator."""

import sys

if sys.argv[1] == "torch":
    sys.modules["tensorboardX"] = None  # ignite prefers it where it is installed

import torch
from ignite.engine import Engine, Events
from ignite.handlers import TensorboardLogger, global_step_from_engine
from ignite.handlers.tensorboard_logger import (
    GradsHistHandler,
    OptimizerParamsHandler,
    OutputHandler,
    WeightsScalarHandler,
)

torch.manual_seed(0)
model = torch.nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
data = torch.randn(6, 4)


def update(engine, batch):
    optimizer.zero_grad()
    loss = model(batch).square().mean()
    loss.backward()
    optimizer.step()
    return loss.item()


def evaluate(engine, batch):
    with torch.no_grad():
        engine.state.metrics["loss"] = model(batch).square().mean().item()


trainer, evaluator = Engine(update), Engine(evaluate)


@trainer.on(Events.EPOCH_COMPLETED)
def _(engine):
    evaluator.run(data)


with TensorboardLogger(log_dir="ignite") as logger:
    logger.attach(
        trainer,
        OutputHandler("training", output_transform=lambda loss: {"batchloss": loss}),
        Events.ITERATION_COMPLETED(every=2),
    )
    logger.attach(
        evaluator,
        OutputHandler(
            "validation",
            metric_names=["loss"],
            global_step_transform=global_step_from_engine(trainer),
        ),
        Events.EPOCH_COMPLETED,
    )
    logger.attach(trainer, OptimizerParamsHandler(optimizer), Events.ITERATION_STARTED)
    logger.attach(trainer, WeightsScalarHandler(model), Events.ITERATION_COMPLETED)
    logger.attach(trainer, GradsHistHandler(model), Events.EPOCH_COMPLETED)
    trainer.run(data, max_epochs=3)
