"""Recipes: facts about training images, settings chosen from them, and what takes precedence."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from PIL import Image

import cellvision as cv
from cellvision import errors
from cellvision.agreed_choice import agreed_choice
from cellvision.cli import main
from cellvision.cli.experiments import read_with_recipe
from cellvision.data.image_warnings import describe_mixed_channels
from cellvision.data.recipe_facts import fold_facts, image_facts
from cellvision.recipe_experiment import as_experiment
from cellvision.studies.looks import setting_digest
from cellvision.studies.study_folder import claim_study, study_plan
from cellvision.testing.recipe import example_facts


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_folder(tmp_path_factory.mktemp("images"), count=40)


def upright_images(root: Path, *, upright: bool) -> Path:
    """Write images that are bright at the top, or at a random side."""
    chance = np.random.default_rng(0)
    for number in range(80):
        pixels = chance.normal(100, 10, (32, 32))
        pixels[:8] += 80
        turned = pixels if upright else np.rot90(pixels, chance.integers(4))
        path = root / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(turned, 0, 255).astype(np.uint8)).save(path)
    return root


def test_facts_come_from_training_images_only(images: Path) -> None:
    dataset = cv.datasets.create("folder", path=images, group="well")
    facts = image_facts(dataset, cv.Split())
    catalog = cv.Split().apply(cv.Catalog.of(dataset))
    training = catalog.table[catalog.table["split"] == "train"]
    assert facts.class_counts == training["label"].value_counts().to_dict()
    assert facts.images == facts.sampled == len(training) < 80
    assert facts.groups == training["group"].nunique()
    assert (facts.heights, facts.widths, facts.side) == ((32,) * 3, (32,) * 3, 32)
    assert (facts.channels, facts.is_grey, facts.bit_depth) == (1, True, 8)


def test_test_images_are_not_read(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = cv.datasets.create("folder", path=images, group="well")
    catalog = cv.Split().apply(cv.Catalog.of(dataset))
    read: list[str] = []
    decode = type(dataset).decode

    def counting(self: cv.Dataset, image: str) -> cv.DecodedImage:
        read.append(image)
        return decode(self, image)

    monkeypatch.setattr(type(dataset), "decode", counting)
    image_facts(dataset, cv.Split())
    held_out = catalog.table.loc[catalog.table["split"] != "train", "image"]
    assert read
    assert not set(read) & set(held_out)


def two_plates(root: Path) -> Path:
    """Eight wells: images of the first plate are 32 pixels wide, of the second 64."""
    chance = np.random.default_rng(0)
    rows = ["file,well,plate"]
    for number in range(32):
        well = number // 4
        name, plate = f"{'ab'[well % 2]}/{number}.png", "PQ"[well // 4]
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        side = 32 if plate == "P" else 64
        Image.fromarray(chance.integers(0, 255, (side, side), dtype=np.uint8)).save(root / name)
        rows.append(f"{name},{well},{plate}")
    (root / "groups.csv").write_text("\n".join(rows))
    return root


def test_facts_of_a_fold_are_those_of_its_training_images(tmp_path: Path) -> None:
    dataset = cv.datasets.create("folder", path=two_plates(tmp_path), group="well", batch="plate")
    splitter = cv.splitters.create("leave_one_out", column="batch", validation=0)
    facts = fold_facts(dataset, cv.Split(splitter=splitter))
    assert [one.widths for one in facts] == [(64, 64, 64), (32, 32, 32)]
    assert [one.images for one in facts] == [16, 16]
    for fold, one in enumerate(facts, start=1):
        assert one == image_facts(dataset, cv.Split(splitter=splitter, fold=fold))


def test_a_recipe_chooses_once_for_all_folds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = cv.datasets.create("folder", path=two_plates(tmp_path), group="well", batch="plate")

    def size(column: str, **more: object) -> tuple[int, int] | None:
        splitter = {"type": "leave_one_out", "column": column, "validation": 0}
        settings: dict[str, Any] = {"split": {"splitter": splitter, **more}}
        return cv.experiment_from_recipe(dataset, settings=settings).preprocessing.size

    # Every fold by well trains on both plates, and all agree.
    assert size("group") == (64, 64)
    assert not caplog.messages
    # Folds by plate do not: the first one decides, and the difference is stated.
    assert size("batch") == (64, 64)
    assert any(
        "choose preprocessing.size differently for 1 of 2 folds" in m for m in caplog.messages
    )
    caplog.clear()
    # A single training of one fold asks that fold alone.
    assert size("batch", fold=2) == (32, 32)
    assert not caplog.messages


def test_the_choice_of_most_folds_counts(caplog: pytest.LogCaptureFixture) -> None:
    few, many = {"training": {"epochs": 60}, "a": 1}, {"training": {"epochs": 59}, "a": 1}
    assert agreed_choice([few, many, many]) == many
    assert "choose training.epochs differently for 1 of 3 folds" in caplog.text
    # A choice that is given anyway makes no difference.
    caplog.clear()
    assert agreed_choice([few, many, many], {"training": {"epochs": 5}}) == many
    assert not caplog.messages
    assert agreed_choice([few, many]) == few


@pytest.mark.parametrize(("wells", "architecture"), [(4, "scattering"), (5, "resnet")])
def test_standard_fixes_the_features_where_groups_are_few(wells: int, architecture: str) -> None:
    facts = example_facts()["two classes of cells"]
    recipe = cv.recipes.create("standard")
    chosen = recipe.experiment(replace(facts, class_groups={"control": wells, "treated": wells}))
    assert chosen["architecture"] == {"type": architecture}
    assert recipe.experiment(replace(facts, class_groups=None))["architecture"] == {
        "type": "resnet"
    }


def test_groups_that_hold_both_classes_count_for_both(tmp_path: Path) -> None:
    dataset = cv.datasets.create("folder", path=two_plates(tmp_path), group="plate")
    splitter = cv.splitters.create("leave_one_out", column="group", validation=0)
    facts = image_facts(dataset, cv.Split(splitter=splitter, fold=1))
    assert (facts.groups, facts.class_groups) == (1, {"a": 1, "b": 1})


def test_a_recipe_gives_reasons_for_what_the_user_leaves_to_it(tmp_path: Path) -> None:
    dataset = cv.datasets.create("folder", path=two_plates(tmp_path), group="well")
    split = {"validation": 0.0, "test": 0.0}

    def reasons(**settings: Any) -> dict[str, str]:
        settings = {"split": split, **settings}
        return cv.experiment_from_recipe(dataset, settings=settings).recipe_reasons

    every = reasons()
    assert set(every) == {"architecture", "preprocessing.fit"}
    assert "4 training groups each (median)" in every["architecture"]
    assert set(reasons(preprocessing={"fit": "pad"})) == {"architecture"}
    assert set(reasons(preprocessing={"channels": "gray"})) == set(every)
    assert reasons(architecture="resnet", preprocessing={"fit": "pad"}) == {}


@pytest.mark.parametrize(
    ("before", "after", "left"),
    [
        ("orientations = 6", "orientations = 4", {"architecture", "preprocessing.fit"}),
        ('fit = "crop"', 'fit = "pad"', {"architecture"}),
        ('"scattering"\norientations = 6\nl2 = 0.001', '"resnet"', {"preprocessing.fit"}),
    ],
)
def test_the_reason_for_a_setting_goes_with_its_value(
    tmp_path: Path, before: str, after: str, left: set[str]
) -> None:
    dataset = cv.datasets.create("folder", path=two_plates(tmp_path), group="well")
    chosen = cv.experiment_from_recipe(dataset, settings={"split": {"validation": 0, "test": 0}})
    assert set(chosen.recipe_reasons) == {"architecture", "preprocessing.fit"}
    file = cv.save_experiment(chosen, tmp_path / "experiment.toml")
    assert cv.load_experiment(file) == chosen
    text = file.read_text("utf-8")
    assert before in text
    file.write_text(text.replace(before, after), encoding="utf-8")
    edited = cv.load_experiment(file)
    assert set(edited.recipe_reasons) == left
    assert edited.recipe == "standard"


def test_a_copy_with_changes_keeps_only_the_reasons_that_apply(tmp_path: Path) -> None:
    dataset = cv.datasets.create("folder", path=two_plates(tmp_path), group="well")
    chosen = cv.experiment_from_recipe(dataset, settings={"split": {"validation": 0, "test": 0}})
    assert set(chosen.recipe_reasons) == {"architecture", "preprocessing.fit"}
    other = chosen.model_copy(update={"architecture": cv.architectures.create("resnet")})
    assert set(other.recipe_reasons) == set(other.recipe_choices) == {"preprocessing.fit"}
    assert other.recipe == "standard"
    padded = chosen.preprocessing.model_copy(update={"fit": "pad"})
    assert set(chosen.model_copy(update={"preprocessing": padded}).recipe_reasons) == {
        "architecture"
    }
    # Another seed, or the same value again, changes no choice.
    seeded = chosen.training.model_copy(update={"seed": 3})
    same = {"training": seeded, "architecture": chosen.architecture}
    assert chosen.model_copy(update=same).recipe_reasons == chosen.recipe_reasons
    assert chosen.model_copy() == chosen


def test_quick_gives_the_reasons_for_its_own_settings(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(24):
        side = 60 + 40 * (number % 2)
        path = tmp_path / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 200, (side, side), dtype=np.uint8)).save(path)
    # On its smaller canvas, quick has to resize what standard can crop.
    fits = {}
    for name in ("standard", "quick"):
        chosen = cv.experiment_from_recipe(tmp_path, name)
        fits[name] = chosen.preprocessing.fit
        assert ("preprocessing.fit" in chosen.recipe_reasons) == (fits[name] == "crop")
    assert fits == {"standard": "crop", "quick": "resize"}


def test_an_upright_direction_is_recognised(tmp_path: Path) -> None:
    for upright in (True, False):
        root = upright_images(tmp_path / str(upright), upright=upright)
        facts = image_facts(cv.datasets.create("folder", path=root), cv.Split())
        assert (facts.upside_down > 0.9) is upright
        assert facts.mirrored < 0.6 or not upright


def test_standard_turns_cells_and_not_photographs(tmp_path: Path) -> None:
    names = {}
    for upright in (True, False):
        root = upright_images(tmp_path / str(upright), upright=upright)
        experiment = cv.experiment_from_recipe(root)
        names[upright] = [type(one).__name__ for one in experiment.augmenters]
    assert names == {True: ["Flip", "Shift"], False: ["Dihedral", "Shift"]}


@pytest.mark.parametrize(
    ("heights", "widths", "size", "fit"),
    [
        ((64, 64, 64), (64, 64, 64), (64, 64), "resize"),
        ((360, 363, 366), (360, 360, 369), (128, 128), "resize"),
        ((40, 60, 90), (50, 60, 100), (100, 100), "crop"),
        ((40, 60, 90), (50, 60, 300), (60, 60), "resize"),
        ((1024, 1024, 1024), (1344, 1344, 1344), (112, 147), "resize"),
        ((8, 8, 8), (8, 8, 8), (16, 16), "resize"),
        ((8, 8, 8), (32, 32, 32), (16, 64), "resize"),
    ],
)
def test_size_and_fit_follow_the_images(
    heights: tuple[int, int, int], widths: tuple[int, int, int], size: tuple[int, int], fit: str
) -> None:
    facts = replace(example_facts()["two classes of cells"], heights=heights, widths=widths)
    preprocessing = cv.recipes.create("standard").experiment(facts)["preprocessing"]
    assert preprocessing == {"size": list(size), "fit": fit, "channels": [0, 1]}


@pytest.mark.parametrize(
    ("images", "epochs"),
    [(40, 150), (160, 150), (300, 80), (400, 60), (2000, 60), (8000, 30), (50_000, 12)],
)
def test_epochs_follow_the_number_of_images(images: int, epochs: int) -> None:
    counts = {"a": images // 2, "b": images - images // 2}
    facts = replace(example_facts()["two classes of cells"], class_counts=counts)
    training = cv.recipes.create("standard").experiment(facts)["training"]
    assert isinstance(training, dict)
    assert training["epochs"] == epochs
    assert training["warmup_epochs"] == pytest.approx(0.06 * epochs, abs=0.01)


def test_cut_out_cells_of_many_sizes_keep_their_size(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    for number in range(24):
        path = tmp_path / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        side = 20 + number
        Image.fromarray(chance.integers(0, 255, (side, side), dtype=np.uint8)).save(path)
    chosen = cv.experiment_from_recipe(tmp_path).preprocessing
    assert (chosen.fit, chosen.size) in {("crop", (side, side)) for side in range(40, 44)}


@pytest.mark.parametrize(("count", "channels"), [(2, (0, 1)), (3, "rgb"), (5, (0, 1, 2, 3, 4))])
def test_all_channels_are_used(count: int, channels: object, tmp_path: Path) -> None:
    import tifffile

    chance = np.random.default_rng(0)
    for number in range(24):
        path = tmp_path / "ab"[number % 2] / f"{number}.tif"
        path.parent.mkdir(exist_ok=True)
        pixels = chance.integers(0, 255, (16, 16, count), dtype=np.uint8)
        tifffile.imwrite(path, pixels, photometric="minisblack", planarconfig="contig")
    for name in ("standard", "quick"):
        assert cv.experiment_from_recipe(tmp_path, name).preprocessing.channels == channels


@pytest.mark.parametrize(
    ("empty", "channels"),
    [({2: 0}, (0, 1)), ({0: 7}, (1, 2)), ({0: 0, 2: 9}, (1,)), ({0: 1, 1: 2, 2: 3}, "rgb")],
)
def test_empty_channels_are_left_out(
    empty: dict[int, int], channels: object, tmp_path: Path
) -> None:
    """A channel whose level differs from image to image is not empty."""
    chance = np.random.default_rng(0)
    for level in (0, 1):
        for number in range(24):
            pixels = chance.integers(0, 200, (16, 16, 3), dtype=np.uint8)
            for channel, value in empty.items():
                pixels[..., channel] = value + level * (number == 23)
            path = tmp_path / str(level) / "ab"[number % 2] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    split = cv.Split(validation=0, test=0)
    for name in ("standard", "quick"):
        chosen = cv.experiment_from_recipe(tmp_path / "0", name, settings={"split": split})
        assert chosen.preprocessing.channels == channels
        reason = chosen.recipe_reasons.get("preprocessing.channels", "")
        numbers = " and ".join(map(str, empty))
        said = f"channels {numbers} are" if len(empty) > 1 else f"channel {numbers} is"
        assert reason.startswith(f"{said} empty") == (channels != "rgb")
    differing = cv.experiment_from_recipe(tmp_path / "1", settings={"split": split})
    assert differing.preprocessing.channels == "rgb"


def test_images_that_differ_in_channels_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder with one stack of 60 frames once gave advice about channel 59."""
    import tifffile

    chance = np.random.default_rng(0)
    for number in range(24):
        path = tmp_path / "ab"[number % 2] / f"{number}.tif"
        path.parent.mkdir(exist_ok=True)
        frames = 60 if number == 8 else 1
        pixels = chance.integers(0, 255, (frames, 16, 16), dtype=np.uint8)
        tifffile.imwrite(path, pixels, photometric="minisblack")
    # Each in the training split, so that the recipe sees it.
    split = {"split": {"test": 0, "validation": 0.25, "seed": 1}}
    for name in ("standard", "quick", "page"):
        with pytest.raises(errors.PreprocessingError) as caught:
            cv.experiment_from_recipe(tmp_path, name, split)
        assert "with 1 (such as 'a/" in caught.value.what
        assert "1 with 60 (such as 'a/8.tif')" in caught.value.what
        assert "preprocessing.channels=[0]" in str(caught.value.hint)
    chosen = cv.experiment_from_recipe(tmp_path, settings={"preprocessing": {"channels": [0]}})
    assert chosen.preprocessing.channels == (0,)
    with pytest.raises(SystemExit) as ended:
        main(["audit", str(tmp_path)])
    assert not ended.value.code
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "Images differ in their number of channels: 23 with 1 (such as 'a/0.tif'), 1 with" in said
    )


