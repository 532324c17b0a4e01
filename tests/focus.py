"""Checks a file of costs by FinOps' own validator, offline: FOCUS 1.2 as PyPI's focus-validator carries it. Usage:
focus.py FILE; exit 1 and what is wrong where it does not hold."""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

import focus_validator

# Says of every invoice's id that it must be empty "when the charge is not associated with an invoice", without looking
# whether it is.
NOT_TRIED = {"InvoiceId-C-004-C"}


def main(path):
    # It looks for its lists below the folder that it is run in, and leaves its log there.
    with tempfile.TemporaryDirectory() as folder:
        os.symlink(pathlib.Path(focus_validator.__file__).parent, pathlib.Path(folder) / "focus_validator")
        program = pathlib.Path(sys.executable).parent / "focus-validator"
        command = [program, "--data-file", path.absolute(), "--validate-version", "1.2.0.1", "--block-download"]
        report = subprocess.run(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout
    summary = re.search(r"Total: (\d+) \| Pass: (\d+)", report)
    if not summary or int(summary[2]) < 100:
        sys.exit(f"the validator did not come to an end:\n{report}")
    failed = [line for line in report.splitlines() if ": FAIL" in line and not NOT_TRIED & set(re.findall(r"[\w-]+", line))]
    print(path, summary[0], "does not hold" if failed else "holds")
    print("\n".join(failed))
    sys.exit(bool(failed))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
