"""accelerate, stable-baselines3, ignite, Optuna, Hydra, and the patterns of two more programs."""

from __future__ import annotations

import re

import pytest

from tests.ecosystem.conftest import Check
from tests.ecosystem.outcome import Outcome


def test_accelerate_with_two_trackers(check: Check) -> None:
    """TensorBoard's beside another one: a run, with its series and its configuration in it."""
    check(
        "accelerate_trackers.py",
        "two_trackers",
        names=[
            "out/logs/example/<start>",
            "out/logs/example/<start>/<seconds>",  # torch's place for hyperparameters
            "out/logs/example/<start>/losses_a",
            "out/logs/example/<start>/losses_b",
        ],
    )


def test_accelerate_with_two_tensorboards(check: Check) -> None:
    """Two directories, the same in both."""
    series = ("", "/<seconds>", "/losses_a", "/losses_b")
    ours = check(
        "accelerate_trackers.py",
        "two_tensorboards",
        names=[f"out/logs/{name}/<start>{end}" for name in ("first", "second") for end in series],
    )
    assert ours.steps("train_loss") == [list(range(6))] * 2


def test_accelerate_in_a_sweep(check: Check) -> None:
    """Each round's configuration is with its curve, though the configuration comes first."""
    ours = check("accelerate_trackers.py", "sweep", names=None)
    assert ours.steps("train_loss") == [list(range(6))] * 3
    _assert_each_curve_is_with_its_hparams(ours)


def _assert_each_curve_is_with_its_hparams(ours: Outcome) -> None:
    for run, points in ours.runs.items():
        rates = {round(float(str(value)), 6) for tag, _, value in points if tag == "lr"}
        started = [
            value
            for below, others in ours.runs.items()
            if below.is_relative_to(run)
            for tag, _, value in others
            if tag == "_hparams_/session_start_info"
        ]
        if rates:
            assert started == [("hparams", (("lr", f"number_value: {lr}"),)) for lr in rates]


@pytest.mark.parametrize(
    ("scenario", "names"),
    [
        ("learn_twice", ["tb/PPO_1/<start>", "tb/PPO_2/<start>"]),
        ("go_on", ["tb/first_1/<start>"]),
        ("evaluated", ["tb/PPO_1/<start>"]),
        ("off_policy", ["tb/DQN_1/<start>"]),
    ],
)
def test_stable_baselines(check: Check, scenario: str, names: list[str]) -> None:
    """learn() begins a run, unless the number of time steps goes on."""
    ours = check("stable_baselines.py", scenario, names=names, measured="time/fps|time_elapsed")
    for steps in ours.steps("train/loss"):
        assert steps == sorted(set(steps))


@pytest.mark.parametrize("scenario", ["one_directory", "config_first", "forgotten"])
def test_optuna_trials_on_one_directory(check: Check, scenario: str) -> None:
    """Each of five trials has a directory with all that it logged, and nothing else."""
    ours = check("optuna_trials.py", scenario, names=["optuna/study/<start>"] * 5)
    assert ours.steps("train/loss") == [list(range(8))] * 5
    assert ours.steps("val/loss") == [[3, 7]] * 5
    for points in ours.runs.values():
        first = next(value for tag, _, value in points if tag == "train/loss")
        for tag, _, value in points:
            if tag == "config/text_summary":
                lr = float(re.split("=", str(value))[1])
                assert first == pytest.approx(1 - lr, abs=1e-6)


def test_optuna_with_a_directory_for_each_trial(check: Check) -> None:
    """What is apart by its name stays where its name says."""
    names = [f"optuna/trial_{number}/<start>" for number in range(5)]
    check("optuna_trials.py", "directory_each", names=names)


def test_hydra(check: Check) -> None:
    """Without chdir a relative name begins where the program was started."""
    check("hydra_app.py", names=["tb/<start>"])


def test_hydra_that_enters_its_output_directory(check: Check) -> None:
    """A directory below the one that Hydra made for this start needs no second time."""
    check("hydra_app.py", "hydra.job.chdir=True", names=["outputs/<hydra>/tb"])


def test_hydra_output_directory_by_its_name(check: Check) -> None:
    """Hydra's own directory, absolute, carries this start's time already."""
    check("hydra_app.py", "output=true", names=["outputs/<hydra>"])


def test_detectron_resumes_in_another_process(check: Check) -> None:
    """The second start goes back to its checkpoint, in a run of its own: no curve is cut off."""
    ours = check(
        "detectron_pattern.py",
        names=["output/<start>"] * 2,
        starts=("first_process", "second_process"),
    )
    assert ours.steps("total_loss") == [list(range(8)), list(range(5, 12))]


def test_detectron_resumes_in_one_process(check: Check) -> None:
    """A new writer whose steps go back begins a new run."""
    ours = check("detectron_pattern.py", "in_one_process", names=["output/<start>"] * 2)
    assert ours.steps("total_loss") == [list(range(8)), list(range(5, 12))]


def test_cleanrl(check: Check) -> None:
    """A name that ends with the seconds of this start is used as it is."""
    names = ["runs/CartPole-v1__dqn__1__<seconds>"]
    check("cleanrl_loop.py", names=names, measured="charts/SPS")


@pytest.mark.parametrize("writer", ["torch", "tensorboardX"])
def test_ignite(check: Check, writer: str) -> None:
    """Ignite takes tensorboardX where it is installed, torch's writer elsewhere."""
    check("ignite_loop.py", writer, names=["ignite/<start>"])
