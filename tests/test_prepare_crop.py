"""`prepare crop`: tables of four programs, label masks, edges, provenance."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from prepare_folders import manifest, pixels, tree
from typer.testing import CliRunner

from cellvision import errors, prepare
from cellvision.cli.prepare import app
from cellvision.prepare.object_tables import Box, read_objects
from cellvision.prepare.write import cut

pytestmark = pytest.mark.filterwarnings("ignore::cellvision.prepare.PrepareWarning")

# One object: the pixels of rows 20 to 25 and columns 10 to 17, in each program's words.
BOX = Box(20, 10, 26, 18)
CENTRE = (22.5, 13.5)
TABLES = {
    "cellprofiler": (
        "ImageNumber,ObjectNumber,FileName_DNA,PathName_DNA,Metadata_Plate,Metadata_Well,"
        "AreaShape_BoundingBoxMaximum_X,AreaShape_BoundingBoxMaximum_Y,"
        "AreaShape_BoundingBoxMinimum_X,AreaShape_BoundingBoxMinimum_Y,"
        "Location_Center_X,Location_Center_Y\n"
        "1,7,a.tif,D:\\data\\images,P1,B02,18,26,10,20,13.5,22.5\n"
    ),
    "qupath": (
        "Image\tObject ID\tName\tClass\tParent\tROI\tCentroid X µm\tCentroid Y µm\n"
        "a.tif\t3f2b\t\tTumor: Positive\tAnnotation\tPolygon\t7\t11.5\n"
    ),
    "imagej": " ,Label,Area,X,Y,BX,BY,Width,Height\n1,a.tif:0001-0023,48,14,23,10,20,8,6\n",
    "skimage": (
        "label,bbox-0,bbox-1,bbox-2,bbox-3,centroid-0,centroid-1,image\n7,20,10,26,18,22.5,13.5,a\n"
    ),
    "plain": "image,left,top,right,bottom,x,y,well\na.tif,10,20,18,26,13.5,22.5,B02\n",
    "semicolons": "image;x;y\na.tif;13.5;22.5\n",
    "decimal commas": "image;x;y;area\na.tif;13,5;22,500;0,53\n",
}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image of 40 x 60 pixels, every one with another value."""
    path = tmp_path / "images" / "a.tif"
    path.parent.mkdir()
    tifffile.imwrite(path, np.arange(1, 2401, dtype="uint16").reshape(40, 60))
    return path


def write_table(image: Path, text: str, name: str = "objects.csv") -> Path:
    path = image.parent.parent / name
    path.write_text(text, encoding="utf-8")
    return path


# Tables


@pytest.mark.parametrize("program", TABLES)
def test_every_program_means_the_same_place(image: Path, program: str) -> None:
    table = write_table(image, TABLES[program])
    (row,) = read_objects(table, 0.5 if program == "qupath" else None)
    assert row.centre == pytest.approx(CENTRE)
    assert row.box == (None if program in ("qupath", "semicolons", "decimal commas") else BOX)
    assert row.number == (7 if program in ("cellprofiler", "skimage") else 1)


@pytest.mark.parametrize("program", TABLES)
def test_crops_of_a_size_around_the_object(image: Path, tmp_path: Path, program: str) -> None:
    table = write_table(image, TABLES[program])
    pixel_size = 0.5 if program == "qupath" else None
    crops = prepare.crop_images(
        image.parent, tmp_path / "out", table=table, size=(10, 12), pixel_size=pixel_size
    )
    number = 7 if program in ("cellprofiler", "skimage") else 1
    assert list(crops["file"]) == [f"a_o000{number}.tif"]
    assert crops["transformation"][0] == f"crop object={number} y=18 x=8 h=10 w=12"
    crop = pixels(tmp_path / "out" / crops["file"][0])
    assert (crop == pixels(image)[18:28, 8:20]).all()
    assert crop.dtype == np.uint16
    assert (crops["source"][0], crops["field"][0]) == ("a.tif", "a")


def test_boxes_with_a_margin(image: Path, tmp_path: Path) -> None:
    table = write_table(image, TABLES["imagej"])
    with pytest.warns(prepare.PrepareWarning, match="--size keeps one scale"):
        crops = prepare.crop_images(image, tmp_path / "out", table=table, margin=2)
    crop = pixels(tmp_path / "out" / crops["file"][0])
    assert (crop == pixels(image)[18:28, 8:20]).all()


