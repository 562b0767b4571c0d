"""What the package looks like from outside: names and modules."""

import importlib
import pkgutil
from functools import reduce

import sparseops


def test_no_name_hides_a_module() -> None:
    names = [module.name for module in pkgutil.walk_packages(sparseops.__path__, "sparseops.")]
    assert "sparseops.ops.knn._triton" in names
    for name in names:
        module = importlib.import_module(name)
        assert reduce(getattr, name.split(".")[1:], sparseops) is module, name


def test_public_functions_are_no_modules() -> None:
    assert callable(sparseops.knn)
    assert sparseops.knn is sparseops.ops.knn.knn
