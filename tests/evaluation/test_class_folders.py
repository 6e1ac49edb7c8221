import pytest
from PIL import Image

from tests.pictures import scene
from ugicm_evaluation.datasets.class_folders import ClassFolderPictures
from ugicm_evaluation.errors import BadDataset


@pytest.fixture
def folder(tmp_path):
    for name in ("n02/b.png", "n02/a.png", "n01/c.png"):
        path = tmp_path / "val" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene(8, 8)).save(path)
    return tmp_path / "val"


def test_a_folder_is_a_class(folder):
    dataset = ClassFolderPictures(folder, None, name="val")
    assert dataset.classes == {"n01/c.png": 0, "n02/a.png": 1, "n02/b.png": 1}
    assert [one.key for one in dataset.samples] == list(dataset.classes)


def test_a_list_of_classes_numbers_the_folders(folder):
    classes = folder.parent / "LOC_synset_mapping.txt"
    classes.write_text("n00 tench, Tinca tinca\nn02 goldfish\n\nn01 great white shark\n")
    assert set(ClassFolderPictures(folder, classes, name="val").classes.values()) == {1, 2}


def test_a_class_that_the_list_lacks_is_named(folder):
    classes = folder.parent / "classes.txt"
    classes.write_text("n01\n")
    with pytest.raises(BadDataset, match=r"classes\.txt does not name the class 'n02'"):
        ClassFolderPictures(folder, classes, name="val")


@pytest.mark.parametrize(
    ("name", "complaint"), [("absent", "is no folder"), ("empty", "holds no folders with picture")]
)
def test_a_folder_without_classes_is_no_dataset(tmp_path, name, complaint):
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadDataset, match=complaint):
        ClassFolderPictures(tmp_path / name, None, name="val")
