"""Hydra: an output directory for each start, entered or not."""

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf
from torch.utils.tensorboard import SummaryWriter

ConfigStore.instance().store("config", {"lr": 0.1, "tb": "tb", "output": False})


@hydra.main(version_base="1.3", config_path=None, config_name="config")
def main(config):
    log_dir = config.tb
    if config.output:
        log_dir = HydraConfig.get().runtime.output_dir
    writer = SummaryWriter(log_dir)
    writer.add_text("config", OmegaConf.to_yaml(config))
    for step in range(5):
        writer.add_scalar("train/loss", config.lr / (step + 1), step)
    writer.close()


main()