def test_grey_and_colour_images_can_be_combined() -> None:
    grey_and_colour = {f"{number}": 3 if number % 3 else 1 for number in range(9)}
    assert describe_mixed_channels(grey_and_colour) is None
    assert describe_mixed_channels({"a": 2, "b": 2}) is None
    text = describe_mixed_channels({**grey_and_colour, "stack.tif": 4})
    assert text == (
        "images differ in their number of channels: 6 with 3 (such as '1'), 3 with 1 "
        "(such as '0'), 1 with 4 (such as 'stack.tif')"
    )


def test_every_recipe_gives_a_complete_experiment(images: Path) -> None:
    for name in ("standard", "quick", "page"):
        experiment = cv.experiment_from_recipe(images, name)
        assert experiment.recipe == name
    assert experiment.preprocessing.size == (256, 256)
    assert experiment.augmenters == ()
    assert (experiment.training.epochs, experiment.training.restarts) == (9, 0)


def test_settings_take_precedence(images: Path) -> None:
    experiment = cv.experiment_from_recipe(
        images,
        settings={
            "training": {"epochs": 3},
            "architecture": "deep",
            "preprocessing": {"size": [256, 256]},
            "augmenters": [],
        },
    )
    assert experiment.training.epochs == 3
    assert experiment.training.schedule == "cosine"
    assert type(experiment.architecture).__name__ == "Deep"
    assert experiment.preprocessing.size == (256, 256)
    assert experiment.augmenters == ()