def test_calibrated_imagej_tables(image: Path) -> None:
    text = " ,Label,X,Y,BX,BY,Width,Height\n1,a.tif,7,11.5,5,10,4,3\n"
    (row,) = read_objects(write_table(image, text), 0.5)
    assert (row.centre, row.box) == (CENTRE, BOX)


def test_cellprofiler_names_images_in_another_table(image: Path, tmp_path: Path) -> None:
    for name in ("Image.csv", "Run1_Image.csv"):
        other = "b.tif" if name == "Image.csv" else "a.tif"
        write_table(
            image,
            f"FileName_Actin,FileName_DNA,ImageNumber,Metadata_Well\nx.tif,{other},3,C04\n",
            name,
        )
    text = "ImageNumber,ObjectNumber,Location_Center_X,Location_Center_Y\n3,5,13.5,22.5\n"
    table = write_table(image, text, "Run1_Nuclei.csv")
    crops = prepare.crop_images(image, tmp_path / "out", table=table, size=(4, 4))
    assert crops["Metadata_Well"].tolist() == ["C04"]
    for name in ("Image.csv", "Run1_Image.csv"):
        (tmp_path / name).unlink()
    with pytest.raises(errors.InvalidInput, match=r"no Image\.csv lies beside it"):
        prepare.crop_images(image, tmp_path / "out2", table=table, size=(4, 4))


def test_images_of_one_name_are_told_apart_by_their_folder(tmp_path: Path) -> None:
    for index, well in enumerate(("B02", "B03")):
        (tmp_path / "in" / well).mkdir(parents=True)
        tifffile.imwrite(tmp_path / "in" / well / "f.tif", np.full((9, 9), index + 1, "uint8"))
    table = tmp_path / "t.csv"
    table.write_text("image,x,y\nC:\\run\\B03\\f.tif,4,4\nB02/f.tif,4,4\nB03/f,1,1\nz.tif,1,1\n")
    with pytest.warns(prepare.PrepareWarning, match="1 row of images that are not here"):
        crops = prepare.crop_images(tmp_path / "in", tmp_path / "out", table=table, size=(3, 3))
    assert list(crops["file"]) == ["B02/f_o0001.tif", "B03/f_o0001.tif", "B03/f_o0002.tif"]
    assert pixels(tmp_path / "out" / "B03/f_o0001.tif").min() == 2
    table.write_text("image,x,y\nf.tif,4,4\n")
    with pytest.raises(errors.InvalidInput, match=r"f\.tif may be B02/f\.tif or B03/f\.tif"):
        prepare.crop_images(tmp_path / "in", tmp_path / "out2", table=table, size=(3, 3))
    table.write_text("x,y\n4,4\n")
    with pytest.raises(errors.InvalidInput, match="does not say which image"):
        prepare.crop_images(tmp_path / "in", tmp_path / "out2", table=table, size=(3, 3))


@pytest.mark.parametrize("forms", [("NFD", "NFC"), ("NFC", "NFD")])
def test_decomposed_accents_name_the_same_column(
    image: Path, tmp_path: Path, forms: tuple[str, str]
) -> None:
    written, asked = (unicodedata.normalize(form, "Präparat") for form in forms)
    table = write_table(image, f"Image,Class,X,Y,{written}\na.tif,A,14,23,P1\n")
    out = tmp_path / "out"
    options: dict[str, Any] = {"label": "Class", "group": asked, "columns": [asked]}
    prepare.crop_images(image.parent, out, table=table, size=(4, 4), **options)
    assert [(row["group"], row["Präparat"]) for row in manifest(out)] == [("P1", "P1")]


