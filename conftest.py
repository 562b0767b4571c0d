"""Checks the shapes and types of every annotated function of every library while tests run.

Here, because pytest reads this file before those of the libraries, which import what is to be checked.
"""

import jaxtyping
import pytest
from members import read_members

LIBRARIES = [member.package for member in read_members() if member.folder.startswith("libs/")]
jaxtyping.install_import_hook(LIBRARIES, "beartype.beartype")

# Its checks, which every app runs, explain what they found as tests do.
pytest.register_assert_rewrite("fusion3d_appkit.testing")
