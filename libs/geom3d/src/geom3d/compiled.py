"""numba's `njit` for every kernel of these libraries: it finds a place for the compiled code.

numba keeps compiled code beside the source, else in the user's cache folder, and refuses to compile where it
can write to neither, as in a container with a read-only installation and no home. `njit` from here then uses
a temporary folder, and says so once. Importing this module imports numba.
"""
# numba is not typed, so strict checking has nothing to hold on to here.
# pyright: basic

from __future__ import annotations

import functools
import os
import stat
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, overload

import numba

_Function = TypeVar("_Function", bound=Callable[..., Any])
_NUMBA: Any = numba


@overload
def njit(function: _Function, /) -> _Function: ...


@overload
def njit(**options: Any) -> Callable[[_Function], _Function]: ...


def njit(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Do what `numba.njit` does, with a place for compiled code where numba finds none.

    With `cache=True`, numba looks for a folder to write to when a function is decorated: `NUMBA_CACHE_DIR` if
    it is set, beside the source, the user's cache. Without any, the code goes to a folder for temporary files
    that this user alone can enter, where later processes find it; without that either, nothing is kept.

    Example:
        >>> @njit
        ... def double(x):
        ...     return 2 * x
        >>> double(21)
        42
    """
    compiled = functools.partial(_compiled, options)
    return compiled if function is None else compiled(function)


def _compiled(options: dict[str, Any], function: Callable[..., Any]) -> Any:
    try:
        return _NUMBA.njit(**options)(function)
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
    folder = _temporary_folder()
    if folder is None:
        return _NUMBA.njit(**{**options, "cache": False})(function)
    before = _NUMBA.config.CACHE_DIR
    # numba chooses the place now, once and for all; other packages' functions are to stay where they are.
    _NUMBA.config.CACHE_DIR = folder
    try:
        return _NUMBA.njit(**options)(function)
    finally:
        _NUMBA.config.CACHE_DIR = before


@functools.cache
def _temporary_folder() -> str | None:
    """Return a folder of this user's own below the temporary one, or None; say once what that means."""
    try:
        user = os.getuid() if hasattr(os, "getuid") else "user"
        folder = Path(tempfile.gettempdir()) / f"fusion3d-kernels-{user}"
        folder.mkdir(mode=0o700, exist_ok=True)
        if not _is_private(folder):
            # Compiled code is run: what somebody else could have put there is not.
            folder = Path(tempfile.mkdtemp(prefix="fusion3d-kernels-"))
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        folder = None
    kept = "not kept, so every process compiles them anew" if folder is None else f"kept in {folder}"
    warnings.warn(
        "neither the folder of the installation nor the user's cache can be written to, so compiled kernels"
        f" are {kept}; set NUMBA_CACHE_DIR to a folder that stays",
        RuntimeWarning,
        stacklevel=2,
    )
    return None if folder is None else str(folder)


def _is_private(folder: Path) -> bool:
    found = folder.lstat()
    if not hasattr(os, "getuid"):
        return stat.S_ISDIR(found.st_mode)
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
