.PHONY: setup demo test slow lint docs wheel lock audit clean

setup:
	@bash .ci/setup

demo: setup
	@.venv/bin/wav2lip-hq demo

test: setup
	.venv/bin/python -m pytest -q -n 2 --dist worksteal

slow: setup
	.venv/bin/python -m pytest -q -m slow

lint: setup
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports

docs: setup
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --quiet

wheel: setup
	@bash .ci/wheel

lock:
	@bash .ci/lock

audit:
	@bash .ci/audit

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache
