"""What a folder's name says of a split: in many languages, and in the spellings that are common."""

import re
from collections.abc import Iterable
from functools import cache
from typing import Literal

from tortie.images.class_names import letters_of

Meaning = Literal["train", "validation", "test", "evaluation", "unlabelled"]
"""A part of a split; ``evaluation`` is test or validation, whichever has no folder of its own."""

EXACT: dict[str, Literal["train", "validation", "test"]] = {
    "train": "train",
    "valid": "validation",
    "val": "validation",
    "validation": "validation",
    "test": "test",
}
"""Names that need no second look, in lower case."""

_WORDS: dict[Meaning, str] = {
    "train": """
        train training trainings trains trn tr trainval learn learning
        apprentissage entrainement entraîner entrenamiento entrenar entreno aprendizaje
        treino treinamento treinar aprendizagem addestramento allenamento apprendimento
        lern lernen ausbildung oefen oefening opleiding trening treningowy treningowe
        treningowa uczenie uczący trénink trénovací trénování tréning trenovanie tanító tanuló
        edzés eğitim öğrenme antrenman antrenare instruire latih pelatihan latihan koulutus
        opetus harjoitus träning tränings træning trenings opplæring þjálfun õpe treeniti
        обучение обучающая обучающий обучающие тренировка тренировочная тренировочный
        тренировочные трейн навчання навчальна навчальний тренування εκπαίδευση обука обучаващи
        训练 训 训练用 訓練 訓練用 学習 学習用 学习 トレーニング 訓練データ 훈련 학습 훈련용 학습용
        تدريب التدريب אימון प्रशिक्षण ฝึก ฝึกสอน huấn_luyện đào_tạo huanluyen daotao
    """,
    "validation": """
        val valid validation validate validating dev devel development validierung
        validierungs validación validar validação validatie convalida validazione validacja
        walidacja walidacyjny walidacyjne validace validačný doğrulama validasi validare validálás
        validointi validering validerings valideerimine
        валидация валидационная валидационный валид проверка проверочная перевірка валідація
        επικύρωση
        验证 驗證 検証 検証用 バリデーション 검증 검증용 تحقق التحقق אימות सत्यापन ตรวจสอบ kiểm_định
    """,
    "test": """
        test tests testing tester tst te holdout heldout unseen prueba pruebas ensayo teste
        testes essai essais prova prove collaudo prüfung prüfungs pruefung testen toets toetsing
        egzamin testowy testowe testowa testowanie zkouška testovací testování testovanie
        testovacie teszt tesztelés deneme sınav testare uji pengujian ujian testi testaus
        testning provning prófun
        тест тестовая тестовый тестовые тестирование испытание тестування тестова δοκιμή έλεγχος
        测试 測試 测试用 テスト テスト用 試験 테스트 시험 테스트용
        اختبار الاختبار בדיקה מבחן परीक्षण ทดสอบ kiểm_tra kiemtra
    """,
    "evaluation": """
        eval evaluation evaluate evaluating évaluation evaluación avaliação valutazione
        auswertung bewertung evaluatie ocena utvärdering değerlendirme evaluasi
        оценка оцінка αξιολόγηση 评估 評估 評価 평가 تقييم הערכה मूल्यांकन
    """,
    "unlabelled": """
        pred predict predictions prediction unlabeled unlabelled unlabel unlab inference submission
    """,
}

_FILLERS = """
    set sets data dataset datasets image images imgs img pic pics photo photos photograph
    photographs picture pictures split splits part folder dir subset sample samples file files
    class classes of for the de du des la le les los las el du di da do del und zu für
    raw clean full final small large big mini new old original orig resized cropped augmented aug
    labeled labelled labels ver version
    daten satz datensatz bilder bild menge fotos foto aufnahmen datos conjunto imagen imágenes
    imagem imagens dados jeu données ensemble dati immagini insieme dane zbiór zdjęcia obrazy
    obrázky snímky beelden gegevens kuvat bilderna gambar hình_ảnh ảnh veri resim görüntü
    данные набор выборка фото изображения картинки зображення дані σύνολο δεδομένα εικόνες
    集 集合 数据 数据集 數據 數據集 資料 資料集 图片 圖片 图像 圖像 用
    データ データセット 画像 写真 세트
    데이터 데이터셋 이미지 사진 بيانات مجموعة صور תמונות נתונים डेटा ภาพ ข้อมูล
"""


@cache
def _meanings() -> dict[str, Meaning]:
    return {
        letters_of(word).replace("_", ""): meaning
        for meaning, words in _WORDS.items()
        for word in words.split()
    }


@cache
def _fillers() -> frozenset[str]:
    return frozenset(letters_of(word).replace("_", "") for word in _FILLERS.split())


def meanings(names: Iterable[str]) -> dict[str, Meaning | None]:
    """What folders that lie side by side mean as parts of a split; ``None`` for no part.

    Words that all of them share say nothing: ``seg_train`` and ``seg_test`` are train and test.
    """
    words = {name: _words(name) for name in names}
    shared: set[str] = set()
    if len(words) > 1:
        shared = set.intersection(*map(set, words.values())) - _meanings().keys()
    return {name: _meaning([w for w in own if w not in shared]) for name, own in words.items()}


def _words(name: str) -> list[str]:
    """The words of a name, plain: parted by signs, digits and capitals within it."""
    if letters_of(name) == name.casefold() and name.isascii():
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    joined = "".join(re.findall(r"[^\W\d_]+", letters_of(name)))
    if joined in _meanings():  # "held-out", "kiểm tra"
        return [joined]
    return re.findall(r"[^\W\d_]+", letters_of(name))


def _meaning(words: list[str]) -> Meaning | None:
    found = {_meaning_of(word) for word in words}
    if {"train", "validation"} <= found:  # "train_val": all that is not test
        found.discard("validation")
    found.discard("nothing")
    if len(found) != 1:
        return None
    (only,) = found
    return None if only == "other" else only  # type: ignore[return-value]


def _meaning_of(word: str) -> Meaning | Literal["nothing", "other"]:
    """Of one word: a part of a split, perhaps with a filler before or behind (``trainset``)."""
    known, fillers = _meanings(), _fillers()
    if word in known:
        return known[word]
    if word in fillers or (len(word) == 1 and word.isascii()):
        return "nothing"
    for filler in fillers:
        if len(filler) < 2 and filler.isascii():
            continue
        for rest in (word.removesuffix(filler), word.removeprefix(filler)):
            if rest != word and rest in known and len(rest) > (2 if rest.isascii() else 0):
                return known[rest]
            if rest != word and rest in fillers:
                return "nothing"
    return "other"
