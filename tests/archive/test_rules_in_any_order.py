"""In whatever order things are stored, removed and gone through: rules label the same in the end."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicomweb_box.accounts.access import EVERYTHING, SYSTEM
from dicomweb_box.archive import remove, rule_runs, rules
from dicomweb_box.archive.labelling import Target
from dicomweb_box.archive.rules import Wanted
from dicomweb_box.box import Box
from tests.archive.ruling import catch_up, keep, labelled
from tests.builders import new_uid

VALUES = {"Modality": ("CT", "MR"), "StationName": ("A", "B"), "ImageComments": ("c", "d")}
some_values = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from(found) for name, found in VALUES.items()}
)
one_rule = st.tuples(
    some_values.filter(bool), st.sampled_from(("study", "series")), st.sampled_from(("x", "y")), st.booleans()
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("store"), st.sampled_from((0, 1)), st.sampled_from((0, 1)), some_values),
        st.tuples(st.just("remove"), st.integers(0, 9)),
        st.tuples(st.just("make"), one_rule),
        st.tuples(st.just("change"), st.integers(0, 9), one_rule),
        st.tuples(st.just("delete"), st.integers(0, 9)),
        st.tuples(st.just("work"), st.integers(1, 4)),
    ),
    max_size=14,
)


@dataclass
class World:
    """What a run of steps left, by a reckoning of its own."""

    instances: dict[str, tuple[str, str, dict[str, str]]] = field(default_factory=dict)
    rules: dict[str, tuple[dict[str, str], str, str, bool]] = field(default_factory=dict)

    def expected(self) -> set[tuple[str, Target]]:
        return {
            (label, (study, "" if level == "study" else series))
            for wanted, level, label, enabled in self.rules.values()
            for study, series, values in self.instances.values()
            if enabled and all(values.get(name) == value for name, value in wanted.items())
        }


STUDIES = [new_uid() for _ in range(2)]


@pytest.mark.parametrize("batch", [1, 500])
@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=steps)
def test_labels_are_the_same_in_whatever_order_things_come(
    make_box: Callable[..., object], batch: int, steps: list[tuple]
) -> None:
    from tests.databases import run_apart

    run_apart(_whatever_order(make_box, batch, steps))


async def _whatever_order(make_box: Callable[..., object], batch: int, steps: list[tuple]) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(rule_runs, "_CHANGES", batch)
        patched.setattr(rule_runs, "_STUDIES", 1 if batch == 1 else 40)
        async with make_box() as box:
            world = World()
            for number, (what, *given_) in enumerate(steps):
                await _do(box, world, number, what, given_)
            await catch_up(box)
            assert await labelled(box) == world.expected()


async def _do(box: Box, world: World, number: int, what: str, given_: list) -> None:
    as_system = {"scope": EVERYTHING, "actor": SYSTEM}
    if what == "store":
        study, series, values = STUDIES[given_[0]], f"{STUDIES[given_[0]]}.{given_[1]}", given_[2]
        lacking = {"Modality": None} if "Modality" not in values else {}
        uid = (await keep(box, of_study=study, series=series, **lacking, **values))[2]
        world.instances[uid] = (study, series, values)
    elif what == "remove" and world.instances:
        uid = sorted(world.instances)[given_[0] % len(world.instances)]
        study, series, _ = world.instances.pop(uid)
        await remove.remove(box, study, series, uid, **as_system)
    elif what == "make":
        wanted, level, label, enabled = given_[0]
        made = Wanted(
            name=f"rule {number}",
            conditions=tuple(wanted.items()),
            level=level,
            label=label,
            enabled=enabled,
        )
        world.rules[await rules.make(box, made, **as_system)] = given_[0]
    elif what == "change" and world.rules:
        key = sorted(world.rules)[given_[0] % len(world.rules)]
        wanted, level, label, enabled = world.rules[key] = given_[1]
        made = Wanted(
            name=f"rule {number}",
            conditions=tuple(wanted.items()),
            level=level,
            label=label,
            enabled=enabled,
        )
        await rules.change(box, key, made, **as_system)
    elif what == "delete" and world.rules:
        key = sorted(world.rules)[given_[0] % len(world.rules)]
        del world.rules[key]
        await rules.delete(box, key, **as_system)
    elif what == "work":
        for _ in range(given_[0]):
            await rule_runs.step(box)
