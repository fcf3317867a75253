"""The plain way to serve: FastAPI, PIL, torchvision's transforms, eager PyTorch; and LitServe.

Peers of bench_server.py, in an environment with fastapi, litserve, timm, torch and torchvision:

    python benchmarks/peers/plain_server.py fastapi|litserve PORT

The network is timm's tf_efficientnet_lite0, whose parameters do not matter for its speed.
"""

import io
import sys
from typing import Any

import litserve
import timm
import torch
import uvicorn
from fastapi import FastAPI, Request, UploadFile
from PIL import Image
from torchvision import transforms

PREPARE = transforms.Compose(
    [
        transforms.Resize(256, transforms.InterpolationMode.BICUBIC),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize((0.5,) * 3, (0.5,) * 3),
    ]
)


def network() -> torch.nn.Module:
    return timm.create_model("tf_efficientnet_lite0", num_classes=2).eval()


def prepared(content: bytes) -> torch.Tensor:
    return PREPARE(Image.open(io.BytesIO(content)).convert("RGB"))


def fastapi_server(port: int) -> None:
    app, model = FastAPI(), network()

    @app.post("/predict")
    def predict(file: UploadFile) -> list[float]:
        with torch.inference_mode():
            return model(prepared(file.file.read())[None]).softmax(1)[0].tolist()

    uvicorn.run(app, port=port, log_level="error")


class Api(litserve.LitAPI):
    """The same in batches."""

    def setup(self, device: Any) -> None:
        """Make the network."""
        self.model = network()

    def decode_request(self, request: Request) -> torch.Tensor:
        """Decode and prepare."""
        return prepared(request["file"].file.read())

    def batch(self, inputs: list[torch.Tensor]) -> torch.Tensor:
        """Stack."""
        return torch.stack(inputs)

    def predict(self, batch: torch.Tensor) -> torch.Tensor:
        """Run the network."""
        with torch.inference_mode():
            return self.model(batch).softmax(1)

    def encode_response(self, output: torch.Tensor) -> list[float]:
        """As a list."""
        return output.tolist()


def litserve_server(port: int) -> None:
    api = Api(max_batch_size=8, batch_timeout=0.01)
    litserve.LitServer(api, accelerator="cpu", workers_per_device=1).run(
        port=port, log_level="error", generate_client_file=False
    )


if __name__ == "__main__":
    {"fastapi": fastapi_server, "litserve": litserve_server}[sys.argv[1]](int(sys.argv[2]))
