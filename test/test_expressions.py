"""The grammar: three values, unarguable labels, varied words that the parser reads as they are meant."""

from __future__ import annotations

import importlib.util
import random
from collections import Counter

import numpy as np
import pytest

if importlib.util.find_spec("mujoco") is None:
    pytest.skip("the simulated camera needs mujoco (requirements/sim.txt)", allow_module_level=True)

from test_sim_truth import made, said

from refseg_ros.core.instruction import Number, parse
from refseg_ros.sim.catalogue import CATALOGUE, nouns
from refseg_ros.sim.expressions import expressions, words
from refseg_ros.sim.expressions.appearance import FALSE, MAYBE, SHAPE_KEYS, TRUE, appearance
from refseg_ros.sim.expressions.facts import Facts
from refseg_ros.sim.expressions.oov import OUT_OF_VOCABULARY
from refseg_ros.sim.expressions.wording import FORMS, OPENINGS, templates

KEYS = sorted(CATALOGUE)


def random_scene(seed: int):
    """Things from the catalogue on a grid with jitter; now and then one in a basket."""
    rng = random.Random(seed)
    places = [(x * 0.13, y * 0.13) for x in range(-2, 3) for y in range(-2, 3)]
    things = []
    for (x, y), key in zip(rng.sample(places, 11), rng.sample(KEYS, 11), strict=True):
        place = (x + rng.uniform(-0.03, 0.03), y + rng.uniform(-0.03, 0.03), 0.0)
        things.append((key, place, rng.choice([900] * 11 + [40])))
    hosts = [n for n, t in enumerate(things) if CATALOGUE[t[0]].holds]
    if hosts:
        things.append(("rs_lemon", (*things[hosts[0]][1][:2], 0.05), 300, hosts[0]))
    return made(*things)


def test_thousands_of_varied_expressions_are_read_as_they_are_meant():
    texts, phrases, kinds = set(), set(), Counter()
    for seed in range(40):
        scene = random_scene(seed)
        by_id = {o.id: o for o in scene.objects}
        for e in expressions(scene, random.Random(seed), most=40):
            heard = parse(e.text)
            assert tuple(p.text for p in heard if not p.negated) == e.phrases
            assert tuple(p.text for p in heard if p.negated) == e.excluded
            assert len(e.phrases) == len(e.targets)
            for phrase, ids in zip((p for p in heard if not p.negated), e.targets, strict=True):
                assert phrase.number is not Number.COUNT or e.type == "absent-count" or len(ids) == phrase.count
                if len(ids) > 1 and not e.excluded:
                    assert (phrase.number is Number.SINGULAR) == (e.expect == "AMBIGUOUS"), e
            assert all(by_id[i].visible_px >= 60 for ids in e.targets for i in ids)
            texts.add(e.text)
            phrases.update(e.phrases)
            kinds[e.type] += 1
    assert len(texts) > 8000 and len(phrases) > 4000
    assert set(kinds) == {
        "name", "attribute", "size", "superlative", "ordinal", "relation", "between", "container", "pair", "list",
        "all-of", "count", "negation", "ambiguous", "half-absent", "absent-name", "absent-attribute",
        "absent-relation", "absent-count", "absent-oov",
    }  # fmt: skip


def test_plain_expressions_are_read_as_they_are_meant_too():
    for seed in range(4):
        for e in expressions(random_scene(seed)):
            assert tuple(p.text for p in parse(e.text) if not p.negated) == e.phrases


def test_the_words_are_many():
    assert templates() > 200 and len(OPENINGS) > 30
    vocabulary = {n for key in KEYS for n in appearance(key).names}
    assert templates() * len(vocabulary) > 2000


def test_the_same_generator_gives_the_same_words():
    scene = random_scene(1)
    first, again = (expressions(scene, random.Random(5), most=10) for _ in range(2))
    assert first == again != expressions(scene, random.Random(6), most=10)
    unheard = expressions(scene, random.Random(5), most=10, heard=False)
    assert unheard == first
    assert max(Counter(e.type for e in first).values()) <= 10


