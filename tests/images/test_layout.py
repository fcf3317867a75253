"""What folders mean. The oracle of each case is how such a set is meant by whoever made it."""

import pytest

from tortie.errors import UsageError
from tortie.images import find
from tortie.images.layout import parse_splits
from tortie.images.split_words import meanings

ANTS_AND_BEES = {("train", "ants"), ("train", "bees"), ("test", "ants"), ("test", "bees")}
VALIDATED = {(split.replace("test", "validation"), label) for split, label in ANTS_AND_BEES}
UNSPLIT = {(None, "ants"), (None, "bees")}


@pytest.fixture
def lay(tmp_path):
    """Make empty images, given by their folders, and find them."""

    def make(*folders, **how):
        for folder in folders:
            (tmp_path / "set" / folder).mkdir(parents=True, exist_ok=True)
            for number in range(2):
                (tmp_path / "set" / folder / f"{number}.jpg").touch()
        return find(tmp_path / "set", **how)

    return make


def read(collection):
    return {(one.split, one.label) for one in collection.photographs}


def within(*splits):
    return [f"{split}/{label}" for split in splits for label in ("ants", "bees")]


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("Training", "Testing"),
        ("TRAIN", "Test"),
        ("train ", "test "),
        ("train_set", "test_set"),
        ("Train Data", "Test Data"),
        ("TrainSet", "TestSet"),
        ("trainset", "testset"),
        ("dataset_train", "dataset_test"),
        ("seg_train", "seg_test"),
        ("ants-and-bees-train", "ants-and-bees-test"),
        ("x_train", "x_test"),
        ("01_train", "02_test"),
        ("train (80%)", "test (20%)"),
        ("training_images", "held-out"),
        ("trainval", "test"),
        ("train", "eval"),
        ("training", "evaluation"),
        ("learn", "unseen"),
        ("Ausbildung", "Prüfung"),
        ("Trainingsdaten", "Testdaten"),
        ("entraînement", "essai"),
        ("entrenamiento", "prueba"),
        ("treino", "teste"),
        ("addestramento", "prova"),
        ("uczenie", "zbiór testowy"),
        ("eğitim", "sınav"),
        ("обучающая выборка", "тестовая выборка"),
        ("训练集", "测试集"),
        ("訓練データ", "テストデータ"),
        ("훈련 데이터", "시험 데이터"),
        ("تدريب", "اختبار"),
        ("אימון", "מבחן"),
    ],
)
def test_folders_named_as_splits_are_splits(lay, train, test):
    collection = lay(*within(train, test))
    assert read(collection) == ANTS_AND_BEES
    plainly = {train.strip().lower(), test.strip().lower()} == {"train", "test"}
    assert bool(collection.notes) is not plainly
    assert all("--no-splits takes them for classes" in note for note in collection.notes)


@pytest.mark.parametrize(
    ("train", "validation"),
    [("train", "dev"), ("training", "validation"), ("train2017", "val2017"), ("学習用", "検証用")],
)
def test_validation_by_other_names(lay, train, validation):
    assert read(lay(*within(train, validation))) == VALIDATED


def test_evaluation_is_the_part_that_has_no_folder():
    assert meanings(["train", "val", "eval"])["eval"] == "evaluation"
    assert meanings(["steam train", "toy train"]) == {"steam train": None, "toy train": None}


def test_three_parts(lay):
    expected = {(split, label) for split in ("train", "validation", "test") for _, label in UNSPLIT}
    assert read(lay(*within("train", "val", "eval"))) == expected


@pytest.mark.parametrize("splits", [("train", "test"), ("Training", "Testing"), ("训练", "测试")])
def test_splits_inside_classes_are_kept(lay, splits):
    collection = lay(*(f"{label}/{split}" for label in ("ants", "bees") for split in splits))
    assert read(collection) == ANTS_AND_BEES
    (note,) = collection.notes
    assert note.startswith("splits inside the classes: ")


