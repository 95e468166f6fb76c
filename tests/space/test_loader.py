"""What the language accepts, and how it refuses the rest: one line each, with file, line, column and path."""

# ruff: noqa: E501  (the table of refusals reads best with one case on a line)

from __future__ import annotations

import pytest

from gas.errors import SpaceError
from gas.space import SearchSpace, space_from_text

# One stage and a line for everything, so that a test replaces one line and knows where the error must point.
LINES = [
    "input: {resolution: 32}",
    "stem: {pattern: conv_embed, stride: 4, dim: 16}",
    "stages:",
    "  - dim: 16",
    "    blocks:",
    "      - pattern: transformer",
    "        depth: 1",
    "        mixer: {pattern: global_attention, heads: 2}",
    "        mlp: {pattern: mlp, ratio: 2}",
    "  - entry: q_pool",
    "    dim: 32",
    "    blocks:",
    "      - pattern: transformer",
    "        depth: 2",
    "        mixer: {pattern: global_attention, heads: 2}",
    "        mlp: mlp",
    "head: {pattern: classifier, classes: 10}",
]


def text(**lines: str) -> str:
    """The base with lines replaced (`l4="  - dim: 3"`) and, under other names, added at the end."""
    replaced = [lines.get(f"l{i}", line) for i, line in enumerate(LINES, 1)]
    return "\n".join([*replaced, *(line for name, line in lines.items() if not name[1:].isdigit())])


def load(**lines: str) -> SearchSpace:
    return space_from_text(text(**lines), "f.yaml")


def refusals(**lines: str) -> list[str]:
    with pytest.raises(SpaceError) as caught:
        load(**lines)
    assert str(caught.value) == "\n".join(caught.value.problems)
    assert all(len(problem.splitlines()) == 1 for problem in caught.value.problems)
    return list(caught.value.problems)


def refusal(**lines: str) -> str:
    (line,) = refusals(**lines)
    return line


def decisions(space: SearchSpace) -> dict[str, tuple]:
    return {d.path: d.choices for d in space.decisions}


