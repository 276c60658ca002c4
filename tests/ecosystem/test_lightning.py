"""Lightning's Trainer, its command line and Fabric, with their TensorBoardLogger."""

from __future__ import annotations

from tests.ecosystem.conftest import Check

PROGRAM = "lightning_trainer.py"
MODEL = "lightning_logs/model"
# 4 batches an epoch, logged at every second; epochs are logged at their last batch.
LOSS = "train_loss_step"


def test_fit_validate_test(check: Check) -> None:
    """One version for a fit and what follows it, though the logger closes its writer between."""
    ours = check(PROGRAM, "fit_validate_test", names=[f"{MODEL}/version_0"])
    assert ours.steps(LOSS) == [[1, 3, 5, 7, 9, 11]]
    assert ours.steps("test_loss") == [[12]]


def test_the_default_logger(check: Check) -> None:
    """``lightning_logs/version_0``, and nothing below it."""
    check(PROGRAM, "defaults", names=["lightning_logs/version_0"])


def test_validate_then_fit(check: Check) -> None:
    """The baseline at step 0 and the training are one version."""
    check(PROGRAM, "validate_first", names=[f"{MODEL}/version_0"])


def test_two_fits_are_two_versions(check: Check) -> None:
    """A logger for each fit counts up, as with torch's writer."""
    ours = check(PROGRAM, "two_fits", names=[f"{MODEL}/version_0", f"{MODEL}/version_1"])
    assert ours.steps(LOSS) == [[1, 3, 5, 7, 9, 11]] * 2


def test_one_trainer_fitted_further(check: Check) -> None:
    """The second fit goes on behind the first one's last step: one version."""
    ours = check(PROGRAM, "fit_twice", names=[f"{MODEL}/version_0"])
    assert ours.steps(LOSS) == [[1, 3, 5, 7, 9, 11, 13, 15]]


def test_a_sweep_on_one_version(check: Check) -> None:
    """Each round has its own curve, beside the hyperparameters that it began with."""
    ours = check(PROGRAM, "sweep", names=None)
    assert ours.steps(LOSS) == [[1, 3, 5, 7, 9, 11]] * 3
    for points in ours.runs.values():
        (lr,) = {round(value, 6) for tag, _, value in points if tag == "lr_used"}
        name = "_hparams_/session_start_info"
        started = [dict(value[1]) for tag, _, value in points if tag == name]
        assert [values["lr"] for values in started] == [f"number_value: {lr}"]


def test_resuming_in_the_process(check: Check) -> None:
    """A second fit from the checkpoint, on the version that it is of: one curve."""
    ours = check(PROGRAM, "resume", names=[f"{MODEL}/version_0"])
    assert ours.steps(LOSS) == [[1, 3, 5, 7, 9, 11, 13, 15]]


def test_resuming_in_another_process(check: Check) -> None:
    """The logger of the second process begins a version of its own, as with torch's writer."""
    ours = check(
        PROGRAM,
        names=[f"{MODEL}/version_0", f"{MODEL}/version_1"],
        starts=("first_process", "second_process"),
    )
    assert ours.steps(LOSS) == [[1, 3, 5, 7], [9, 11, 13, 15]]


def test_resuming_one_version_in_another_process(check: Check) -> None:
    """A second start on a version that has events is a run of its own below it."""
    ours = check(
        PROGRAM,
        names=[f"{MODEL}/version_0", f"{MODEL}/version_0/<start>"],
        starts=("first_process", "second_process_same_version"),
    )
    assert ours.steps(LOSS) == [[1, 3, 5, 7], [9, 11, 13, 15]]


def test_the_command_line(check: Check) -> None:
    """Jsonargparse finds the writer's options, and the logger's keep their meaning."""
    check("lightning_cli.py", names=["cli/lightning_logs/version_0"])


def test_fabric(check: Check) -> None:
    """A loop by hand that logs through Fabric."""
    check("fabric_loop.py", names=["fabric_logs/loop/version_0"])
