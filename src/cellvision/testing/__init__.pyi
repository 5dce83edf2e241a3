# The public names, written once: lazy_loader reads this file at run time, mypy and editors read
# it for types. "import X as X" is how a stub re-exports a name.
from .architecture import ArchitectureChecks as ArchitectureChecks
from .augmenter import AugmenterChecks as AugmenterChecks
from .control import ControlChecks as ControlChecks
from .control import example_control_data as example_control_data
from .dataset import DatasetChecks as DatasetChecks
from .decoder import DecoderChecks as DecoderChecks
from .examples import SyntheticImages as SyntheticImages
from .examples import SyntheticNetwork as SyntheticNetwork
from .examples import example_experiment as example_experiment
from .examples import example_plugins as example_plugins
from .examples import example_run as example_run
from .examples import example_study as example_study
from .examples import write_images as write_images
from .exporter import ExporterChecks as ExporterChecks
from .isolation import Isolation as Isolation
from .isolation import isolated as isolated
from .recipe import RecipeChecks as RecipeChecks
from .recipe import example_facts as example_facts
from .reporter import ReporterChecks as ReporterChecks
from .result import CheckFailed as CheckFailed
from .result import CheckResult as CheckResult
from .runner import check as check
from .splitter import SplitterChecks as SplitterChecks
from .splitter import example_table as example_table
