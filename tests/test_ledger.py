"""What the ledger finds suspicious in the steps, the order and the kinds of tags."""

from __future__ import annotations

import itertools
import math
import string
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from safewriter import (
    BaselineWarning,
    InvisibleValueWarning,
    MissingStepWarning,
    SafeSummaryWriter,
    SafeWriterWarning,
    StepOrderWarning,
    TagKindWarning,
    TagNameWarning,
    TagOrderWarning,
)
from safewriter._errors import Location, tell, user_location
from safewriter._ledger import ledger
from safewriter._ledger.ledger import TagLedger
from safewriter._ledger.tag_words import EVAL_TAGS, TRAIN_TAGS, words
from tests.support import read_events, read_scalars

# The role of a tag.

ROLES = {
    # Lightning
    "train_loss": "train",
    "train_loss_step": "train",
    "train_loss_epoch": "train",
    "val_loss": "eval",
    "val_acc_epoch": "eval",
    "val_loss/dataloader_idx_0": "eval",
    "test_loss": "eval",
    "hp_metric": "",
    "epoch": "",
    "lr-Adam": "",
    "lr-SGD/pg1": "",
    "valid_loss": "eval",
    # transformers
    "train/loss": "train",
    "train/grad_norm": "train",
    "train/learning_rate": "train",
    "train/train_runtime": "train",
    "train/train_samples_per_second": "train",
    "eval/loss": "eval",
    "eval/runtime": "eval",
    "eval/steps_per_second": "eval",
    "eval/exact_match": "eval",
    # ultralytics
    "train/box_loss": "train",
    "train/cls_loss": "train",
    "train/dfl_loss": "train",
    "val/box_loss": "eval",
    "val/dfl_loss": "eval",
    "metrics/precision(B)": "",
    "metrics/mAP50(B)": "",
    "metrics/mAP50-95(B)": "",
    "lr/pg0": "",
    "x/lr0": "",
    # stable-baselines3
    "rollout/ep_rew_mean": "",
    "rollout/ep_len_mean": "",
    "rollout/exploration_rate": "",
    "time/fps": "",
    "time/total_timesteps": "",
    "train/approx_kl": "train",
    "train/clip_fraction": "train",
    "train/entropy_loss": "train",
    "train/explained_variance": "train",
    "train/n_updates": "train",
    "train/value_loss": "train",
    "eval/mean_reward": "eval",
    "eval/mean_ep_length": "eval",
    "eval/success_rate": "eval",
    # detectron2
    "total_loss": "",
    "loss_cls": "",
    "loss_box_reg": "",
    "loss_rpn_cls": "",
    "fast_rcnn/cls_accuracy": "",
    "fast_rcnn/fg_cls_accuracy": "",
    "roi_head/num_bg_samples": "",
    "rpn/num_pos_anchors": "",
    "mask_rcnn/accuracy": "",
    "bbox/AP50": "",
    "bbox/AP-person": "",
    "segm/APs": "",
    "data_time": "",
    "eta_seconds": "",
    "validation_loss": "eval",
    # torchvision's references, PyTorch's examples, Keras
    "Loss/train": "train",
    "Loss/test": "eval",
    "Accuracy/valid": "eval",
    "epoch_accuracy": "",
    "epoch_val_accuracy": "eval",
    "training loss": "train",
    "evaluation_loss_vs_iterations": "eval",
    # by hand
    "training_loss": "train",
    "trainLoss": "train",
    "TrainLoss": "train",
    "TRAIN_LOSS": "train",
    "lossTrain": "train",
    "trn.loss": "train",
    "fit-loss": "train",
    "HTTPTrainServer": "train",
    "valLoss": "eval",
    "ValidationLoss": "eval",
    "VAL/ACC": "eval",
    "lossVAL": "eval",
    "dev.f1": "eval",
    "dev-set perplexity": "eval",
    "holdout/auc": "eval",
    "model 1/Eval/bleu": "eval",
    "loss (train)": "train",
    "loss[val]": "eval",
    "val:loss": "eval",
    "val:Loss": "eval",
    "acc@val": "eval",
    # both at once says nothing
    "train/val_gap": "",
    "trainValGap": "",
    "train_test_distance": "",
    # words, not substrings
    "latest/x": "",
    "contest": "",
    "contest/score": "",
    "retrain_count": "",
    "constraint_violation": "",
    "pretrained": "",
    "value": "",
    "value_loss": "",
    "values/mean": "",
    "interval": "",
    "evaluations": "",
    "invalid_actions": "",
    "device/memory": "",
    "fitness": "",
    "profit": "",
    "strain/max": "",
    "attested": "",
    "trainable_params": "",
    "": "",
    "/": "",
    "损失/train": "train",
    "потери/val": "eval",
    "Потери": "",
}


