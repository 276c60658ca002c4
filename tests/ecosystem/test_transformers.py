"""transformers' Trainer: one run a training, in the directory that its user knows."""

from __future__ import annotations

import json

from tests.ecosystem.conftest import Check

PROGRAM = "transformers_trainer.py"
#: How long it took, how fast it was, and how much memory: never the same twice.
MEASURED = r"runtime|_time|_per_second|total_flos"
ONE = "out/runs/<torch>"


def test_train_then_evaluate(check: Check) -> None:
    """The final evaluation, by a second writer at the last step, is in the training's run."""
    ours = check(PROGRAM, "evaluate", names=[ONE], measured=MEASURED)
    assert ours.steps("train/loss") == [[2, 4, 6, 8]]
    assert ours.steps("eval/loss") == [[4, 8, 8]]


def test_the_default_flow(check: Check) -> None:
    """Evaluation is logged long before the first training loss, in one line of the callback."""
    check(PROGRAM, "defaults", names=[ONE], measured=MEASURED)


def test_evaluate_then_train(check: Check) -> None:
    """A baseline, then the training: one run, in torch's default place as without us."""
    ours = check(PROGRAM, "first_evaluate", names=["runs/<start>"], measured=MEASURED)
    assert ours.steps("eval/loss") == [[0, 4, 8]]


def test_a_second_train_is_a_run_of_its_own(check: Check) -> None:
    """The steps start over, so what the second training logs, its texts too, is apart."""
    ours = check(PROGRAM, "train_twice", names=[ONE, f"{ONE}/<start>"], measured=MEASURED)
    assert ours.steps("train/loss") == [[2, 4, 6, 8]] * 2
    assert ours.steps("eval/loss") == [[4, 8]] * 2


def test_a_second_trainer_is_a_run_of_its_own(check: Check) -> None:
    """Two trainings of one program, whether or not they begin in the same second."""
    ours = check(PROGRAM, "two_trainers", names=None, measured=MEASURED)
    assert ours.steps("train/loss") == [[2, 4, 6, 8]] * 2
    assert ours.steps("eval/loss") == [[4, 8]] * 2


def test_resuming_in_the_process(check: Check) -> None:
    """What goes on from a checkpoint neither falls nor is lost."""
    ours = check(PROGRAM, "resume", names=None, measured=MEASURED)
    steps = [step for run in ours.steps("train/loss") for step in run]
    assert sorted(steps) == [2, 4, 6, 8, 10, 12]


def test_one_trainer_that_resumes_with_other_arguments(check: Check) -> None:
    """The second train() begins with another text of arguments, so it is a run of its own."""
    names = [ONE, f"{ONE}/<start>"]
    ours = check(PROGRAM, "same_trainer_resumes", names=names, measured=MEASURED)
    assert ours.steps("train/loss") == [[2, 4], [6, 8, 10, 12]]


def test_resuming_in_another_process(check: Check) -> None:
    """Each process has its own directory, as with torch's writer."""
    ours = check(
        PROGRAM, names=[ONE, ONE], measured=MEASURED, starts=("first_process", "second_process")
    )
    assert ours.steps("train/loss") == [[2, 4], [6, 8, 10, 12]]


def test_each_run_has_its_own_arguments(check: Check) -> None:
    """The text that a training begins with is in the run of its curve."""
    ours = check(PROGRAM, "resume", names=None, measured=MEASURED)
    for points in ours.runs.values():
        last = max(step for tag, step, _ in points if tag == "train/loss")
        for tag, _, text in points:
            if tag == "args/text_summary":
                assert json.loads(str(text))["num_train_epochs"] == last // 4