def test_the_base_is_a_design() -> None:
    assert load().is_design
    assert load().size() == 1


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        # keys
        ({"x": "stagse: []"}, "f.yaml:18:1: stagse: got 'stagse'; expected one of name, about, input, "),
        ({"x": "stagse: []"}, "did you mean 'stages'?"),
        ({"x": "head: mlp"}, "f.yaml:18:1: head: the key stands twice; it was first given on line 17"),
        ({"l1": ""}, "f.yaml:2:1: the key 'input' is missing"),
        ({"l1": "input: {size: 3, resolution: 32}"}, "f.yaml:1:9: input.size: got 'size'; expected one of resolution"),
        ({"l1": "input: {channels: 3}"}, "f.yaml:1:8: input: the key 'resolution' is missing"),
        ({"l1": "input: 32"}, "f.yaml:1:8: input: got 32; expected a mapping with resolution, channels"),
        ({"l4": "  - width: 16"}, "f.yaml:4:5: stages[0].width: got 'width'; expected one of entry, dim, blocks"),
        ({"l7": "        deptj: 1"}, "f.yaml:6:9: stages[0].blocks[0]: the key 'depth' is missing"),
        ({"l8": "        mixer: {pattern: global_attention, haeds: 2}"}, "f.yaml:8:44: stages[0].blocks[0].mixer.haeds: "),
        ({"l8": "        mixer: {pattern: global_attention, haeds: 2}"}, "did you mean 'heads'?"),
        ({"l8": "        # no mixer"}, "f.yaml:6:9: stages[0].blocks[0]: the key 'mixer' is missing"),
        # patterns
        ({"l2": "stem: conv_embd"}, "; did you mean 'conv_embed'?"),
        ({"l2": "stem: conv_embd"}, "f.yaml:2:7: stem: got 'conv_embd'; expected one of "),
        ({"l2": "stem: 7"}, "f.yaml:2:7: stem: got 7; expected a stem pattern: a name or a mapping with `pattern`"),
        ({"l2": "stem: {dim: 7}"}, "f.yaml:2:7: stem: got {'dim': 7}; expected a stem pattern"),
        ({"l2": "stem: {pattern: mlp}"}, "f.yaml:2:17: stem.pattern: got 'mlp'; expected one of "),
        ({"l2": "stem: {pattern: [mlp]}"}, "f.yaml:2:17: stem.pattern: got ['mlp']; expected one of "),
        ({"l2": "stem: conv_embed"}, "f.yaml:2:7: stem: the key 'dim' is missing"),
        ({"l2": "stem: null"}, "f.yaml:2:7: stem: got None; expected a stem pattern"),
        ({"l10": "  - entry: classifier"}, "f.yaml:10:12: stages[1].entry: got 'classifier'; expected one of "),
        ({"l6": "      - pattern: mlp"}, "f.yaml:6:18: stages[0].blocks[0].pattern: got 'mlp'; expected one of "),
        # values
        ({"l4": "  - dim: wide"}, "f.yaml:4:10: stages[0].dim: got 'wide'; expected a valid integer"),
        ({"l4": "  - dim: 16.0"}, "f.yaml:4:10: stages[0].dim: got 16.0; expected a valid integer"),
        ({"l4": "  - dim: true"}, "f.yaml:4:10: stages[0].dim: got True; expected a valid integer"),
        ({"l4": "  - dim: -16"}, "f.yaml:4:10: stages[0].dim: got -16; expected greater than 0"),
        ({"l4": "  - dim: {a: 16}"}, "expected a value, or a mapping with one of choose, range, same, derive"),
        ({"l4": "  - dim: [16, 32]"}, "f.yaml:4:10: stages[0].dim: got [16, 32]; expected a valid integer"),
        ({"l7": "        depth: -1"}, "f.yaml:7:16: stages[0].blocks[0].depth: got -1; expected greater than or equal to 0"),
        ({"l7": "        depth: 1001"}, "expected less than or equal to 1000"),
        ({"l9": "        mlp: {pattern: mlp, ratio: 99}"}, "f.yaml:9:36: stages[0].blocks[0].mlp.ratio: got 99; "),
        ({"l2": "stem: {pattern: conv_embed, dim: 16, position: lerned}"}, "did you mean 'learned'?"),
        ({"l10": "  - entry: {pattern: q_pool, lag: 1}"}, "stages[1].entry.lag: got 1; expected a valid boolean"),
        ({"l10": "  - entry: {pattern: q_pool, lag: on}"}, "YAML reads 'on' as a truth value"),
        ({"l1": "input: {resolution: 12:30}"}, "f.yaml:1:21: input.resolution: YAML reads '12:30' as an unusual"),
        ({"x": "name: 3"}, "f.yaml:18:7: name: got 3; expected text"),
        # lists
        ({"l5": "    blocks: []", **{f"l{i}": "" for i in (6, 7, 8, 9)}}, "stages[0].blocks: got []; expected a list of"),
        ({"l6": "      - transformer", "l7": "", "l8": "", "l9": ""}, "got 'transformer'; expected a block group: a mapping"),
        ({"l3": "stages: 4", **{f"l{i}": "" for i in range(4, 17)}}, "f.yaml:3:9: stages: got 4; expected a list of stages"),
        # decisions
        ({"l4": "  - dim: {choose: 16}"}, "f.yaml:4:19: stages[0].dim.choose: got 16; expected a list of choices"),
        ({"l4": "  - dim: {choose: []}"}, "f.yaml:4:19: stages[0].dim.choose: got []; expected a list of choices"),
        ({"l4": "  - dim: {choose: [16], range: [1, 2]}"}, "f.yaml:4:25: stages[0].dim.range: got 'range'; expected one of choose"),
        ({"l4": "  - dim: {choose: [16, 8.5]}"}, "f.yaml:4:24: stages[0].dim.choose[1]: got 8.5; expected a valid integer"),
        ({"l4": "  - dim: {choose: [16, 32, 16]}"}, "f.yaml:4:28: stages[0].dim.choose[2]: the choice 16 stands twice"),
        ({"l4": "  - dim: {choose: [16, {range: [1, 2]}]}"}, "a choice may not itself be a decision"),
        ({"l9": "        mlp: {choose: [mlp, mlp]}"}, "f.yaml:9:29: stages[0].blocks[0].mlp.choose[1]: the choice 'mlp' stands"),
        ({"l9": "        mlp: {range: [1, 2]}"}, "a range is of numbers; expected `choose` among patterns"),
        ({"l9": "        mlp: {derive: '3'}"}, "a pattern cannot be derived; expected `same` or `choose`"),
        ({"l4": "  - dim: {range: 16}"}, "f.yaml:4:18: stages[0].dim.range: got 16; expected [low, high] or [low, high, step]"),
        ({"l4": "  - dim: {range: [16]}"}, "expected [low, high] or [low, high, step]"),
        ({"l4": "  - dim: {range: [16, x]}"}, "f.yaml:4:18: stages[0].dim.range: got [16, 'x']; expected numbers"),
        ({"l4": "  - dim: {range: [16, true]}"}, "expected numbers"),
        ({"l4": "  - dim: {range: [32, 16]}"}, "expected low <= high and step > 0, and at most 10,000 values"),
        ({"l4": "  - dim: {range: [16, 32, 0]}"}, "expected low <= high and step > 0"),
        ({"l4": "  - dim: {range: [16, 32, -4]}"}, "expected low <= high and step > 0"),
        ({"l4": "  - dim: {range: [1, 10001]}"}, "at most 10,000 values"),
        ({"l4": "  - dim: {range: [1, 1e300, 1e-300]}"}, "at most 10,000 values"),
        ({"l4": "  - dim: {range: [1, 1e400]}"}, "f.yaml:4:22: stages[0].dim.range[1]: got 1e400; expected a number of at most"),
        # ties
        ({"l4": "  - dim: {same: 16}"}, "f.yaml:4:17: stages[0].dim.same: got 16; expected a path such as stages[0].dim"),
        ({"l4": "  - dim: {same: stages[1].dim}"}, "f.yaml:4:23: not valid YAML: expected ',' or '}', but got '['; between braces, quote"),
        ({"l4": "  - dim: {same: stages.1.dim}"}, "stages[0].dim.same: 'stages[1].dim' is decided later"),
        ({"l4": "  - dim: {same: stages.0.dim}"}, "stages[0].dim.same: 'stages[0].dim' is decided later, or not at all"),
        ({"l4": "  - dim: {same: stem.dimm}"}, "f.yaml:4:17: stages[0].dim.same: the path 'stem.dimm' does not exist"),
        ({"l4": "  - dim: {same: stem.dimm}"}, "did you mean 'stem.dim'?"),
        ({"l4": "  - dim: {derive: 'stem.dim + stages[7].dim'}"}, "the path 'stages[7].dim' does not exist in this file"),
        ({"l4": "  - dim: {derive: 'stem.dim +'}"}, "f.yaml:4:19: stages[0].dim.derive: 'stem.dim +' is not an expression"),
        ({"l4": "  - dim: {derive: 'stem.dim / 3'}"}, "stages[0].dim: got 5.33"),
        ({"l9": "        mlp: {pattern: mlp, ratio: {same: stages.0.blocks.0.mlp}}"}, "is decided later, or not at all"),
        ({"l15": "        mixer: {same: stages.0.blocks.0.mlp}"}, "is not the path of any token_mixer that this file"),
        ({"l15": "        mixer: {same: stages.0.blocks.0}"}, "is not the path of any token_mixer that this file"),
        ({"l10": "  - entry: {same: stages.0.dim}"}, "is not the path of any entry that this file writes out"),
        # the rest of the file
        ({"x": "rules: 3"}, "f.yaml:18:8: rules: got 3; expected a list of comparisons"),
        ({"x": "rules: ['stages[0].dim >']"}, "f.yaml:18:9: rules[0]: 'stages[0].dim >' is not an expression"),
        ({"x": "rules: [1 < 2]"}, "f.yaml:18:9: rules[0]: '1 < 2' refers to no path, so it decides nothing"),
        ({"x": "rules: ['stages[0].dmi > 3']"}, "the path 'stages[0].dmi' does not exist in this file; did you mean"),
        ({"x": "rules: ['stages[0].blocks[0].mixer.haeds > 3']"}, "the path 'stages[0].blocks[0].mixer.haeds' does not"),
        ({"x": "rules: ['stages[0].dim.x > 3']"}, "the path 'stages[0].dim.x' does not exist in this file"),
        ({"x": "rules: [open('f')]"}, "f.yaml:18:9: rules[0]: got the function 'open'; expected one of abs, max, min, sum"),
        ({"x": "objectives: []"}, "f.yaml:18:13: objectives: got []; expected a list such as"),
        ({"x": "objectives: [{maximise: speed}]"}, "objectives[0].maximise: got 'speed'; expected one of macs, params"),
        ({"x": "objectives: [{maximise: [macs]}]"}, "objectives[0].maximise: got ['macs']; expected one of macs"),
        ({"x": "objectives: [{maximize: macs}]"}, "objectives[0].maximize: got 'maximize'; expected one of maximise, minimise"),
        ({"x": "objectives: [{minimise: macs}, {maximise: macs}]"}, "f.yaml:18:43: objectives[1].maximise: 'macs' stands twice"),
        ({"x": "constraints: {param: {max: 3M}}"}, "constraints.param: got 'param'; expected one of macs, params, memory, latency, proxy, estimate.imagenet_top1; did"),
        ({"x": "constraints: {params: 3M}"}, "constraints.params: got '3M'; expected a mapping with max, min, of"),
        ({"x": "constraints: {params: {}}"}, "f.yaml:18:23: constraints.params: expected `max`, `min` or both"),
        ({"x": "constraints: {params: {of: hiera_tiny}}"}, "constraints.params: expected `max`, `min` or both"),
        ({"x": "constraints: {params: {max: big}}"}, "constraints.params.max: got 'big'; expected a number not below 0, such as"),
        ({"x": "constraints: {params: {max: -3}}"}, "constraints.params.max: got -3; expected a number not below 0"),
        ({"x": "constraints: {params: {min: 3M, max: 2M}}"}, "constraints.params: min 3e+06 is above max 2e+06"),
        ({"x": "constraints: {params: {max: 1, of: hiera_tinny}}"}, "f.yaml:18:36: constraints.params.of: hiera_tinny: no such file"),
        ({"x": "constraints: {params: {max: 1, of: hiera_tinny}}"}, "did you mean 'hiera_tiny'?"),
        ({"x": "constraints: {latency: {max: 1, of: tiny}}"}, "expected a single design"),
        ({"x": "published: {params: lots}"}, "f.yaml:18:21: published.params: got 'lots'; expected a number such as 27.9M"),
        ({"x": "published: {checked: output}"}, "published.checked: got 'output'; expected one of outputs, table, no; did"),
        ({"x": "published: {checked: [table]}"}, "published.checked: got ['table']; expected one of outputs, table, no"),
        ({"x": "published: {distilled: 'yes'}"}, "f.yaml:18:24: published.distilled: got 'yes'; expected true or false"),
        ({"x": "published: {source: 3}"}, "f.yaml:18:21: published.source: got 3; expected text"),
        ({"x": "compare: hiera_tiny"}, "f.yaml:18:10: compare: got 'hiera_tiny'; expected a list of design names"),
        ({"x": "compare: [hiera_tinny]"}, "f.yaml:18:11: compare[0]: hiera_tinny: no such file"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_where_it_stands(lines: dict[str, str], said: str) -> None:
    problems = refusals(**lines)
    assert any(said in problem for problem in problems), problems
    assert len(problems) <= 2  # an unknown key that should have been a required one is two problems


def test_all_mistakes_of_a_file_are_told_at_once_in_order() -> None:
    problems = refusals(
        l1="input: {resolution: 1_000}",
        l2="stem: {pattern: conv_embedd, stride: 4, dim: 16}",
        l4="  - dim: {range: [9, 3]}",
        l8="        mixer: {pattern: global_attention, heads: -2}",
        l11="    dim: {same: stages.5.dim}",
        l16="        mlpp: mlp",
        x="constraints: {params: {max: 12.7MB}}",
    )
    places = [problem.split(": ")[0] for problem in problems]
    assert places == [
        "f.yaml:1:21",
        "f.yaml:2:17",
        "f.yaml:4:18",
        "f.yaml:8:51",
        "f.yaml:11:17",
        "f.yaml:16:9",
        "f.yaml:18:29",
    ]


@pytest.mark.parametrize(
    ("written", "choices"),
    [
        ("{choose: [16, 8, 32]}", (16, 8, 32)),
        ("{range: [16, 19]}", (16, 17, 18, 19)),
        ("{range: [16, 40, 8]}", (16, 24, 32, 40)),
        ("{range: [16, 39, 8]}", (16, 24, 32)),
        ("{range: [16, 16]}", (16,)),
    ],
)
def test_choices_and_ranges(written: str, choices: tuple) -> None:
    space = load(l4=f"  - dim: {written}", l8="        mixer: {pattern: global_attention, heads: 1}")
    assert decisions(space) == {"stages[0].dim": choices}
    assert space.size() == len(choices)


def test_a_range_of_fractions_has_no_binary_dust() -> None:
    space = load(l9="        mlp: {pattern: mlp, ratio: {range: [0.1, 0.7, 0.1]}}")
    assert decisions(space) == {"stages[0].blocks[0].mlp.ratio": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)}


