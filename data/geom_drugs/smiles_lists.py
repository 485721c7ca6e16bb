"""Lists of molecules to be made: CSV files with a column `smiles`, such as GeoMol's test_smiles.csv."""

import csv
from pathlib import Path

from data.errors import DataError


def read_smiles(path: Path) -> list[tuple[str, str]]:
    """(record, SMILES) of every row, unchecked: a SMILES is parsed only when its molecule is made."""
    if not path.exists():
        raise DataError(f"list {path} does not exist: fetch it with python -m data.fetch {path}.dvc")
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            if "smiles" not in (rows.fieldnames or []):
                raise DataError(f"list {path} has no column 'smiles': it has {rows.fieldnames}")
            return [(f"list {path}, line {rows.line_num}", row["smiles"] or "") for row in rows]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"list {path} is not a CSV file ({error}): fetch it again") from error
