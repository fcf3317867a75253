"""Each operation alone against torchvision v2 and kornia, where they are installed."""

import numpy as np
import pytest
from scipy.stats import ks_2samp

from tortie.augment import AreaCrop, Distortion, Warp
from tortie.augment.geometry import coordinate_map, linear_part

REST = {"mirror": False, "scale": 1, "squeeze": 1, "shear": 0, "rotate": 0}


def close(ours: np.ndarray, theirs: np.ndarray, margin: int = 40, within: float = 1.2) -> bool:
    difference = (ours.astype(float) - theirs)[margin:-margin, margin:-margin]
    return bool(np.abs(difference).max() < within)


class TestTorchvision:
    @pytest.fixture(autouse=True)
    def load(self) -> None:
        self.v2 = pytest.importorskip("torchvision.transforms.v2")
        self.torch = pytest.importorskip("torch")

    def run(self, image: np.ndarray, operation, *arguments, **named) -> np.ndarray:
        tensor = self.torch.from_numpy(image.copy()).permute(2, 0, 1).float()
        return operation(tensor, *arguments, **named).permute(1, 2, 0).numpy()

    def test_geometry(self, smooth: np.ndarray) -> None:
        functional, bilinear = self.v2.functional, self.v2.InterpolationMode.BILINEAR
        theirs = self.run(smooth, functional.rotate, 21.0, interpolation=bilinear)
        assert close(Distortion(rotate=21).apply(smooth, 240, 320), theirs, 80)
        theirs = self.run(
            smooth, functional.affine, 0.0, [0, 0], 1.0, [11.0, 0.0], interpolation=bilinear
        )
        assert close(Distortion(shear=11).apply(smooth, 240, 320), theirs, 60)
        # Its affine turns clockwise, and shears before it turns, as ours does.
        theirs = self.run(
            smooth, functional.affine, -17.0, [8, -6], 1.2, [11.0, 0.0], interpolation=bilinear
        )
        ours = Distortion(rotate=17, shear=11, scale=1.2, shift=(8 / 320, -6 / 240))
        assert close(ours.apply(smooth, 240, 320), theirs, 80)
        theirs = self.run(smooth, functional.horizontal_flip)
        assert (Distortion(mirror=True).apply(smooth, 240, 320) == theirs).all()

    def test_resized_crop(self, smooth: np.ndarray) -> None:
        crop = AreaCrop(0.36, (320 / 240, 320 / 240), 0, 0.25, 0.5)  # 192×144 at (32, 48)
        theirs = self.run(
            smooth, self.v2.functional.resized_crop, 48, 32, 144, 192, [96, 128], antialias=True
        )
        assert close(Distortion(crop=crop).apply(smooth, 96, 128), theirs, 3)

    def test_warp(self, smooth: np.ndarray) -> None:
        warp = Warp(0.015, 0.1, b"field")
        places = coordinate_map((0, 0, 320, 240), linear_part(**REST), (0, 0), warp, 240, 320)
        field = places.places(240, 320) - np.mgrid[0:240, 0:320][::-1]
        units = self.torch.from_numpy(field * np.array([2 / 320, 2 / 240])[:, None, None])
        theirs = self.run(smooth, self.v2.functional.elastic, units.permute(1, 2, 0)[None].float())
        assert close(Distortion(warp=warp).apply(smooth, 240, 320), theirs, 20)

    def test_colour(self, smooth: np.ndarray) -> None:
        functional = self.v2.functional
        scaled = smooth.astype(np.float32) / 255

        def run(operation, factor: float) -> np.ndarray:
            return 255 * self.run(scaled, operation, factor)

        ours = Distortion(brightness=0.7).apply(smooth, 240, 320)
        assert close(ours, run(functional.adjust_brightness, 0.7), 1, 0.7)
        ours = Distortion(saturation=0.4).apply(smooth, 240, 320)
        assert close(ours, run(functional.adjust_saturation, 0.4), 1, 0.8)
        # Its contrast turns about the picture's mean luma: the difference is the same everywhere.
        luma = (smooth @ np.array([0.299, 0.587, 0.114])).mean()
        ours = Distortion(contrast=0.6).apply(smooth, 240, 320) - 0.4 * (127.5 - luma)
        assert close(ours, run(functional.adjust_contrast, 0.6), 1, 0.7)

    def test_crops_are_distributed_alike(self) -> None:
        # It draws area and aspect again until a crop fits, which makes large areas rarer. Up to
        # 56% of 500×375 every aspect fits, and the distributions are the same.
        self.torch.manual_seed(0)
        blank, rng = self.torch.zeros(3, 375, 500), np.random.default_rng(0)
        draws = self.v2.RandomResizedCrop(224, (0.08, 0.56), (3 / 4, 4 / 3))
        theirs = [draws.make_params([blank]) for _ in range(2000)]
        ours = [
            AreaCrop(rng.uniform(0.08, 0.56), (3 / 4, 4 / 3), *rng.uniform(size=3)).window(375, 500)
            for _ in range(2000)
        ]
        for index, name in enumerate(("left", "top", "width", "height")):
            values = [crop[name] for crop in theirs]
            assert ks_2samp([window[index] for window in ours], values).pvalue > 0.01, name


class TestKornia:
    @pytest.fixture(autouse=True)
    def load(self) -> None:
        self.kornia = pytest.importorskip("kornia")
        self.torch = pytest.importorskip("torch")

    def run(self, image: np.ndarray, operation, *arguments, **named) -> np.ndarray:
        tensor = self.torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255
        return 255 * operation(tensor, *arguments, **named)[0].permute(1, 2, 0).numpy()

    def test_geometry(self, smooth: np.ndarray) -> None:
        transform, tensor = self.kornia.geometry.transform, self.torch.tensor
        theirs = self.run(smooth, transform.rotate, tensor([21.0]))
        assert close(Distortion(rotate=21).apply(smooth, 240, 320), theirs, 80)
        # Its centre is the first pixel: what is sheared is moved back to the picture's centre.
        lean = float(np.tan(np.radians(11)))
        matrix = tensor([[[1.0, -lean, lean * 119.5], [0.0, 1.0, 0.0]]])
        theirs = self.run(smooth, transform.warp_affine, matrix, (240, 320))
        assert close(Distortion(shear=11).apply(smooth, 240, 320), theirs, 60)

    def test_warp(self, smooth: np.ndarray) -> None:
        warp = Warp(0.015, 0.1, b"field")
        places = coordinate_map((0, 0, 320, 240), linear_part(**REST), (0, 0), warp, 240, 320)
        x, y = self.torch.from_numpy(places.places(240, 320).copy())
        theirs = self.run(
            smooth, self.kornia.geometry.transform.remap, x[None], y[None], align_corners=True
        )
        assert close(Distortion(warp=warp).apply(smooth, 240, 320), theirs, 20)

    def test_colour(self, smooth: np.ndarray) -> None:
        enhance = self.kornia.enhance
        ours = Distortion(brightness=0.7).apply(smooth, 240, 320)
        assert close(ours, self.run(smooth, enhance.adjust_brightness_accumulative, 0.7), 1, 0.7)
        ours = Distortion(contrast=0.6).apply(smooth, 240, 320).astype(float) - 0.4 * 127.5
        # Its contrast turns about black.
        assert close(ours, self.run(smooth, enhance.adjust_contrast, 0.6), 1, 0.7)