@pytest.mark.parametrize(
    "folders", [("train_", "test_"), ("_train", "_test"), ("-Training", " Testing")]
)
def test_split_and_class_in_one_name(lay, folders):
    names = [
        part + label if part[-1] == "_" else label + part
        for part in folders for label in ("ants", "bees")
    ]  # fmt: skip
    collection = lay(*names)
    assert read(collection) == ANTS_AND_BEES
    assert "taken for split and class" in collection.notes[0]


@pytest.mark.parametrize("wrapper", ["photos", "archive/data", "dataset_test"])
def test_a_wrapper_is_entered_and_said(lay, wrapper):
    collection = lay(f"{wrapper}/ants", f"{wrapper}/bees")
    assert read(collection) == UNSPLIT
    assert collection.notes[0].startswith(f"entered {wrapper!r}, the only folder of images in ")


def test_a_wrapper_of_splits_and_wrappers_in_splits_are_entered(lay):
    assert read(lay(*within("a/Training/Training", "a/Testing/Testing"))) == ANTS_AND_BEES


def test_a_class_with_folders_by_year_is_a_class(lay):
    assert read(lay("cats/2020", "cats/2021")) == {(None, "cats")}
    assert read(lay("dogs/2020", "dogs/2021")) == {(None, "cats"), (None, "dogs")}


def test_images_to_predict_beside_splits_are_left_out_and_said(lay):
    collection = lay(*within("seg_train/seg_train", "seg_test/seg_test"), "seg_pred/seg_pred")
    assert read(collection) == ANTS_AND_BEES
    assert "without classes, left out: 1 ('seg_pred')" in collection.notes[0]
    assert len(collection.photographs) == 8


@pytest.mark.parametrize(
    ("folders", "suggestion"),
    [
        (within("A", "B"), "train=A,test=B"),
        (within("2020", "2021"), "train=2020,test=2021"),
        (within("fold1", "fold2", "fold3"), "train=fold1,validation=fold3,test=fold2"),
        (within("train", "foo"), "train=train,test=foo"),
        (within("train1", "train2", "test"), "train=train1,train=train2,test=test"),
        (within("train", "val", "test", "eval"), "validation=eval,validation=val,test=test"),
        (["front/day", "front/night", "back/day", "back/night"], "train=back,test=front"),
        (["train/steam", "car"], "train=train,test=car"),
        (
            ["Training/ants", "Training/bees", "Testing/1", "Testing/2"],
            "train=Training,test=Testing",
        ),
    ],
)
def test_two_readings_are_a_question(lay, folders, suggestion):
    with pytest.raises(UsageError, match="--no-splits") as asked:
        lay(*folders)
    assert suggestion in str(asked.value)
    assert lay(*folders, splits="none").splits == ()


def test_classes_half_of_which_have_splits_are_a_question(lay):
    with pytest.raises(
        UsageError, match=r"1 \('ants'\) hold splits, and 1 \('bees'\) images in no"
    ):
        lay("ants/train", "ants/test", "bees")
    assert read(lay("bees", splits="none")) == UNSPLIT


@pytest.mark.parametrize("names", [("Training", "Testing"), ("train2017", "val2017")])
def test_splits_without_classes_are_no_classes(lay, names):
    with pytest.raises(UsageError, match="lie in no class"):
        lay(*names)
    assert read(lay(splits="none")) == {(None, name) for name in names}


@pytest.mark.parametrize(
    ("folders", "labels"),
    [
        (["train", "car", "test"], {"train", "car", "test"}),
        (["animals/cat", "animals/dog", "plants/oak", "plants/rose"], {"animals", "plants"}),
        (["learning/a", "learning/b", "math/c"], {"learning", "math"}),
        (["cats/100APPLE", "cats/101APPLE", "dogs/100APPLE", "dogs/101APPLE"], {"cats", "dogs"}),
        (["test_strip", "test_tube"], {"test_strip", "test_tube"}),
    ],
)
def test_what_is_plainly_classes_stays_so(lay, folders, labels):
    collection = lay(*folders)
    assert read(collection) == {(None, label) for label in labels}
    assert collection.notes == ()