def test_numbers_in_scientific_form_are_numbers() -> None:
    space = load(l9="        mlp: {pattern: mlp, ratio: {choose: [5e-1, 2E0]}}")
    assert decisions(space) == {"stages[0].blocks[0].mlp.ratio": (0.5, 2.0)}


def test_bare_names_mean_patterns_with_their_defaults() -> None:
    assert load(l16="        mlp: mlp").sample(1) == load(l16="        mlp: {pattern: mlp}").sample(1)
    assert load(l16="").sample(1) == load(l16="        mlp: {pattern: mlp, ratio: 4}").sample(1)


def test_options_at_their_default_do_not_change_the_id() -> None:
    (short,), (long,) = (
        load(l10=f"  - entry: {entry}", l16=mlp).sample(1)
        for entry, mlp in [("q_pool", ""), ("{pattern: q_pool, lag: true}", "        mlp: {pattern: mlp, ratio: 4.0}")]
    )
    assert short.id == long.id


def test_patterns_of_one_name_are_numbered() -> None:
    mixers = "{choose: [{pattern: global_attention, heads: 1}, {pattern: global_attention, heads: 2}]}"
    space = load(l8=f"        mixer: {mixers}")
    assert decisions(space) == {"stages[0].blocks[0].mixer": ("global_attention#1", "global_attention#2")}


