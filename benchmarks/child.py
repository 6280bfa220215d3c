"""Run one command in a separate process and report what it used; a child starts with its parent's peak memory.

    python benchmarks/child.py REPORT.json one|all COMMAND...

`one` restricts the command to one processor, so that CPU-seconds measure work and not threads waiting for each other.
Output goes to the error stream. The report holds code, cpu_s, wall_s and peak_bytes of the command and its children.
"""

import json
import os
import resource
import subprocess
import sys
import time


def main() -> None:
    report, processors, *command = sys.argv[1:]
    if processors == "one" and sys.platform == "linux":
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    start = time.perf_counter()
    code = subprocess.run(command, stdout=sys.stderr, check=False).returncode
    wall_s = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak_bytes = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    cpu_s = used.ru_utime + used.ru_stime
    with open(report, "w", encoding="utf-8") as file:  # noqa: PTH123
        json.dump({"code": code, "cpu_s": cpu_s, "wall_s": wall_s, "peak_bytes": peak_bytes}, file)


if __name__ == "__main__":
    main()
