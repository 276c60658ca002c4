"""cleanrl's single-file script: a run's name ends with the seconds of its start."""

import time

import gymnasium
from torch.utils.tensorboard import SummaryWriter

env_id, exp_name, seed = "CartPole-v1", "dqn", 1
run_name = f"{env_id}__{exp_name}__{seed}__{int(time.time())}"
writer = SummaryWriter(f"runs/{run_name}")
writer.add_text(
    "hyperparameters",
    "|param|value|\n|-|-|\n%s" % "\n".join([f"|{k}|{v}|" for k, v in {"seed": seed}.items()]),
)
start_time = time.time()
env = gymnasium.wrappers.RecordEpisodeStatistics(gymnasium.make(env_id))
env.action_space.seed(seed)
obs, _ = env.reset(seed=seed)
for global_step in range(300):
    obs, reward, terminated, truncated, info = env.step(env.action_space.sample())
    if "episode" in info:
        writer.add_scalar("charts/episodic_return", info["episode"]["r"], global_step)
        writer.add_scalar("charts/episodic_length", info["episode"]["l"], global_step)
        obs, _ = env.reset()
    if global_step % 50 == 0:
        writer.add_scalar("losses/td_loss", 1.0 / (global_step + 1), global_step)
        writer.add_scalar("charts/SPS", int(global_step / (time.time() - start_time)), global_step)
for idx, episodic_return in enumerate([9.0, 10.0, 8.0]):
    writer.add_scalar("eval/episodic_return", episodic_return, idx)
env.close()
writer.close()
