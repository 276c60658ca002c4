"""patch() and unpatch(): what calling torch's SummaryWriter makes, whoever holds the class."""

from __future__ import annotations

import abc
import dataclasses
import functools
import inspect
import os
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

import pytest
import torch
import torch.utils.tensorboard
import torch.utils.tensorboard.writer
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.writer import SummaryWriter as SameSummaryWriter

from safewriter import RankWarning, RunDirectoryError, SafeSummaryWriter, patch, unpatch
from tests.support import event_files, read_events, read_runs, read_scalars

T = TypeVar("T")


@pytest.fixture(autouse=True)
def _stock_again() -> Iterator[None]:
    """Leave no patch behind, and no class that belongs to a test."""
    unpatch()
    yield
    unpatch()


def made_by(run: Any) -> set[str]:
    """Return who wrote the event files at or below `run`."""
    return {
        "safewriter" if event.source_metadata.writer == "safewriter" else "tensorboard"
        for file in event_files(run)
        for event in read_events(file)[:1]
    }


def log(writer: Any, points: int = 3) -> str:
    """Log some points and close; return the directory."""
    for step in range(1, points + 1):
        writer.add_scalar("loss", float(step), step)
    directory = str(writer.log_dir)
    writer.close()
    return directory


POINTS = {"loss": [(1, 1.0), (2, 2.0), (3, 3.0)]}


def assert_safe(writer: Any, below: Path) -> None:
    """Assert that `writer` is ours and writes to a run directory of its own below `below`."""
    assert isinstance(writer, SafeSummaryWriter)
    run = Path(log(writer))
    assert below in run.parents
    assert made_by(run) == {"safewriter"}
    assert read_scalars(run) == POINTS


def assert_stock(writer: Any, directory: Path) -> None:
    """Assert that `writer` is torch's own and writes exactly to `directory`."""
    assert not isinstance(writer, SafeSummaryWriter)
    assert Path(log(writer)) == directory
    assert made_by(directory) == {"tensorboard"}
    assert read_scalars(directory) == POINTS


# Whoever holds the class.


@dataclasses.dataclass
class Config:
    """A configuration that holds the class in two ways."""

    writer_class: Callable[..., Any] = SummaryWriter
    factory: Any = dataclasses.field(default_factory=lambda: functools.partial(SummaryWriter))


HOLDERS: dict[str, Callable[[], Callable[..., Any]]] = {
    "imported before": lambda: SummaryWriter,
    "imported from the module": lambda: SameSummaryWriter,
    "by the package": lambda: torch.utils.tensorboard.SummaryWriter,
    "by the module": lambda: torch.utils.tensorboard.writer.SummaryWriter,
    "in an object": lambda: Config().writer_class,
    "in a partial": lambda: Config().factory,
    "in a list": lambda captured=[SummaryWriter]: captured[0],  # type: ignore[misc]
    "by getattr": lambda: getattr(sys.modules["torch.utils.tensorboard"], "SummaryWriter"),  # noqa: B009
}


@pytest.mark.parametrize("held", HOLDERS.values(), ids=HOLDERS)
def test_every_reference_is_reached(tmp_path, held):
    """However the class was imported or kept, before or after, calling it makes a safe writer."""
    before = held()
    patch()
    assert_safe(before(str(tmp_path / "before")), tmp_path / "before")
    assert_safe(held()(log_dir=tmp_path / "after"), tmp_path / "after")
    unpatch()
    assert_stock(before(str(tmp_path / "stock")), tmp_path / "stock")


def test_the_class_stays_the_same_object(tmp_path):
    """No name is rebound: the class is itself, and isinstance holds for all writers."""
    stock = SummaryWriter(str(tmp_path / "stock"))
    patch()
    assert torch.utils.tensorboard.SummaryWriter is SummaryWriter is SameSummaryWriter
    safe = SummaryWriter(tmp_path / "safe")
    own = SafeSummaryWriter(tmp_path / "own")
    for writer in (stock, safe, own):
        assert isinstance(writer, SummaryWriter)
    assert [isinstance(writer, SafeSummaryWriter) for writer in (stock, safe, own)] == [
        False,
        True,
        True,
    ]
    assert issubclass(type(safe), SummaryWriter)
    for writer in (stock, safe, own):
        log(writer)


