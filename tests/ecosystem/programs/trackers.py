"""A tracker that listens to a library's writer, and what it has received at the end.

    trackers.py TOOL LIBRARY [baseline | [exactly] LOG_DIR,LOG_DIR...]

With several log directories, each has one curve; ``TIME`` in them is that of this start, and
``exactly`` has safe writers be made with ``unique=False``. Without the network. Writes
``received.json``: kind or name, step and value of each thing.
"""

import glob
import importlib
import json
import os
import struct
import sys
import time
import zipfile


class Comet:
    def hook(self):
        import comet_ml

        self.experiment = comet_ml.OfflineExperiment(
            project_name="p", workspace="w", offline_directory="comet", log_git_metadata=False,
            log_env_details=False, log_code=False, display_summary_level=0,
        )  # fmt: skip

    def received(self):
        self.experiment.end()
        (path,) = glob.glob("comet/*.zip")
        with zipfile.ZipFile(path) as archive:
            for line in archive.read("messages.json").decode().splitlines():
                message = json.loads(line)
                payload = message["payload"]
                if message["type"] == "metric_msg":
                    metric = payload["metric"]
                    if metric["metricName"] != "process duration":
                        yield metric["metricName"], metric.get("step"), metric["metricValue"]
                elif message["type"] == "parameter_msg":
                    param = payload["param"]
                    if param["paramName"] != "curr_step":
                        yield param["paramName"], None, param.get("paramValue")


def leveldb_records(path):
    """Yield the records of a leveldb log: blocks of 32 KiB, in them CRC, length and type."""
    with open(path, "rb") as file:
        data = file.read()
    at, record = 7, b""  # behind wandb's own header
    while at + 7 <= len(data):
        if 0x8000 - at % 0x8000 < 7:
            at += 0x8000 - at % 0x8000
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        record += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield record
            record = b""


class Wandb:
    def hook(self):
        import wandb

        self.run = wandb.init(
            project="p", mode="offline", sync_tensorboard=True, dir=".", settings={"silent": True}
        )

    def received(self):
        import wandb
        from wandb.proto import wandb_internal_pb2

        self.run.finish()
        wandb.teardown()  # its service has written everything
        (path,) = glob.glob("wandb/offline-run-*/*.wandb")
        for data in leveldb_records(path):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            values = {
                item.key or "/".join(item.nested_key): json.loads(item.value_json)
                for item in record.history.item
            }
            for name, value in values.items():
                if isinstance(value, (int, float)) and not name.startswith("_"):
                    yield name, values.get("global_step"), value


class Mlflow:
    def hook(self):
        os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
        import mlflow
        import mlflow.pytorch

        mlflow.set_tracking_uri("file:./mlruns")
        mlflow.pytorch.autolog(log_every_n_step=1)
        self.run = mlflow.start_run()

    def received(self):
        import mlflow
        from mlflow.utils.autologging_utils.metrics_queue import flush_metrics_queue

        flush_metrics_queue()
        mlflow.end_run()
        client = mlflow.MlflowClient()
        data = client.get_run(self.run.info.run_id).data
        for name in data.metrics:
            for metric in client.get_metric_history(self.run.info.run_id, name):
                yield name, metric.step, metric.value
        for name, value in data.params.items():
            yield name, None, value


class Clearml:
    def hook(self):
        # Its reporting process is lost now and then, also with torch's writer, and close() hangs.
        with open("clearml.conf", "w", encoding="utf-8") as file:
            file.write("sdk.development.report_use_subprocess: false\n")
        os.environ["CLEARML_CONFIG_FILE"] = os.path.abspath("clearml.conf")
        # Else a thread of clearml's hooks the writer at some moment.
        importlib.import_module(library)
        from clearml import Task

        Task.set_offline(True)
        self.task = Task.init(
            "p", "t", auto_connect_streams=False, auto_resource_monitoring=False,
            auto_connect_arg_parser=False,
        )  # fmt: skip

    def received(self):
        self.task.flush(wait_for_uploads=True)
        folder = str(self.task.get_offline_mode_folder())
        self.task.close()
        if os.path.exists(folder + ".zip"):
            lines = zipfile.ZipFile(folder + ".zip").read("metrics.jsonl").decode().splitlines()
        else:
            with open(os.path.join(folder, "metrics.jsonl"), encoding="utf-8") as file:
                lines = file.read().splitlines()
        for line in lines:
            for event in json.loads(line):
                if event.get("type") == "training_stats_scalar":
                    yield f"{event['metric']}/{event['variant']}", event["iter"], event["value"]


def log():
    SummaryWriter = importlib.import_module(library).SummaryWriter
    with SummaryWriter("tb/training") as writer:
        for step in range(10):
            writer.add_scalar("train/loss", 1.0 / (step + 1), step)
            if step % 5 == 4:
                writer.add_scalar("val/loss", 2.0 / (step + 1), step)
                writer.add_scalar("val/acc", step / 10, global_step=step, **new_style)
        # Of two directories of tensorboardX's wandb reads one, also without us.
        if sys.argv[1:3] != ["wandb", "tensorboardX"]:
            writer.add_hparams({"lr": 0.1, "size": 4}, {"best": 0.5}, **{name: "hparams"})


def log_baseline():
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter("tb/training") as writer:
        writer.add_scalar("val/loss", 2.0, 0)  # evaluated
        writer.add_scalar("train/loss", 1.0, 1)  # trained


def log_to_each(log_dirs):
    from torch.utils.tensorboard import SummaryWriter

    now = time.strftime("%Y-%m-%d_%H-%M-%S")
    writers = [SummaryWriter(log_dir.replace("TIME", now)) for log_dir in log_dirs]
    for writer in writers:
        writer.add_scalar("loss", 1.0, 0)
    for writer in writers:
        writer.close()


library = {"torch": "torch.utils.tensorboard", "tensorboardX": "tensorboardX"}[sys.argv[2]]
name, new_style = ("name", {}) if library == "tensorboardX" else ("run_name", {"new_style": False})
tool = {"comet": Comet, "wandb": Wandb, "mlflow": Mlflow, "clearml": Clearml}[sys.argv[1]]()
tool.hook()
if os.environ.get("ECOSYSTEM_LATE"):
    import safewriter

    safewriter.patch(unique="exactly" not in sys.argv)
if "baseline" in sys.argv:
    log_baseline()
elif "," in sys.argv[-1]:
    log_to_each(sys.argv[-1].split(","))
else:
    log()
with open("received.json", "w", encoding="utf-8") as file:
    json.dump(sorted(tool.received(), key=str), file, indent=1)
