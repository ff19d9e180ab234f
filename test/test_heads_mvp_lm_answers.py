"""MVP-LM: matching and losses against hand-worked cases, and every kind of answer from a hand-made prediction."""

import itertools
import math
import random

import pytest

torch = pytest.importorskip("torch")

from refseg_ros.models.heads.mvp_lm import (  # noqa: E402
    LossWeights,
    MVPLMHead,
    Task,
    compact,
    losses,
    perception,
    prompts,
    rejection,
    target_of,
)
from refseg_ros.models.heads.mvp_lm.head import MVPLMOutput  # noqa: E402
from refseg_ros.models.heads.mvp_lm.losses import unsure_points  # noqa: E402
from refseg_ros.models.heads.mvp_lm.matching import costs, match  # noqa: E402
from refseg_ros.models.heads.mvp_lm.prediction import NEVER, Prediction  # noqa: E402

GRID = 12


def same(logits_nhw):
    return logits_nhw


def predicted(queries, names, seed=0):
    torch.manual_seed(seed)
    boxes = torch.rand(1, queries, 4) * 0.4 + 0.2
    masks = 3 * torch.randn(1, queries, GRID, GRID)
    return Prediction(torch.randn(1, queries, names), torch.randn(1, queries), boxes, *factors(masks))


def factors(logits_bqhw):
    """Mask vectors and features whose product these logits are."""
    return torch.eye(logits_bqhw.shape[1])[None], logits_bqhw


def block(top, bottom, left, right):
    mask = torch.zeros(GRID, GRID)
    mask[top:bottom, left:right] = 1
    return mask


def sure(masks):
    """Masks as logits that leave no doubt."""
    return 16 * torch.stack(list(masks))[None] - 8


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("points", [None, 200])
def test_matching_is_the_cheapest_assignment_with_things_to_things_and_stuff_to_stuff(seed, points):
    prediction = predicted(6, 4, seed)
    masks = torch.stack([block(0, 4, 0, 6), block(5, 9, 2, 9), block(10, 12, 0, 12)])
    target = target_of(masks, [1, 3, 0], [False, False, True])
    weights = LossWeights()
    torch.manual_seed(5)
    cost = costs(prediction, 0, target, Task.PANOPTIC, weights, points)
    torch.manual_seed(5)
    query, truth = match(prediction, 0, target, Task.PANOPTIC, 4, weights, points)
    found = sum(float(cost[q, t]) for q, t in zip(query, truth, strict=True))
    best = min(
        sum(float(cost[q, t]) for t, q in enumerate(chosen))
        for chosen in itertools.permutations(range(6), 3)
        if all((q >= 4) == bool(target.stuff_n[t]) for t, q in enumerate(chosen))
    )
    assert sorted(truth.tolist()) == [0, 1, 2] and found == pytest.approx(best, abs=1e-4)


def test_costs_by_hand():
    prediction = predicted(3, 2)
    target = target_of(block(2, 7, 3, 9)[None], [1])
    cost = costs(prediction, 0, target, Task.WORDS, LossWeights(), None)
    for q in range(3):
        logits = torch.cat([prediction.similarity_bqk[0, q], prediction.background_bq[0, q, None]])
        x, t = prediction.mask_logits(0)[q].flatten(), target.masks_nhw[0].flatten()
        bce = torch.nn.functional.binary_cross_entropy_with_logits(x, t)
        dice = 1 - (2 * (x.sigmoid() * t).sum() + 1) / (x.sigmoid().sum() + t.sum() + 1)
        box, true = prediction.boxes_bq4[0, q].tolist(), target.boxes_n4[0].tolist()
        a, b = ([c[0] - c[2] / 2, c[1] - c[3] / 2, c[0] + c[2] / 2, c[1] + c[3] / 2] for c in (box, true))
        width, height = (max(0.0, min(a[i + 2], b[i + 2]) - max(a[i], b[i])) for i in (0, 1))
        union = box[2] * box[3] + true[2] * true[3] - width * height
        hull = math.prod(max(a[i + 2], b[i + 2]) - min(a[i], b[i]) for i in (0, 1))
        giou = width * height / union - (hull - union) / hull
        l1 = sum(abs(i - j) for i, j in zip(box, true, strict=True))
        expected = -2 * logits.softmax(0)[1] + 5 * l1 - 2 * giou + 5 * bce + 5 * dice
        assert float(cost[q, 0]) == pytest.approx(float(expected), abs=1e-4)


