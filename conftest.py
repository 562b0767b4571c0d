"""Checks the shapes and types of every annotated function of every member while tests run.

Here, because pytest reads this file before those of the members, which import what is to be checked.
"""

import jaxtyping
from members import read_members

jaxtyping.install_import_hook([member.package for member in read_members()], "beartype.beartype")
