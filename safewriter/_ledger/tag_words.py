"""What the words of a tag say: training, evaluation, a quality metric."""

from __future__ import annotations

import re

#: Words that make a tag a training tag, and an evaluation tag.
TRAIN_TAGS = ("train", "training", "trn", "fit")
EVAL_TAGS = ("val", "valid", "validation", "eval", "evaluation", "test", "dev", "holdout")

#: Words of which a bare quality metric consists: what is measured on held-out data as a rule. A
#: change of case parts the m of mAP and mIoU from the rest.
QUALITY_WORDS = frozenset(
    """
    accuracy acc top1 top5 precision recall f1 fscore auc auroc auprc ap map miou iou dice
    bleu rouge meteor wer cer psnr ssim fid mrr ndcg r2 m
    """.split()
)

_WORD = re.compile(r"[A-Z]+[0-9]*(?![a-z])|[A-Z]?[a-z0-9]+|[^\W_]+")
_SEPARATORS = re.compile(r"[\W_]+")


def words(tag: str) -> list[str]:
    """Split a tag at ``/ _ - . space``, other marks and case changes into lower-case words."""
    return [
        word.lower()
        for part in _SEPARATORS.split(tag)
        for word in (_WORD.findall(part) if not part.islower() else [part])
    ]