def test_a_writer_made_before_stays_stock(tmp_path):
    """A writer that torch made keeps its directory and its file, and its later points arrive."""
    writer = SummaryWriter(str(tmp_path))
    writer.add_scalar("loss", 1.0, 1)
    with patch():
        writer.add_scalar("loss", 2.0, 2)
        writer.add_scalars("group", {"a": 1.0}, 1)
        writer.flush()
    writer.add_scalar("loss", 3.0, 3)
    writer.close()
    assert read_scalars(tmp_path) == POINTS
    assert made_by(tmp_path) == {"tensorboard"}


def test_a_writer_made_while_patched_stays_safe(tmp_path):
    """After unpatch, such a writer goes on as it is, also after it was closed."""
    with patch():
        writer = SummaryWriter(tmp_path)
        writer.add_scalar("loss", 1.0, 1)
    writer.add_scalar("loss", 2.0, 2)
    writer.add_hparams({"lr": 0.1}, {"m": 1.0}, run_name="hp")
    writer.close()
    writer.add_scalar("loss", 3.0, 3)
    writer.close()
    assert read_scalars(writer.log_dir) == POINTS
    assert made_by(tmp_path) == {"safewriter"}


# Arguments.


def test_torchs_arguments_keep_their_meaning(tmp_path):
    """Six positional arguments, keywords, or none at all: as torch takes them."""
    patch()
    writer = SummaryWriter(str(tmp_path / "six"), "", 0, 20, 60, ".suffix")
    writer.add_scalar("loss", 1.0, 5)
    writer.close()
    assert (os.path.dirname(writer.log_dir), writer.max_queue) == (str(tmp_path / "six"), 20)
    assert [file.name.endswith(".suffix") for file in event_files(tmp_path)] == [True]
    assert_safe(SummaryWriter(log_dir=str(tmp_path / "k"), max_queue=1), tmp_path / "k")


def test_no_arguments(tmp_path, monkeypatch):
    """SummaryWriter() logs below ./runs."""
    monkeypatch.chdir(tmp_path)
    patch()
    assert_safe(SummaryWriter(), tmp_path / "runs")


def test_defaults_are_for_writers_that_are_not_given_them(tmp_path):
    """A keyword of patch() holds unless the call gives it, by position or by keyword."""
    patch(comment="default", unique=False, max_queue=7, root=tmp_path)
    writer = SummaryWriter("logs")
    assert writer.max_queue == 7
    assert log(writer) == str(tmp_path / "logs")
    direct = SafeSummaryWriter(tmp_path / "direct")
    assert direct.max_queue == 10
    log(direct)
    other = SummaryWriter("other", "", None, 3)
    assert other.max_queue == 3
    log(other)
    given: Any = SummaryWriter("given", unique=True, comment="x")  # type: ignore[call-arg]
    assert Path(log(given)).parent == tmp_path / "given"
    assert given.log_dir.endswith("_x")


def test_a_default_log_dir(tmp_path):
    """log_dir may be a default too: for the writers that are made without one."""
    patch(log_dir=tmp_path / "default")
    assert_safe(SummaryWriter(), tmp_path / "default")
    assert_safe(SummaryWriter(str(tmp_path / "given")), tmp_path / "given")


def test_safe_arguments_are_taken_by_the_call(tmp_path):
    """While patched, SummaryWriter(...) takes the safe writer's own keywords as well."""
    patch()
    writer = SummaryWriter(tmp_path / "logs", unique=False)  # type: ignore[call-arg]
    assert log(writer) == str(tmp_path / "logs")


@pytest.mark.parametrize("keyword", ["uniqe", "self", "logdir", "args"])
def test_an_unknown_default_is_refused(tmp_path, keyword):
    """A keyword that no writer takes raises, names the ones there are, and patches nothing."""
    with pytest.raises(TypeError, match=f"{keyword}.*log_dir, comment, .*unique, resume, root"):
        patch(**{keyword: True})  # type: ignore[arg-type]
    assert_stock(SummaryWriter(str(tmp_path)), tmp_path)


def test_a_refused_default_keeps_the_earlier_patch(tmp_path):
    """A TypeError leaves patch and defaults as they were."""
    patch(unique=False)
    with pytest.raises(TypeError):
        patch(uniqe=True)  # type: ignore[call-arg]
    assert log(SummaryWriter(str(tmp_path))) == str(tmp_path)
    assert made_by(tmp_path) == {"safewriter"}