def test_words_outside_the_vocabulary_name_nothing_there_is():
    assert len(OUT_OF_VOCABULARY) == len(set(OUT_OF_VOCABULARY)) >= 150
    looks = [appearance(key) for key in KEYS] + [appearance(f"shape:{s}") for s in ("block", "cylinder", "sphere")]
    known = {w for look in looks for w in look.names | look.maybe | look.loose} | set(nouns())
    assert not known & set(OUT_OF_VOCABULARY)
    for word in OUT_OF_VOCABULARY:
        (phrase,) = parse(f"the {word}")
        assert phrase.text == f"the {word}" and not phrase.negated


def test_every_form_takes_its_slots():
    filled = dict.fromkeys(("x", "xs", "a", "b", "c", "d", "n", "o", "u", "v", "w"), "mug")
    for wordings in FORMS.values():
        assert len(set(wordings)) == len(wordings)
        for text in wordings:
            assert "{" not in text.format(**filled)


def test_what_could_be_argued_about_is_neither_said_nor_denied():
    carton, box = appearance("milk"), appearance("rs_cereal")
    assert (box.word("box"), carton.word("box"), box.word("mug")) == (TRUE, MAYBE, FALSE)
    texts = said(made(("milk", (-0.2, 0, 0), 900), ("rs_cereal", (0.2, 0, 0), 900)))
    assert "the box" not in texts and "the cereal" in texts
    pattern = appearance("akita_black_bowl")
    assert (pattern.colour("black"), pattern.colour("white"), pattern.colour("blue")) == (MAYBE, MAYBE, FALSE)
    assert said(made(("akita_black_bowl", (0, 0, 0), 900)))["the black and white bowl"].type == "attribute"


def test_a_ramekin_is_a_bowl_where_there_is_no_bowl():
    alone = said(made(("red_ramekin", (-0.2, 0, 0), 900), ("milk", (0.2, 0, 0), 900)))
    assert alone["the bowl"].targets == (frozenset([0]),)
    assert "the bowl" not in said(made(("red_ramekin", (-0.2, 0, 0), 900), ("white_bowl", (0.2, 0, 0), 900)))


def test_paint_hides_the_label_but_not_the_form():
    box = appearance("butter", "blue")
    assert (box.noun, box.word("box"), box.word("butter"), box.colours) == ("box", TRUE, MAYBE, ("blue",))
    mug = appearance("red_coffee_mug", "blue")
    assert (mug.noun, mug.colour("blue"), mug.colour("red"), mug.colour("purple")) == ("mug", TRUE, FALSE, MAYBE)


def test_counts_order_and_negation():
    row = [("red_coffee_mug", (-0.25, 0, 0), 900), ("porcelain_mug", (0, 0, 0), 900)]
    row += [("white_porcelain_mug", (0.25, 0, 0), 900), ("milk", (0, 0.3, 0), 900)]
    texts = said(made(*row))
    assert texts["the three mugs"].targets == (frozenset([0, 1, 2]),)
    assert (texts["the four mugs"].type, texts["the four mugs"].targets) == ("absent-count", (frozenset(),))
    assert texts["the second mug from the left"].targets == (frozenset([1]),)
    assert texts["the first mug from the right"].targets == (frozenset([2]),)
    assert texts["the fourth mug from the left"].type == "absent-count"
    assert texts["the mug between the red mug and the gold mug"].targets == (frozenset([1]),)
    but = texts["all the mugs but the red one"]
    assert (but.phrases, but.excluded) == (("all the mugs",), ("the red mug",))
    assert but.targets == (frozenset([1, 2]),) and but.type == "negation"
    assert texts["everything but the milk"].targets == (frozenset([0, 1, 2]),)
    two = said(made(*row[:2]))
    assert two["the mug that is not red"].targets == (frozenset([1]),)
    assert two["the mug on the left" if "the mug on the left" in two else "the leftmost mug"].targets[0] == {0}