def test_enough_tags_are_tried():
    """The table below holds the tags of real programs, not a handful."""
    assert len(ROLES) >= 100


@pytest.mark.parametrize(("tag", "role"), ROLES.items())
def test_role_of_a_tag(tag, role):
    """Whole words decide whether a tag belongs to training or to evaluation."""
    assert TagLedger().role(tag) == role


@given(st.sampled_from(TRAIN_TAGS + EVAL_TAGS), st.sampled_from("/_-. "), st.booleans())
def test_a_word_is_found_at_every_separator_and_in_every_case(word, separator, upper):
    """Any separator and either case set a word apart, before and behind another one."""
    expected = "train" if word in TRAIN_TAGS else "eval"
    spelled = word.upper() if upper else word
    for tag in (f"{spelled}{separator}loss", f"loss{separator}{spelled}", f"Loss{word.title()}"):
        assert TagLedger().role(tag) == expected


@given(
    st.sampled_from(TRAIN_TAGS + EVAL_TAGS),
    st.text(string.ascii_lowercase, max_size=5),
    st.text(string.ascii_lowercase, max_size=5),
)
def test_a_word_within_a_word_is_not_found(word, before, behind):
    """Letters before or behind make it another word."""
    longer = before + word + behind
    expected = "train" if longer in TRAIN_TAGS else "eval" if longer in EVAL_TAGS else ""
    assert TagLedger().role(f"x/{longer}") == expected


@given(st.text() | st.text(string.printable))
def test_splitting_a_tag_loses_no_letter(tag):
    """Any text can be split, and its words hold its letters and digits in their order."""
    kept = "".join(character for character in tag if character.isalnum() and character.isascii())
    joined = "".join(words(tag))
    if tag.isascii():
        assert joined == kept.lower()


def test_own_words_replace_the_usual_ones(tmp_path):
    """train_tags and eval_tags say which words count, in any case."""
    with SafeSummaryWriter(tmp_path, train_tags=["Source"], eval_tags=["target"]) as writer:
        writer.add_scalar("val/loss", 1.0, 0)
        writer.add_scalar("train/loss", 1.0, 0)
        writer.add_scalar("TARGET/x", 1.0, 0)
        with pytest.warns(TagOrderWarning, match="'TARGET/x'.*'source/x'"):
            writer.add_scalar("source/x", 1.0, 0)


# The order of tags.

ORDERS: list[tuple[list[tuple[str, int]], str | None, str | None]] = [
    # what was logged, the evaluation tag that is named, and the training tag
    ([("accuracy", 0), ("training_loss", 0)], "accuracy", "training_loss"),
    ([("val/loss", 0), ("train/loss", 0)], "val/loss", "train/loss"),
    ([("val/loss", 0), ("loss", 0)], "val/loss", "loss"),
    ([("val/loss", 0), ("val/acc", 0), ("val/loss", 1)], None, None),
    ([("val/loss", 0)], None, None),
    ([*(("train/loss", step) for step in range(10)), ("val/loss", 9)], None, None),
    ([("train/accuracy", 0), ("train/loss", 0)], None, None),
    ([("accuracy", 0), ("loss", 0)], None, None),
    ([("latest/x", 0), ("contest", 0), ("value", 0), ("train/loss", 0)], None, None),
    ([("retrain_count", 0), ("loss", 0), ("train/loss", 0)], None, None),
    ([("val/loss", -1), ("train/loss", 0)], None, None),
    ([("val/loss", 5), ("train/loss", 3)], "val/loss", "train/loss"),
    # The last step decides, not the first.
    ([("val/loss", 0), ("val/loss", 5), ("train/loss", 3)], "val/loss", "train/loss"),
    ([("val/acc", 0), ("train/loss", 0)], "val/acc", "train/loss"),
    # Another metric without a qualifier is no training tag.
    ([("val/loss", 0), ("lr", 0)], None, None),
    ([("val/loss", 0), ("lr", 0), ("loss", 0)], "val/loss", "loss"),
    ([("top1", 0), ("train/loss", 0)], "top1", "train/loss"),
    ([("F1", 0), ("train/loss", 0)], "F1", "train/loss"),
    ([("epoch", 0), ("train/loss", 0)], None, None),
    # Once training was seen, order says nothing more.
    ([("train/loss", 0), ("val/loss", 0), ("loss", 0), ("train/acc", 0)], None, None),
    ([("train/lr", 0), ("val/loss", 0), ("train/loss", 0)], None, None),
]


