"""REINFORCE: curves by episode beside curves by environment step."""

from itertools import count

import torch
import torch.nn as nn
from torch.distributions import Categorical
from torch.utils.tensorboard import SummaryWriter

torch.manual_seed(543)
policy = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
optimizer = torch.optim.Adam(policy.parameters(), lr=1e-2)


class Env:
    def reset(self):
        self.state = torch.zeros(4)
        return self.state

    def step(self, action):
        self.state = self.state + (0.3 if action else -0.3) * torch.rand(4)
        return self.state, 1.0, bool(self.state.abs().max() > 1)


writer = SummaryWriter("runs/reinforce")
env, total_steps, running_reward = Env(), 0, 10
for i_episode in range(20):
    state, ep_reward, log_probs = env.reset(), 0, []
    for t in count(1):
        m = Categorical(logits=policy(state))
        action = m.sample()
        log_probs.append(m.log_prob(action))
        state, reward, done = env.step(action.item())
        ep_reward += reward
        total_steps += 1
        if total_steps % 10 == 0:
            writer.add_scalar("policy/entropy", m.entropy().item(), total_steps)
        if done or t > 40:
            break
    loss = -torch.stack(log_probs).sum() * ep_reward
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    running_reward = 0.05 * ep_reward + 0.95 * running_reward
    writer.add_scalar("reward/episode", ep_reward, i_episode)
    writer.add_scalar("reward/running", running_reward, i_episode)
    writer.add_scalar("loss/policy", loss.item(), total_steps)
    if i_episode % 10 == 9:
        for name, weight in policy.named_parameters():
            writer.add_histogram(name, weight, i_episode)
            writer.add_histogram(f"{name}.grad", weight.grad, i_episode)
writer.close()