def test_sizes_need_a_margin():
    texts = said(made(("white_bowl", (-0.2, 0, 0), 900), ("red_akita_black_bowl", (0.2, 0, 0), 900)))
    assert (texts["the big bowl"].type, texts["the big bowl"].targets) == ("size", (frozenset([1]),))
    assert texts["the smallest bowl"].targets == (frozenset([0]),)
    same = said(made(("yellow_bowl", (-0.2, 0, 0), 900), ("red_akita_black_bowl", (0.2, 0, 0), 900)))
    assert not any("big" in t or "small" in t for t in same if same[t].targets[0])


def test_under_and_holding():
    texts = said(made(("plate", (0, 0, 0), 900), ("rs_lemon", (0.02, 0, 0.03), 300, 0), ("milk", (0.3, 0, 0), 900)))
    assert texts["the lemon on the plate"].targets == (frozenset([1]),)
    assert texts["the plate under the lemon"].targets == (frozenset([0]),)
    assert texts["the plate with the lemon on it"].targets == (frozenset([0]),)
    assert texts["the milk on the plate"].type == "absent-relation"


def test_nothing_is_said_of_a_kind_of_which_one_is_hardly_visible():
    scene = made(("milk", (-0.2, 0, 0), 900), ("rs_lemon", (0.2, 0, 0), 20))
    assert not any("lemon" in e.text or "fruit" in e.text for e in expressions(scene, random.Random(0)))
    facts = Facts.of(scene)
    assert list(facts.word("lemon")) == [FALSE, MAYBE]
    assert list(facts.word("object")) == [TRUE, MAYBE]


def test_the_table_of_words_is_consistent():
    known = {e.noun for e in CATALOGUE.values()} | {e.category for e in CATALOGUE.values()}
    shapes = set(SHAPE_KEYS)
    assert set(words.SYNONYMS) <= known and set(words.CATEGORY_WORDS) <= known
    assert set(words.ARGUABLE) <= known | shapes
    assert set(words.LOOSE) <= known | set(CATALOGUE) and set(words.DETAILS) <= set(CATALOGUE)
    for sure, arguable in [*words.GROUPS.values(), *words.MATERIALS.values(), *words.SHAPES.values()]:
        assert {*sure.split("|"), *arguable.split("|")} <= known | shapes
    for key in KEYS:
        look = appearance(key)
        assert look.word(look.noun) == TRUE or look.noun in look.loose, key
    with pytest.raises(KeyError, match="shapes are"):
        appearance("shape:star")


def test_an_empty_view_says_nothing():
    scene = made(("milk", (0, 0, 0), 0))
    assert expressions(scene) == () and np.all(scene.instance_ids == -1)


def test_mentions_are_what_the_words_name_on_the_way():
    keys = ("rs_milk", "rs_can", "rs_lemon")
    scene = made(*((key, (0.2 * n, 0.0, 0.0), 900) for n, key in enumerate(keys)))
    nouns_of = {o.id: CATALOGUE[o.key].noun for o in scene.objects}
    by_text = {e.text: e for e in expressions(scene)}
    relation = next(e for t, e in by_text.items() if e.type == "relation" and t.endswith("of the milk"))
    assert {nouns_of[i] for i in relation.mentions.anchors} == {"milk"}
    assert relation.targets[0] <= relation.mentions.named
    gone = next(e for e in by_text.values() if e.type == "absent-oov")
    assert not gone.mentions.named and not gone.mentions.anchors
    for seed in range(10):
        for e in expressions(random_scene(seed), random.Random(seed), most=20):
            if e.mentions is not None and e.type not in ("attribute", "container", "negation"):
                assert e.targets[0] <= e.mentions.named | e.mentions.arguable, e
            assert e.mentions is None or len(e.phrases) == 1
