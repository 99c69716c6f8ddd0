"""``python -m engine.report DIR``: the figures, the page and the summary of a results directory, made anew."""

import sys
from pathlib import Path

from engine.report import report
from engine.results import ResultsError


def main(argv: list[str]) -> int:
    """Report on the directories named; returns the exit code."""
    if not argv or any(word.startswith("-") for word in argv):
        print(
            "usage: python -m engine.report DIR …   (results directories of finished or running sweeps)",
            file=sys.stderr,
        )
        return 0 if argv and argv[0] in ("-h", "--help") else 2
    for name in argv:
        try:
            report(Path(name))
        except ResultsError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        print(f"report: {Path(name) / 'report.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