def test_more_targets_than_queries_and_none_at_all():
    masks = torch.stack([block(n, n + 2, 0, 6) for n in range(5)])
    query, truth = match(predicted(2, 1), 0, target_of(masks, [0] * 5), Task.SENTENCE, 2, LossWeights(), None)
    assert len(query) == 2 and len(set(truth.tolist())) == 2
    query, _ = match(predicted(2, 1), 0, target_of(masks[:0], []), Task.SENTENCE, 2, LossWeights(), None)
    assert len(query) == 0
    # No stuff query is left for stuff: it stays without one, rather than with a query for things.
    query, truth = match(
        predicted(3, 1), 0, target_of(masks[:2], [0, 0], [True, True]), Task.PANOPTIC, 2, LossWeights(), None
    )
    assert query.tolist() == [2] and len(truth) == 1
    # Of the selected tokens there are as many as queries for things: stuff is none of theirs.
    query, truth = match(
        predicted(3, 1), 0, target_of(masks[:2], [0, 0], [True, False]), Task.PANOPTIC, 3, LossWeights(), None
    )
    assert truth.tolist() == [1] and len(query) == 1


def test_a_perfect_prediction_costs_nothing_and_a_layer_too_many_counts_twice():
    masks = torch.stack([block(0, 5, 0, 6), block(6, 12, 3, 12)])
    target = target_of(masks, [1, 0])
    similarity = torch.full((1, 3, 2), NEVER)
    similarity[0, 0, 0], similarity[0, 2, 1] = 50, 50
    background = torch.tensor([[-50.0, 50.0, -50.0]])
    boxes = torch.stack([target.boxes_n4[1], torch.tensor([0.5] * 4), target.boxes_n4[0]])[None]
    perfect = Prediction(similarity, background, boxes, *factors(4 * sure([masks[1], masks[0], masks[0]])))
    parts = losses(MVPLMOutput(Task.WORDS, 3, (perfect,)), [target])
    assert all(float(v) == pytest.approx(0, abs=1e-4) for v in parts.values())
    other = predicted(3, 2)
    one = losses(MVPLMOutput(Task.WORDS, 3, (other,)), [target])
    two = losses(MVPLMOutput(Task.WORDS, 3, (other, other)), [target])
    assert all(float(two[n]) == pytest.approx(2 * float(v), rel=1e-5) for n, v in one.items())


def test_the_background_weighs_a_tenth():
    prediction, target = predicted(3, 2), target_of(block(0, 5, 0, 6)[None], [1])
    query = int(match(prediction, 0, target, Task.WORDS, 3, LossWeights(), None)[0])
    table = torch.cat([prediction.similarity_bqk[0], prediction.background_bq[0, :, None]], 1).log_softmax(1)
    weight = torch.full((3,), 0.1)
    weight[query] = 1
    truth = torch.full((3,), 2)
    truth[query] = 1
    expected = -(weight * table[torch.arange(3), truth]).sum() / weight.sum()
    got = losses(MVPLMOutput(Task.WORDS, 3, (prediction,)), [target])["similarity"]
    assert float(got) == pytest.approx(2 * float(expected), rel=1e-5)


def test_boxes_without_masks_teach_boxes_only():
    target = target_of(block(0, 5, 0, 6)[None], [1])
    boxed = type(target)(target.labels_n, target.boxes_n4, None, target.stuff_n)
    parts = losses(MVPLMOutput(Task.WORDS, 3, (predicted(3, 2),)), [boxed])
    assert float(parts["bce"]) == float(parts["dice"]) == 0 and float(parts["l1"]) > 0


def test_unsure_points_lie_at_the_edge():
    torch.manual_seed(0)
    slope = torch.linspace(-8, 8, 64).expand(1, 64, 64)  # unsure in the middle columns only
    points = unsure_points(slope.contiguous(), 400)
    middle = (points[0, :300, 0] - 0.5).abs()
    assert points.shape == (1, 400, 2) and float(middle.max()) < 0.2 < float((points[0, 300:, 0] - 0.5).abs().max())


def referred(similarity, masks):
    count = len(similarity)
    boxes = torch.arange(4.0 * count).reshape(1, count, 4)
    similar = torch.tensor(similarity)[None, :, None]
    prediction = Prediction(similar, torch.zeros(1, count), boxes, *factors(sure(masks)))
    return MVPLMOutput(Task.SENTENCE, count, (prediction,))