def test_class_group_and_batch_go_into_the_manifest(image: Path, tmp_path: Path) -> None:
    table = write_table(
        image,
        "Image,Class,Centroid X px,Centroid Y px,plate,well,day\n"
        "a.tif,Tumor: Positive,14,23,P1,B02,mon\n"
        "a.tif,,30,20,P1,B02,mon\n"
        "a.tif,Stroma,40,23,P1,B03,\n",
    )
    with pytest.warns(prepare.PrepareWarning, match="left out 1 object without Class"):
        prepare.crop_images(
            image.parent,
            tmp_path / "out",
            table=table,
            size=(4, 4),
            label="Class",
            group=["plate", "well"],
            batch="plate",
            columns=["day"],
        )
    rows = manifest(tmp_path / "out")
    assert [row["file"] for row in rows] == ["Tumor_ Positive/a_o0001.tif", "Stroma/a_o0003.tif"]
    assert list(rows[0]) == ["file", "source", "field", "transformation", "group", "batch", "day"]
    assert [(row["group"], row["batch"], row["day"]) for row in rows] == [
        ("P1/B02", "P1", "mon"),
        ("P1/B03", "P1", ""),
    ]


def test_provenance_of_the_images_is_inherited_and_may_not_be_contradicted(
    image: Path, tmp_path: Path
) -> None:
    (image.parent / "groups.csv").write_text("file,well,plate\na.tif,B02,7\n")
    table = write_table(image, TABLES["plain"])
    crops = prepare.crop_images(
        image.parent, tmp_path / "out", table=table, size=(4, 4), columns=["well"]
    )
    assert crops[["well", "plate"]].to_numpy().tolist() == [["B02", "7"]]
    write_table(image, TABLES["plain"].replace("B02", "B03"))
    with pytest.raises(errors.InvalidInput, match=r"a\.tif has well=B02 .* and well=B03"):
        prepare.crop_images(
            image.parent, tmp_path / "out2", table=table, size=(4, 4), columns=["well"]
        )


def test_a_table_that_changed_is_not_mixed_with_what_was_made(image: Path, tmp_path: Path) -> None:
    table = write_table(image, TABLES["plain"])
    prepare.crop_images(image, tmp_path / "out", table=table, size=(4, 4))
    prepare.crop_images(image, tmp_path / "out", table=table, size=(4, 4))
    write_table(image, TABLES["plain"].replace("13.5", "20"))
    with pytest.raises(errors.FolderError, match="was begun with crop"):
        prepare.crop_images(image, tmp_path / "out", table=table, size=(4, 4))


# Edges