def test_a_recipe_has_settings_of_its_own(images: Path, tmp_path: Path) -> None:
    class Brief(cv.Recipe):
        """Trains for few epochs."""

        epochs: int = 3
        """Number of epochs."""

        def experiment(self, facts: cv.ImageFacts) -> dict[str, Any]:
            return {"training": {"epochs": self.epochs}}

    cv.recipes.register("brief", Brief)
    try:
        plain = read_with_recipe(str(images), [], "brief")
        changed = read_with_recipe(str(images), ["recipe.epochs=7"], "brief")
        with pytest.raises(errors.ExperimentError, match=r"recipe 'brief'.*epoch"):
            read_with_recipe(str(images), ["recipe.epoch=7"], "brief")
    finally:
        cv.recipes.unregister("brief")
    assert (plain.training.epochs, changed.training.epochs) == (3, 7)
    assert "recipe_settings" not in plain.model_dump(mode="json")
    cv.save_experiment(changed, tmp_path / "changed.toml")
    assert cv.load_experiment(tmp_path / "changed.toml").recipe_settings == {"epochs": 7}


@pytest.mark.parametrize(
    "change", ["recipe=page", "recipe.type=page", "recipe={type = 'page'}", "recipe={type: page}"]
)
def test_a_recipe_can_be_set_like_other_components(images: Path, change: str) -> None:
    assert read_with_recipe(str(images), [change], None).recipe == "page"


