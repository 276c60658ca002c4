"""A signal handler that logs, closes or raises, wherever in a call of a writer Python runs it.

What may be interrupted, and what the handlers do, is in `interrupted_calls`, a program.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.core.interrupted_calls import HANDLERS, SCENES

pytest_plugins = ["tests.programs.fixtures"]

PROGRAM = Path(__file__).with_name("interrupted_calls.py")


def assert_unharmed(warm, tmp_path: Path, scene: str, handler: str, how: str, most: int) -> None:
    """Interrupt a scene at up to `most` places: nothing is lost, doubled, raised, stuck or left."""
    arguments = [scene, handler, how, str(most)]
    done = warm.run(PROGRAM, cwd=tmp_path, args=arguments, deadline=60 + most / 4)
    *problems, played = done.stdout.splitlines()
    assert problems == []
    assert int(played) >= 5


@pytest.mark.parametrize("handler", ["logs", "raises"])
@pytest.mark.parametrize("scene", SCENES)
def test_a_handler_at_some_places(warm, tmp_path, scene, handler):
    """All that is acknowledged is on disk at once, and the writer works, closes and leaves nothing,
    also when a handler logs, or raises KeyboardInterrupt, in the middle of the call.
    """
    assert_unharmed(warm, tmp_path, scene, handler, "once", 50)


@pytest.mark.parametrize("handler", sorted({*HANDLERS} - {"logs", "raises"}))
@pytest.mark.parametrize("scene", ["scalar_after_a_second", "close"])
def test_another_handler_at_some_places(warm, tmp_path, scene, handler):
    """The same for handlers that log through another writer, flush, close, or log and raise."""
    assert_unharmed(warm, tmp_path, scene, handler, "once", 50)


@pytest.mark.parametrize("handler", ["raises", "logs_and_raises"])
def test_no_event_is_written_twice(warm, tmp_path, handler):
    """An exception anywhere while waiting events are put into a new file doubles none of them."""
    assert_unharmed(warm, tmp_path, "scalar_behind_what_waits", handler, "once", 300)


@pytest.mark.parametrize("how", ["twice", "nested"])
@pytest.mark.parametrize(
    "scene", ["scalar_after_a_second", "flush_what_waits", "scalar_behind_what_waits", "close"]
)
def test_two_handlers_in_one_call(warm, tmp_path, scene, how):
    """Two handlers that log, one after the other or one within the other, lose nothing either."""
    assert_unharmed(warm, tmp_path, scene, "logs", how, 80)


@pytest.mark.stress
@pytest.mark.parametrize("handler", HANDLERS)
@pytest.mark.parametrize("scene", SCENES)
def test_a_handler_at_every_place(warm, tmp_path, scene, handler):
    """Every handler at every place of every call."""
    assert_unharmed(warm, tmp_path, scene, handler, "once", 10_000)


@pytest.mark.stress
@pytest.mark.parametrize("how", ["twice", "nested"])
@pytest.mark.parametrize("scene", SCENES)
def test_two_handlers_at_many_places(warm, tmp_path, scene, how):
    """Two handlers that log, at thousands of pairs of places."""
    assert_unharmed(warm, tmp_path, scene, "logs", how, 2000)