def test_an_entry_may_be_left_to_choice() -> None:
    space = load(l10="  - entry: {choose: [q_pool, null]}")
    assert decisions(space) == {"stages[1].entry": ("q_pool", "none")}
    assert [a.stages[1].entry and a.stages[1].entry.pattern for a in space.sample(20)].count(None) > 0


def test_whole_block_groups_may_be_left_to_choice() -> None:
    group = "{pattern: transformer, depth: %s, mixer: {pattern: global_attention, heads: 2}, mlp: mlp}"
    space = load(l6=f"      - choose: [{group % 1}, {group % '{range: [2, 4]}'}]", l7="", l8="", l9="")
    assert decisions(space) == {
        "stages[0].blocks[0]": ("transformer#1", "transformer#2"),
        "stages[0].blocks[0].depth": (2, 3, 4),
    }
    assert space.decisions[1].when == (("stages[0].blocks[0]", "transformer#2"),)
    assert space.size() == 4


def test_ties_follow_values_patterns_and_defaults() -> None:
    space = load(
        l2="stem: {pattern: conv_embed, stride: 4, dim: {choose: [16, 32]}}",
        l4="  - dim: {same: stem.dim}",
        l8="        mixer: {pattern: global_attention, heads: {choose: [1, 2]}}",
        l9="        mlp: {pattern: mlp, ratio: {choose: [2, 3]}}",
        l11="    dim: {derive: 'stages.0.dim * 2 + stem.stride - stem.kernel % 7 - 4'}",
        l15="        mixer: {same: stages.0.blocks.0.mixer}",
        l16="        mlp: {pattern: mlp, ratio: {same: stages.0.blocks.0.mlp.ratio}}",
    )
    assert space.size() == 8
    for design in space.sample(20, seed=1):
        first, second = design.stages
        assert first.dim == design.stem.options["dim"]
        assert second.dim == 2 * first.dim
        assert second.blocks[0].block == first.blocks[0].block