def test_settings_of_a_recipe_apply_it_to_an_experiment_file(images: Path, tmp_path: Path) -> None:
    path = tmp_path / "experiment.json"
    path.write_text(json.dumps({"dataset": {"type": "folder", "path": str(images)}}))
    assert read_with_recipe(str(path), [], None).recipe is None
    assert read_with_recipe(str(path), ["recipe=page"], None).training.epochs == 9
    with pytest.raises(errors.ExperimentError, match=r"recipe 'standard'.*epoch"):
        read_with_recipe(str(path), ["recipe.epoch=3"], None)


def test_two_recipes_are_refused(images: Path) -> None:
    with pytest.raises(errors.ExperimentError, match="two recipes"):
        read_with_recipe(str(images), ["recipe=page"], "quick")
    assert read_with_recipe(str(images), ["recipe=page"], "page").recipe == "page"


def test_a_table_in_place_of_a_name_shows_how_to_set_it(images: Path) -> None:
    with pytest.raises(errors.ExperimentError, match="expected the name of a plugin") as caught:
        read_with_recipe(str(images), [], "{type = 'page'}")
    assert "--set recipe.KEY=VALUE" in caught.value.hint


def test_a_recipe_is_recorded_with_its_distribution(images: Path, tmp_path: Path) -> None:
    chosen = read_with_recipe(str(images), [], "page")
    assert chosen.recipe_plugin == cv.recipes.requirement("page")
    cv.save_experiment(chosen, tmp_path / "page.toml")
    assert cv.load_experiment(tmp_path / "page.toml") == chosen
    assert "recipe_plugin" not in cv.Experiment(dataset=chosen.dataset).model_dump(mode="json")


