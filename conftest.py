"""Checks the shapes and types of every annotated function of every library while tests run.

Here, because pytest reads this file before those of the libraries, which import what is to be checked.
"""

import jaxtyping
from members import read_members

LIBRARIES = [member.package for member in read_members() if member.folder.startswith("libs/")]
jaxtyping.install_import_hook(LIBRARIES, "beartype.beartype")
