.PHONY: setup demo test lint clean

setup:
	@bash .ci/setup

demo: setup
	@.venv/bin/wav2lip-hq demo

test: setup
	.venv/bin/python -m pytest -q

lint: setup
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache
