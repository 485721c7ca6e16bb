"""Settings as the text of a YAML file."""

import math
from collections.abc import Mapping

import yaml


class _Dumper(yaml.SafeDumper):
    """Quotes text that another reader of YAML takes for a number, such as 3e-3."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="'" if _is_number(text) else None
    ),
)


def _is_number(text: str) -> bool:
    """Whether a text is a number for some reader of YAML."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def text(content: Mapping) -> str:
    """YAML in the order of the keys."""
    return yaml.dump(dict(content), Dumper=_Dumper, sort_keys=False)