def log_by_lines(writer: Any, logged: list[tuple[str, int]]) -> None:
    """Log each point by a line of its own of ``train.py``."""
    for number, (tag, step) in enumerate(logged):
        code = "\n" * number + "writer.add_scalar(tag, 1.0, step)"
        exec(compile(code, "train.py", "exec"), {"writer": writer, "tag": tag, "step": step})


@pytest.mark.parametrize(("logged", "evaluation", "training"), ORDERS)
def test_order_of_tags(tmp_path, logged, evaluation, training):
    """Evaluation before training is told once, when training arrives; a run that only evaluates is
    not accused.
    """
    with SafeSummaryWriter(tmp_path) as writer, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        log_by_lines(writer, logged)
        for tag, step in logged:
            writer.add_scalar(tag, 1.0, step + 10)
    found = [warning for warning in caught if warning.category is TagOrderWarning]
    if training is None:
        assert found == []
    else:
        (message,) = (str(warning.message) for warning in found)
        assert f"evaluation tag {evaluation!r}" in message
        assert f"training tag {training!r}" in message
        assert "TensorBoard draws both by step" in message
        assert "Log training first" in message


#: The evaluation's step, the first one of training, and the warning by one line and by two lines.
STEPS: dict[str, tuple[int, int, type[Warning] | None, type[Warning] | None]] = {
    "higher": (5, 3, TagOrderWarning, TagOrderWarning),
    "equal": (3, 3, None, TagOrderWarning),
    "equal at 0": (0, 0, None, TagOrderWarning),
    "lower, and above 0": (2, 5, None, None),
    "0, and training starts later": (0, 5, None, BaselineWarning),
    "below 0": (-1, 5, None, None),
}


@pytest.mark.parametrize("lines", [1, 2])
@pytest.mark.parametrize("evaluation", ["val/loss", "accuracy"])
@pytest.mark.parametrize(("measured", "step", "by_one", "by_two"), STEPS.values(), ids=STEPS)
def test_steps_and_lines_decide_whether_the_order_is_told(
    tmp_path, measured, step, by_one, by_two, evaluation, lines
):
    """A line that logs both says nothing by its order; both lines are named, and both steps."""
    with SafeSummaryWriter(tmp_path) as writer, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if lines == 1:
            for point in ((evaluation, measured), ("train/loss", step)):
                log_by_lines(writer, [point])
        else:
            log_by_lines(writer, [(evaluation, measured), ("train/loss", step)])
    category = by_one if lines == 1 else by_two
    if category is None:
        assert caught == []
        return
    first, second = f"{evaluation!r} (step {measured}, train.py:1)", f"train.py:{lines})"
    once(category, caught, first, f"'train/loss' (step {step}, {second}")
    text = str(caught[0].message)
    assert ("baseline of the untrained model" in text) is (category is BaselineWarning)


def test_an_unqualified_metric_is_training_by_the_same_table(tmp_path):
    """'loss' at a later step than 'val/loss' at step 0 makes it a baseline."""
    with (
        SafeSummaryWriter(tmp_path) as writer,
        pytest.warns(BaselineWarning, match="'val/loss'.*'loss'"),
    ):
        log_by_lines(writer, [("val/loss", 0), ("loss", 1)])


def test_the_default_flows_of_frameworks_are_told_nothing(tmp_path):
    """Loggers that write a dict by one line: transformers, Lightning and stable-baselines3."""
    flows: dict[str, list[tuple[int, list[str]]]] = {
        # evaluation at a step that is no multiple of logging_steps, and one that is
        "transformers": [(50, ["eval/loss", "eval/runtime"]), (100, ["train/loss"])],
        "transformers, at one step": [(100, ["eval/loss"]), (100, ["train/loss"])],
        "transformers, eval_on_start": [(0, ["eval/loss"]), (10, ["train/loss"])],
        # validation ends before the training epoch around it
        "Lightning, on_epoch": [(9, ["val_loss", "epoch"]), (9, ["train_loss_epoch", "epoch"])],
        "stable-baselines3": [(2048, ["eval/mean_reward", "time/fps", "train/loss"])],
    }
    for name, flow in flows.items():
        with SafeSummaryWriter(tmp_path / name) as writer:
            for step, tags in flow:
                for value, tag in enumerate(tags):
                    writer.add_scalar(tag, 1.0 + value * (tag != "epoch"), step)


