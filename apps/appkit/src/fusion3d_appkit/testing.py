"""What every app is tested for, on a data set of four training and two evaluation frames.

An app's `conftest.py` describes it in a session fixture `under_test` and imports the fixtures `trained` and
`tested` from here; a test module of its own subclasses `AppTests`.
"""
# ruff: noqa: D102  (the name of a test is its claim)

from __future__ import annotations

import inspect
import json
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import time
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch

from fusion3d_appkit.checkpoints import last_checkpoint
from fusion3d_appkit.cli import AppCLI, AppParser
from fusion3d_appkit.commands import Program
from fusion3d_appkit.demo import Demo
from fusion3d_appkit.files import read_yaml
from fusion3d_appkit.loggers import read_metrics
from fusion3d_appkit.task import TrainingTask
from fusion3d_appkit.training import TrainingApp

NO_EVALUATION = "--trainer.limit_val_batches=0"
HEAVY = ("torch", "lightning", "timm", "numba", "matplotlib", "scipy", "transformers", "torchvision")

EARLY = """
import contextlib, sys
from {package}.__main__ import main
for words in {calls}:
    with contextlib.suppress(SystemExit):
        main(words)
sys.exit(", ".join(name for name in {heavy} if name in sys.modules) or 0)
"""

# What one of two processes runs: a fit under DDP. Kept of the first step: the gradients as the optimiser gets
# them, and those that this process's own frames alone would give.
PROCESS = """
import importlib, sys, torch
app = importlib.import_module(sys.argv[1] + ".train").APP
cli = app.build(sys.argv[3:], subcommand=False)
task, first, kept = cli.model, [], {}
seed = task.on_train_batch_start

def start(batch, batch_idx):
    first.append(batch)
    seed(batch, batch_idx)

def keep(optimizer):
    if not kept:
        named = {name: weight for name, weight in task.model.named_parameters() if weight.requires_grad}
        kept["averaged"] = {name: weight.grad.clone() for name, weight in named.items()}
        seed(first[0], 0)
        own = torch.autograd.grad(task.losses(first[0]).total, list(named.values()))
        kept["own"] = dict(zip(named, own))
        kept["frames"] = first[0].frame_ids

task.on_train_batch_start, task.on_before_optimizer_step = start, keep
cli.trainer.fit(task, cli.datamodule)
kept["weights"] = dict(task.model.named_parameters())
kept["results"] = {name: result.to_json() for name, result in task.results.items()}
torch.save(kept, f"{sys.argv[2]}/rank{cli.trainer.global_rank}.pt")
"""


TRAINER_RUNS = {
    "one batch": ["--trainer.fast_dev_run=true"],
    "limits": [
        *(
            "--trainer.max_epochs=1",
            "--trainer.min_epochs=1",
            "--trainer.max_steps=1",
            "--trainer.min_steps=1",
        ),
        *(
            "--trainer.limit_train_batches=1",
            "--trainer.limit_val_batches=1",
            "--trainer.max_time=00:01:00:00",
        ),
        *("--trainer.limit_test_batches=1", "--trainer.limit_predict_batches=1"),
        "--trainer.val_check_interval=1.0",
    ],
    "the same batch": ["--trainer.overfit_batches=1", "--trainer.max_epochs=1"],
    "quiet": [
        *("--trainer.logger=false", "--trainer.enable_checkpointing=false", "--trainer.max_epochs=1"),
        *("--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"),
        "--trainer.limit_val_batches=0",
    ],
    "more": [
        *("--trainer.logger=lightning.pytorch.loggers.CSVLogger", "--trainer.logger.save_dir=RUN"),
        *("--trainer.logger.name=more", "--trainer.logger.version="),
        "--trainer.callbacks+=lightning.pytorch.callbacks.LearningRateMonitor",
        *("--trainer.max_epochs=1", "--trainer.limit_val_batches=0", "--trainer.num_sanity_val_steps=0"),
        *("--trainer.accumulate_grad_batches=2", "--trainer.gradient_clip_val=1.0"),
        *(
            "--trainer.gradient_clip_algorithm=norm",
            "--trainer.deterministic=warn",
            "--trainer.benchmark=false",
        ),
        *("--trainer.inference_mode=false", "--trainer.profiler=simple", "--trainer.detect_anomaly=true"),
        *("--trainer.sync_batchnorm=false", "--trainer.reload_dataloaders_every_n_epochs=1"),
        *("--trainer.check_val_every_n_epoch=2", "--trainer.use_distributed_sampler=false"),
        *("--trainer.enable_autolog_hparams=false", "--trainer.barebones=false", "--trainer.num_nodes=1"),
        *("--trainer.strategy=auto", "--trainer.devices=1", "--trainer.accelerator=cpu"),
        *("--trainer.precision=32-true", "--trainer.log_every_n_steps=1"),
    ],
}
"""Options of the trainer, in runs that can be had together; RUN is a folder. Each is accepted, and acts."""
NOT_TRIED = {"default_root_dir", "plugins", "model_registry"}
"""Set by every run here; takes objects that no option spells; needs a package and an account of its own."""