def test_errors_are_those_of_the_safe_writer(tmp_path, monkeypatch):
    """A directory that cannot be used, a bad value or a rank: told through patch() as well."""
    patch()
    (tmp_path / "file").touch()
    with pytest.raises(RunDirectoryError, match="file is in the way"):
        SummaryWriter(str(tmp_path / "file"))
    with pytest.raises(TypeError, match="uniqe"):
        SummaryWriter(str(tmp_path / "logs"), uniqe=True)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="ranks"):  # an argument of ours, not in torch's stub
        SummaryWriter(str(tmp_path / "logs"), ranks="none")  # type: ignore[call-arg]
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.warns(RankWarning):
        assert_safe(SummaryWriter(str(tmp_path / "logs")), tmp_path / "logs")


# Patching twice, nested, and back.


def test_twice_is_once(tmp_path):
    """Patching again takes the latest defaults; one unpatch undoes it; unpatching again is fine."""
    patch(unique=False)
    patch()
    assert_safe(SummaryWriter(str(tmp_path / "a")), tmp_path / "a")
    patch(unique=False)
    assert log(SummaryWriter(str(tmp_path / "b"))) == str(tmp_path / "b")
    unpatch()
    unpatch()
    assert_stock(SummaryWriter(str(tmp_path / "c")), tmp_path / "c")


def test_as_a_context_manager(tmp_path):
    """The result of patch() undoes it at the end of the block, also when the block raises."""
    with patch():
        assert_safe(SummaryWriter(str(tmp_path / "a")), tmp_path / "a")
    assert_stock(SummaryWriter(str(tmp_path / "b")), tmp_path / "b")
    with pytest.raises(KeyError), patch():
        raise KeyError
    assert_stock(SummaryWriter(str(tmp_path / "c")), tmp_path / "c")


def test_nested_blocks_restore_what_was_around_them(tmp_path):
    """The inner block's defaults end with it, the outer ones hold again, unpatch() ends both."""
    with patch(unique=False, max_queue=1):
        with patch(max_queue=2):
            inner = SummaryWriter(str(tmp_path / "inner"))
            assert inner.max_queue == 2
            assert_safe(inner, tmp_path / "inner")
        outer = SummaryWriter(str(tmp_path / "outer"))
        assert outer.max_queue == 1
        assert log(outer) == str(tmp_path / "outer")
        assert made_by(tmp_path / "outer") == {"safewriter"}
        unpatch()
        assert_stock(SummaryWriter(str(tmp_path / "stock")), tmp_path / "stock")
    assert_stock(SummaryWriter(str(tmp_path / "after")), tmp_path / "after")


def test_stock_works_again_in_every_way(tmp_path, monkeypatch):
    """After unpatch torch's class takes all its arguments, and subclasses are as they were."""

    class Own(SummaryWriter):
        """A user's subclass with an argument of its own."""

        def __init__(self, log_dir: str, extra: int = 0, **kwargs: Any) -> None:
            super().__init__(log_dir, **kwargs)
            self.extra = extra

    patch()
    unpatch()
    monkeypatch.chdir(tmp_path)
    assert Own.__bases__ == (SummaryWriter,)
    assert_stock(SummaryWriter("a"), Path("a"))
    assert_stock(SummaryWriter(log_dir="b", comment="x", flush_secs=1), Path("b"))
    assert_stock(SummaryWriter("c", "x", None, 1, 1, ".suffix"), Path("c"))
    assert_stock(Own("d", 3, max_queue=1), Path("d"))
    default = SummaryWriter()
    assert_stock(default, Path(default.log_dir))
    with pytest.raises(TypeError):
        SummaryWriter(unique=True)  # type: ignore[call-arg]
    with SummaryWriter("e") as writer:
        writer.add_hparams({"lr": 0.1}, {"m": 1.0})
        writer.add_scalars("group", {"a": 1.0}, 1)
    assert made_by("e") == {"tensorboard"}
    assert not issubclass(Own, SafeSummaryWriter)
    assert not issubclass(SummaryWriter, SafeSummaryWriter)


def test_another_thread_is_not_touched_by_add_hparams(tmp_path):
    """While a safe writer makes its sub-run, other threads still make stock writers."""
    made: list[Any] = []

    original = SummaryWriter.add_scalar

    def add_scalar(self: Any, *args: Any, **kwargs: Any) -> None:
        thread = threading.Thread(
            target=lambda: made.append(SummaryWriter(str(tmp_path / "thread")))
        )
        thread.start()
        thread.join()
        original(self, *args, **kwargs)

    with SafeSummaryWriter(tmp_path / "logs") as writer:
        SummaryWriter.add_scalar = add_scalar  # type: ignore[method-assign]
        try:
            writer.add_hparams({"lr": 0.1}, {"m": 1.0})
        finally:
            SummaryWriter.add_scalar = original  # type: ignore[method-assign]
    (stock,) = made
    assert type(stock) is SummaryWriter
    assert log(stock) == str(tmp_path / "thread")


