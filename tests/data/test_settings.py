"""Settings are said once: their schema, their defaults and the sentences about them follow from the class."""

from dataclasses import field
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, ValidationError

from data.settings import defaults, plain, schema, settings
from data.validation import SettingsError, check, read


@settings
class Optimizer:
    """Adam."""

    lr: PositiveFloat = 1e-3
    """Learning rate."""
    weight_decay: NonNegativeFloat = 0.0
    """Coupled."""


@settings
class Training:
    """One training."""

    name: str
    """What it is called."""
    steps: PositiveInt | list[Annotated[int, Field(ge=0)]] = 100
    """How many, or which."""
    optimizer: Optimizer = Optimizer(lr=1e-2)
    """The optimiser."""
    kind: Literal["one", "other"] | None = None
    """Which."""
    sizes: tuple[PositiveInt, PositiveInt] = (1, 2)
    """Two of them."""
    second: Optimizer | None = None
    """Another optimiser."""
    options: dict[str, Any] = field(default_factory=dict)
    """Anything."""

    def __post_init__(self):
        if self.sizes[0] > self.sizes[1]:
            raise ValueError(f"sizes must ascend, not {self.sizes}")


def test_the_schema_says_type_bounds_default_and_description_of_every_field():
    properties = schema(Training)["properties"]
    assert properties["steps"] == {
        "type": ["integer", "array"],
        "minimum": 1,
        "items": {"type": "integer", "minimum": 0},
        "default": 100,
        "description": "How many, or which.",
    }
    assert properties["optimizer"]["properties"]["lr"] == {
        "type": "number",
        "exclusiveMinimum": 0,
        "default": 1e-3,
        "description": "Learning rate.",
    }
    assert properties["optimizer"]["additionalProperties"] is False
    assert properties["kind"]["enum"] == ["one", "other", None]
    assert properties["second"]["type"] == ["object", "null"]
    assert schema(Training)["required"] == ["name"]


def test_a_class_that_derives_from_another_describes_the_fields_of_both():
    @settings
    class Relaxed(Optimizer):
        """The same, and more."""

        more: bool = False
        """More."""

    said = {name: part["description"] for name, part in schema(Relaxed)["properties"].items()}
    assert said == {"lr": "Learning rate.", "weight_decay": "Coupled.", "more": "More."}
    assert Relaxed(lr=2.0).lr == 2.0


def test_a_layer_that_says_only_some_fields_is_held_against_the_partial_schema():
    check({"optimizer": {}}, schema(Training, partial=True), "a layer")
    with pytest.raises(SettingsError, match=r"^a run: name is missing\.$"):
        check({"optimizer": {}}, schema(Training), "a run")


def test_defaults_are_what_yaml_would_say():
    assert defaults(Training) == {
        "steps": 100,
        "optimizer": {"lr": 1e-2, "weight_decay": 0.0},
        "kind": None,
        "sizes": [1, 2],
        "second": None,
        "options": {},
    }


def test_settings_become_plain_values_and_come_back():
    made = Training(name="a", steps=[1, 2], second=Optimizer(lr=2.0))
    assert read(Training, plain(made), "a run") == made


def test_a_part_given_in_part_keeps_the_rest_of_its_own_default():
    optimizer = read(Training, {"name": "a", "optimizer": {"weight_decay": 0.5}}, "a run").optimizer
    assert optimizer == Optimizer(lr=1e-2, weight_decay=0.5)


@pytest.mark.parametrize(
    ("wrong", "said"),
    {
        "unknown key": ({"optimizer": {"lrr": 1.0}}, "optimizer.lrr is not a known key: did you mean lr?"),
        "bound": ({"optimizer": {"lr": 0.0}}, "optimizer.lr: 0.0 is less than or equal to the minimum of 0."),
        "text": (
            {"optimizer": {"lr": "1e-3"}},
            "optimizer.lr must be of type number, not '1e-3' (YAML reads 1e3 as text, 1.0e+3 as a number).",
        ),
        "alternatives": ({"steps": "all"}, "steps must be of type integer or array, not 'all'."),
        "inside alternatives": ({"steps": [-1]}, "steps.0: -1 is less than the minimum of 0."),
        "choice": ({"kind": "third"}, "kind must be one of one, other, None, not 'third'."),
        "mapping": ({"second": 3}, "second must be of type object or null, not 3."),
        "number of items": ({"sizes": [1]}, "sizes: [1] is too short."),
    }.values(),
)
def test_what_is_wrong_is_one_sentence(wrong, said):
    with pytest.raises(SettingsError) as raised:
        read(Training, {"name": "a"} | wrong, "run.yaml")
    assert str(raised.value) == f"run.yaml: {said}"


def test_fields_that_do_not_go_together_are_refused_in_the_words_of_their_class():
    with pytest.raises(SettingsError, match=r"^run\.yaml: sizes must ascend, not \(3, 2\)$"):
        read(Training, {"name": "a", "sizes": [3, 2]}, "run.yaml")


def test_settings_made_in_code_are_held_to_the_same_bounds_and_do_not_change():
    with pytest.raises(ValidationError, match="greater than 0"):
        Optimizer(lr=-1.0)
    with pytest.raises(AttributeError):
        Optimizer().lr = 1.0