@pytest.mark.parametrize(
    ("folders", "splits", "expected"),
    [
        (within("A", "B"), "train=A,test=B", ANTS_AND_BEES),
        (within("A", "B"), "train = A, TEST = B", ANTS_AND_BEES),
        (within("A", "B"), "train=A,val=B", VALIDATED),
        (within("f1", "f2", "f3"), "train=f[12],test=f3", ANTS_AND_BEES),
        (within("w1", "w2"), "train=w*", {("train", "ants"), ("train", "bees")}),
        (within("x/A", "x/B"), "train=A,test=B", ANTS_AND_BEES),
        (within("x/A", "y/B"), "train=x/A,test=y\\B", ANTS_AND_BEES),
        (within("a,b", "c"), "train=a,b,test=c", ANTS_AND_BEES),
        (["ants/a", "ants/b", "bees/a", "bees/b"], "train=a,test=b", ANTS_AND_BEES),
    ],
)
def test_splits_that_are_named(lay, folders, splits, expected):
    assert read(lay(*folders, splits=splits)) == expected


def test_what_no_named_split_holds_is_left_out_and_said(lay):
    collection = lay(*within("A", "B", "C"), splits="train=A,test=B")
    assert len(collection.photographs) == 8
    assert collection.notes[0].startswith("left out, in no class's folder: 4 (")


@pytest.mark.parametrize("text", ["train:A", "foo=A", "train=", "A", ""])
def test_splits_that_are_none_are_refused(text):
    with pytest.raises(UsageError, match="expected auto, none, or SPLIT=FOLDER"):
        parse_splits(text)


def test_folders_that_are_not_there_or_twice_are_refused(lay):
    with pytest.raises(UsageError, match=r"no folder of images 'X' in .* 2 \('A', 'B'\)"):
        lay(*within("A", "B"), splits="train=X,test=B")
    with pytest.raises(UsageError, match="'A' cannot be train and test"):
        lay(splits="train=A,test=A")
    with pytest.raises(UsageError, match="lie in no class"):
        lay("flat", splits="train=flat")


def test_classes_that_are_known_are_classes(lay):
    # A classifier's own: what lies in 2020/ants is an ant, whatever 2020 is.
    assert read(lay(*within("2020", "2021"), known=("ants", "bees"))) == UNSPLIT
    assert read(lay(known=("2020", "2021"))) == {(None, "2020"), (None, "2021")}


def test_splits_are_not_of_a_csv(tmp_path):
    (tmp_path / "a.csv").write_text("path,label\na.jpg,x\n")
    with pytest.raises(UsageError, match="are in its column"):
        find(tmp_path / "a.csv", splits="none")


@pytest.mark.parametrize(
    ("inside", "said"),
    [
        (("Lernen", "Prüfen"), ["train=Lernen,test=Prüfen' if they are classes"]),
        (("A", "B"), ["train=ants,test=bees if they are splits", "train=A,test=B if they are"]),
    ],
)
def test_folders_in_classes_that_may_be_splits_are_asked_for(lay, inside, said):
    """What the message offers is what is meant: its first option reads the splits as they are."""
    folders = [f"{label}/{name}" for label in ("ants", "bees") for name in inside]
    with pytest.raises(UsageError, match="or --no-splits") as asked:
        lay(*folders)
    for option in said:
        assert option in str(asked.value)
    assert ("train=ants" in str(asked.value)) is (len(said) == 2)
    own = f"train={inside[0]},test={inside[1]}"
    assert read(lay(*folders, splits=own)) == ANTS_AND_BEES


def test_a_class_folder_with_a_space_at_its_end_is_said(lay):
    collection = lay("ants", "bees ")
    assert read(collection) == UNSPLIT
    assert collection.notes == ("folder 'bees ' is class 'bees'",)