def test_referring_takes_the_best_the_several_or_none():
    a, b, almost_a = block(0, 4, 0, 6), block(6, 9, 0, 6), block(0, 4, 0, 5)
    output = referred([2.0, 1.5, 3.0, -4.0], [a, b, almost_a, block(10, 12, 0, 3)])
    best = perception.refer(output, 0, same, None)
    assert len(best.found) == 1 and torch.equal(best.found[0].mask_hw, almost_a > 0)
    assert best.score == pytest.approx(1 / (1 + math.exp(-3)) / (1 + math.exp(-8)), abs=1e-5)
    assert torch.equal(best.found[0].box_4, output.answer.boxes_bq4[0, 2])
    several = perception.refer(output, 0, same, None, several=0.5)
    assert [f.score for f in several.found] == sorted((f.score for f in several.found), reverse=True)
    assert len(several.found) == 2 and torch.equal(several.found[1].mask_hw, b > 0)  # a and almost a are one thing
    none = perception.refer(output, 0, same, band(0.96))
    assert none.found == () and none.score == best.score
    assert perception.refer(output, 0, same, band(best.score)).found
    with pytest.raises(ValueError, match="only a sentence"):
        perception.refer(MVPLMOutput(Task.WORDS, 4, output.layers), 0, same, None)


def test_a_mask_that_is_half_sure_counts_half():
    quality = perception.mask_quality(torch.tensor([[[8.0, -8.0]], [[0.2, 0.2]], [[-1.0, -3.0]]]))
    expected = [1 / (1 + math.exp(-8)), 1 / (1 + math.exp(-0.2)), 0.0]
    assert quality.tolist() == pytest.approx(expected, abs=1e-5)


def listed(masks, names, chances, things, stuff=3):
    """A word-list output whose query n has its name with this chance, the background the rest."""
    similarity = torch.full((1, len(names), stuff), NEVER)
    background = torch.zeros(1, len(names))
    for n, (name, chance) in enumerate(zip(names, chances, strict=True)):
        similarity[0, n, name] = math.log(chance / (1 - chance))
    boxes = torch.rand(1, len(names), 4)
    return MVPLMOutput(Task.PANOPTIC, things, (Prediction(similarity, background, boxes, *factors(sure(masks))),))


def test_panoptic_pixels_have_one_owner_and_hidden_segments_go():
    cup, behind, ground = block(0, 4, 0, 4), block(0, 4, 1, 5), block(4, 12, 0, 12)
    more_ground = block(0, 4, 8, 12)
    output = listed(
        [cup, behind, cup, ground, more_ground], [0, 1, 0, 2, 2], [0.9, 0.6, 0.05, 0.8, 0.7], things=3
    )
    flags = [False, False, True]
    picture = perception.panoptic(output, 0, flags, same)
    # The second loses 12 of its 16 cells to the first and goes; the third is under the score; the stuff is one segment.
    assert [s.phrase for s in picture.segments] == [0, 2] and picture.stuff == (False, True)
    expected = torch.zeros(GRID, GRID, dtype=torch.int32)
    expected[cup > 0], expected[ground > 0], expected[more_ground > 0] = 1, 2, 2
    assert torch.equal(picture.ids_hw, expected)
    looser = perception.panoptic(output, 0, flags, same, overlap=0.2)
    assert [s.phrase for s in looser.segments] == [0, 1, 2]
    assert perception.panoptic(output, 0, flags, same, score=0.95).segments == ()


def test_queries_for_things_never_name_stuff():
    output = listed([block(0, 4, 0, 4)] * 2, [2, 0], [0.9, 0.9], things=1)
    chances = perception.name_chances(output, 0, [False, False, True])
    assert float(chances[0, 2]) == 0 and float(chances[1, 0]) == 0


