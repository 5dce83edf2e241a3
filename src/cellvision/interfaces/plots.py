"""Figures of results in a notebook, drawn by the reporters that also write them to files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from cellvision import defaults
from cellvision.interfaces.reporter import reporters

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cellvision.data.audit import Audit
    from cellvision.results.run import Run
    from cellvision.results.study import Study


class Plots:
    """The figures of one result; call it with the name of any reporter that draws one figure.

    Figures are Matplotlib figures that pyplot does not know, so a notebook shows each only once,
    where it is the last value of a cell.

    Parameters
    ----------
    results
        A run, a study or an audit.

    Examples
    --------
    >>> import cellvision as cv
    >>> run = cv.load_run("runs/first")  # doctest: +SKIP
    >>> run.plot("sample", images=6).savefig("sample.pdf")  # doctest: +SKIP
    """

    def __init__(self, results: Run | Study | Audit) -> None:
        self._results = results

    def __call__(self, reporter: str, **settings: Any) -> Figure:
        """Draw the figure of a reporter.

        Parameters
        ----------
        reporter
            Its name.
        settings
            Its settings.

        Raises
        ------
        errors.UnknownPlugin
            The reporter is not installed; the hint says how to install it.
        errors.ExperimentError
            A setting is wrong, or the reporter has no figure of this result.
        """
        return reporters.create(reporter, **settings).figure(self._results)

    def __repr__(self) -> str:
        names = (name for name in dir(self) if not name.startswith("_"))
        return f"<Plots of {self._results!r}: {', '.join(names)}>"


class RunPlots(Plots):
    """The figures of a run."""

    def confusion(self, split: str | None = None, **settings: Any) -> Figure:
        """Draw which class the network takes for which.

        Parameters
        ----------
        split
            Name of a split; None: the first test set, or the validation split.
        settings
            Further settings of the reporter ``confusion``.
        """
        return self(reporters.default(defaults.CONFUSION_FIGURE), split=split, **settings)

    def panel(self, split: str | None = None, **settings: Any) -> Figure:
        """Draw images with the network's answers; see `confusion`.

        Parameters
        ----------
        split
            Name of a split; None: the first test set, or the validation split.
        settings
            Further settings of the reporter ``panel``, such as ``images=12``.
        """
        return self(reporters.default(defaults.PANEL_FIGURE), split=split, **settings)

    def curves(self, **settings: Any) -> Figure:
        """Draw loss and accuracy over the epochs."""
        return self(reporters.default(defaults.CURVES_FIGURE), **settings)

    def mistakes(self, split: str | None = None, **settings: Any) -> Figure:
        """Draw the most confident errors; see `confusion`."""
        return self(reporters.default(defaults.MISTAKES_FIGURE), split=split, **settings)


class StudyPlots(Plots):
    """The figures of a study."""

    def box(self, **settings: Any) -> Figure:
        """Draw the test accuracy of every run."""
        return self(reporters.default(defaults.BOX_FIGURE), **settings)


class AuditPlots(Plots):
    """The figures of an audit."""

    def sheet(
        self,
        split: str | None = None,
        view: Literal["acquired", "network"] = "acquired",
        **settings: Any,
    ) -> Figure:
        """Draw a contact sheet: images of each class and split.

        Parameters
        ----------
        split
            Name of a split; None: all of them.
        view
            ``"acquired"``: as the files hold them; ``"network"``: as the network will see them.
        settings
            Further settings of the reporter ``sheet``, such as ``images=8``.
        """
        return self(reporters.default(defaults.SHEET_FIGURE), split=split, view=view, **settings)

    def intensities(self, **settings: Any) -> Figure:
        """Draw histograms of intensity by class."""
        return self(reporters.default(defaults.INTENSITIES_FIGURE), **settings)
