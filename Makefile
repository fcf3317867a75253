# Each target sets up what it needs in .venv. On Linux, plain pip brings several gigabytes of CUDA;
# the index below has the CPU build. Set TORCH_INDEX= for a machine with a GPU.
PYTHON ?= python3
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
# Peers (torchvision, timm, ONNX Runtime) want the registry's full torch: some 6 GB, set up once.
PEERS ?= .venv-peers
# .venv for the usual Python, .venv-3.13 and the like for another.
VENV := $(if $(filter python3,$(PYTHON)),.venv,.venv-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'))
BIN := $(VENV)/bin
READY := $(VENV)/.ready

PYTEST := $(BIN)/pytest -q -n auto --maxprocesses 4 --dist loadfile
LOWEST := .venv-lowest

# Collections of images for the battery; where the registry has none, it makes its own alone.
CORPORA := .corpora

.PHONY: demo test plain lowest check slow bench battery conformance fuzz pictures studies runtime wheel docs clean

demo: $(READY)
	$(BIN)/tortie demo

test: $(READY)
	$(PYTEST)

# What depends on the processor, as on one with AVX2 alone.
plain: $(READY)
	ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 $(PYTEST) $(PLAIN)

PLAIN := tests/activations tests/cost tests/test_processor.py tests/cli/test_trust.py \
	tests/cli/test_cost.py tests/cli/test_precision.py tests/cli/test_imports.py tests/weights/test_meta.py \
	tests/serving tests/learning/test_own_networks.py tests/evaluation

# The lowest versions that pyproject.toml allows, torch apart. Old packages deprecate one another.
lowest: $(LOWEST)/.ready
	$(LOWEST)/bin/pytest -q -n auto --maxprocesses 4 --dist loadfile -W ignore::DeprecationWarning

$(LOWEST)/.ready: pyproject.toml
	rm -rf $(LOWEST)
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/pip install -q $(addprefix --extra-index-url ,$(TORCH_INDEX)) -c constraints.txt torch uv
	VIRTUAL_ENV=$(abspath $(LOWEST)) $(LOWEST)/bin/uv pip install -q --resolution lowest-direct \
		--only-binary :all: --no-binary tortie -e '.[dev]'
	touch $@

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

slow: $(READY) $(RUNTIME)
	$(BIN)/pytest -q -m slow

bench: $(READY)
	for script in benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done

battery: $(READY)
	$(BIN)/pip download -q --no-deps --no-binary pillow -d $(CORPORA) pillow==12.0.0 || true
	$(BIN)/pip download -q --no-deps --no-binary pillow-heif -d $(CORPORA) pillow-heif==0.22.0 || true
	$(BIN)/python benchmarks/battery/images.py --corpora $(CORPORA)
	$(BIN)/python benchmarks/battery/classifiers.py
	$(BIN)/python benchmarks/battery/commands.py

conformance: $(PEERS)/bin/pytest
	$(PEERS)/bin/python -m pytest -q tests/conformance

# Requests that schemathesis makes up from the server's own description.
FUZZ := .venv-fuzz
fuzz: $(READY)
	$(PYTHON) -m venv $(FUZZ)
	$(FUZZ)/bin/pip install -q 'schemathesis>=4'
	$(BIN)/python tests/serving/fuzz.py $(FUZZ)/bin/schemathesis

# The pictures of docs/networks.md.
DRAWN := lenet5-1998 alexnet vgg16 nin googlenet resnet50 mobilenet-v2 efficientnet-lite0
pictures: $(READY)
	for name in $(DRAWN); do $(BIN)/tortie networks $$name --plot docs/pictures/$$name.svg || exit 1; done
	$(BIN)/tortie cost --compare alexnet vgg16 googlenet resnet50 resnet152 --plot docs/pictures/networks.png

# The claims of the case studies, run and written to docs/studies; finished cells are kept.
studies: $(READY)
	$(BIN)/tortie study --all -o .studies
	$(BIN)/python -m tortie.experiments.documentation .studies docs/studies

# What exported pages run on (onnxruntime-web): one version, checked by its SHA-256.
RUNTIME := tortie/export/runtime.wasm.gz
runtime: $(RUNTIME)
$(RUNTIME): tortie/export/runtime.py | $(READY)
	$(BIN)/python -m tortie.export.runtime

wheel: $(RUNTIME)
	$(BIN)/pip wheel -q --no-deps -w dist .

# pytest comes last, so that its presence says that all the others are there.
$(PEERS)/bin/pytest: tests/conformance/requirements.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install -q -r tests/conformance/requirements.txt -e .
	$(PEERS)/bin/pip install -q pytest hypothesis
	touch $@

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tortie needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --retries 1 $(addprefix --extra-index-url ,$(TORCH_INDEX)) -c constraints.txt torch
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	touch $(READY)

# The pages of docs/ and a reference of the package, in site/.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build -q

clean:
	rm -rf $(VENV) $(LOWEST) $(FUZZ)
