"""tensorboardX's SummaryWriter under patch(): its API, and our run, file and promises."""

from __future__ import annotations

import inspect
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorboardX
import tensorboardX.writer
from tensorboardX import SummaryWriter

import safewriter
from safewriter import EmptyRunWarning, MissingStepWarning, StepOrderWarning
from safewriter.events import RunStatus, run_status
from tests.support import event_files, read_events, read_runs, read_scalars, run_python


@pytest.fixture(autouse=True)
def _patched() -> Iterator[None]:
    """Patch for each test, and leave no patch behind."""
    with safewriter.patch():
        yield
    safewriter.unpatch()


def is_safe(writer: Any) -> bool:
    """Tell whether it writes to a file of ours, by its name."""
    name = os.path.basename(writer.file_writer.event_writer._ev_writer._file_name)
    return bool(name.endswith(".00"))


def log(writer: Any) -> Path:
    """Log three points and close; return the directory."""
    for step in range(3):
        writer.add_scalar("loss", step / 2, step)
    writer.close()
    return Path(writer.logdir)


POINTS = {"loss": [(0, 0.0), (1, 0.5), (2, 1.0)]}


def test_a_killed_process_loses_nothing(tmp_path):
    """What add_scalar returned from is in the file, whatever happens a moment later."""
    code = """
        import os, signal, sys
        import safewriter
        safewriter.patch()
        from tensorboardX import SummaryWriter
        writer = SummaryWriter(sys.argv[1])
        for step in range(100):
            writer.add_scalar("loss", 0.5, step)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    assert run_python(code, args=[tmp_path]).returncode == -signal.SIGKILL
    (curves,) = read_runs(tmp_path).values()
    assert curves == {"loss": [(step, 0.5) for step in range(100)]}


def test_there_is_no_queue_and_no_thread(tmp_path):
    """An event is in the file when the call returns."""
    before = threading.enumerate()
    with SummaryWriter(tmp_path) as writer:
        writer.add_scalar("loss", 0.5, 1)
        writer.add_scalars("both", {"a": 1.0, "b": 2.0}, 1)
        assert threading.enumerate() == before
        assert read_scalars(writer.logdir) == {"loss": [(1, 0.5)]}
        assert read_scalars(f"{writer.logdir}/both/b") == {"both": [(1, 2.0)]}


def test_two_starts_do_not_mix(tmp_path):
    """Each process has a directory of its own, below the one that was named."""
    code = """
        import sys
        import safewriter
        safewriter.patch()
        from tensorboardX import SummaryWriter
        for step in range(3):
            writer = SummaryWriter(sys.argv[1])  # one run, however many writers
            writer.add_scalar("loss", step / 2, step)
            writer.add_scalars("both", {"a": 1.0, "b": 2.0}, step)
            writer.close()
        """
    for _ in range(2):
        run_python(code, args=[tmp_path], check=True)
    series = [(step, 1.0) for step in range(3)]
    runs = read_runs(tmp_path)
    assert [curves for run, curves in runs.items() if "both" not in str(run)] == [POINTS] * 2
    assert [c["both"] for run, c in runs.items() if str(run).endswith("both/a")] == [series] * 2


def test_a_round_that_starts_over_begins_a_run(tmp_path):
    """So do its series, even where the first of them is what tells."""
    directories = []
    for _ in range(2):
        writer = SummaryWriter(tmp_path)
        for step in range(3):
            writer.add_scalars("both", {"a": 1.0, "b": 2.0}, step)
        writer.close()
        directories.append(Path(writer.logdir))
    assert directories[0] != directories[1]
    for directory in directories:
        for series, value in [("a", 1.0), ("b", 2.0)]:
            points = [(step, value) for step in range(3)]
            assert read_scalars(directory / "both" / series) == {"both": points}
            assert len(event_files(directory / "both" / series)) == 1


def test_without_a_directory_each_writer_has_a_run(tmp_path, monkeypatch):
    """Also where two are made in one second."""
    monkeypatch.chdir(tmp_path)
    first, second = SummaryWriter(), SummaryWriter(comment="_x")
    assert log(first).parent == log(second).parent == tmp_path / "runs"
    assert first.logdir != second.logdir
    assert second.logdir.endswith("_x")


def test_switched_off(tmp_path):
    """patch(tensorboardx=False) leaves tensorboardX's writers as they are."""
    with safewriter.patch(tensorboardx=False) as patched:
        assert repr(patched) == "<safewriter.patch(tensorboardx=False), in force>"
        writer = SummaryWriter(str(tmp_path / "stock"))
        assert type(writer) is SummaryWriter
        assert not is_safe(writer)
        assert log(writer) == tmp_path / "stock"
    assert is_safe(SummaryWriter(tmp_path / "safe", filename_suffix=".00"))
    with pytest.raises(safewriter.ArgumentTypeError, match="tensorboardx"):
        safewriter.patch(tensorboardx="no")  # type: ignore[arg-type]