def test_a_newer_recipe_that_chooses_the_same_is_no_other_study(
    images: Path, tmp_path: Path
) -> None:
    chosen = read_with_recipe(str(images), [], "page")
    newer = chosen.model_copy(update={"recipe_plugin": "cellvision-recipes==99"})
    other = chosen.model_copy(update={"training": cv.Training(epochs=1)})
    for experiment in (chosen, newer):
        claim_study(tmp_path / "study", study_plan({"page": experiment}, 1, {"page": {}}, {}, {}))
    with pytest.raises(errors.FolderError, match="another study was started here"):
        claim_study(tmp_path / "study", study_plan({"page": other}, 1, {"page": {}}, {}, {}))
    digests = [setting_digest(each.model_dump(mode="json")) for each in (chosen, newer, other)]
    assert digests[0] == digests[1] != digests[2]


def test_a_recipe_of_a_file_leaves_no_trace_of_the_recipe_before(
    images: Path, tmp_path: Path
) -> None:
    before = {"recipe": "lost", "recipe_plugin": "lab==1", "recipe_settings": {"epochs": 3}}
    path = tmp_path / "experiment.json"
    dataset = {"type": "folder", "path": str(images)}
    path.write_text(json.dumps({"dataset": dataset, **before}))
    assert read_with_recipe(str(path), [], None).recipe_plugin == "lab==1"
    chosen = read_with_recipe(str(path), [], "page")
    assert (chosen.recipe, chosen.recipe_settings) == ("page", {})
    assert chosen.recipe_plugin == cv.recipes.requirement("page")