def test_a_tie_reads_an_option_that_one_branch_leaves_at_its_default() -> None:
    space = load(
        l9="        mlp: {choose: [mlp, {pattern: mlp, ratio: {choose: [2, 3]}}]}",
        l16="        mlp: {pattern: mlp, ratio: {same: 'stages[0].blocks[0].mlp.ratio'}}",
    )
    assert space.size() == 3
    assert {a.stages[0].blocks[0].block == a.stages[1].blocks[0].block for a in space.sample(30)} == {True}


def test_a_rule_reads_an_option_that_one_branch_leaves_at_its_default() -> None:
    space = load(
        l9="        mlp: {choose: [mlp, {pattern: mlp, ratio: {choose: [2, 3]}}]}",
        l16="        mlp: {pattern: mlp, ratio: {choose: [2, 3]}}",
        x="rules: ['stages[0].blocks[0].mlp.ratio + stages[1].blocks[0].mlp.ratio <= 6']",
    )
    assert space.size() == 5


def test_equal_choices_in_two_branches_are_one_decision() -> None:
    heads = "heads: {choose: [1, 2]}"
    mixers = f"[{{pattern: global_attention, {heads}}}, {{pattern: mask_unit_attention, mask_unit: 4, {heads}}}]"
    space = load(l8=f"        mixer: {{choose: {mixers}}}")
    at = "stages[0].blocks[0].mixer"
    assert decisions(space) == {at: ("global_attention", "mask_unit_attention"), f"{at}.heads": (1, 2)}
    assert space.decisions[1].when == ()


