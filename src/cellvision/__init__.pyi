# The public names, written once: lazy_loader reads this file at run time, mypy and editors read
# it for types. "import X as X" is how a stub re-exports a name.
from . import errors as errors
from . import io as io
from . import prepare as prepare
from . import remote as remote
from . import statistics as statistics
from . import testing as testing
from .backends.fusion import fuse_operations as fuse_operations
from .data.audit import Audit as Audit
from .data.catalog import Catalog as Catalog
from .data.preprocessing import Preprocessing as Preprocessing
from .data.split import Split as Split
from .experiment import Experiment as Experiment
from .experiment import Training as Training
from .experiment import load_experiment as load_experiment
from .experiment import save_experiment as save_experiment
from .inference.export import export as export
from .inference.predict import predict as predict
from .interfaces.architecture import Architecture as Architecture
from .interfaces.architecture import TrainingPlan as TrainingPlan
from .interfaces.architecture import TrainingRecipe as TrainingRecipe
from .interfaces.architecture import architectures as architectures
from .interfaces.artifact import Artifact as Artifact
from .interfaces.augmenter import Augmenter as Augmenter
from .interfaces.augmenter import augmenters as augmenters
from .interfaces.dataset import Dataset as Dataset
from .interfaces.dataset import SkippedFile as SkippedFile
from .interfaces.dataset import datasets as datasets
from .interfaces.decoded_image import DecodedImage as DecodedImage
from .interfaces.recipe import ImageFacts as ImageFacts
from .interfaces.recipe import Recipe as Recipe
from .interfaces.recipe import recipes as recipes
from .interfaces.reporter import Reporter as Reporter
from .interfaces.reporter import reporters as reporters
from .interfaces.splitter import Splitter as Splitter
from .interfaces.splitter import splitters as splitters
from .recipe import experiment_from_recipe as experiment_from_recipe
from .results.audits import audit as audit
from .results.model_probe import Probe as Probe
from .results.run import Run as Run
from .results.run import load_run as load_run
from .results.study import Study as Study
from .results.study import load_study as load_study
from .studies.study import study as study
from .training.train import train as train

__version__: str