def test_the_line_that_logs_is_found_once_and_only_while_it_matters(tmp_path, monkeypatch):
    """Points behind the first, and evaluation tags behind training, need no line."""
    found: list[Location] = []

    def counted() -> Location:
        found.append(user_location())
        return found[-1]

    monkeypatch.setattr(ledger, "user_location", counted)
    with SafeSummaryWriter(tmp_path) as writer:
        for step in range(1, 5):
            log_by_lines(writer, [("val/loss", step), ("lr", step)])
        assert len(found) == 1
        writer.add_scalar("train/loss", 1.0, 9)
        assert len(found) == 2
        for step in range(9, 12):
            writer.add_scalar("val/acc", 1.0, step)
    assert len(found) == 2


def test_only_scalars_have_an_order(tmp_path):
    """An image or a text of the evaluation before training is nothing unusual."""
    with SafeSummaryWriter(tmp_path) as writer:
        writer.add_text("val/example", "text", 0)
        writer.add_histogram("val/logits", torch.ones(3), 0)
        writer.add_scalar("train/loss", 1.0, 0)


def test_each_series_of_add_scalars_has_its_own_order(tmp_path):
    """Series are runs of their own: their names do not make one tag train and another eval."""
    with SafeSummaryWriter(tmp_path) as writer:
        writer.add_scalars("loss", {"val": 1.0, "train": 2.0}, 0)
        writer.add_scalars("loss", {"val": 1.0, "train": 2.0}, 1)


# Steps.


def once(category: type[Warning], caught: list[warnings.WarningMessage], *parts: str) -> None:
    """Assert that exactly one warning was given, of `category`, with all `parts` in its text."""
    assert [warning.category for warning in caught] == [category], [str(w.message) for w in caught]
    for part in parts:
        assert part in str(caught[0].message)


def test_a_step_that_goes_back_is_told(tmp_path):
    """A lower step warns with both steps, what TensorBoard hides and the cure, for each tag."""
    with SafeSummaryWriter(tmp_path, unique=False) as writer:
        for step in range(5, 10):
            writer.add_scalar("loss", 1.0, step)
            writer.add_scalar("other", 1.0, step)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for step in (7, 8, 9):
                writer.add_scalar("loss", 1.0, step)
        once(
            StepOrderWarning, caught, "'loss'", "from step 9 to step 7", "hides", "global_step that"
        )
        with pytest.warns(StepOrderWarning, match="'other'"):
            writer.add_scalar("other", 1.0, 0)
    assert len(read_events(tmp_path)) == 1 + 10 + 3 + 1


def test_a_second_and_a_third_pass_over_the_same_steps_are_told(tmp_path):
    """Each time a step falls anew is told, in another text, as Python shows one only once."""
    with SafeSummaryWriter(tmp_path) as writer, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(4):
            for step in range(5):
                writer.add_scalar("loss", float(step), step)
    assert [warning.category for warning in caught] == [StepOrderWarning] * 3
    texts = [str(warning.message) for warning in caught]
    assert all("from step 4 to step 0" in text for text in texts)
    assert ["its fall number 2" in text for text in texts] == [False, True, False]


def test_a_tag_that_zigzags_is_told_of_ten_times(tmp_path):
    """The tenth fall of a tag is the last one told, and says so."""
    with SafeSummaryWriter(tmp_path) as writer, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for value in range(1000):
            writer.add_scalar("loss", float(value), 2 - value % 2)
    texts = [str(warning.message) for warning in caught]
    assert len(texts) == 10
    assert ["Further falls of this tag are not told" in text for text in texts] == [False] * 9 + [
        True
    ]


def test_a_last_step_that_a_later_writer_logs_again_is_not_told(tmp_path):
    """evaluate() after train(), each with a writer of its own: nothing is told of eval/runtime."""
    first = SafeSummaryWriter(tmp_path)
    first.add_scalar("eval/loss", 1.0, 8)
    first.add_scalar("eval/runtime", 1.0, 9)
    first.close()
    second = SafeSummaryWriter(tmp_path)
    second.add_scalar("eval/loss", 0.5, 9)
    second.add_scalar("eval/runtime", 2.0, 9)
    with pytest.warns(StepOrderWarning, match="'eval/runtime' was logged twice at step 9"):
        second.add_scalar("eval/runtime", 3.0, 9)
    second.close()