def test_different_choices_in_two_branches_carry_the_branch() -> None:
    mixers = (
        "[{pattern: global_attention, heads: {choose: [1, 2]}}, "
        "{pattern: mask_unit_attention, mask_unit: {choose: [2, 4]}, heads: {choose: [1, 4]}}]"
    )
    space = load(l8=f"        mixer: {{choose: {mixers}}}")
    at = "stages[0].blocks[0].mixer"
    assert decisions(space) == {
        at: ("global_attention", "mask_unit_attention"),
        f"{at}(global_attention).heads": (1, 2),
        f"{at}.mask_unit": (2, 4),
        f"{at}(mask_unit_attention).heads": (1, 4),
    }
    assert space.decisions[2].when == ((at, "mask_unit_attention"),)


def test_names_stay_apart_where_branches_share_choices_in_pairs() -> None:
    mixer = "{pattern: mask_unit_attention, mask_unit: %s, heads: {choose: %s}}"
    mixers = ", ".join(mixer % pair for pair in [(2, [1, 2]), (4, [1, 2]), (8, [4, 8]), (2, [4, 8])])
    space = load(l8=f"        mixer: {{choose: [{mixers}]}}")
    at, name = "stages[0].blocks[0].mixer", "mask_unit_attention"
    assert decisions(space) == {
        at: tuple(f"{name}#{i}" for i in (1, 2, 3, 4)),
        f"{at}({name}#1|{name}#2).heads": (1, 2),
        f"{at}({name}#3|{name}#4).heads": (4, 8),
    }
    assert space.size() == 8


def test_a_decision_comes_after_the_one_that_leads_to_it() -> None:
    # In the second group the choice of mixers differs, and holds a decision that the first group has already.
    unit = "{pattern: mask_unit_attention, mask_unit: 4, heads: {choose: [1, 2]}}"
    groups = [
        f"{{pattern: transformer, depth: 1, mixer: {{choose: [{unit}, {{pattern: global_attention, heads: 1}}]}}}}",
        f"{{pattern: transformer, depth: 2, mixer: {{choose: [{{pattern: global_attention, heads: 4}}, {unit}]}}}}",
    ]
    space = load(l6=f"      - choose: [{', '.join(groups)}]", l7="", l8="", l9="")
    assert len({d.path for d in space.decisions}) == len(space.decisions)
    assert space.size() == 6
    reached = {space.decode(design)["stages[0].blocks[0]"] for design in space.sample(40)}
    assert reached == {"transformer#1", "transformer#2"}
    for design in space.sample(40):
        decided = space.decode(design)
        again = space.realise(lambda d, allowed, decided=decided: decided[d.path])
        assert again.architecture == design


@pytest.mark.parametrize(
    ("written", "low", "high"),
    [
        ("{max: 12.7M}", None, 12.7e6),
        ("{min: 3k, max: 2.2G}", 3e3, 2.2e9),
        ("{min: 1000}", 1000.0, None),
    ],
)
def test_constraints(written: str, low: float | None, high: float | None) -> None:
    (constraint,) = load(x=f"constraints: {{params: {written}}}").constraints
    assert constraint.low == (low if low is not None else -float("inf"))
    assert constraint.high == (high if high is not None else float("inf"))


def test_objectives_in_order() -> None:
    space = load(x="objectives: [{maximise: proxy}, {minimise: latency}]")
    assert [str(o) for o in space.objectives] == ["maximise proxy", "minimise latency_ms"]
