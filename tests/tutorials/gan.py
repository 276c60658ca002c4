"""A GAN with two losses and pictures of what it makes, as in the DCGAN tutorial."""

import torch
import torch.nn as nn
from torch.utils.tensorboard import SummaryWriter

torch.manual_seed(999)
netG = nn.Sequential(nn.Linear(8, 64), nn.Tanh())
netD = nn.Sequential(nn.Linear(64, 1), nn.Sigmoid())
criterion = nn.BCELoss()
fixed_noise = torch.randn(4, 8)
optimizerD = torch.optim.Adam(netD.parameters(), lr=0.0002, betas=(0.5, 0.999))
optimizerG = torch.optim.Adam(netG.parameters(), lr=0.0002, betas=(0.5, 0.999))

writer = SummaryWriter("runs/gan")
writer_fake = SummaryWriter("runs/gan/fake")
writer_real = SummaryWriter("runs/gan/real")

step = 0
for epoch in range(3):
    for i in range(5):
        real = torch.rand(4, 64)
        netD.zero_grad()
        errD_real = criterion(netD(real).view(-1), torch.ones(4))
        fake = netG(torch.randn(4, 8))
        errD_fake = criterion(netD(fake.detach()).view(-1), torch.zeros(4))
        errD = errD_real + errD_fake
        errD.backward()
        optimizerD.step()

        netG.zero_grad()
        errG = criterion(netD(fake).view(-1), torch.ones(4))
        errG.backward()
        optimizerG.step()

        writer.add_scalar("Loss_D", errD.item(), step)
        writer.add_scalar("Loss_G", errG.item(), step)
        step += 1
    with torch.no_grad():
        writer_fake.add_images("faces", netG(fixed_noise).view(4, 1, 8, 8), epoch)
        writer_real.add_images("faces", real.view(4, 1, 8, 8), epoch)
writer.close()
