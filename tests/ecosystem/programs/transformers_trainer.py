"""The Trainer of transformers with its own TensorBoard callback."""

import sys

import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    Trainer,
    TrainingArguments,
    set_seed,
)


class Data(torch.utils.data.Dataset):
    def __init__(self, number):
        self.words = torch.randint(0, 30, (number, 6), generator=torch.Generator().manual_seed(0))

    def __len__(self):
        return len(self.words)

    def __getitem__(self, index):
        words = self.words[index]
        return {"input_ids": words, "labels": int(words[0] > words[1])}


def trainer(epochs=2, **options):
    set_seed(0)
    model = BertForSequenceClassification(
        BertConfig(
            vocab_size=30,
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=8,
            max_position_embeddings=8,
        )
    )
    args = TrainingArguments(
        output_dir="out",
        num_train_epochs=epochs,
        per_device_train_batch_size=4,
        per_device_eval_batch_size=4,
        report_to=["tensorboard"],
        disable_tqdm=True,
        use_cpu=True,
        **{"logging_steps": 2, "eval_strategy": "epoch", "save_strategy": "no", **options},
    )
    return Trainer(model=model, args=args, train_dataset=Data(16), eval_dataset=Data(8))


def evaluate():
    it = trainer()
    it.train()
    it.evaluate()


def defaults():
    """Nothing is logged in training before the evaluation: logging_steps is 500."""
    it = trainer(logging_steps=500)
    it.train()
    it.evaluate()


def first_evaluate():
    """A baseline of the untrained model."""
    it = trainer()
    it.evaluate()
    it.train()


def train_twice():
    it = trainer()
    it.train()
    it.train()


def two_trainers():
    for _ in range(2):
        trainer().train()


def resume():
    trainer(epochs=1, save_strategy="epoch").train()
    trainer(epochs=3, save_strategy="epoch").train(resume_from_checkpoint=True)


def same_trainer_resumes():
    it = trainer(epochs=1, save_strategy="epoch")
    it.train()
    it.args.num_train_epochs = 3
    it.train(resume_from_checkpoint=True)


def first_process():
    trainer(epochs=1, save_strategy="epoch").train()


def second_process():
    trainer(epochs=3, save_strategy="epoch").train(resume_from_checkpoint=True)


globals()[sys.argv[1]]()