def test_unpatch(tmp_path):
    """Stock writers are made again; those made meanwhile stay as they are."""
    meanwhile = SummaryWriter(tmp_path)
    safewriter.unpatch()
    writer = SummaryWriter(str(tmp_path / "stock"))
    assert type(writer) is SummaryWriter
    assert log(writer) == tmp_path / "stock"
    assert read_scalars(log(meanwhile)) == POINTS


@pytest.mark.parametrize("early", [True, False])
def test_patch_does_not_import_it(tmp_path, early):
    """Whether it is imported before or after, and by whatever finder, it is reached."""
    code = f"""
        import importlib, sys
        if {early}:
            from tensorboardX import SummaryWriter
        class Other:  # a tracker's, that asks the others as well
            asking = False
            def find_spec(self, name, path, target=None):
                if not self.asking and name.startswith("tensorboardX"):
                    self.asking = True
                    try:
                        return importlib.util.find_spec(name)
                    finally:
                        self.asking = False
        import safewriter
        sys.meta_path.insert(0, Other())
        safewriter.patch()
        sys.meta_path.insert(0, Other())
        assert {early} or "tensorboardX" not in sys.modules
        from tensorboardX import SummaryWriter
        import tensorboardX.writer
        assert tensorboardX.writer.__loader__ is tensorboardX.writer.__spec__.loader
        assert "get_source" in dir(tensorboardX.writer.__loader__)
        SummaryWriter(sys.argv[1]).add_scalar("loss", 0.5, 1)
        """
    run_python(code, args=[tmp_path], check=True)
    (curves,) = read_runs(tmp_path).values()
    assert curves == {"loss": [(1, 0.5)]}


def test_where_it_is_not_installed(tmp_path):
    """patch() is what it was, and so is the error of who imports it."""
    code = """
        import sys
        import safewriter
        class Missing:
            def find_spec(self, name, path, target=None):
                if name == "tensorboardX":
                    raise ModuleNotFoundError("not installed")
        sys.meta_path.insert(0, Missing())
        with safewriter.patch():
            from torch.utils.tensorboard import SummaryWriter
            SummaryWriter(sys.argv[1]).add_scalar("loss", 0.5, 1)
            try:
                import tensorboardX
            except ModuleNotFoundError as error:
                assert str(error) == "not installed"
        """
    run_python(code, args=[tmp_path], check=True)
    assert len(read_runs(tmp_path)) == 1


def test_a_version_without_what_is_needed_stays_the_users(tmp_path):
    """The log says so, and its import works."""
    code = """
        import logging, sys, types
        logging.basicConfig()
        package, writer = types.ModuleType("tensorboardX"), types.ModuleType("tensorboardX.writer")
        package.__path__, package.writer = [], writer
        sys.modules.update({"tensorboardX": package, "tensorboardX.writer": writer})
        import safewriter
        safewriter.patch()
        """
    stderr = run_python(code, check=True).stderr
    assert "tensorboardX's writers are not reached: " in stderr


class Named(SummaryWriter):  # type: ignore[misc]
    """Names tensorboardX's constructor instead of calling super()."""

    def __init__(self, directory: str) -> None:
        SummaryWriter.__init__(self, directory)
        self.mine = 1


class Supers(SummaryWriter):  # type: ignore[misc]
    """Calls super(), with its own order of arguments."""

    def __init__(self, directory: str) -> None:
        super().__init__(log_dir=directory, flush_secs=1)
        self.mine = 1


@pytest.mark.parametrize("cls", [Named, Supers])
def test_subclasses(tmp_path, cls):
    """A user's subclass, defined before patch(), makes safe writers that are instances of it."""
    writer = cls(str(tmp_path / "run"))
    assert is_safe(writer)
    assert isinstance(writer, cls)
    assert writer.mine == 1
    copied = pickle.loads(pickle.dumps(writer))
    assert type(copied) is type(writer)
    copied.close()
    directory = log(writer)
    assert directory.parent == tmp_path / "run"
    assert read_scalars(directory) == POINTS


def test_the_class_and_its_signature_are_the_same():
    """For isinstance, and for who asks the constructor's arguments."""
    assert tensorboardX.SummaryWriter is tensorboardX.writer.SummaryWriter is SummaryWriter
    shown = inspect.signature(SummaryWriter)
    assert list(shown.parameters)[:2] == ["logdir", "comment"]
    assert str(shown).replace("(", "(self, ", 1) == str(inspect.signature(SummaryWriter.__init__))