def test_instances_detections_and_grounding():
    a, b = block(0, 4, 0, 4), block(6, 12, 2, 9)
    output = listed([a, b, block(0, 1, 0, 1)], [0, 1, 2], [0.6, 0.9, 0.8], things=2)
    flags = [False, False, True]
    found = perception.instances(output, 0, flags, same, score=0.01)
    assert [f.phrase for f in found] == [1, 0] and torch.equal(found[0].mask_hw, b > 0)
    assert found[0].score == pytest.approx(0.9 / (1 + math.exp(-8)), abs=1e-4)
    boxes = perception.detections(output, 0, 2, score=0.01)
    assert [(f.phrase, round(f.score, 3)) for f in boxes] == [(1, 0.9), (0, 0.6)] and boxes[0].mask_hw is None
    best = perception.grounding(output, 0, 2)
    assert [f.phrase for f in best] == [0, 1]
    assert [f.score for f in best] == pytest.approx([0.6, 0.9], abs=1e-4)
    assert torch.equal(best[1].box_4, output.answer.boxes_bq4[0, 1])
    said = referred([2.0, 3.0], [a, b])
    assert torch.equal(perception.grounding(said, 0, 1)[0].box_4, said.answer.boxes_bq4[0, 1])
    with pytest.raises(ValueError, match="word list"):
        perception.detections(said, 0, 1)


def band(reject, accept=1.0):
    return rejection.Rejection(accept=accept, reject=reject, false_accept=0.02, false_reject=0.05)


def test_the_thresholds_travel_with_the_weights_in_any_precision():
    settings = compact(8, width=32, heads=2, queries=4, decoder_layers=1, encoder_layers=1)
    net, other = MVPLMHead(settings), MVPLMHead(settings)
    with pytest.raises(rejection.NotCalibrated, match="no rejection thresholds"):
        rejection.stored(net.rejection)
    fitted = band(0.123456789, 0.7)
    net.rejection.copy_(fitted.tensor())
    other.load_state_dict(net.state_dict())
    back = rejection.stored(other.bfloat16().rejection)
    assert back.reject == pytest.approx(0.123456789, abs=1e-9) and back.accept == pytest.approx(0.7, abs=1e-9)
    assert (back.false_accept, back.false_reject) == pytest.approx((0.02, 0.05))
    assert back.rejects(0.1234) and not back.rejects(0.1235)
    with pytest.raises(ValueError, match="above accept"):
        band(0.8, 0.7)
    with pytest.raises(ValueError, match=r"Rejection.accept must be in \[0, 1\]"):
        band(0.8, 1.7)


def test_prompts_say_where_each_phrase_stands():
    asked = prompts.word_prompt(["red mug", "milk", "table"])
    assert [asked.text[a:b] for a, b in asked.spans] == ["red mug", "milk", "table"]
    assert asked.text.endswith("red mug, milk, table.")
    said = prompts.sentence_prompt("the milk, left of the mug")
    assert [said.text[a:b] for a, b in said.spans] == ["the milk, left of the mug"]
    for wrong in ([], ["a, b"], [" "]):
        with pytest.raises(ValueError, match="word list"):
            prompts.word_prompt(wrong)
    with pytest.raises(ValueError, match="empty"):
        prompts.sentence_prompt(" ")


def test_tokens_of_a_phrase_are_those_that_touch_it():
    offsets = [(0, 0), (0, 3), (3, 8), (8, 12), (0, 0)]
    assert prompts.members([(4, 8), (8, 11)], offsets) == [
        [False, False, True, False, False], [False, False, False, True, False]
    ]  # fmt: skip
    with pytest.raises(ValueError, match="no token covers"):
        prompts.members([(20, 22)], offsets)


def test_word_lists_hold_what_is_there_and_some_of_what_is_not():
    rng, vocabulary = random.Random(0), [f"thing {n}" for n in range(20)]
    present = ["thing 3", "thing 7", "thing 3"]
    lists = [prompts.word_list(present, vocabulary, 8, rng) for _ in range(200)]
    assert all({"thing 3", "thing 7"} <= set(names) <= set(vocabulary) for names in lists)
    assert all(len(set(names)) == len(names) <= 8 for names in lists)
    assert {len(names) for names in lists} == set(range(2, 9))  # from none absent to as many as there is room
    assert {names.index("thing 3") for names in lists} >= set(range(6))  # anywhere in the list
    assert all(len(prompts.word_list([], vocabulary, 8, rng)) > 0 for _ in range(50))
    assert set(prompts.word_list(present, vocabulary, 8, rng, absent_share=0)) == {"thing 3", "thing 7"}
    with pytest.raises(ValueError, match="raise the limit"):
        prompts.word_list(present, vocabulary, 1, rng)
