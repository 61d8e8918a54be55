# The two commands of the README are `make report` and `make test`; each does all the set-up that it needs in .venv.
PYTHON ?= python3
BIN := .venv/bin
REPORT ?= quick
PROCESSES ?= 2
SOURCES := workbench tests notebooks

.PHONY: report test slow check format lab bench picture pictures clean

.venv/ready: pyproject.toml constraints.txt
	@echo "[1/3] environment  .venv is being made (once, some minutes)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: Python >= 3.11 is needed, $$($(PYTHON) --version) was found; try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[lab,text,data,sweep,dev]'
	@touch $@

report: .venv/ready
	@$(BIN)/workbench report $(REPORT) $(foreach p,$(P),-p $(p))

PYTEST := $(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile --no-loadscope-reorder

# The two halves of the suite: what is done in some minutes, and what trains, kills and executes every notebook. CI runs both.
test: .venv/ready
	@$(PYTEST) -m "not slow"

slow: .venv/ready
	@$(PYTEST) -m slow

check: .venv/ready
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/nbstripout --verify notebooks/*.ipynb

format: .venv/ready
	@$(BIN)/ruff check --fix $(SOURCES)
	@$(BIN)/ruff format $(SOURCES)
	@$(BIN)/nbstripout notebooks/*.ipynb

lab: .venv/ready
	@$(BIN)/workbench lab

bench: .venv/ready
	@$(BIN)/workbench bench

picture: .venv/ready
	@$(BIN)/python -m workbench.report.picture reports/quick/01_modality_imbalance.html reports/quick.png B-fusion-on

# The pictures of the README and of the live notebooks' first cells, drawn by the end-to-end tests.
pictures: .venv/ready
	@rm -rf .pictures && mkdir -p .pictures notebooks/pictures
	@WORKBENCH_SCREENSHOTS=$(CURDIR)/.pictures $(BIN)/python -m pytest -q tests/widgets -m browser
	@for name in studio dial explorer; do cp .pictures/$$name.png notebooks/pictures/; done && rm -rf .pictures

clean:
	rm -rf .venv runs *.egg-info
