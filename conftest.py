"""What holds for all tests: checks of shapes, repeatable examples, one process for what belongs together.

Shapes and types of every annotated function of every library are checked while tests run: from here, because
pytest reads this file before those of the libraries, which import what is to be checked.
"""

from pathlib import Path

import hypothesis
import jaxtyping
import pytest
from members import read_members

LIBRARIES = [member.package for member in read_members() if member.folder.startswith("libs/")]
jaxtyping.install_import_hook(LIBRARIES, "beartype.beartype")

# Its checks, which every app runs, explain what they found as tests do.
pytest.register_assert_rewrite("fusion3d_appkit.testing")

# The same examples every time, so that a run that fails fails again. Fewer in quick runs, which are many.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.register_profile("quick", hypothesis.settings.get_profile("repeatable"), max_examples=20)
hypothesis.settings.load_profile("repeatable")

FINISHED_RUNS = {"trained", "tested"}
"""Fixtures of `fusion3d_appkit.testing` that train a model: whoever asks for one is no quick test."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file, and those of an app, in one process, which alone makes their fixtures."""
    here = Path(__file__).parent
    for item in items:
        if FINISHED_RUNS.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("xdist_group") is None:
            path = item.path.relative_to(here)
            together = path.parts[:2] if path.parts[0] == "apps" else path.parts
            item.add_marker(pytest.mark.xdist_group("/".join(together)))
