"""Folders of image files: what is read, what is refused with all files at once, and how their model predicts."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from phalanx import MLP, TrainerSpec, TrialSpec, load_dataset, train_trial
from phalanx.analysis.predict import predict_file
from phalanx.core.errors import DataError, RunFolderError, SpecError
from phalanx.data.image_folder import ImageFolder
from phalanx.data.images import ImageForm
from phalanx.runs.model_file import load_model, save_model
from phalanx.runs.tensor_file import read_tensors, write_tensors

DRAW = np.random.default_rng(0)
GREY = DRAW.integers(0, 256, (24, 4, 5), dtype=np.uint8)
COLOURS = DRAW.integers(0, 256, (24, 4, 5, 3), dtype=np.uint8)


@pytest.fixture
def write(tmp_path):
    """Writes images to `images/CLASS/NUMBER.png`, by turns to each class; returns the folder."""

    def images(pixels=GREY, classes=("cat", "owl"), folder="images"):
        for place, image in enumerate(pixels):
            file = tmp_path / folder / classes[place % len(classes)] / f"{place:02}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(file)
        return tmp_path / folder

    return images


def spec_of(folder, **options):
    return ImageFolder(path=str(folder), **options)


def test_grey_images_are_rows_with_a_shape(write):
    raw = spec_of(write()).read()
    assert raw.classes == ("cat", "owl")
    assert raw.image_shape == (4, 5)
    np.testing.assert_array_equal(raw.x, np.concatenate([GREY[::2], GREY[1::2]]).reshape(24, 20))
    assert raw.y.tolist() == [0] * 12 + [1] * 12
    assert raw.about == ("24 images, 4 × 5 grey",)


def test_colours_are_kept_or_become_their_luminance(write):
    folder = write(COLOURS)
    raw = spec_of(folder, color="rgb").read()
    assert raw.image_shape is None
    np.testing.assert_array_equal(raw.x[:12], COLOURS[::2].reshape(12, 60))
    grey = spec_of(folder).read()
    luminance = COLOURS[::2] @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(grey.x[:12].reshape(12, 4, 5), luminance, atol=1)
    np.testing.assert_array_equal(
        spec_of(write(folder="grey"), color="rgb").read().x[0].reshape(20, 3).T[1], GREY[0].ravel()
    )


def test_a_folder_test_is_the_official_test_split(write, tmp_path):
    write(GREY[:18], folder="images/train")
    root = write(GREY[18:], folder="images/test").parent
    data = load_dataset(spec_of(root))
    assert data.official_test
    assert (len(data.train) + len(data.val), len(data.test)) == (18, 6)
    write(GREY[:2], ("dog",), folder="images/test")
    with pytest.raises(DataError, match=r"images/test has classes that .*images/train lacks: dog"):
        spec_of(root).read()


def test_classes_that_are_numbers_are_in_their_order(write):
    assert spec_of(write(classes=("10", "9"))).read().classes == ("9", "10")


def test_sizes_must_be_equal_or_are_made_equal(write):
    folder = write()
    write(GREY[:3, :2], ("dog",))
    with pytest.raises(DataError) as error:
        spec_of(folder).read()
    assert str(error.value) == (
        f"{folder} has images of 2 sizes (height × width): 4 × 5 (24 images), 2 × 5 (3 images); to make them equal, "
        "type 'data.size=[4,5]'"
    )
    raw = spec_of(folder, size=(4, 5)).read()
    resized = Image.fromarray(GREY[0, :2]).resize((5, 4), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(raw.x[12], np.asarray(resized).ravel())
    np.testing.assert_array_equal(raw.x[0], GREY[0].ravel())


def test_images_that_cannot_be_read_are_named(write):
    folder = write()
    (folder / "cat" / "broken.png").write_bytes(b"no image")
    (folder / "owl" / "half.PNG").write_bytes((folder / "owl" / "01.png").read_bytes()[:60])
    Image.new("RGBA", (5, 4)).save(folder / "owl" / "transparent.png")
    with pytest.raises(DataError) as error:
        spec_of(folder).read()
    first, *others = str(error.value).splitlines()
    assert first == f"3 of 27 images in {folder} cannot be used:"
    assert [line.split()[1].rpartition("/")[2] for line in others] == ["broken.png", "half.PNG", "transparent.png"]


def test_other_files_are_left_out_and_told(write):
    folder = write()
    for name in ("cat/notes.txt", "cat/.hidden.png", "readme.md"):
        (folder / name).write_text("x")
    assert spec_of(folder).read().about[1:] == ("left out, since no images: 1 files (notes.txt)",)


def test_folders_that_hold_no_classes(write, tmp_path):
    with pytest.raises(DataError, match=r"data\.path: .*/none is no folder that can be read \(No such file"):
        spec_of(tmp_path / "none").read()
    folder = write()
    with pytest.raises(DataError, match=r"cat must have a folder for each class with files \.png, \.jpg.*are none"):
        spec_of(folder / "cat").read()
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match=r"has folders without images .*: empty; remove them"):
        spec_of(folder).read()
    with pytest.raises(SpecError, match=r"data\.size must be a list of two whole numbers"):
        spec_of(folder, size=(4, 5, 6))


def test_the_digest_follows_the_pixels(write):
    folder = write()
    before = load_dataset(spec_of(folder)).digest
    Image.fromarray(255 - GREY[0]).save(folder / "cat" / "00.png")
    assert load_dataset(spec_of(folder)).digest != before


@pytest.mark.parametrize("color", ["grey", "rgb"])
def test_a_model_predicts_files_in_its_size_and_colours(write, tmp_path, color):
    folder = write(COLOURS)
    file = tmp_path / "model.safetensors"
    for size in (None, (3, 3)):
        spec = TrialSpec(
            data=spec_of(folder, size=size, color=color), model=MLP(hidden=(4,)), trainer=TrainerSpec(epochs=1)
        )
        data = load_dataset(spec.data)
        save_model(file, spec, data, train_trial(spec, data))
        raw, model = spec.data.read(), load_model(file)
        found = predict_file(file, folder / "cat")
        assert found.names[:2] == ("00.png", "02.png")
        np.testing.assert_array_equal(found.p_NC, model.predict(raw.x[:12]))
        Image.fromarray(COLOURS[0].repeat(2, axis=0)).save(tmp_path / "large.png")
        if size is None:
            with pytest.raises(
                DataError, match=r"large.png must be 5 × 4 pixels \(width × height\), got 5 × 8; resize it"
            ):
                predict_file(file, tmp_path / "large.png")
        else:
            assert len(predict_file(file, tmp_path / "large.png").p_NC) == 1
    about, weights = read_tensors(file)
    for form in ({"color": "blue"}, {"height": 0}, {"width": 7}):
        write_tensors(file, weights, {**about, "image": {**about["image"], **form}})
        with pytest.raises(RunFolderError, match="describes a network that this version cannot build"):
            load_model(file)


def test_a_picture_is_turned_as_its_camera_says(tmp_path):
    turned = Image.fromarray(GREY[0])
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    found = ImageForm(5, 4).read(tmp_path / "turned.png")
    np.testing.assert_array_equal(found, np.rot90(GREY[0], -1))
