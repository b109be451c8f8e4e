# `make ticket` finds a winning ticket on a fresh machine; `make test` runs the tests.

PYTHON ?= python3.11

.PHONY: ticket test lint

ticket: .venv/ready
	.venv/bin/python main.py

test: .venv/ready
	.venv/bin/python -m pytest --numprocesses auto --dist loadfile

lint: .venv/ready
	.venv/bin/ruff check .

.venv/ready: requirements.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --upgrade pip
	.venv/bin/python -m pip install --quiet -r requirements.txt
	touch $@
