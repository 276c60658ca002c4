"""Image captioning: figures, pictures with boxes, and the captions of each epoch."""

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import torch
from torch.utils.tensorboard import SummaryWriter

torch.manual_seed(0)
captions = ["a dog on a beach", "two cats on a sofa", "a red bus"]
words = sorted({word for caption in captions for word in caption.split()})
pictures = torch.rand(3, 3, 16, 16)

writer = SummaryWriter("runs/captions")
writer.add_text("vocabulary", ", ".join(words))
for epoch in range(3):
    writer.add_scalar("loss/train", 3.0 / (epoch + 1), epoch)
    writer.add_scalar("bleu/val", 0.1 * epoch, epoch)
    for number, picture in enumerate(pictures):
        said = " ".join(captions[number].split()[: epoch + 1])
        writer.add_image(f"val/{number}", picture, epoch)
        writer.add_text(f"val/{number}/caption", f"**{said}** (true: {captions[number]})", epoch)
    fig, axes = plt.subplots(1, 3, figsize=(3, 1))
    for ax, picture, caption in zip(axes, pictures, captions, strict=True):
        ax.imshow(picture.permute(1, 2, 0))
        ax.set_title(caption, fontsize=3)
        ax.axis("off")
    writer.add_figure("predictions vs. actuals", fig, global_step=epoch)
    writer.add_image_with_boxes(
        "boxes", pictures[0], torch.tensor([[2, 2, 10, 10]]), epoch, labels=["dog"]
    )
writer.close()
