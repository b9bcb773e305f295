"""The tour: every example in order, as `make run` shows them. Exit code 1 if one fails."""

import contextlib
import os
import runpy
import sys
import traceback
from pathlib import Path
from time import perf_counter

# NumPy's products here are small: threads gain little, and cost much where cores are busy.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

HERE = Path(__file__).parent
TRACE = Path("trnlab-traces/softmax.json")  # example 03 saves it


def main():
    sys.path.insert(0, str(HERE))  # the examples share course.py
    files = sorted(HERE.glob("[0-9][0-9]_*.py"))
    began, failed = perf_counter(), []
    for file in files:
        print(f"\n\n=== {file.stem}: {title(file)}\n", flush=True)
        start = perf_counter()
        try:
            runpy.run_path(str(file), run_name="__main__")
        except Exception:  # the tour goes on; the exit code tells
            traceback.print_exc(file=sys.stdout)
            failed.append(file.name)
        print(f"\n({perf_counter() - start:.1f} s)", flush=True)
    print(f"\n\n=== {len(files)} examples in {perf_counter() - began:.1f} s")
    if failed:
        print(f"failed: {', '.join(failed)}")
        return 1
    farewell()
    return 0


def title(file):
    """The first line of an example's docstring."""
    return file.read_text(encoding="utf-8").partition("\n")[0].strip('"')


def farewell():
    with contextlib.suppress(ValueError):
        print(f"\nA timeline is in {TRACE.resolve().relative_to(Path.cwd())}.")
    here = Path(sys.executable).with_name("trnlab")
    trnlab = here.relative_to(Path.cwd()) if here.is_relative_to(Path.cwd()) else "trnlab"
    print(
        "Open https://ui.perfetto.dev and drop the file on the page: every instruction, what it\n"
        "waited for, and the critical path. It stays on your machine. Then:\n\n"
        f"  {trnlab} run examples/02_first_kernel.py    the report of any script with kernels\n"
        f"  {trnlab} isa nc_matmul                      the manual page of an instruction\n"
        f"  {trnlab} chips trn2                         every number of a chip, with its source"
    )


if __name__ == "__main__":
    sys.exit(main())