@pytest.mark.parametrize(("edge", "count"), [("pad", 3), ("shift", 3), ("drop", 1)])
def test_edges(image: Path, tmp_path: Path, edge: str, count: int) -> None:
    table = write_table(image, "x,y\n0,0\n30,20\n59,39\n")
    crops = prepare.crop_images(image, tmp_path / "out", table=table, size=(5, 5), edge=edge)
    whole = pixels(image)[:, :, 0]
    arrays = [pixels(tmp_path / "out" / file)[:, :, 0] for file in crops["file"]]
    assert [array.shape for array in arrays] == [(5, 5)] * count
    assert (arrays[count // 2] == whole[18:23, 28:33]).all()
    if edge == "pad":
        assert (arrays[0][2:, 2:] == whole[:3, :3]).all()
        assert arrays[0][:2].max() == arrays[0][:, :2].max() == 0
        assert (arrays[2][:3, :3] == whole[37:, 57:]).all()
        assert arrays[2][3:].max() == arrays[2][:, 3:].max() == 0
    if edge == "shift":
        assert (arrays[0] == whole[:5, :5]).all()
        assert (arrays[2] == whole[35:, 55:]).all()


@given(*[st.integers(-12, 24) for _ in range(2)], *[st.integers(1, 20) for _ in range(2)])
def test_windows_anywhere(y: int, x: int, height: int, width: int) -> None:
    array = np.arange(1, 81).reshape(8, 10, 1)
    window = cut(array, y, x, height, width)
    assert window.shape == (height, width, 1)
    padded = np.pad(array, ((40, 40), (40, 40), (0, 0)))
    assert (window == padded[y + 40 : y + 40 + height, x + 40 : x + 40 + width]).all()


# Masks


@pytest.fixture
def masked(tmp_path: Path) -> Path:
    """Two classes with an image each, and masks in another folder with other endings."""
    labels = np.zeros((30, 40), "uint16")
    labels[2:8, 3:9] = 300
    labels[4:6, 9:20] = 12
    labels[25:30, 35:40] = 65000
    for name, ending, dtype in (("a/x", "_cp_masks.png", "uint16"), ("b/y", ".tif", "float32")):
        path = tmp_path / "images" / f"{name}.tif"
        path.parent.mkdir(parents=True)
        planes = np.random.default_rng(1).integers(1, 4096, (3, 30, 40), "uint16")
        tifffile.imwrite(path, planes, photometric="minisblack")
        mask = tmp_path / "masks" / (name + ending)
        mask.parent.mkdir(parents=True)
        if ending.endswith("png"):
            Image.fromarray(labels).save(mask)
        else:
            tifffile.imwrite(mask, labels.astype(dtype))
    return tmp_path


def test_crops_around_the_objects_of_masks(masked: Path) -> None:
    crops = prepare.crop_images(masked / "images", masked / "out", masks=masked / "masks")
    assert list(crops["file"]) == [
        f"{name}_o{number}.tif" for name in ("a/x", "b/y") for number in ("0012", "0300", "65000")
    ]
    whole = pixels(masked / "images" / "a/x.tif")
    assert (pixels(masked / "out" / "a/x_o0300.tif") == whole[2:8, 3:9]).all()
    assert crops["transformation"][1] == "crop object=300 y=2 x=3 h=6 w=6"
    assert set(crops["field"]) == {"a/x", "b/y"}


def test_the_background_is_removed_with_its_neighbours(masked: Path) -> None:
    crops = prepare.crop_images(
        masked / "images",
        masked / "out",
        masks=masked / "masks",
        size=(10, 10),
        background="remove",
    )
    assert crops["transformation"][1] == "crop object=300 y=0 x=1 h=10 w=10 background=removed"
    crop = pixels(masked / "out" / "a/x_o0300.tif")
    expected = np.zeros_like(crop)
    expected[2:8, 2:8] = pixels(masked / "images" / "a/x.tif")[2:8, 3:9]
    assert crop.dtype == np.uint16
    assert (crop == expected).all()


def test_black_and_white_masks_are_separated_into_objects(image: Path, tmp_path: Path) -> None:
    mask = np.zeros((40, 60), "uint8")
    mask[1:4, 1:4] = mask[4:6, 4:6] = 255  # touch at a corner: one object
    mask[20:22, 30:35] = 255
    for name, array in (("grey.png", mask), ("bits.png", mask > 0)):
        Image.fromarray(array).save(tmp_path / name)
        crops = prepare.crop_images(image, tmp_path / f"out_{name}", masks=tmp_path / name)
        assert [text.split("y=")[1] for text in crops["transformation"]] == [
            "1 x=1 h=5 w=5",
            "20 x=30 h=2 w=5",
        ]


@settings(max_examples=30)
@given(st.lists(st.sampled_from([0, 3, 9, 2**31]), min_size=30, max_size=30))
def test_every_object_is_boxed_tightly(values: list[int]) -> None:
    from cellvision.prepare.label_masks import objects_of

    labels = np.array(values, np.uint32).reshape(5, 6)
    objects = objects_of(labels)
    assert [number for number, _ in objects] == [int(n) for n in np.unique(labels) if n]
    for number, box in objects:
        rows, columns = np.nonzero(labels == number)
        assert (box.top, box.bottom) == (rows.min(), rows.max() + 1)
        assert (box.left, box.right) == (columns.min(), columns.max() + 1)


def test_an_image_without_an_object_is_noted(image: Path, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((40, 60), "uint8")).save(tmp_path / "mask.png")
    with pytest.warns(prepare.PrepareWarning, match=r"a\.tif: no object, so no crop"):
        crops = prepare.crop_images(image, tmp_path / "out", masks=tmp_path / "mask.png")
    assert len(crops) == 0


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ((40, 59), "uint16", "is 40x59 pixels and its image 40x60"),
        ((40, 60, 3), "uint8", "has 3 channels"),
        ((40, 60), "float32", "not whole"),
        ((40, 60), "int16", "negative"),
    ],
)
def test_masks_that_do_not_fit(
    image: Path, tmp_path: Path, shape: tuple[int, ...], dtype: str, message: str
) -> None:
    value = {"float32": 1.5, "int16": -1}.get(dtype, 1)
    rgb = "rgb" if len(shape) == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "m.tif", np.full(shape, value, dtype), photometric=rgb)
    with pytest.raises(errors.InvalidInput, match=message):
        prepare.crop_images(image, tmp_path / "out", masks=tmp_path / "m.tif")


def test_the_images_are_not_their_own_masks(image: Path, tmp_path: Path) -> None:
    """Seen: 26,771 crops of nothing."""
    (tmp_path / "link").symlink_to(image.parent)
    for source, masks in (
        (image.parent, image.parent),
        (image.parent, tmp_path / "images" / ".." / "images"),
        (image.parent, tmp_path / "link"),
        (image, image),
        (image, image.parent),
    ):
        with pytest.raises(errors.InvalidInput, match="itself and holds no label masks") as caught:
            prepare.crop_images(source, tmp_path / "out", masks=masks, size=(4, 4))
        assert image.parent.name in caught.value.what or "link" in caught.value.what
        assert "cellvision nuclei" in caught.value.hint
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_microscope_image_is_no_mask(image: Path, tmp_path: Path, dtype: str) -> None:
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:40, :60]
    spot = 150 * np.exp(-((y - 20) ** 2 + (x - 30) ** 2) / 200)
    tifffile.imwrite(tmp_path / "m.tif", rng.poisson(30 + spot).clip(0, 255).astype(dtype))
    with pytest.raises(errors.InvalidInput, match=r"mask m\.tif looks like an image") as caught:
        prepare.crop_images(image, tmp_path / "out", masks=tmp_path / "m.tif", size=(4, 4))
    assert "0 for background and one number per object" in caught.value.hint
    result = CliRunner().invoke(
        app, ["crop", str(image), "--out", str(tmp_path / "o"), "--masks", str(tmp_path / "m.tif")]
    )
    assert isinstance(result.exception, errors.InvalidInput)


@pytest.mark.parametrize("gap", [0, 1, 5])
@pytest.mark.parametrize("side", [(3, 3), (2, 2), (1, 3), (3, 1), (1, 1)])
def test_masks_of_small_objects_pass(
    image: Path, tmp_path: Path, side: tuple[int, int], gap: int
) -> None:
    """Objects of a few pixels that fill the mask, and single pixels that do not touch."""
    if side == (1, 1) and gap == 0:
        pytest.skip("that is an image")
    step = [length + gap for length in side]
    mask = np.zeros((40, 60), "uint16")
    number = 0
    for top in range(0, 40, step[0]):
        for left in range(0, 60, step[1]):
            number += 1
            mask[top : top + side[0], left : left + side[1]] = number
    tifffile.imwrite(tmp_path / "m.tif", mask)
    assert len(prepare.crop_images(image, tmp_path / "out", masks=tmp_path / "m.tif")) == number


def test_missing_and_double_masks(masked: Path) -> None:
    (masked / "masks" / "b" / "y_mask.tif").write_bytes(b"")
    with pytest.raises(errors.InvalidInput, match=r"b/y\.tif has 2 masks: b/y\.tif, b/y_mask"):
        prepare.crop_images(masked / "images", masked / "out", masks=masked / "masks")
    for path in (masked / "masks" / "b").iterdir():
        path.unlink()
    with pytest.raises(errors.InvalidInput, match=r"b/y\.tif has 0 masks"):
        prepare.crop_images(masked / "images", masked / "out", masks=masked / "masks")