def log_everything(writer: Any) -> None:
    """Call what writes events, with and without steps."""
    image = np.zeros((3, 8, 8), np.uint8)
    writer.add_scalar("scalar", 0.5, 3, walltime=5.0)
    writer.add_scalar("named", 0.5, 4, display_name="shown", summary_description="text")
    writer.add_histogram("histogram", np.arange(9.0), 5)
    writer.add_histogram_raw("raw", 0.0, 1.0, 2, 1.0, 1.0, [1.0], [2], 5)
    writer.add_image("image", image, 6)
    writer.add_images("images", image[None], 6)
    writer.add_image_with_boxes("boxes", image, np.array([[1, 1, 3, 3]]), 6)
    writer.add_text("text", "words", 7)
    writer.add_pr_curve("pr", np.array([0, 1]), np.array([0.1, 0.9]), 8)
    writer.add_custom_scalars({"a": {"b": ["Multiline", ["scalar"]]}})
    writer.add_mesh("mesh", np.zeros((1, 3, 3)), global_step=9)
    writer.add_scalars("series", {"x": 1.0, "y/z": 2.0}, 10)
    with writer.use_metadata(global_step=11, walltime=6.0):
        writer.add_scalar("metadata", 0.5)
    writer.add_hparams({"lr": 0.1}, {"best": 1.0}, name="session", global_step=12)
    writer.add_embedding(np.zeros((2, 3)))
    writer.flush()
    writer.close()
    writer.close()


def test_everything_is_written_as_stock_writes_it(tmp_path):
    """The same events, below a run that is ours."""
    writer = SummaryWriter(tmp_path / "ours")
    log_everything(writer)
    safewriter.unpatch()
    log_everything(SummaryWriter(tmp_path / "stock"))

    def written(directory: Path) -> dict[str, list[tuple[int, str]]]:
        return {
            str(file.parent.relative_to(directory)): [
                (event.step, str(event.summary))
                for event in read_events(file)
                if event.HasField("summary") and "session_start_info" not in str(event.summary)
            ]
            for file in event_files(directory)
        }

    ours = written(Path(writer.logdir))
    assert ours == written(tmp_path / "stock")
    assert sorted(ours) == [".", "series/x", "series/y/z", "session"]
    times = {
        value.tag: event.wall_time
        for event in read_events(event_files(writer.logdir)[0])
        for value in event.summary.value
    }
    assert (times["scalar"], times["metadata"]) == (5.0, 6.0)


def test_files_beside_the_events(tmp_path):
    """A run that has nothing but an embedding is not empty."""
    with SummaryWriter(tmp_path) as writer:
        writer.add_embedding(np.zeros((2, 3)))
    assert (Path(writer.logdir) / "00000" / "default" / "tensors.tsv").exists()


def test_hyperparameters_after_close(tmp_path):
    """The run goes on, as with everything else that is logged then."""
    writer = SummaryWriter(tmp_path)
    directory = log(writer)
    writer.add_hparams({"lr": 0.1}, {"best": 1.0}, name="session")
    writer.close()
    assert read_scalars(directory / "session") == {"best": [(0, 1.0)]}


def test_warnings_name_the_users_line(tmp_path):
    """The ledger sees what passes, and nothing is hidden without a word."""
    with SummaryWriter(tmp_path) as writer:
        writer.add_scalar("loss", 0.5, 5)
        with pytest.warns(StepOrderWarning, match="'loss'") as caught:
            writer.add_scalar("loss", 0.5, 3)
        assert caught[0].filename == __file__
        with pytest.warns(MissingStepWarning):
            writer.add_scalar("loss", 0.25)
    assert [step for step, _ in read_scalars(writer.logdir)["loss"]] == [5, 3, 4]
    with pytest.warns(EmptyRunWarning):
        SummaryWriter(tmp_path / "empty").close()


def test_arguments(tmp_path):
    """Its own, and ours by keyword; what neither knows is refused."""
    writer = SummaryWriter(tmp_path, "_note", None, 5, 30, ".suffix", unique=False)
    assert log(writer) == tmp_path
    assert event_files(tmp_path)[0].name.endswith(".suffix")
    purging = SummaryWriter(tmp_path, purge_step=2, unique=False)
    purging.add_scalar("loss", 2.0, 2)
    purging.close()
    statuses = [event.session_log.status for f in event_files(tmp_path) for event in read_events(f)]
    assert 1 in statuses  # START
    with pytest.raises(TypeError, match="wrong"):
        SummaryWriter(tmp_path, wrong=1)


def test_the_record_tells_how_it_ended(tmp_path):
    """A with block that an exception leaves is a run that failed."""
    with pytest.raises(KeyError), SummaryWriter(tmp_path) as writer:
        writer.add_scalar("loss", 0.5, 1)
        raise KeyError
    assert run_status(writer.logdir) is RunStatus.FAILED
    writer.add_scalar("loss", 0.5, 2)  # Opens the run again.
    assert run_status(writer.logdir) is RunStatus.RUNNING
    writer.close()
    assert read_scalars(writer.logdir) == {"loss": [(1, 0.5), (2, 0.5)]}


