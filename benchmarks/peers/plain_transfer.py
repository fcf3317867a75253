"""The plain way to a classifier from photographs, as a tutorial would write it.

Features of the same network, eager float32 PyTorch, one pass; PIL decodes and resizes; then
scikit-learn's LogisticRegressionCV with its defaults on standardised features.

    python benchmarks/peers/plain_transfer.py IMAGES      # IMAGES/{train,val}/class/*
"""

import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegressionCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tortie.networks import build

BATCH = 32


def photograph(path: Path) -> torch.Tensor:
    """Shorter side to 256, centre 224, bicubic, (x - 127) / 128: float32 (3, 224, 224)."""
    image = Image.open(path).convert("RGB")
    scale = 256 / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.BICUBIC)
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    image = image.crop((left, top, left + 224, top + 224))
    return (torch.from_numpy(np.array(image)).permute(2, 0, 1).float() - 127) / 128


@torch.no_grad()
def features(network: torch.nn.Module, paths: list[Path]) -> np.ndarray:
    batches = [
        network.forward_features(torch.stack([photograph(path) for path in paths[i : i + BATCH]]))
        for i in range(0, len(paths), BATCH)
    ]
    return torch.cat(batches).numpy()


def main() -> None:
    images = Path(sys.argv[1])
    classes = sorted(folder.name for folder in (images / "train").iterdir())
    network = build("efficientnet-lite0", weights="imagenet").eval()
    found = {}
    for split in ("train", "val"):
        paths = [
            (p, k) for k, name in enumerate(classes) for p in (images / split / name).iterdir()
        ]
        found[split] = features(network, [p for p, _ in paths]), [k for _, k in paths]
    warnings.simplefilter("ignore")  # what its defaults warn of is not our subject
    head = make_pipeline(StandardScaler(), LogisticRegressionCV(max_iter=1000))
    head.fit(*found["train"])
    right = int((head.predict(found["val"][0]) == found["val"][1]).sum())
    print(f"{right} of {len(found['val'][1])}")


if __name__ == "__main__":
    main()