def test_an_interrupted_crop_resumes(masked: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    options = {"masks": masked / "masks", "size": (8, 8)}
    with pytest.raises(KeyboardInterrupt):
        prepare.crop_images(masked / "images", masked / "out", progress=interrupt, **options)
    assert not (masked / "out" / "manifest.csv").exists()
    prepare.crop_images(masked / "images", masked / "out", **options)
    prepare.crop_images(masked / "images", masked / "whole", **options)
    assert tree(masked / "out") == tree(masked / "whole")


# Refusals


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("image,x,y\na.tif,60,20\n", {}, "line 2: a.tif has 40x60 pixels, and the object lies"),
        ("image,x,y\nb.tif,1,1\n", {}, "no row names one of the images; the first names b.tif"),
        ("image,x,y\na.tif,1,nan\n", {}, "line 2: y is 'nan'"),
        ("image,x,y\na.tif,1,\n", {}, "line 2: y is ''"),
        (
            "image;x;y\na.tif;2.5;2\na.tif;1,5;2\n",
            {},
            "line 3: x is '1,5', not a position\nWrite all positions with a decimal point",
        ),
        ("image,x,y\na.tif,1\n", {}, "line 2: 2 values for 3 columns"),
        ("image,x\na.tif,1\n", {}, "columns of positions are incomplete"),
        ("name,where\na.tif,1\n", {}, "has no columns with positions; it has name, where"),
        ("image,x,y\n", {}, "has no rows"),
        ("image,left,top,right,bottom\na,5,5,5,9\n", {}, "the box 5, 5, 5, 9 is empty"),
        (TABLES["qupath"], {}, "is in micrometres"),
        (TABLES["cellprofiler"], {"pixel_size": 0.5}, "is in pixels, as CellProfiler writes it"),
        (TABLES["semicolons"], {"size": None}, "has points and no boxes"),
        (TABLES["plain"], {"pixel_size": 0}, "the pixel size must be above 0"),
        (TABLES["plain"], {"label": "genotype"}, "has no column 'genotype'"),
        (TABLES["plain"], {"columns": ["file"]}, "has no column 'file'"),
        (TABLES["plain"], {"margin": 2}, "margin is for crops"),
        (TABLES["plain"], {"size": (0, 4)}, "size must be at least 1"),
        (TABLES["plain"], {"size": (41, 4), "edge": "shift"}, "less than a crop of 41x4"),
        (TABLES["plain"], {"edge": "mirror"}, "unknown edge"),
        (TABLES["plain"], {"background": "remove"}, "only be removed with label masks"),
        (TABLES["plain"], {"background": "white"}, "unknown background"),
    ],
)
def test_unusable_tables_and_options(
    image: Path, tmp_path: Path, text: str, options: dict[str, object], message: str
) -> None:
    table = write_table(image, text)
    with pytest.raises(errors.InvalidInput, match=message):
        prepare.crop_images(image, tmp_path / "out", table=table, **{"size": (4, 4), **options})


def test_options_of_tables_do_not_go_with_masks(image: Path, tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidInput, match="one of the two"):
        prepare.crop_images(image, tmp_path / "out")
    for options in ({"label": "x"}, {"group": ["x"]}, {"pixel_size": 0.5}):
        with pytest.raises(errors.InvalidInput, match="describes a table"):
            prepare.crop_images(image, tmp_path / "out", masks=image, **options)


def test_two_classes_do_not_share_a_folder(image: Path, tmp_path: Path) -> None:
    table = write_table(image, "x,y,kind\n9,9,a:b\n9,9,a/b\n")
    with pytest.raises(errors.InvalidInput, match="would share a folder"):
        prepare.crop_images(image, tmp_path / "out", table=table, size=(4, 4), label="kind")
    table = write_table(image, "x,y,kind\n9,9,..\n")
    with pytest.raises(errors.InvalidInput, match="cannot be the name of a class"):
        prepare.crop_images(image, tmp_path / "out", table=table, size=(4, 4), label="kind")


def test_the_command_line(image: Path, tmp_path: Path) -> None:
    table = write_table(image, TABLES["plain"])
    command = ["crop", str(image.parent), "--out", str(tmp_path / "out"), "--table", str(table)]
    result = CliRunner().invoke(app, [*command, "--size", "8x8", "--group", "well"])
    assert result.exit_code == 0, result.output
    assert "1 crop of 1 image in" in result.stdout
    assert manifest(tmp_path / "out")[0]["group"] == "B02"


def test_objects_lost_at_the_edge_are_one_note_with_their_total(tmp_path: Path) -> None:
    """Seen: a line for each of 600 images."""
    rows = ["image,x,y"]
    (tmp_path / "fields").mkdir()
    for number, corners in enumerate((1, 2, 3)):
        tifffile.imwrite(tmp_path / "fields" / f"{number}.tif", np.zeros((20, 20), np.uint8))
        places = [(0, 0), (19, 19), (0, 19)][:corners]
        rows += [f"{number}.tif,{x},{y}" for x, y in [*places, (10, 10)]]
    table = tmp_path / "cells.csv"
    table.write_text("\n".join(rows) + "\n")
    with pytest.warns(prepare.PrepareWarning) as caught:
        prepare.crop_images(
            tmp_path / "fields", tmp_path / "out", table=table, size=(5, 5), edge="drop"
        )
    assert [str(each.message) for each in caught] == [
        "0.tif and 2 others: left out 6 objects at the edge"
    ]