def test_a_writer_is_pickled_while_it_is_open(tmp_path):
    """In the same process it is the same writer twice."""
    writer = SummaryWriter(tmp_path)
    writer.add_scalar("loss", 0.5, 1)
    copied = pickle.loads(pickle.dumps(writer))
    copied.add_scalar("loss", 0.5, 2)
    copied.close()
    writer.close()
    assert read_scalars(writer.logdir) == {"loss": [(1, 0.5), (2, 0.5)]}


def test_a_silent_rank(tmp_path, monkeypatch):
    """With ranks="zero" another rank writes nothing, hyperparameters neither."""
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with safewriter.patch(ranks="zero"):
        log_everything(SummaryWriter(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "make",
    [
        lambda _: SummaryWriter(write_to_disk=False),
        lambda path: tensorboardX.GlobalSummaryWriter(str(path)).smw,
    ],
)
def test_what_stays_tensorboardxs(tmp_path, make: Callable[[Path], Any], monkeypatch):
    """A writer that is to write nothing, and the one for several processes."""
    monkeypatch.chdir(tmp_path)
    writer = make(tmp_path / "stock")
    writer.add_scalar("loss", 0.5, 1)
    writer.add_scalars("both", {"a": 1.0}, 1)
    writer.close()
    assert not (tmp_path / "runs").exists()
    assert not list(tmp_path.rglob(".safewriter"))


def test_a_directory_with_a_scheme_stays_tensorboardxs(tmp_path):
    """Its own writers of remote files know how to reach it."""
    made = []

    class Remote:
        def directory_check(self, path: str) -> None:
            pass

        def open(self, path: str) -> Any:
            made.append(path)
            return open(tmp_path / "file", "wb")

    tensorboardX.record_writer.register_writer_factory("mine", Remote())
    writer = SummaryWriter("mine://bucket/run")
    writer.add_scalar("loss", 0.5, 1)
    writer.close()
    assert made[0].startswith("mine://bucket/run/events.out.tfevents.")


@pytest.mark.parametrize("hooked_first", [True, False])
def test_hooks_receive_everything_once(tmp_path, monkeypatch, hooked_first):
    """Trackers replace the event writer's class, or wrap a method, before or after patch()."""
    library, seen = tensorboardX.writer, []

    def hook() -> None:
        class Theirs(library.EventFileWriter):  # type: ignore[misc,name-defined]
            def __init__(self, logdir: str, *args: Any, **kwargs: Any) -> None:
                seen.append(("made", logdir))
                super().__init__(logdir, *args, **kwargs)

        monkeypatch.setattr(library, "EventFileWriter", Theirs)
        for cls in (library.FileWriter, tensorboardX.event_file_writer.EventFileWriter):

            def add_event(
                self: Any, event: Any, *args: Any, real: Any = cls.add_event, cls: Any = cls
            ) -> Any:
                seen.append((cls.__name__, event.summary.value[0].tag, *args[:1]))
                return real(self, event, *args)

            monkeypatch.setattr(cls, "add_event", add_event)

    safewriter.unpatch()
    if hooked_first:
        hook()
    safewriter.patch()
    if not hooked_first:
        hook()
    with SummaryWriter(str(tmp_path)) as writer:
        writer.add_scalar("loss", 0.5, 7)
    assert seen == [
        ("made", writer.logdir),
        ("FileWriter", "loss", 7),
        ("EventFileWriter", "loss"),
    ]
    assert read_scalars(writer.logdir) == {"loss": [(7, 0.5)]}


def test_a_writer_made_before_stays_stock(tmp_path):
    """Also what its add_hparams makes."""
    safewriter.unpatch()
    before = SummaryWriter(str(tmp_path))
    safewriter.patch()
    before.add_hparams({"lr": 0.1}, {"best": 1.0}, name="session")
    before.close()
    assert not list(tmp_path.rglob(".safewriter"))
    assert len(event_files(tmp_path / "session")) == 1


def test_a_forked_child_logs_below_the_run(tmp_path):
    """As with torch's writers: two processes never write one file."""
    if sys.platform != "linux":
        pytest.skip("needs fork")
    writer = SummaryWriter(tmp_path)
    writer.add_scalar("loss", 0.5, 1)
    child = os.fork()
    if not child:
        import warnings

        warnings.simplefilter("ignore")
        writer.add_scalar("loss", 0.5, 2)
        os._exit(0)
    os.waitpid(child, 0)
    writer.close()
    assert read_scalars(writer.logdir) == {"loss": [(1, 0.5)]}
    assert read_scalars(f"{writer.logdir}/fork-{child}") == {"loss": [(2, 0.5)]}
