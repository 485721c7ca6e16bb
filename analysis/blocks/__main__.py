"""Fills the blocks of README and docs: `python -m analysis.blocks`; `--check` says which are not current."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from analysis.blocks.documents import BlockError, documents, filled
from analysis.blocks.published import Published
from analysis.results import ResultsError
from data.files import replacing


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m analysis.blocks", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a document would change")
    check, root = parser.parse_args(arguments).check, Path()
    published, changed = Published(root), []
    try:
        for path in documents(root):
            text = filled(path, published)
            if text == path.read_text():
                continue
            changed.append(path)
            if not check:
                with replacing(path) as temporary:
                    temporary.write_text(text)
    except (BlockError, ResultsError) as error:
        print(error, file=sys.stderr)
        return 1
    for path in changed:
        print(f"{path}: not current; run python -m analysis.blocks" if check else path)
    return int(check and bool(changed))


if __name__ == "__main__":
    raise SystemExit(main())