# Subclasses.


class Before(SummaryWriter):
    """A user's subclass from before the patch, with six positional arguments to super()."""

    def __init__(self, log_dir: Any, name: str = "x") -> None:
        super().__init__(log_dir, "", None, 10, 120, "." + name)
        self.name = name

    def add_scalar(self, tag: str, value: Any, step: Any = None) -> None:  # type: ignore[override]
        """Log through the file writer, as subclasses in the wild do."""
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
        self._get_file_writer().add_summary(summary, step)


class Deeper(Before):
    """A subclass of a subclass."""


class ByName(SummaryWriter):
    """Calls torch's constructor by name."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        SummaryWriter.__init__(self, *args, **kwargs)


class Mixin:
    """Something else to inherit from."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.mixed = True
        super().__init__(*args, **kwargs)


class MixedBefore(Mixin, SummaryWriter):
    """The other base comes first."""


class MixedAfter(SummaryWriter, Mixin):
    """The other base comes last."""


class Abstract(SummaryWriter, abc.ABC):
    """Has a metaclass."""


class Typed(SummaryWriter, Generic[T]):
    """Is generic."""


class Twice(Before, SummaryWriter):
    """Names torch's class again."""


class WithNew(SummaryWriter):
    """Has a __new__ of its own."""

    def __new__(cls, *args: Any, **kwargs: Any) -> WithNew:
        """Make it as usual."""
        made: WithNew = super().__new__(cls)
        return made


SUBCLASSES = [Before, Deeper, ByName, MixedBefore, MixedAfter, Abstract, Typed, Twice, WithNew]


@pytest.mark.parametrize("cls", SUBCLASSES)
def test_a_subclass_from_before(tmp_path, cls):
    """A subclass that exists already makes safe writers while patched, and stock ones after."""
    stock = cls(str(tmp_path / "before"))
    bases = cls.__bases__
    with patch():
        writer = cls(str(tmp_path / "patched"))
        assert isinstance(writer, cls)
        assert isinstance(writer, SafeSummaryWriter)
        assert type(writer).__name__ == cls.__name__
        assert_safe(writer, tmp_path / "patched")
    assert cls.__bases__ == bases
    assert_stock(stock, tmp_path / "before")
    assert_stock(cls(str(tmp_path / "after")), tmp_path / "after")


def test_a_subclass_from_after(tmp_path):
    """A subclass that is defined while patched makes safe writers from its first call."""
    with patch():

        class After(SummaryWriter):
            """Defined while patched."""

        class AfterByName(SummaryWriter):
            """Defined while patched, with torch's constructor by name."""

            def __init__(self, log_dir: str) -> None:
                SummaryWriter.__init__(self, log_dir)

        class Both(Mixin, After):
            """Defined while patched, on two bases."""

        for cls in (After, AfterByName, Both):
            assert_safe(cls(str(tmp_path / cls.__name__)), tmp_path / cls.__name__)
    for cls in (After, AfterByName, Both):
        assert not issubclass(cls, SafeSummaryWriter)
        assert_stock(cls(str(tmp_path / "stock" / cls.__name__)), tmp_path / "stock" / cls.__name__)


def test_an_instance_of_a_subclass_from_before(tmp_path):
    """A stock instance goes on in its own file while its class makes safe ones; nothing is lost."""
    writer = Before(str(tmp_path / "logs"))
    writer.add_scalar("loss", 1.0, 1)
    with patch():
        writer.add_scalar("loss", 2.0, 2)
        writer.add_histogram("weights", torch.ones(3), 2)
        writer.add_scalars("group", {"a": 1.0}, 2)
        writer.add_hparams({"lr": 0.1}, {"m": 1.0}, run_name="hp")
        assert "Before" in repr(writer)
        writer.flush()
        writer.add_scalar("loss", 3.0, 3)
        writer.close()
    assert read_scalars(tmp_path / "logs") == POINTS
    assert read_scalars(tmp_path / "logs" / "hp") == {"m": [(0, 1.0)]}


