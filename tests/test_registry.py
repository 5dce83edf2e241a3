"""Names to classes: what is installed is found without importing, and nobody breaks another."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import cellvision as cv
from cellvision import errors
from cellvision.known_plugins import KNOWN_DISTRIBUTIONS

GOOD = '''
"""A plugin."""
import numpy as np, pandas as pd
import cellvision as cv

class Tiny(cv.Dataset):
    """Two images.

    And more words.
    """
    size: int = 4

    def catalog(self):
        return pd.DataFrame({"image": ["1", "2"], "label": ["a", "b"]})

    def read(self, image):
        return np.zeros((self.size, self.size, 1), "uint8")

class Undocumented(Tiny):
    pass

Undocumented.__doc__ = None

class Lacking(cv.Dataset):
    def catalog(self):
        return None

class Other(cv.Augmenter):
    def build(self, seed):
        return None

def function():
    return Tiny

value = 3
'''

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a distribution as pip leaves it: a package and a .dist-info folder."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    packages: set[str] = set()

    def install(
        distribution: str,
        entry_points: dict[str, str],
        modules: dict[str, str] | None = None,
        *,
        version: str = "1.2",
        metadata: bool = True,
        group: str = "cellvision.datasets",
    ) -> None:
        info = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        if metadata:
            (info / "METADATA").write_text(
                f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
            )
        lines = "".join(f"{name} = {value}\n" for name, value in entry_points.items())
        (info / "entry_points.txt").write_text(f"[{group}]\n{lines}")
        for name, source in (modules or {}).items():
            target = site / f"{name.replace('.', '/')}.py"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(source)
            packages.add(name.partition(".")[0])
        importlib.invalidate_caches()

    yield install
    for name in list(sys.modules):
        if name.partition(".")[0] in packages:
            del sys.modules[name]


def test_names_come_from_metadata_alone(install: Install) -> None:
    install("lab-tiny", {"tiny_in_lab": "lab_tiny:Tiny"}, {"lab_tiny": GOOD})
    assert "tiny_in_lab" in cv.datasets.names()
    assert "tiny_in_lab" in cv.datasets
    assert list(cv.datasets) == sorted(cv.datasets.names())
    assert "lab_tiny" not in sys.modules
    assert cv.datasets.get("tiny_in_lab").__name__ == "Tiny"
    assert "lab_tiny" in sys.modules


def test_create_and_info(install: Install) -> None:
    install("lab-tiny", {"tiny_in_lab": "lab_tiny:Tiny"}, {"lab_tiny": GOOD})
    component = cv.datasets.create("tiny_in_lab", size=7)
    assert component.model_dump() == {
        "type": "tiny_in_lab",
        "group": None,
        "batch": None,
        "classes": None,
        "size": 7,
    }
    info = cv.datasets.info("tiny_in_lab")
    assert (info.distribution, info.version) == ("lab-tiny", "1.2")
    assert info.module == "lab_tiny:Tiny"
    assert (info.status, info.reason, info.description) == ("ok", "", "Two images.")
    assert cv.datasets.requirement("tiny_in_lab") == "lab-tiny==1.2"


def test_a_class_without_words_does_not_borrow_those_of_the_interface(install: Install) -> None:
    install("lab-tiny", {"wordless": "lab_tiny:Undocumented"}, {"lab_tiny": GOOD})
    assert cv.datasets.info("wordless").description == ""


def test_a_broken_plugin_hurts_only_whoever_uses_it(install: Install) -> None:
    install("lab-broken", {"broken_one": "lab_broken:Tiny"}, {"lab_broken": "import no_such_dep"})
    assert cv.datasets.get("folder") is not None
    with pytest.raises(errors.BrokenPlugin) as caught:
        cv.datasets.create("broken_one")
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)
    for detail in ("'broken_one'", "lab-broken 1.2", "no_such_dep", "lab_broken:Tiny"):
        assert detail in caught.value.what
    assert caught.value.hint.endswith("python -m pip install --upgrade lab-broken")
    info = cv.datasets.info("broken_one")
    assert info.status == "broken"
    assert "no_such_dep" in info.reason


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("raise SystemExit(3)", SystemExit),
        ("x = (", SyntaxError),
        ("import cellvision as cv\nclass Tiny(cv.Dataset):\n    type: str = 'x'", TypeError),
        ("pass", AttributeError),
    ],
    ids=["exits", "syntax", "field called type", "missing attribute"],
)
def test_import_errors_are_reported(
    install: Install, source: str, cause: type[BaseException]
) -> None:
    install("lab-broken", {"broken_one": "lab_broken:Tiny"}, {"lab_broken": source})
    with pytest.raises(errors.BrokenPlugin) as caught:
        cv.datasets.get("broken_one")
    assert isinstance(caught.value.__cause__, cause)


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("Other", "does not derive from cellvision.Dataset"),
        ("function", "is not a class"),
        ("value", "is not a class"),
        ("Lacking", "does not define read"),
        ("cv.Dataset", "does not derive"),
    ],
)
def test_contract_violations_are_refused(install: Install, target: str, says: str) -> None:
    install("lab-odd", {"odd_one": f"lab_odd:{target}"}, {"lab_odd": GOOD})
    with pytest.raises(errors.PluginContractError, match=says):
        cv.datasets.get("odd_one")
    assert cv.datasets.info("odd_one").status == "broken"


def test_a_module_is_no_class(install: Install) -> None:
    install("lab-odd", {"odd_one": "lab_odd"}, {"lab_odd": GOOD})
    with pytest.raises(errors.PluginContractError, match="is not a class"):
        cv.datasets.get("odd_one")


def test_a_name_with_a_space(install: Install) -> None:
    install("lab-odd", {"my cells": "lab_odd:Tiny"}, {"lab_odd": GOOD})
    assert "my cells" in cv.datasets.names()
    with pytest.raises(
        errors.PluginContractError, match="has a name with characters other than letters"
    ):
        cv.datasets.get("my cells")


def test_an_entry_point_that_is_none(install: Install) -> None:
    install("lab-odd", {"odd_one": "not a:valid!!"})
    assert "folder" in cv.datasets.names()
    with pytest.raises(errors.BrokenPlugin):
        cv.datasets.get("odd_one")


def test_a_distribution_without_metadata(install: Install) -> None:
    install("lab-bare", {"bare_one": "lab_bare:Tiny"}, {"lab_bare": GOOD}, metadata=False)
    assert cv.datasets.create("bare_one").model_dump()["type"] == "bare_one"


def test_two_distributions_with_one_name(install: Install) -> None:
    install("lab-one", {"twice": "lab_one:Tiny"}, {"lab_one": GOOD})
    install("Lab_Two", {"twice": "lab_two:Tiny"}, {"lab_two": GOOD}, version="3.0")
    assert "twice" in cv.datasets.names()
    for use in (cv.datasets.get, cv.datasets.create, cv.datasets.info, cv.datasets.requirement):
        with pytest.raises(errors.PluginConflict) as caught:
            use("twice")
        assert "lab-one 1.2" in caught.value.what
        assert "Lab_Two 3.0" in caught.value.what
        assert ':twice"' in caught.value.hint
    one, two = cv.datasets.create("lab-one:twice"), cv.datasets.create("lab.two:twice", size=9)
    assert (type(one).__module__, type(two).__module__) == ("lab_one", "lab_two")
    assert one.model_dump()["type"] == "lab-one:twice"
    assert two.model_dump()["type"] == "Lab_Two:twice"
    experiment = cv.Experiment(dataset=two)
    assert cv.Experiment.model_validate(experiment.model_dump(mode="json")) == experiment
    states = {i.distribution: i for i in cv.datasets.plugins() if i.name == "twice"}
    assert {i.status for i in states.values()} == {"conflict"}
    assert states["lab-one"].reason == "also provided by Lab_Two"


def test_a_full_name_that_nobody_offers() -> None:
    with pytest.raises(errors.UnknownPlugin) as caught:
        cv.datasets.get("nobody:folder")
    assert caught.value.what == "no dataset is called 'nobody:folder': nobody is not installed"
    assert caught.value.hint == (
        "Install it: python -m pip install nobody; or choose 'cellvision-datasets:folder'"
    )


def test_a_full_name_that_its_distribution_lacks() -> None:
    with pytest.raises(errors.UnknownPlugin, match=r"cellvision-splitters .* does not provide it"):
        cv.datasets.get("cellvision-splitters:folder")


def test_a_full_name_is_looked_for_by_its_distribution() -> None:
    assert "cellvision-datasets:folder" in cv.datasets
    assert "cellvision_datasets:folder" in cv.datasets
    assert "nobody:folder" not in cv.datasets


@pytest.mark.parametrize(
    ("requirement", "name"),
    [
        ("cellvision-datasets==0.0.1", "folder"),
        ("", "folder"),
        ("lab-data==1.0", "lab-data:folder"),
        ("my_folder.py", "folder"),
    ],
)
def test_a_record_means_the_plugin_of_its_distribution(requirement: str, name: str) -> None:
    assert cv.datasets.recorded("folder", requirement) == name


def test_another_distribution_is_accepted_if_the_user_prefers_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CELLVISION_PREFER", "cellvision-datasets:folder")
    assert cv.datasets.recorded("folder", "lab-data==1.0") == "folder"


def test_a_local_file_that_is_not_loaded_is_named() -> None:
    name = cv.datasets.recorded("my_plate", "my_plate.py")
    with pytest.raises(errors.UnknownPlugin, match=r"my_plate\.py is not loaded") as caught:
        cv.datasets.get(name)
    assert "--plugin my_plate.py" in caught.value.hint


def test_the_nearest_name_is_suggested() -> None:
    with pytest.raises(errors.UnknownPlugin) as caught:
        cv.datasets.create("foldr")
    assert caught.value.what == "no dataset is called 'foldr'"
    assert caught.value.hint.startswith("Did you mean 'folder'? (installed: ")


def test_an_unknown_name_lists_what_is_installed() -> None:
    with pytest.raises(errors.UnknownPlugin) as caught:
        cv.augmenters.get("zzzzzz")
    assert caught.value.hint == f"Installed: {', '.join(cv.augmenters.names())}"


@pytest.mark.parametrize(
    ("registry", "name", "home"),
    [
        (cv.datasets, "bioio", "cellvision-bioio"),
        (cv.datasets, "cellvision-bioio:bioio", "cellvision-bioio"),
        (cv.reporters, "tensorboard", "cellvision-tracking"),
        (cv.reporters, "mlflow", "cellvision-tracking"),
    ],
)
def test_how_to_install_what_a_known_distribution_offers(
    registry: object, name: str, home: str
) -> None:
    assert isinstance(registry, type(cv.datasets))
    if name.rpartition(":")[2] in registry:
        assert registry.info(name.rpartition(":")[2]).distribution == home
        return
    with pytest.raises(errors.UnknownPlugin) as caught:
        registry.get(name)
    assert caught.value.hint.endswith(f"python -m pip install --upgrade {home}")


def test_a_known_name_of_another_kind_is_no_hint() -> None:
    with pytest.raises(errors.UnknownPlugin) as caught:
        cv.datasets.get("tensorboard")
    assert "pip install" not in caught.value.hint


def test_known_distributions_are_of_the_groups_there_are() -> None:
    registries = (
        *(cv.datasets, cv.augmenters, cv.architectures),
        *(cv.recipes, cv.splitters, cv.controls, cv.exporters, cv.reporters),
    )
    assert set(KNOWN_DISTRIBUTIONS) == {registry.group for registry in registries}
    for registry in registries:
        for info in registry.plugins():
            offered = KNOWN_DISTRIBUTIONS[registry.group].get(info.distribution)
            assert offered is None or info.name in offered, info


def test_faults_are_values_in_the_listing(install: Install) -> None:
    install(
        "lab-mixed",
        {"fine_one": "lab_mixed:Tiny", "odd_one": "lab_mixed:Other", "gone_one": "nowhere:X"},
        {"lab_mixed": GOOD},
    )
    rows = {i.name: i for i in cv.datasets.plugins() if i.distribution == "lab-mixed"}
    assert {name: row.status for name, row in rows.items()} == {
        "fine_one": "ok",
        "gone_one": "broken",
        "odd_one": "broken",
    }
    assert "nowhere" in rows["gone_one"].reason
    assert rows["fine_one"].group == "cellvision.datasets"


def test_what_is_installed_later_is_found(install: Install) -> None:
    with pytest.raises(errors.UnknownPlugin):
        cv.datasets.get("late_one")
    install("lab-late", {"late_one": "lab_late:Tiny"}, {"lab_late": GOOD})
    assert cv.datasets.get("late_one").__name__ == "Tiny"


def test_an_entry_point_may_name_a_reexport(install: Install) -> None:
    install(
        "lab-api",
        {"by_reexport": "lab_api.front:Tiny [extra]"},
        {
            "lab_api.__init__": "",
            "lab_api.front": "from lab_hidden import Tiny",
            "lab_hidden": GOOD,
        },
    )
    component = cv.datasets.create("by_reexport", size=2)
    assert type(component).__module__ == "lab_hidden"
    assert component.model_dump()["type"] == "by_reexport"
    assert cv.datasets.name_of(type(component)) == "by_reexport"


def test_register_and_unregister() -> None:
    class Mine(cv.Augmenter):
        degrees: int = 1

        def build(self, seed: int) -> object:  # type: ignore[override]
            return None

    with pytest.raises(
        errors.PluginError, match=r"(?s)Mine is not registered .*\.register\('mine', Mine"
    ):
        cv.augmenters.name_of(Mine)
    try:
        assert cv.augmenters.register("mine", Mine) is Mine
        assert "mine" in cv.augmenters
        assert cv.augmenters.create("mine", degrees=3) == Mine(degrees=3)
        assert cv.augmenters.name_of(Mine) == "mine"
        assert cv.augmenters.info("mine").distribution == "(registered here)"
        assert cv.augmenters.requirement("mine") == "(registered here)"
        cv.augmenters.register("mine", Mine)  # a notebook's cell, run again
    finally:
        cv.augmenters.unregister("mine")
    assert "mine" not in cv.augmenters
    cv.augmenters.unregister("mine")
    with pytest.raises(errors.UnknownPlugin):
        cv.augmenters.create("mine")


def test_register_refuses_what_would_not_work() -> None:
    class Mine(cv.Augmenter):
        def build(self, seed: int) -> object:  # type: ignore[override]
            return None

    with pytest.raises(errors.PluginConflict, match="cellvision-augmenters"):
        cv.augmenters.register("flip", Mine)
    with pytest.raises(errors.PluginContractError, match="does not derive"):
        cv.datasets.register("mine", Mine)
    with pytest.raises(errors.PluginContractError, match="is not a class"):
        cv.augmenters.register("mine", 3)  # type: ignore[arg-type]
    with pytest.raises(errors.PluginContractError, match="has a name with characters"):
        cv.augmenters.register("my own", Mine)
    assert "mine" not in cv.augmenters


def test_telling_about_everything_imports_no_keras() -> None:
    program = (
        "import sys, cellvision as cv\n"
        "rows = [i for r in (cv.datasets, cv.augmenters, cv.architectures, cv.reporters)"
        " for i in r.plugins()]\n"
        "assert all(i.status == 'ok' for i in rows), rows\n"
        "assert len(rows) > 10\n"
        "print([m for m in ('keras', 'tensorflow', 'jax') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