@dataclass(frozen=True, kw_only=True)
class AppUnderTest:
    """An app, its smallest configuration (`tests/tiny.yaml`) and a data set."""

    program: Program
    app: TrainingApp
    demo: Demo
    tests: Path
    """Folder of the app's tests, with `tiny.yaml` and `options.txt`, beside `configs/`."""
    root: Path
    """Folder of the data set."""
    sensors: Sequence[str]
    """Folders below it that hold a file for each frame, none of which training can do without."""
    early: Mapping[str, str]
    """Arguments that are refused before anything heavy is loaded, with a part of the message."""
    misspelt: Mapping[str, str]
    """Options that do not exist, with the nearest that do."""
    wider: str
    """An option that makes another model of the tiny one."""
    chapters: Sequence[str]
    """Titles of the report after results and training."""
    frames_evaluated: Callable[[Mapping[str, Any]], int]
    """Number of frames, of the content of `results.json`."""

    def words(self, run: Path, *options: str) -> list[str]:
        """Return the arguments of a tiny run in a folder."""
        config = f"--config={self.tests / 'tiny.yaml'}"
        return [config, f"--data.root={self.root}", f"--trainer.default_root_dir={run}", *options]

    def call(self, command: str, run: Path, *options: str) -> int:
        """Run a training command in this process; the trainer's advice about small runs is not heard."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.program.main([command, *self.words(run, *options)])

    def build(self, run: Path, *options: str) -> AppCLI:
        """Return task, data and trainer of a tiny run."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.app.build(self.words(run, *options), subcommand=False)

    def parser(self) -> AppParser:
        """Return a parser of the options of `fit`."""
        parser = AppParser(prog=self.app.name)
        parser.add_argument("--seed_everything", type=int, default=0)
        parser.add_lightning_class_args(pl.Trainer, "trainer")  # type: ignore[arg-type]
        parser.add_lightning_class_args(self.app.task, "model")
        parser.add_lightning_class_args(self.app.data, "data")
        parser.set_defaults(dict(self.app.defaults))
        return parser


