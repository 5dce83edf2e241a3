"""Exporter: how a run's network is written for other programs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from cellvision import errors
from cellvision.component import Component
from cellvision.registry import Registry

if TYPE_CHECKING:
    from pydantic import JsonValue

    from cellvision.inference.engines import Engine
    from cellvision.results.run import Run


class Exporter(Component, group="cellvision.exporters"):
    """Writes a run in a format of other programs, and checks what it wrote.

    `cellvision.export` calls `export`, `verify` and `embed_description`, in this order, with a
    temporary folder. If none of them raises an error, it renames the files and moves them to
    their place.
    """

    suffix: ClassVar[str] = ""
    """How the name of the file or folder that a program opens ends, such as ``".onnx"``."""

    writes_folder: ClassVar[bool] = False
    """Whether a program opens a folder instead of a file."""

    contains_network: ClassVar[bool] = True
    """Whether the files can predict. False for documents, such as a model card."""

    engine: ClassVar[str] = ""
    """Name of the engine that predicts with the files (``cellvision predict --engine NAME``): the
    Python package that computes, such as ``"onnxruntime"``. Empty if there is none."""

    engine_order: ClassVar[int] = 1000
    """Position among the engines that ``--engine auto`` tries: the fastest come first."""

    packages: ClassVar[tuple[str, ...]] = ()
    """Modules that `export` and `verify` import, and that may not be installed. `cellvision.export`
    names the missing ones before any work is done."""

    @abstractmethod
    def export(self, run: Run, folder: Path) -> Path:
        """Write the run.

        Parameters
        ----------
        run
            A finished run.
        folder
            An empty folder. All names in it must begin with ``model``, which is replaced by the
            final name, so files must not refer to one another by name.

        Returns
        -------
        pathlib.Path
            What a program opens: ``model`` and `suffix`, in `folder`.

        Raises
        ------
        errors.ConversionError
            The network cannot be written in this format.
        """

    @abstractmethod
    def verify(self, run: Run, folder: Path) -> Mapping[str, JsonValue]:
        """Read what `export` wrote, as the program will, and compare it with the run.

        Parameters
        ----------
        run
            The run that was exported.
        folder
            The folder with the files.

        Returns
        -------
        mapping
            What was compared, for the description beside the export; JSON values. For a
            network, `cellvision.inference.compare_with_record` returns it.

        Raises
        ------
        errors.ConversionError
            The export differs from the run.
        """

    def open_engine(self, path: Path, run: Run) -> Engine:
        """Open what `export` wrote to predict with it; define it if `engine` is set.

        ``predict`` exports the network once and keeps the files in the cache, after it has
        compared predictions with those of Keras.

        Parameters
        ----------
        path
            What `export` returned; the folder may be another one.
        run
            The run that was exported.

        Returns
        -------
        cellvision.inference.Engine
            Computes in float32.
        """
        raise errors.PluginContractError(
            f"{exporters.origin_of(type(self))}: engine is {self.engine!r}, but open_engine is not "
            "defined",
            "Report it to the plugin's author, who can check it with cellvision.testing.",
        )

    def embed_description(self, description: Mapping[str, Any], folder: Path) -> None:
        """Store the description in the files too, if the format has a place for it.

        Parameters
        ----------
        description
            The content of the ``.json`` file beside the export: classes, input, output, run and
            the result of `verify`.
        folder
            The folder with the files.
        """


exporters: Registry[Exporter] = Exporter.registry
"""The registry of exporters."""
