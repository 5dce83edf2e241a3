# The public names, written once: lazy_loader reads this file at run time, mypy and editors read
# it for types. "import X as X" is how a stub re-exports a name.
from .convert import convert_network as convert_network
from .convert import float32_model as float32_model
from .engines import Engine as Engine
from .engines import available_processors as available_processors
from .engines import images_per_batch as images_per_batch
from .record_check import compare_with_record as compare_with_record