@pytest.fixture(scope="session")
def trained(under_test: AppUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished tiny run of two epochs. Tests read it and leave it as it is."""
    run = tmp_path_factory.mktemp("trained")
    assert under_test.call("fit", run) == 0
    return run


@pytest.fixture(scope="session")
def tested(under_test: AppUnderTest, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which `test` has evaluated that run. Tests read it and leave it as it is."""
    run = tmp_path_factory.mktemp("tested")
    assert under_test.call("test", run, f"--ckpt_path={trained / 'checkpoints/last.ckpt'}") == 0
    return run


def losses(run: Path, name: str = "train/loss") -> list[float]:
    """Return a logged series of a run."""
    return [value for _, value in read_metrics(run / "metrics.jsonl")[name]]


def weights_without_gradient(cli: AppCLI) -> set[str]:
    """Train; return the names of the weights that some step left out."""
    found: set[str] = set()

    def look(optimizer: object) -> None:
        named = cli.model.named_parameters()
        found.update(name for name, weight in named if weight.requires_grad and weight.grad is None)

    cli.model.on_before_optimizer_step = look
    cli.trainer.fit(cli.model, cli.datamodule)
    return found


def message_of(app: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Return what the program said at the end, after the trainer's own lines; it is no traceback."""
    error = capsys.readouterr().err
    message = error[error.rindex(f"{app}: ") :]
    assert "Traceback" not in message
    return message


def run_two_processes(app: AppUnderTest, folder: Path) -> list[dict[str, Any]]:
    """Train an epoch under DDP on two processes; return what each has kept, see `PROCESS`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(probe.getsockname()[1]), "WORLD_SIZE": "2"}
    options = ["--trainer.strategy=ddp", "--trainer.devices=2", "--trainer.max_epochs=1"]
    words = [sys.executable, "-W", "ignore", "-c", PROCESS, app.app.name, str(folder)]
    processes = [
        subprocess.Popen(
            [*words, *app.words(folder / "run", *options)],
            env={**os.environ, **address, "RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=280)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(2)]


class Payload:
    """Something that would run code if it were unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pickle.loads, (b"",))


@pytest.mark.filterwarnings("ignore")  # the trainer's advice about workers, intervals and loggers
class AppTests:
    """The tests; an app's test module subclasses them."""

    def test_help_names_every_command_and_the_examples_call_them(self, under_test, capsys):
        assert under_test.program.main(["--help"]) == 0
        text = capsys.readouterr().out
        assert all(f"  {name} " in text for name in under_test.program.commands)
        name = under_test.app.name
        shown = [line.split()[1] for line in text.splitlines() if line.startswith(f"  {name} ")]
        assert {"demo", "fit", "test", "predict"} <= set(shown) <= set(under_test.program.commands)

    def test_an_unknown_command_names_the_nearest(self, under_test, capsys):
        assert under_test.program.main(["tst"]) == 2
        message = capsys.readouterr().err
        assert "did you mean 'test'" in message
        assert f"Commands: {', '.join(under_test.program.commands)}" in message

    def test_help_and_early_errors_load_nothing_heavy(self, under_test, tmp_path):
        (tmp_path / "w.safetensors").write_bytes(b"")
        (tmp_path / "w.ckpt").write_bytes(b"")
        commands = [*under_test.program.own, "demo"]
        calls = [[], ["--help"], ["tain"], *([name, "--help"] for name in commands)]
        calls += [[name, "--nonsense"] for name in commands]
        calls += [words.split() for words in under_test.early]
        code = EARLY.format(package=under_test.app.name, calls=calls, heavy=HEAVY)
        words = [sys.executable, "-c", code]
        done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        for message in under_test.early.values():
            assert message in done.stderr

    def test_a_misspelt_option_names_the_nearest(self, under_test, tmp_path, capsys):
        for option, nearest in under_test.misspelt.items():
            with pytest.raises(SystemExit) as stop:
                under_test.call("fit", tmp_path, option)
            assert stop.value.code == 2
            assert f"did you mean {nearest}" in capsys.readouterr().err

    def test_the_options_are_the_known_ones(self, under_test):
        """An option that comes or goes changes what users write: tell the changelog, update options.txt."""
        own = [name for name in under_test.parser()._known_options() if name.startswith(("model.", "data."))]
        assert "\n".join(own) + "\n" == (under_test.tests / "options.txt").read_text()

    def test_every_configuration_is_understood(self, under_test):
        parser = under_test.parser()
        paths = sorted((under_test.tests.parent / "configs").glob("*.yaml"))
        assert "demo" in {path.stem for path in paths}
        for path in paths:
            assert parser.parse_path(path).data.root, path

    @pytest.mark.slow
    def test_a_run_leaves_its_files(self, under_test, trained):
        names = {path.name for path in trained.iterdir()}
        assert {"config.yaml", "metrics.jsonl", "checkpoints", "model.safetensors"} <= names
        assert any(name.startswith("events.out.tfevents") for name in names)
        values = losses(trained)
        assert len(values) == 4  # two batches an epoch
        assert torch.tensor(values).isfinite().all()
        content = torch.load(trained / "checkpoints/last.ckpt", weights_only=True)
        files = under_test.app.task.files
        assert {files.model.entry, files.inputs.entry} <= content.keys()
        assert all(name.startswith(f"{files.model.name}.") for name in content["state_dict"])

    @pytest.mark.slow
    def test_an_interrupted_run_continues_bit_for_bit(self, under_test, trained, tmp_path):
        cli = under_test.build(tmp_path)

        def stop() -> None:
            cli.trainer.should_stop = True

        cli.model.on_train_epoch_end = stop
        cli.trainer.fit(cli.model, cli.datamodule)
        assert len(losses(tmp_path)) == 2
        assert under_test.call("fit", tmp_path) == 0
        assert losses(tmp_path) == losses(trained)
        one, other = (run / "model.safetensors" for run in (trained, tmp_path))
        assert one.read_bytes() == other.read_bytes()
        # Who trains by the written configuration starts a training of their own.
        assert read_yaml(tmp_path / "config.yaml")["ckpt_path"] is None

    @pytest.mark.slow
    def test_a_killed_run_continues_from_its_last_checkpoint(self, under_test, tmp_path, capfd):
        words = under_test.words(tmp_path, "--trainer.max_epochs=99", NO_EVALUATION)
        process = subprocess.Popen([sys.executable, "-m", under_test.app.name, "fit", *words])
        deadline = time.monotonic() + 240
        while last_checkpoint(tmp_path) is None and time.monotonic() < deadline:
            time.sleep(0.1)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        newest = last_checkpoint(tmp_path)
        assert newest is not None
        reached = torch.load(newest, weights_only=True)["epoch"] + 1
        assert reached < 99
        assert under_test.call("fit", tmp_path, f"--trainer.max_epochs={reached + 1}", NO_EVALUATION) == 0
        assert f"resuming from {newest}" in capfd.readouterr().out
        last = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)
        assert last["epoch"] == reached

    @pytest.mark.slow
    def test_half_a_checkpoint_is_passed_over(self, under_test, trained, tmp_path, capsys):
        shutil.copytree(trained / "checkpoints", tmp_path / "checkpoints")
        last, whole = tmp_path / "checkpoints/last.ckpt", tmp_path / "checkpoints/epoch_0001.ckpt"
        last.write_bytes(last.read_bytes()[: last.stat().st_size // 2])
        assert under_test.call("fit", tmp_path, "--trainer.max_epochs=3", NO_EVALUATION) == 0
        printed = capsys.readouterr().out
        assert "passed over: " in printed and "last.ckpt" in printed
        assert f"resuming from {whole}" in printed
        # A finished training goes on, on the schedule of the longer one.
        assert "goes on to 6" in printed
        assert torch.load(last, weights_only=True)["epoch"] == 2
        for path in (tmp_path / "checkpoints").iterdir():
            path.write_bytes(b"half")
        assert under_test.call("fit", tmp_path, NO_EVALUATION) == 2
        assert "can be read" in message_of(under_test.app.name, capsys)

    @pytest.mark.slow
    def test_a_checkpoint_that_cannot_be_written_leaves_the_older_one(
        self, under_test, tmp_path, monkeypatch
    ):
        cli = under_test.build(tmp_path)

        def fail(content: object, path: Path) -> None:
            path.write_bytes(b"half")
            raise OSError("no space left on device")

        cli.trainer.fit(cli.model, cli.datamodule)
        before = (tmp_path / "checkpoints/last.ckpt").read_bytes()
        monkeypatch.setattr(torch, "save", fail)
        with pytest.raises(OSError, match="no space"):
            cli.trainer.save_checkpoint(tmp_path / "checkpoints/last.ckpt")
        assert (tmp_path / "checkpoints/last.ckpt").read_bytes() == before

    def test_every_option_of_the_trainer_is_tried(self, under_test):
        shown = {name.removeprefix("trainer.") for name in under_test.parser()._known_options()}
        options = {name for name in shown if name in inspect.signature(pl.Trainer).parameters}
        tried = {
            word.removeprefix("--trainer.").split("=")[0].split(".")[0].rstrip("+")
            for words in TRAINER_RUNS.values()
            for word in words
        }
        assert options - tried == NOT_TRIED

    @pytest.mark.slow
    @pytest.mark.parametrize("name", TRAINER_RUNS)
    def test_options_of_the_trainer_act(self, under_test, tmp_path, name):
        run = tmp_path / "run"
        words = [word.replace("RUN", str(tmp_path)) for word in TRAINER_RUNS[name]]
        assert under_test.call("fit", run, *words) == 0
        files = {path.name for path in run.iterdir()} if run.exists() else set()
        if name == "quiet":
            assert not files & {"checkpoints", "metrics.jsonl"}
        elif name == "one batch":
            assert not files & {"checkpoints", "metrics.jsonl", "model.safetensors"}
        else:
            assert "checkpoints" in files
        if name == "more":
            assert (tmp_path / "more/metrics.csv").exists()
            assert "lr-" in (tmp_path / "more/metrics.csv").read_text()
        if name == "limits":
            assert len(losses(run)) == 1

    @pytest.mark.slow
    def test_two_processes_average_their_gradients_and_evaluate_together(self, under_test, tmp_path):
        first, second = run_two_processes(under_test, tmp_path)
        assert not set(first["frames"]) & set(second["frames"])
        for name, averaged in first["averaged"].items():
            assert torch.equal(averaged, second["averaged"][name]), name
            expected = (first["own"][name] + second["own"][name]) / 2
            tolerance = 1e-5 * float(expected.abs().max() + 1e-3)
            torch.testing.assert_close(averaged, expected, rtol=1e-4, atol=tolerance)
        assert any(not torch.allclose(first["own"][name], second["own"][name]) for name in first["own"])
        assert all(torch.equal(value, second["weights"][name]) for name, value in first["weights"].items())
        assert under_test.frames_evaluated(first["results"]) == 2

    @pytest.mark.slow
    def test_every_weight_learns_in_every_step(self, under_test, tmp_path):
        """What lets several processes train without a search for unused weights."""
        cli = under_test.build(tmp_path, "--trainer.max_epochs=1", NO_EVALUATION)
        assert not weights_without_gradient(cli)

    @pytest.mark.slow
    def test_test_writes_predictions_results_and_a_page_that_stands_alone(self, under_test, tested):
        app = under_test.app
        assert any((tested / app.task.predictions).iterdir())
        results = json.loads((tested / "results.json").read_text())
        assert list(results) == list(app.results)
        assert under_test.frames_evaluated(results) == 2
        page = ET.fromstring((tested / "report.html").read_text())
        titles = [heading.text for heading in page.iter("h2")]
        assert titles == [*app.results.values(), "Training", *under_test.chapters]
        assert not {"script", "link", "iframe"} & {element.tag for element in page.iter()}
        assert page.find(".//img") is not None
        for picture in page.iter("img"):
            assert picture.attrib["src"].startswith("data:image/")
            assert len(picture.attrib["alt"]) > 10

    @pytest.mark.slow
    def test_evaluation_takes_weights_alone_and_leaves_the_configuration(
        self, under_test, trained, tested, tmp_path
    ):
        (tmp_path / "config.yaml").write_text("of the run\n")
        assert under_test.call("test", tmp_path, f"--ckpt_path={trained / 'model.safetensors'}") == 0
        assert (tmp_path / "results.json").read_text() == (tested / "results.json").read_text()
        assert (tmp_path / "config.yaml").read_text() == "of the run\n"

    @pytest.mark.slow
    def test_a_training_starts_from_weights(self, under_test, trained, tmp_path):
        before = torch.load(trained / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for name in ("checkpoints/last.ckpt", "model.safetensors"):
            model = under_test.build(tmp_path, f"--model.weights={trained / name}").model
            assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())

    @pytest.mark.slow
    def test_a_checkpoint_alone_rebuilds_the_model(self, under_test, trained):
        files = under_test.app.task.files
        loaded = files.load_model(trained / "checkpoints/last.ckpt")
        other = files.load_model(trained / "model.safetensors", config=trained / "config.yaml")
        assert not loaded.model.training
        assert loaded.inputs == other.inputs
        assert loaded.model.config == other.model.config
        pairs = zip(loaded.model.state_dict().values(), other.model.state_dict().values(), strict=True)
        assert all(torch.equal(one, two) for one, two in pairs)

    @pytest.mark.slow
    def test_a_checkpoint_that_will_not_do_is_refused_in_a_line(self, under_test, trained, tmp_path, capsys):
        files, last = under_test.app.task.files, trained / "checkpoints/last.ckpt"
        (tmp_path / "corrupt.ckpt").write_bytes(b"PK\x03\x04 not really")
        torch.save({files.released: Payload()}, tmp_path / "evil.ckpt")
        torch.save({files.released: {}}, tmp_path / "weights.ckpt")
        torch.save({"weights": {}}, tmp_path / "foreign.ckpt")
        different = "made with another configuration, first difference: size mismatch for "
        alone = f"by --model.weights {tmp_path / 'weights.ckpt'}"
        for command, path, options, message in (
            ("test", tmp_path / "corrupt.ckpt", (), "corrupt.ckpt: cannot be read"),
            ("test", tmp_path / "evil.ckpt", (), "evil.ckpt: cannot be read"),
            ("test", tmp_path / "foreign.ckpt", (), f"'state_dict' or {files.released!r}, found none"),
            ("test", tmp_path / "weights.ckpt", (), "the configuration the weights were made with"),
            ("test", last, (under_test.wider,), different),
            ("fit", tmp_path / "weights.ckpt", (), alone),
        ):
            assert under_test.call(command, tmp_path, *options, f"--ckpt_path={path}") == 2
            seen = message_of(under_test.app.name, capsys)
            assert message in seen
            assert path.name in seen

    @pytest.mark.slow
    def test_a_configuration_of_another_version_is_refused_in_a_line(self, under_test, trained, tmp_path):
        files, newer = under_test.app.task.files, tmp_path / "newer.ckpt"
        content = torch.load(trained / "checkpoints/last.ckpt", weights_only=True)
        content[files.model.entry]["of_a_newer_version"] = 1
        torch.save(content, newer)
        with pytest.raises(ValueError, match=r"newer\.ckpt: not understood .*of_a_newer_version"):
            files.load_model(newer)
        part, _, name = files.model.option.partition(".")
        config = tmp_path / "newer.yaml"
        for wrong in ("of_a_newer_version: 1", "a list of nothing", "[1, 2]"):
            config.write_text(f"{part}: {{{name}: {{{wrong}}}}}\n" if ":" in wrong else f"{part}: {wrong}\n")
            with pytest.raises(ValueError, match=r"configuration .*newer\.yaml"):
                files.load_model(trained / "model.safetensors", config=config)

    @pytest.mark.slow
    def test_a_frame_without_a_file_is_named(self, under_test, tmp_path, capsys):
        for folder in under_test.sensors:
            root = shutil.copytree(under_test.root, tmp_path / folder)
            for file in (root / folder).iterdir():
                file.unlink()
            workers = int(folder == under_test.sensors[-1])  # in a process of its own, once
            options = [f"--data.root={root}", f"--data.workers={workers}"]
            assert under_test.call("fit", tmp_path / "run", *options) == 2
            assert folder.rpartition("/")[2] in message_of(under_test.app.name, capsys)

    def test_a_wrong_root_is_one_line_before_the_model_is_made(
        self, under_test, tmp_path, capsys, monkeypatch
    ):
        monkeypatch.setattr(TrainingTask, "__init__", lambda *args, **options: pytest.fail("model made"))
        assert under_test.call("fit", tmp_path, "--data.root=nowhere") == 2
        assert "nowhere" in message_of(under_test.app.name, capsys)

    @pytest.mark.slow
    def test_the_demo_runs(self, under_test, tmp_path, capsys):
        words = [f"--out={tmp_path}", f"--data={under_test.root}"]
        extra = [f"--config={under_test.tests / 'tiny.yaml'}", "--trainer.max_epochs=1"]
        assert under_test.demo.main(words, extra=[*extra, *under_test.words(tmp_path)[1:]]) == 0
        text, page = capsys.readouterr().out, (tmp_path / "report.html").read_text()
        assert f"using the data in {under_test.root}" in text
        assert f"report: {tmp_path / 'report.html'}" in text
        others = json.loads((tmp_path / "results.json").read_text())["others"]
        assert len(others) >= 1
        for name in ("this model", *others):
            assert name in text and f">{name}<" in page