def test_an_instance_of_a_subclass_from_before_that_goes_on_after_close(tmp_path):
    """Closed and used again while patched, such an instance becomes a safe writer."""
    writer = MixedAfter(str(tmp_path / "logs"))
    writer.add_scalar("loss", 1.0, 1)
    writer.close()
    with patch():
        writer.add_scalar("loss", 2.0, 2)
        writer.add_scalar("loss", 3.0, 3)
        writer.close()
    points = [
        point for run in read_runs(tmp_path / "logs").values() for point in run.get("loss", [])
    ]
    assert sorted(points) == POINTS["loss"]


def test_an_instance_of_a_subclass_made_while_patched(tmp_path):
    """After unpatch, what such an instance logs arrives, also after close."""
    with patch():
        writer = Deeper(str(tmp_path / "logs"))
        writer.add_scalar("loss", 1.0, 1)
    writer.add_scalar("loss", 2.0, 2)
    writer.flush()
    writer.close()
    writer.add_scalar("loss", 3.0, 3)
    writer.close()
    assert read_scalars(writer.log_dir) == POINTS


def test_a_constructor_called_by_name_has_all_its_arguments(tmp_path, monkeypatch):
    """Positional arguments given to torch's constructor by name keep their meaning."""
    monkeypatch.chdir(tmp_path)
    patch()
    writer = ByName("named", "comment", None, 20, 60, ".suffix")
    assert (writer.max_queue, writer.flush_secs) == (20, 60)
    assert_safe(writer, tmp_path / "named")
    assert [file.name.endswith(".suffix") for file in event_files(tmp_path)] == [True]
    assert_safe(ByName(), tmp_path / "runs")
    assert_safe(ByName(tmp_path / "path"), tmp_path / "path")


def test_a_constructor_called_by_name_with_a_purge_step(tmp_path):
    """A purge_step continues in exactly the directory, in this way too."""
    log(ByName(str(tmp_path)), points=5)
    patch()
    writer = ByName(str(tmp_path), purge_step=3)
    for step in range(3, 7):
        writer.add_scalar("loss", 10.0 * step, step)
    writer.close()
    assert writer.log_dir == str(tmp_path)  # It is a run, so it is the one that goes on.
    assert read_scalars(tmp_path)["loss"] == [
        (1, 1.0),
        (2, 2.0),
        *((step, 10.0 * step) for step in range(3, 7)),
    ]


def test_a_constructor_called_by_name_has_the_defaults(tmp_path):
    """The defaults of patch() hold for such a class as for any other."""
    patch(unique=False)
    assert log(Before(str(tmp_path / "super"))) == str(tmp_path / "super")
    assert log(ByName(str(tmp_path / "name"))) == str(tmp_path / "name")
    patch(root=tmp_path / "root", comment="x")
    run = Path(log(ByName("logs")))
    assert run.parent == tmp_path / "root" / "logs"
    assert run.name.endswith("_x")


def test_a_class_that_is_both(tmp_path):
    """A class on both a safe writer and a subclass of torch's does not stand in the way."""

    class Torchs(SummaryWriter):
        """On torch's class."""

    class Ours(SafeSummaryWriter):
        """On ours."""

    class Both(Ours, Torchs):
        """On both."""

    class BothTheOtherWay(Torchs, Ours):
        """On both."""

    with patch():
        for cls in (Torchs, Ours, Both, BothTheOtherWay, SummaryWriter):
            assert_safe(cls(str(tmp_path / cls.__name__)), tmp_path / cls.__name__)
    for cls in (Ours, Both, BothTheOtherWay):
        assert_safe(cls(str(tmp_path / "2" / cls.__name__)), tmp_path / "2" / cls.__name__)
    assert_stock(Torchs(str(tmp_path / "2" / "Torchs")), tmp_path / "2" / "Torchs")


def test_a_class_that_cannot_be_changed_is_named(tmp_path, caplog):
    """A class that refuses to be extended stays torch's, which is logged; all else is patched."""

    class Torchs(SummaryWriter):
        """On torch's class, and nothing may be on it."""

        def __init_subclass__(cls) -> None:
            """Refuse."""
            raise TypeError("final")

    class Based(SummaryWriter):
        """On torch's class."""

    class Both(SafeSummaryWriter, Based):
        """On ours first, with nothing between."""

    class Other(SummaryWriter):
        """On torch's class."""

    with patch():
        assert_stock(Torchs(str(tmp_path / "Torchs")), tmp_path / "Torchs")
        assert "Torchs'> still makes stock writers: final" in caplog.text
        for cls in (Both, Based, Other, SummaryWriter):
            assert_safe(cls(str(tmp_path / cls.__name__)), tmp_path / cls.__name__)
    assert_safe(Both(str(tmp_path / "after")), tmp_path / "after")
    assert_stock(Other(str(tmp_path / "stock")), tmp_path / "stock")


