"""Leaves out, when documentation examples are collected, the module of an extra that is not installed."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("torchmetrics") else ["src/evaluators/torchmetrics.py"]
