"""Peer of `bench_check.py duplicates`: imagededup and cleanvision on the same planted copies.

    python benchmarks/bench_check.py duplicates IMAGES --keep FOLDER
    python benchmarks/peers/near_duplicates.py FOLDER     # in the environment of peers

A copy of ``a.jpg`` is called ``a-copy.jpg``. What else is paired is counted: real duplicates among
the images count there too, for every method alike.
"""

import argparse
import logging
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("folder", type=Path)
folder = parser.parse_args().folder
planted = {path.stem.removesuffix("-copy") for path in folder.rglob("*-copy.jpg")}


def score(name: str, pairs: set[frozenset[str]], seconds: float) -> None:
    right = {frozenset((stem, f"{stem}-copy")) for stem in planted}
    print(
        f"{name}: {len(right & pairs)} of {len(planted)} found, "
        f"{len(pairs - right)} other pairs, {seconds:.1f} s"
    )


def pairs_of(found: dict[str, list[str]]) -> set[frozenset[str]]:
    return {
        frozenset((Path(one).stem, Path(other).stem))
        for one, others in found.items()
        for other in others
    }


def run_imagededup() -> None:
    from imagededup.methods import CNN, PHash

    logging.disable(logging.INFO)
    for distance in (10, 12):  # 10 is its default
        begin = time.perf_counter()
        hasher = PHash(verbose=False)
        encodings = hasher.encode_images(image_dir=folder, recursive=True)
        found = hasher.find_duplicates(encoding_map=encodings, max_distance_threshold=distance)
        score(f"imagededup PHash, {distance} bits", pairs_of(found), time.perf_counter() - begin)
    try:
        network = CNN(verbose=False)
    except Exception as error:  # its weights come from the network
        print(f"imagededup CNN: not run, {type(error).__name__}: its weights cannot be fetched")
        return
    begin = time.perf_counter()
    encodings = network.encode_images(image_dir=folder, recursive=True)
    found = network.find_duplicates(encoding_map=encodings, min_similarity_threshold=0.9)
    score("imagededup CNN", pairs_of(found), time.perf_counter() - begin)


def run_cleanvision() -> None:
    from cleanvision import Imagelab

    begin = time.perf_counter()
    lab = Imagelab(data_path=str(folder), verbose=False)
    lab.find_issues({"near_duplicates": {}, "exact_duplicates": {}}, verbose=False, n_jobs=2)
    pairs = set()
    for kind in ("near_duplicates", "exact_duplicates"):
        for group in lab.info[kind]["sets"]:
            stems = [Path(one).stem for one in group]
            pairs |= {frozenset((a, b)) for a in stems for b in stems if a < b}
    score("cleanvision", pairs, time.perf_counter() - begin)


for run in (run_imagededup, run_cleanvision):
    try:
        run()
    except ImportError as error:
        print(f"{run.__name__[4:]}: not here ({error})")
