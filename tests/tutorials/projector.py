"""add_graph and add_embedding, as in the TensorBoard tutorial."""

import torch
import torch.nn as nn
from torch.utils.tensorboard import SummaryWriter

torch.manual_seed(0)
classes = ("T-shirt/top", "Trouser", "Pullover", "Dress")
data, targets = torch.rand(40, 8, 8), torch.arange(40) % 4

writer = SummaryWriter("runs/projector")
net = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
writer.add_graph(net, data[:4])

# select random images and their target indices
perm = torch.randperm(len(data))[:20]
images, labels = data[perm], targets[perm]
class_labels = [classes[label] for label in labels]
features = images.view(-1, 8 * 8)
writer.add_embedding(features, metadata=class_labels, label_img=images.unsqueeze(1))
writer.close()
