"""The examples of the documentation of torch.utils.tensorboard, one after another."""

import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter

writer = SummaryWriter()
for n_iter in range(100):
    writer.add_scalar("Loss/train", np.cos(n_iter), n_iter)
    writer.add_scalar("Loss/test", np.sin(n_iter), n_iter)
    writer.add_scalar("Accuracy/train", np.cos(n_iter) ** 2, n_iter)
    writer.add_scalar("Accuracy/test", np.sin(n_iter) ** 2, n_iter)

r = 5
for i in range(100):
    writer.add_scalars(
        "run_14h",
        {"xsinx": i * np.sin(i / r), "xcosx": i * np.cos(i / r), "tanx": np.tan(i / r)},
        i,
    )

for i in range(10):
    x = np.random.RandomState(i).random_sample(1000)
    writer.add_histogram("distribution centers", x + i, i)

img = np.zeros((3, 20, 20))
img[0] = np.arange(0, 400).reshape(20, 20) / 400
img[1] = 1 - np.arange(0, 400).reshape(20, 20) / 400
writer.add_image("my_image", img, 0)
img_HWC = img.transpose(1, 2, 0)
writer.add_image("my_image_HWC", img_HWC, 0, dataformats="HWC")
writer.add_images("my_image_batch", np.stack([img] * 4), 0)

writer.add_text("lstm", "This is an lstm", 0)
writer.add_text("rnn", "This is an rnn", 10)

labels = np.arange(100) % 2
writer.add_pr_curve("pr_curve", labels, np.linspace(0, 1, 100), 0)

layout = {
    "Taiwan": {"twse": ["Multiline", ["twse/0050", "twse/2330"]]},
    "USA": {"dow": ["Margin", ["dow/aaa", "dow/bbb", "dow/ccc"]]},
}
writer.add_custom_scalars(layout)

vertices_tensor = torch.as_tensor([[[1, 1, 1], [-1, -1, 1], [1, -1, -1], [-1, 1, -1]]]).float()
colors_tensor = torch.as_tensor([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 0, 255]]]).int()
faces_tensor = torch.as_tensor([[[0, 2, 3], [0, 3, 1], [0, 1, 2], [1, 3, 2]]]).int()
writer.add_mesh("my_mesh", vertices=vertices_tensor, colors=colors_tensor, faces=faces_tensor)
writer.close()

with SummaryWriter(comment="LR_0.1_BATCH_16") as w:
    for i in range(5):
        w.add_hparams(
            {"lr": 0.1 * i, "bsize": i},
            {"hparam/accuracy": 10 * i, "hparam/loss": 10 * i},
            run_name=f"trial_{i}",
        )
