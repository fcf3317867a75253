# tortie on plain processors and those with AMX; nothing here needs a GPU.
#   docker build -t tortie .
#   docker run --rm -v "$PWD:/work" --user "$(id -u):$(id -g)" tortie fit photos -o pets.safetensors
FROM python:3.11-slim AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE ./
COPY tortie tortie
# PyTorch's own tests, headers and tools are a quarter of it, and nothing runs them.
RUN python -m venv /opt/tortie \
    && /opt/tortie/bin/pip install --no-cache-dir -c constraints.txt \
        --extra-index-url https://download.pytorch.org/whl/cpu "torch==2.13.0+cpu" \
    && /opt/tortie/bin/pip install --no-cache-dir -c constraints.txt ".[serve,heic]" \
    && packages=$(/opt/tortie/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
    && find "$packages"/torch/bin -mindepth 1 ! -name torch_shm_manager -delete \
    && rm -rf "$packages"/torch/test "$packages"/torch/include "$packages"/onnx/backend/test \
        "$packages"/pip "$packages"/pip-*.dist-info \
    && find "$packages"/numpy "$packages"/sympy "$packages"/matplotlib \
        -type d -name tests -prune -exec rm -rf {} +

FROM python:3.11-slim
COPY --from=build /opt/tortie /opt/tortie
RUN useradd --create-home --uid 1000 tortie && mkdir -m 1777 /cache /work
ENV PATH=/opt/tortie/bin:$PATH \
    TORTIE_CACHE=/cache/tortie HF_HOME=/cache/huggingface TORCH_HOME=/cache/torch \
    MPLCONFIGDIR=/tmp/matplotlib
USER 1000
WORKDIR /work
EXPOSE 8000
ENTRYPOINT ["tortie"]
CMD ["--help"]