def test_a_step_that_is_logged_twice_is_told_once_per_tag(tmp_path):
    """The same step again warns that only the last point is shown; once per tag."""
    with SafeSummaryWriter(tmp_path) as writer, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for value, step in enumerate((3, 3, 3, 4, 4)):
            writer.add_scalar("loss", value, step)
    once(StepOrderWarning, caught, "'loss'", "twice at step 3", "only the last", "rises")


def test_a_step_that_goes_back_after_it_was_repeated_is_told_too(tmp_path):
    """Repeating a step and going back are two different troubles of a tag."""
    with SafeSummaryWriter(tmp_path) as writer:
        writer.add_scalar("loss", 1.0, 3)
        with pytest.warns(StepOrderWarning, match="twice"):
            writer.add_scalar("loss", 2.0, 3)
        with pytest.warns(StepOrderWarning, match="goes back"):
            writer.add_scalar("loss", 2.0, 1)


@pytest.mark.filterwarnings("ignore::safewriter.InvisibleValueWarning")
@pytest.mark.parametrize("kind", ["histogram", "image", "text", "tensor"])
def test_other_kinds_have_steps_too(tmp_path, kind):
    """A histogram, an image, a text or a tensor that goes back in step warns as a scalar does."""

    def log(step: int) -> None:
        if kind == "histogram":
            writer.add_histogram("tag", torch.ones(3), step)
        elif kind == "image":
            writer.add_image("tag", torch.ones(3, 4, 4), step)
        elif kind == "text":
            writer.add_text("tag", "text", step)
        else:
            writer.add_tensor("tag", torch.ones(3), step)

    with SafeSummaryWriter(tmp_path) as writer:
        log(4)
        log(5)
        with pytest.warns(StepOrderWarning, match="'tag.* from step 5 to step 4"):
            log(4)


def test_rising_steps_are_right(tmp_path):
    """Steps that rise, in any stride and from any start, are told nothing."""
    with SafeSummaryWriter(tmp_path) as writer:
        for step in (-7, 0, 1, 10, 11, 2**40):
            writer.add_scalar("loss", 1.0, step)
            writer.add_histogram("weights", torch.ones(2), step)
            writer.add_scalars("group", {"a": 1.0}, step)


@pytest.mark.parametrize("first", [None, 0, 7])
def test_a_missing_step_is_the_last_one_plus_one(tmp_path, first):
    """Without global_step a later point goes behind the curve instead of erasing it, told once."""
    with SafeSummaryWriter(tmp_path, unique=False) as writer:
        writer.add_scalar("loss", 1.0, first)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            writer.add_scalar("loss", 2.0)
            writer.add_scalar("loss", 3.0)
    start = first or 0
    once(MissingStepWarning, caught, "'loss'", f"step {start}.", f"at step {start + 1}", "Pass")
    assert read_scalars(tmp_path) == {"loss": [(start, 1.0), (start + 1, 2.0), (start + 2, 3.0)]}


@pytest.mark.parametrize("kind", ["scalar", "nan", "text", "histogram"])
def test_the_same_content_without_a_step_again_is_not_told(tmp_path, kind):
    """A placeholder or a config that is logged again hides nothing, and keeps torch's step."""

    def log(value: float) -> None:
        if kind == "text":
            writer.add_text("tag", f"lr: {value}")
        elif kind == "histogram":
            writer.add_histogram("tag", torch.tensor([value, 1.0]))
        else:
            writer.add_scalar("tag", math.nan if kind == "nan" and value < 0 else value)

    with SafeSummaryWriter(tmp_path, unique=False) as writer:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InvisibleValueWarning)
            for _ in range(3):
                log(-1.0)
        with pytest.warns(MissingStepWarning, match="^tag 'tag' was logged without global_step"):
            log(0.5)
    assert [event.step for event in read_events(tmp_path)] == [0, 0, 0, 0, 1]


def test_a_missing_step_behind_a_curve_is_told_whatever_the_value(tmp_path):
    """Torch's step would hide the curve, also if the value is that of its last point."""
    with SafeSummaryWriter(tmp_path, unique=False) as writer:
        writer.add_scalar("loss", 1.0, 1)
        writer.add_scalar("loss", 1.0, 2)
        with pytest.warns(MissingStepWarning, match="is written at step 3"):
            writer.add_scalar("loss", 1.0)


def test_a_lone_point_of_an_earlier_session_is_logged_again_without_a_step(tmp_path):
    """What a resumed run begins with, without a step, is expected again at torch's step."""
    tags = TagLedger()
    tags.expect("hp_metric", "scalar", 0, 0)
    verdict = tags.judge("hp_metric", "scalar", None, -1.0)
    assert (verdict.step, verdict.notices) == (None, [])
    tags.rewind(1)
    assert tags.judge("hp_metric", "scalar", None, -1.0).step == 1