@pytest.mark.parametrize("named", ["quick", {"type": "quick"}])
def test_a_recipe_that_a_file_names_fills_in_what_is_open(
    named: Any, images: Path, tmp_path: Path
) -> None:
    path = tmp_path / "experiment.json"
    dataset = {"type": "folder", "path": str(images)}
    path.write_text(json.dumps({"dataset": dataset, "training": {"epochs": 3}, "recipe": named}))
    chosen = read_with_recipe(str(images), ["training.epochs=3"], "quick")
    assert read_with_recipe(str(path), [], None) == as_experiment(path) == chosen
    assert (chosen.recipe, chosen.training.epochs) == ("quick", 3)
    page = read_with_recipe(str(path), [], "page")
    assert (page.recipe, page.architecture) == ("page", cv.architectures.create("deep"))


def test_the_warm_up_is_scaled_to_the_epochs_that_are_given(images: Path) -> None:
    chosen = read_with_recipe(str(images), [], None).training
    shorter = read_with_recipe(str(images), ["training.epochs=6"], None).training
    assert (chosen.epochs, chosen.warmup_epochs) == (150, 9)
    assert (shorter.epochs, shorter.warmup_epochs) == (6, 0.36)
    given = ["training.epochs=6", "training.warmup_epochs=2"]
    assert read_with_recipe(str(images), given, None).training.warmup_epochs == 2


def test_loading_a_file_says_that_its_recipe_is_not_applied(
    images: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "experiment.json"
    dataset = {"type": "folder", "path": str(images)}
    path.write_text(json.dumps({"dataset": dataset, "recipe": "quick"}))
    loaded = cv.load_experiment(path)
    assert (loaded.training, loaded.recipe) == (cv.Training(), None)
    assert "names the recipe quick, which is not applied" in caplog.text
    caplog.clear()
    cv.save_experiment(as_experiment(path), path)
    assert cv.load_experiment(path).training != cv.Training()
    assert not caplog.text


@pytest.mark.parametrize("form", ["toml", "json"])
@pytest.mark.parametrize("recipe", ["page", "standard"])
def test_a_complete_experiment_keeps_its_recipe(
    recipe: str, form: str, images: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / f"experiment.{form}"
    complete = read_with_recipe(str(images), [], recipe)
    cv.save_experiment(complete, path)
    assert read_with_recipe(str(path), [], "quick") == complete
    assert read_with_recipe(str(path), ["recipe=quick"], None) == complete
    assert "The recipe quick changes nothing" in caplog.text


def test_mistakes_are_reported_before_images_are_read(images: Path) -> None:
    with pytest.raises(errors.ExperimentError, match="epoch"):
        cv.experiment_from_recipe(images, settings={"training": {"epoch": 3}})
    with pytest.raises(errors.UnknownPlugin, match="nonsense"):
        cv.experiment_from_recipe(images, "nonsense")
    with pytest.raises(errors.InvalidInput):
        cv.experiment_from_recipe(images / "missing")


@pytest.mark.parametrize("form", ["toml", "json"])
def test_the_command_prints_a_file_to_edit(
    form: str, images: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as finished:
        main(["recipe", str(images), "--set", "dataset.group=well", "--format", form])
    assert finished.value.code == 0
    text = capsys.readouterr().out
    settings = tomllib.loads(text) if form == "toml" else json.loads(text)
    assert settings["recipe"] == "standard"
    assert settings["dataset"]["group"] == "well"
    file = tmp_path / f"experiment.{form}"
    file.write_text(text)
    dataset = cv.datasets.create("folder", path=images, group="well")
    loaded, chosen = cv.load_experiment(file), cv.experiment_from_recipe(dataset)
    assert loaded.model_dump(mode="json") == chosen.model_dump(mode="json")
    assert loaded == chosen


@pytest.mark.exhaustive
def test_train_takes_a_folder(images: Path, tmp_path: Path) -> None:
    run = cv.train(images, tmp_path / "run", group="well", recipe="quick")
    assert run.experiment.recipe == "quick"
    assert run.group_column == "well"
    with pytest.raises(errors.ExperimentError, match="group is for a folder"):
        cv.train(run.experiment, tmp_path / "again", group="well")