def test_a_subclass_of_ours_is_left_alone(tmp_path):
    """A subclass of SafeSummaryWriter has its own arguments and not the defaults of patch()."""

    class Ours(SafeSummaryWriter):
        """On ours."""

    bases = Ours.__bases__
    patch(unique=False)
    writer = Ours(tmp_path)
    assert Ours.__bases__ == bases
    assert_safe(writer, tmp_path)


# What torch makes by itself.


@pytest.mark.parametrize("make", [SummaryWriter, Before, ByName, SafeSummaryWriter])
def test_sub_runs_and_series_are_ours(tmp_path, make):
    """add_hparams and add_scalars write through us, below the run, with patch() or without."""
    patch()
    writer = make(str(tmp_path))
    for step in (1, 2):
        writer.add_scalars("group", {"a": 1.0, "b": 2.0}, step)
    writer.add_hparams({"lr": 0.1}, {"m": 1.0}, run_name="hp")
    writer.close()
    if make is SafeSummaryWriter:
        unpatch()
    runs = read_runs(writer.log_dir)
    assert {name: run for name, run in runs.items() if name != "."} == {
        "group_a": {"group": [(1, 1.0), (2, 1.0)]},
        "group_b": {"group": [(1, 2.0), (2, 2.0)]},
        "hp": {"m": [(0, 1.0)]},
    }
    assert made_by(tmp_path) == {"safewriter"}
    assert len(event_files(writer.log_dir)) == 4


def test_defaults_do_not_reach_sub_runs(tmp_path):
    """The sub-run of add_hparams lies exactly where torch names it, whatever the defaults."""
    with patch(comment="x", unique=False, purge_step=3, filename_suffix=".suffix"):
        writer = SummaryWriter(str(tmp_path))
        writer.add_hparams({"lr": 0.1}, {"m": 1.0}, run_name="hp", global_step=1)
        writer.close()
    assert read_scalars(tmp_path / "hp") == {"m": [(1, 1.0)]}


def test_a_patched_writer_can_be_pickled(tmp_path):
    """A writer made by patch() pickles as any closed writer, also across unpatch."""
    with patch():
        writer = SummaryWriter(str(tmp_path))
        writer.add_scalar("loss", 1.0, 1)
        writer.close()
        pickled = pickle.dumps(writer)
        assert isinstance(pickle.loads(pickled), SafeSummaryWriter)
    other = pickle.loads(pickled)
    other.add_scalar("loss", 2.0, 2)
    other.close()
    assert read_scalars(writer.log_dir) == {"loss": [(1, 1.0), (2, 2.0)]}


def test_events_that_are_added_directly(tmp_path):
    """Events that other code makes and adds through the file writer are written while patched."""
    with patch(), SummaryWriter(str(tmp_path)) as writer:
        assert writer.file_writer is not None
        writer.file_writer.add_event(Event(step=3), 4)
        directory = writer.log_dir
    assert [event.step for event in read_events(directory)] == [0, 4]


def test_many_threads_make_writers_while_patching(tmp_path):
    """Patching and unpatching while other threads make writers breaks none of them."""
    stop = threading.Event()
    errors: list[BaseException] = []

    def make(number: int) -> None:
        count = 0
        try:
            while not stop.is_set() and count < 30:
                count += 1
                log(SummaryWriter(str(tmp_path / str(number) / str(count))), points=1)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        patch()
        unpatch()
    stop.set()
    for thread in threads:
        thread.join(60)
    assert errors == []


def test_patch_has_the_keywords_of_a_writer_for_completion():
    """Who asks for patch()'s signature finds each keyword that it takes, and its default."""
    parameters = inspect.signature(patch).parameters
    writers = list(inspect.signature(SafeSummaryWriter.__init__).parameters.values())[1:]
    assert {name: p.default for name, p in parameters.items()} == {
        "tensorboardx": True,
        **{p.name: p.default for p in writers},
    }
