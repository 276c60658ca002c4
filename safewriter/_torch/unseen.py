"""What no page of TensorBoard shows, though it is in the event file."""

from __future__ import annotations

import math

from tensorboard.compat.proto import types_pb2
from tensorboard.compat.proto.summary_pb2 import Summary

_DOUBLE = (
    "is logged with double_precision=True. TensorBoard's default reader does not show such "
    "scalars. Leave double_precision off."
)
_NOT_FINITE = (
    "is a histogram of values of which some are NaN or infinite. TensorBoard's Time Series page "
    "then draws none of this tag's histograms, of no step. Log values[values.isfinite()], and look "
    "for the cause in the training."
)
_NO_COUNTS = "is a histogram that counts no value: TensorBoard draws nothing. Log it with values."
#: Said of a value without data.
EMPTY = (
    "has a value with nothing in it: TensorBoard shows nothing. Look for what made it, such as "
    "torch's add_video without moviepy 1."
)
_TENSOR = (
    "is a tensor. No page of TensorBoard shows tensors; programs can read it. Log numbers by "
    "add_scalar or add_histogram and pictures by add_image, or ignore InvisibleValueWarning."
)
#: Of what TensorBoard shows one of each run, by what the ledger calls its content.
ONE_OF_A_RUN = {
    "\0graph": "this run has another graph already. TensorBoard shows one graph of a run, and its "
    "two readers not the same one. Log this one to a run of its own, with another log_dir.",
    "\0layout": "this run has another layout of custom scalars already. TensorBoard shows only the "
    "last one of a run. Give all charts in one call of add_custom_scalars.",
}


def unseen(value: Summary.Value, kind: str) -> str:
    """Return what is to be said behind a tag whose value is not shown; "" if it is."""
    if kind == "scalar" and value.tensor.dtype == types_pb2.DT_DOUBLE:
        return _DOUBLE
    if value.HasField("histo"):
        if not any(value.histo.bucket):
            return _NO_COUNTS
        return "" if math.isfinite(value.histo.max - value.histo.min) else _NOT_FINITE
    return _TENSOR if kind == "tensor:tensor" else ""
