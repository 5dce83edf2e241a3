"""Limit the threads of BLAS, the library that multiplies matrices for NumPy and SciPy."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any


def one_blas_thread() -> AbstractContextManager[Any]:
    """Let products of matrices use one thread each, until the context ends.

    Threads of BLAS wait for each other by spinning. That costs more than it gains for small
    matrices; and where several threads of this process multiply, or other programs are busy,
    it can take ten times as long.
    """
    from threadpoolctl import ThreadpoolController

    limit: AbstractContextManager[Any] = ThreadpoolController().limit(limits=1, user_api="blas")
    return limit


def one_thread_in_scipy() -> AbstractContextManager[Any]:
    """Let SciPy's own BLAS use one thread, until the context ends; NumPy's keeps its threads.

    The vectors of SciPy's optimizers are short. With two threads, they take four times as long,
    because they also compete with NumPy's threads, which compute the loss.
    """
    from threadpoolctl import ThreadpoolController

    libraries = ThreadpoolController()
    paths = [each["filepath"] for each in libraries.info()]
    own = [path for path in paths if {"scipy", "scipy.libs"} & set(Path(path).parts)]
    limit: AbstractContextManager[Any] = libraries.select(filepath=own).limit(limits=1)
    return limit