@pytest.mark.parametrize(
    ("kind", "tag", "named", "what"),
    [
        ("tensor:text", "cfg/text_summary", "cfg", "texts"),
        ("tensor:mesh", "body_VERTEX", "body", "meshes"),
        ("image", "sample", "sample", "images"),
        ("scalar", "a/text_summary", "a/text_summary", "points"),
    ],
)
def test_a_tag_is_named_as_the_user_named_it(kind, tag, named, what):
    """Without what torch appends, and what it holds is called what it is."""
    tags = TagLedger()
    first = tags.judge(tag, kind, 5, None, content=1)
    tags.admit(first)
    first.move(None)
    for step in (None, 5, 3):
        (notice,) = tags.judge(tag, kind, step, None, content=2).notices
        assert notice.message.startswith(f"tag {named!r} ")
        assert f" {what} " in notice.message


def test_a_missing_step_after_the_largest_one_stays_within_64_bits(tmp_path):
    """Behind step 2**63 - 1 there is no step: the point is written at that step."""
    with SafeSummaryWriter(tmp_path, unique=False) as writer:
        writer.add_scalar("loss", 1.0, 2**63 - 1)
        with pytest.warns(MissingStepWarning):
            writer.add_scalar("loss", 2.0)
    assert [event.step for event in read_events(tmp_path)][1:] == [2**63 - 1] * 2


def test_the_first_point_of_a_tag_needs_no_step(tmp_path):
    """Each tag may be logged once without a step, as a summary at the end of a run is."""
    with SafeSummaryWriter(tmp_path, unique=False) as writer:
        writer.add_scalar("final/accuracy", 1.0)
        writer.add_text("config", "{}")
        writer.add_histogram("weights", torch.ones(2))
        writer.add_scalars("group", {"a": 1.0, "b": 2.0})
    assert {event.step for event in read_events(tmp_path)} == {0}


@pytest.mark.parametrize(
    "step", [2.5, np.float64(2.5), torch.tensor(2.5), np.array(2.5), np.float32(2.5)], ids=repr
)
def test_a_step_that_is_no_integer_is_told(tmp_path, step):
    """A fraction is written as torch writes it, and the warning says that points share a step."""
    message = r"2\.5.* of 'loss' is not an integer.* 2;"
    with (
        SafeSummaryWriter(tmp_path, unique=False) as writer,
        pytest.warns(StepOrderWarning, match=message),
    ):
        writer.add_scalar("loss", 1.0, step)
    assert [event.step for event in read_events(tmp_path)] == [0, 2]


def test_steps_that_are_no_integers_are_told_once_per_tag(tmp_path):
    """Steps counted in fractions of an epoch do not warn at every point."""
    with SafeSummaryWriter(tmp_path) as writer, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for step in (0.5, 1.5, 2.5, 3.5):
            writer.add_scalar("loss", 1.0, step)  # type: ignore[arg-type]
    once(StepOrderWarning, caught, "0.5 of 'loss'")


