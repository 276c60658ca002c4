"""Trackers that hook torch's writer see the same with us as without us, and our events are written.

Each imitation does what the tool does, and nothing else. Every scenario runs in a process of its
own, forked from one that has imported torch but not safewriter.
"""

from __future__ import annotations

import functools
import inspect
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import event_files, read_events, read_runs, run_python

# What a tool saw: what was called, for which tag, at which step.
Seen = list[list[Any]]


def _module() -> Any:
    import torch.utils.tensorboard.writer as module

    return module


class Tool:
    """Replaces attributes of torch's classes or module, and puts back what was there."""

    def __init__(self) -> None:
        self.seen: Seen = []
        self._replaced: list[tuple[Any, str, Any]] = []

    def replace(self, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        """Put ``make(original)`` in the place of an attribute."""
        original = getattr(owner, name)
        self._replaced.append((owner, name, original))
        setattr(owner, name, make(original))

    def install(self) -> None:
        """Hook."""
        raise NotImplementedError

    def remove(self) -> None:
        """Unhook."""
        while self._replaced:
            setattr(*self._replaced.pop())


def _tags(summary: Any) -> list[str]:
    return [value.tag for value in summary.value]


class Wandb(Tool):
    """Puts a subclass under the name EventFileWriter in torch's module."""

    def install(self) -> None:
        """Hook."""

        def make(original: Any) -> type:
            class TBXEventFileWriter(original):  # type: ignore[misc]
                def __init__(writer, logdir: str, *args: Any, **kwargs: Any) -> None:  # noqa: N805
                    self.seen.append(["directory"])
                    super().__init__(logdir, *args, **kwargs)

                def add_event(writer, event: Any) -> None:  # noqa: N805
                    if not event.file_version:
                        self.seen.append(["event", _tags(event.summary), event.step])
                    super().add_event(event)

            return TBXEventFileWriter

        self.replace(_module(), "EventFileWriter", make)


class Mlflow(Tool):
    """Wraps add_event and add_summary, and takes the step by its place; wraps add_hparams."""

    def install(self) -> None:
        """Hook."""

        def on_event(original: Any) -> Any:
            @functools.wraps(original)
            def add_event(*args: Any, **kwargs: Any) -> Any:
                step = args[2] if len(args) > 2 else 0
                self.seen.append(["add_event", _tags(args[1].summary), step])
                return original(*args, **kwargs)

            return add_event

        def on_summary(original: Any) -> Any:
            @functools.wraps(original)
            def add_summary(*args: Any, **kwargs: Any) -> Any:
                step = args[2] if len(args) > 2 else 0
                result = original(*args, **kwargs)
                self.seen.append(["add_summary", _tags(args[1]), step])
                return result

            return add_summary

        def on_hparams(original: Any) -> Any:
            @functools.wraps(original)
            def add_hparams(writer: Any, *args: Any, **kwargs: Any) -> Any:
                self.seen.append(["add_hparams", args[0], args[1]])
                return original(writer, *args, **kwargs)

            return add_hparams

        module = _module()
        self.replace(module.FileWriter, "add_event", on_event)
        self.replace(module.FileWriter, "add_summary", on_summary)
        self.replace(module.SummaryWriter, "add_hparams", on_hparams)


class Clearml(Tool):
    """Wraps add_event and keeps its logger on the file writer and on the event writer."""

    def install(self) -> None:
        """Hook."""

        def on_event(original: Any) -> Any:
            def add_event(
                writer: Any, event: Any, step: Any = None, walltime: Any = None, *args: Any
            ) -> Any:
                if not hasattr(writer, "clearml"):
                    writer.clearml = writer.event_writer.clearml = object()
                assert writer.event_writer.clearml is writer.clearml
                assert writer.event_writer.get_logdir() == writer.get_logdir()
                self.seen.append(["add_event", _tags(event.summary), step])
                return original(writer, event, step, walltime, *args)

            return add_event

        self.replace(_module().FileWriter, "add_event", on_event)


class Comet(Tool):
    """Wraps the writer's methods for scalars, images and hyperparameters."""

    names: tuple[str, ...] = (
        "add_scalar",
        "add_scalars",
        "add_image",
        "add_images",
        "add_hparams",
    )

    def install(self) -> None:
        """Hook."""

        def make(name: str, original: Any) -> Any:
            signature = inspect.signature(original)

            @functools.wraps(original)
            def method(writer: Any, *args: Any, **kwargs: Any) -> Any:
                given = signature.bind(writer, *args, **kwargs)
                given.apply_defaults()
                plain = {
                    key: value
                    for key, value in given.arguments.items()
                    if isinstance(value, (str, int, float, dict)) and key != "walltime"
                }
                self.seen.append([name, plain])
                return original(writer, *args, **kwargs)

            return method

        for name in self.names:
            self.replace(_module().SummaryWriter, name, functools.partial(make, name))


class Neptune(Comet):
    """Wraps more of the same."""

    names = (
        "add_scalar",
        "add_scalars",
        "add_histogram",
        "add_image",
        "add_images",
        "add_text",
        "add_figure",
    )


class Swanlab(Comet):
    """Wraps the constructor and close as well."""

    names = ("add_scalar", "add_scalars", "add_image", "add_text")

    def install(self) -> None:
        """Hook."""
        super().install()

        def make(name: str, original: Any) -> Any:
            @functools.wraps(original)
            def method(writer: Any, *args: Any, **kwargs: Any) -> Any:
                self.seen.append([name])
                return original(writer, *args, **kwargs)

            return method

        for name in ("__init__", "close"):
            self.replace(_module().SummaryWriter, name, functools.partial(make, name))


TOOLS: dict[str, type[Tool]] = {
    tool.__name__: tool for tool in (Wandb, Mlflow, Clearml, Comet, Neptune, Swanlab)
}

ORDERS = [
    "hook, import",
    "hook, import, patch",
    "import, hook",
    "import, hook, patch",
    "import, patch, hook",
]


def _prepare(tool: Tool, order: str) -> Callable[[str], Any]:
    """Do what `order` says, and return what makes a writer."""
    make: Callable[[str], Any] = _module().SummaryWriter
    for action in order.split(", "):
        if action == "hook":
            tool.install()
        elif action == "import":
            from safewriter import SafeSummaryWriter

            make = SafeSummaryWriter
        elif action == "patch":
            from safewriter import patch

            patch()
            make = _module().SummaryWriter
    return make


def _log(writer: Any, steps: range) -> None:
    """Log a scalar, series, and one each of what is hooked besides."""
    import torch

    for step in steps:
        writer.add_scalar("loss", float(step), step)
        writer.add_scalars("group", {"a": float(step), "b": 1.0}, step)
    first = steps[0]
    writer.add_scalar("keyword", 1.0, global_step=first)
    writer.add_histogram("weights", torch.ones(3), first)
    writer.add_image("image", torch.zeros(3, 4, 4), first)
    writer.add_images("images", torch.zeros(1, 3, 4, 4), first)
    writer.add_text("text", "text", first)
    writer.add_hparams({"lr": 0.1}, {"metric": float(first)}, None, "hp", first)


def _scenario(tool: Tool, order: str, directory: str) -> dict[str, Seen]:
    """Log while hooked and not, in every order; return what the tool saw at each stage."""
    make = _prepare(tool, order)
    stages: dict[str, Seen] = {}

    def stage(name: str) -> None:
        # Directories first: we open those of all series before the first event.
        stages[name] = sorted(tool.seen, key=lambda call: call[0] != "directory")
        tool.seen.clear()

    writer = make(directory)
    _log(writer, range(5))
    stage("hooked")
    tool.remove()
    _log(writer, range(5, 8))
    stage("removed")
    tool.install()
    _log(writer, range(8, 11))
    stage("hooked again")
    writer.close()
    writer.add_scalar("loss", 11.0, 11)
    writer.add_scalar("loss", 12.0, 12)
    writer.close()
    stage("after close")
    tool.remove()
    writer.add_scalar("loss", 13.0, 13)
    writer.close()
    stage("removed after close")
    return stages


def _run_forked(name: str, order: str, directory: str) -> Any:
    """Run one scenario in a child of this process; return what it saw, or its traceback."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            try:
                result: Any = _scenario(TOOLS[name](), order, directory)
            except BaseException:
                result = traceback.format_exc()
            with os.fdopen(writer, "w") as pipe:
                json.dump(result, pipe)
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    return json.loads(text) if text else "died"


def main(directory: str) -> None:
    """Run every scenario, with torch's writer and with ours, and print what was seen."""
    _module()  # torch is imported once, here; safewriter in each child
    assert "safewriter" not in sys.modules
    results = {}
    for name in TOOLS:
        for order in ["hook", *ORDERS]:
            key = f"{name}: {order}"
            results[key] = _run_forked(name, order, os.path.join(directory, key))
    print(json.dumps(results))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """What every tool saw in every order, and where the events are."""
    directory = tmp_path_factory.mktemp("hooks")
    script = "import sys, tests.test_hooks as hooks; hooks.main(sys.argv[1])"
    done = run_python(script, args=[directory], deadline=300, check=True)
    return json.loads(done.stdout.splitlines()[-1]), directory


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("tool", TOOLS)
def test_a_hook_sees_what_it_sees_without_us(results, tool, order):
    """Whenever the hook comes, goes and comes back, it sees each call with its step, as with torch;
    and every event is written once, by us.
    """
    seen, directory = results
    expected, ours = seen[f"{tool}: hook"], seen[f"{tool}: {order}"]
    assert isinstance(expected, dict), expected
    assert isinstance(ours, dict), ours
    assert len(expected["hooked"]) >= 13
    for stage, calls in expected.items():
        if tool == "Wandb" and stage.startswith("removed"):
            # torch's writers stay of the subclass they were made with. Ours need not.
            assert all(call in calls for call in ours[stage])
        else:
            assert ours[stage] == calls, stage

    run = directory / f"{tool}: {order}"
    found: dict[str, dict[str, list[int]]] = {}
    for name, scalars in read_runs(run).items():
        # Exactly one directory deeper than with torch: the run's own.
        inner = "/".join(name.split("/")[1:])
        found[inner] = {tag: [step for step, _ in points] for tag, points in scalars.items()}
    assert found == {
        "": {"loss": list(range(14)), "keyword": [0, 5, 8]},
        "group_a": {"group": list(range(11))},
        "group_b": {"group": list(range(11))},
        "hp": {"metric": [0, 5, 8]},
    }
    assert len(event_files(run)) == 4
    for file in event_files(run):
        assert read_events(file)[0].source_metadata.writer == "safewriter"


@pytest.mark.parametrize("tool", [name for name in TOOLS if name != "Wandb"])
def test_a_hook_that_was_removed_sees_nothing(results, tool):
    """After the tool has put everything back, none of its code runs any more."""
    seen, _ = results
    for order in ORDERS:
        assert seen[f"{tool}: {order}"]["removed"] == []
        assert seen[f"{tool}: {order}"]["removed after close"] == []
