# Needs Python 3.10 or newer and make; everything else goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt

.PHONY: demo test test-ecosystem lint stress bench clean

demo: $(VENV)/.installed-examples
	$(BIN)/python examples/quickstart.py

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not stress"

# Real frameworks and trackers, in an environment of their own.
ECOSYSTEM := .venv-ecosystem
test-ecosystem: $(ECOSYSTEM)/.installed
	$(ECOSYSTEM)/bin/python -m pytest tests/ecosystem

$(ECOSYSTEM)/.installed: pyproject.toml constraints.txt tests/ecosystem/requirements.txt
	$(PYTHON) -m venv $(ECOSYSTEM)
	$(ECOSYSTEM)/bin/python -m pip install --quiet --disable-pip-version-check \
		-c constraints.txt -r tests/ecosystem/requirements.txt -e .
	@touch $@

stress: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m stress

lint: $(VENV)/.installed-dev
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports --no-logo

bench: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) $(ECOSYSTEM) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps say which extra is installed; a change of what is asked for installs again.
$(VENV)/.installed-%: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "Downloading PyTorch, TensorBoard and what else is needed into $(VENV): some minutes."
	$(INSTALL) -e ".[$*]"
	@touch $@

$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)