@pytest.mark.parametrize(
    "step", [3.0, np.float64(3), np.int8(3), torch.tensor(3.0), np.array(3)], ids=repr
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_step_that_equals_an_integer_is_one(tmp_path, step):
    """A whole number of another type is a step like any other."""
    with SafeSummaryWriter(tmp_path, unique=False) as writer:
        writer.add_scalar("loss", 1.0, 1)
        writer.add_scalar("loss", 1.0, step)
    assert [event.step for event in read_events(tmp_path)] == [0, 1, 3]


@pytest.mark.parametrize(
    "step", [float("nan"), float("inf"), "ten", [1], object()], ids=lambda step: type(step).__name__
)
def test_a_step_that_is_no_number_is_refused(tmp_path, step):
    """What cannot be a step raises, as with torch, and nothing is written."""
    with SafeSummaryWriter(tmp_path, unique=False) as writer:
        writer.add_scalar("loss", 1.0, 1)
        with pytest.raises((ValueError, TypeError, OverflowError)):
            writer.add_scalar("loss", 1.0, step)
        writer.add_scalar("loss", 1.0, 2)
    assert [event.step for event in read_events(tmp_path)] == [0, 1, 2]


# Kinds, names and values.


def test_two_kinds_of_data_in_one_tag_are_told_once(tmp_path):
    """A tag used as scalar and as histogram warns with both kinds and the cure."""
    with SafeSummaryWriter(tmp_path) as writer, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        writer.add_scalar("layer", 1.0, 1)
        writer.add_histogram("layer", torch.ones(3), 1)
        writer.add_histogram("layer", torch.ones(3), 2)
        writer.add_scalar("layer", 1.0, 2)
    once(TagKindWarning, caught, "'layer'", "scalar", "histogram", "another tag")


def test_both_styles_of_a_scalar_are_one_kind(tmp_path):
    """new_style is another form of the same data."""
    with SafeSummaryWriter(tmp_path) as writer:
        writer.add_scalar("loss", 1.0, 1)
        writer.add_scalar("loss", 1.0, 2, new_style=True)
        writer.add_scalar("loss", 1.0, 3)


@pytest.mark.parametrize("other", ["loss/Train", "Loss/train", "loss/train ", " loss/train"])
def test_two_spellings_of_a_tag_are_told_once(tmp_path, other):
    """Tags that differ in case or in surrounding space only are two curves, and told once."""
    for first, second in (("loss/train", other), (other, "loss/train")):
        with SafeSummaryWriter(tmp_path) as writer, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for step in (10, 11):
                writer.add_scalar(first, 1.0, step)
                writer.add_scalar(second, 1.0, step)
        once(TagNameWarning, caught, repr(first), repr(second), "two curves", "one spelling")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), torch.tensor(1e39)])
def test_a_value_that_is_not_finite_is_told_once_per_tag(tmp_path, value):
    """NaN and infinity warn with tag, value and step, at the first point as at a later one."""
    with SafeSummaryWriter(tmp_path, unique=False) as writer:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            writer.add_scalar("loss", 1.0, 1)
            for step in range(2, 6):
                writer.add_scalar("loss", value, step)
        once(InvisibleValueWarning, caught, "'loss'", str(float(value)), "step 2", "gap")
        assert ("triangle" in str(caught[0].message)) is math.isnan(value)
        with pytest.warns(InvisibleValueWarning, match="'first'"):
            writer.add_scalar("first", value, 1)
    assert len(read_events(tmp_path)) == 1 + 5 + 1


def test_double_precision_is_told_once_per_tag(tmp_path):
    """A double scalar is written, and warns that TensorBoard's default reader does not show it."""
    with SafeSummaryWriter(tmp_path) as writer, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for step in (1, 2):
            writer.add_scalar("loss", 0.1, step, new_style=True, double_precision=True)
        # Without new_style torch ignores it.
        writer.add_scalar("single", 0.1, 1, double_precision=True)
    once(InvisibleValueWarning, caught, "'loss'", "double_precision", "default reader")


# Escalation.


def _twice(writer: Any) -> None:
    writer.add_scalar("loss", 1.0, 5)


ESCALATIONS: dict[str, tuple[type[Warning], Any, Any]] = {
    "step order": (StepOrderWarning, _twice, lambda w: w.add_scalar("loss", 2.0, 3)),
    "same step": (StepOrderWarning, _twice, lambda w: w.add_scalar("loss", 2.0, 5)),
    "missing step": (MissingStepWarning, _twice, lambda w: w.add_scalar("loss", 2.0)),
    "fraction": (StepOrderWarning, _twice, lambda w: w.add_scalar("loss", 2.0, 6.5)),
    "kind": (TagKindWarning, _twice, lambda w: w.add_histogram("loss", torch.ones(2), 6)),
    "name": (TagNameWarning, _twice, lambda w: w.add_scalar("LOSS", 2.0, 6)),
    "name of evaluation": (TagNameWarning, _twice, lambda w: w.add_scalar("loss ", 2.0, 6)),
    "first value": (
        InvisibleValueWarning,
        _twice,
        lambda w: w.add_scalar("new", float("nan"), 6),
    ),
    "later value": (
        InvisibleValueWarning,
        _twice,
        lambda w: w.add_scalar("loss", float("inf"), 6),
    ),
    "double": (
        InvisibleValueWarning,
        _twice,
        lambda w: w.add_scalar("loss", 2.0, 6, new_style=True, double_precision=True),
    ),
    "tag order": (
        TagOrderWarning,
        lambda w: w.add_scalar("val/loss", 1.0, 5),
        lambda w: w.add_scalar("train/loss", 1.0, 5),
    ),
    "same metric": (
        TagOrderWarning,
        lambda w: w.add_scalar("val/loss", 1.0, 5),
        lambda w: w.add_scalar("loss", 1.0, 5),
    ),
}


