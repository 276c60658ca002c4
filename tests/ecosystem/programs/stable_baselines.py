"""stable-baselines3: learn() twice."""

import sys

import gymnasium
import torch
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.callbacks import EvalCallback

torch.set_num_threads(1)


def ppo(**options):
    return PPO(
        "MlpPolicy", "CartPole-v1", n_steps=32, batch_size=16, n_epochs=1, seed=0, device="cpu",
        policy_kwargs={"net_arch": [4]}, tensorboard_log="tb", **options,
    )  # fmt: skip


def learn_twice():
    model = ppo()
    model.learn(128, log_interval=1)
    model.learn(128, log_interval=1)


def go_on():
    model = ppo()
    model.learn(128, log_interval=1, tb_log_name="first")
    model.learn(128, log_interval=1, tb_log_name="first", reset_num_timesteps=False)


def evaluated():
    """eval/ and train/ tags are dumped in one go, sorted."""
    model = ppo()
    environment = gymnasium.make("CartPole-v1", max_episode_steps=20)
    environment.reset(seed=0)
    callback = EvalCallback(
        environment,
        eval_freq=32, n_eval_episodes=1, verbose=0, warn=False,
    )  # fmt: skip
    model.learn(256, log_interval=1, callback=callback)


def off_policy():
    model = DQN(
        "MlpPolicy", "CartPole-v1", learning_starts=16, train_freq=4, seed=0, device="cpu",
        policy_kwargs={"net_arch": [4]}, tensorboard_log="tb",
    )  # fmt: skip
    model.learn(200, log_interval=1)


globals()[sys.argv[1]]()