@pytest.mark.parametrize(("category", "before", "bad"), ESCALATIONS.values(), ids=ESCALATIONS)
def test_a_warning_that_is_an_error_comes_before_the_event(tmp_path, category, before, bad):
    """Escalated, a warning stops each such call, nothing of it is written or remembered, and
    logging goes on; no longer escalated, it is written.
    """
    with SafeSummaryWriter(tmp_path, unique=False) as writer:
        before(writer)
        with warnings.catch_warnings():
            warnings.simplefilter("error", category)
            for _ in range(3):
                with pytest.raises(category):
                    bad(writer)
        writer.add_scalar("train/unrelated", 1.0, 9)
        assert len(read_events(tmp_path)) == 3
        if category is not TagOrderWarning:
            with pytest.warns(category):
                bad(writer)
            assert len(read_events(tmp_path)) == 4


def test_a_refused_value_leaves_its_step_free(tmp_path):
    """When NaN is an error, the step of the refused point can be logged with another value."""
    with SafeSummaryWriter(tmp_path, unique=False) as writer, warnings.catch_warnings():
        warnings.simplefilter("error", SafeWriterWarning)
        for step in (1, 2):
            with pytest.raises(InvisibleValueWarning):
                writer.add_scalar("loss", float("nan"), step)
            writer.add_scalar("loss", 1.0, step)
    assert read_scalars(tmp_path) == {"loss": [(1, 1.0), (2, 1.0)]}


def test_a_refused_evaluation_tag_is_not_held_against_training(tmp_path):
    """A tag that an escalated warning kept out of the file takes no part in the order."""
    with SafeSummaryWriter(tmp_path, unique=False) as writer, warnings.catch_warnings():
        warnings.simplefilter("error", SafeWriterWarning)
        writer.add_text("VAL/x", "text", 0)
        with pytest.raises(TagNameWarning):
            writer.add_scalar("val/x/text_summary", 1.0, 0)
        writer.add_scalar("train/x", 1.0, 0)
        writer.add_scalar("train/y", 1.0, 1)
    assert set(read_scalars(tmp_path)) == {"train/x", "train/y"}


def test_a_warning_can_be_ignored(tmp_path):
    """Python's filters silence one class and leave the others."""
    with SafeSummaryWriter(tmp_path) as writer, warnings.catch_warnings():
        warnings.simplefilter("ignore", StepOrderWarning)
        writer.add_scalar("loss", 1.0, 5)
        writer.add_scalar("loss", 1.0, 3)
        with pytest.raises(MissingStepWarning):
            writer.add_scalar("loss", 1.0)


# The ledger by itself.


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.none(), min_size=1, max_size=30))
def test_steps_of_a_tag(steps):
    """Any steps come out as they went in, None behind the last, and each warning is bounded."""
    tags = TagLedger()
    last: int | None = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for value, step in enumerate(steps):
            verdict = tags.judge("loss", "scalar", step, value)
            tell(verdict.notices)
            tags.admit(verdict)
            verdict.move(None)
            written = verdict.step
            if step is None:
                assert written == (None if last is None else min(last + 1, 2**63 - 1))
            else:
                assert written == step
            last = written or 0
    texts = [str(warning.message) for warning in caught]
    falls = [text for text in texts if "goes back" in text]
    others = [text for text in texts if "goes back" not in text]
    assert len(falls) <= 10
    assert len(others) == len({text.split(" step")[0][:40] for text in others}) <= 2
    numbers = [0 if steps[0] is None else steps[0], *steps[1:]]
    rising = all(
        one is not None and other is not None and one < other
        for one, other in itertools.pairwise(numbers)
    )
    assert bool(texts) is not rising


def test_a_run_that_goes_on_is_told_once_where_it_does(tmp_path):
    """With purge_step the points from that step on are expected again, and those before are not."""
    with SafeSummaryWriter(tmp_path, unique=False) as writer:
        for step in range(10):
            writer.add_scalar("loss", 1.0, step)
    with SafeSummaryWriter(tmp_path, purge_step=5) as writer:
        writer.add_scalar("loss", 2.0, 5)
        writer.add_scalar("loss", 2.0, 6)


def test_the_same_point_twice_hides_nothing_and_warns_of_nothing(tmp_path):
    """A scalar that is logged again with the same step and value gives no warning."""
    with SafeSummaryWriter(tmp_path) as writer:
        for step in (0, 0, 1, 1, 2, 2):
            writer.add_scalar("epoch", 0.1 + step // 2, step)
