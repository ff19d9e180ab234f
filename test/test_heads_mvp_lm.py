"""MVP-LM's head: shapes, gradients, padding, denoising, and that it learns."""

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from refseg_ros.models.heads.mvp_lm import (  # noqa: E402
    Instruction,
    LossWeights,
    MVPLMConfig,
    MVPLMHead,
    Task,
    average_spans,
    compact,
    losses,
    target_of,
)
from refseg_ros.models.heads.mvp_lm.centres import TokenScores, centre_loss, middle  # noqa: E402
from refseg_ros.models.heads.mvp_lm.config import STRIDES  # noqa: E402
from refseg_ros.models.heads.mvp_lm.denoising import blocked, noisy  # noqa: E402
from refseg_ros.models.heads.mvp_lm.pixel_decoder import proposals  # noqa: E402
from refseg_ros.models.heads.mvp_lm.prediction import NEVER  # noqa: E402

SIZE, LANGUAGE = 64, 12
SMALL = {
    "channels": (4, 6, 8, 10), "width": 32, "heads": 2, "encoder_layers": 1, "encoder_feedforward": 32,
    "decoder_layers": 2, "decoder_feedforward": 32, "queries": 8, "stuff_queries": 3, "denoising_queries": 6,
}  # fmt: skip


def small(**changes):
    return compact(LANGUAGE, **{**SMALL, **changes})


def vision(images=2, seed=0):
    torch.manual_seed(seed)
    return [torch.randn(images, c, SIZE // s, SIZE // s) for c, s in zip(SMALL["channels"], STRIDES, strict=True)]


def words(counts=(4, 2), seed=1):
    torch.manual_seed(seed)
    there = torch.arange(max(counts))[None] < torch.tensor(counts)[:, None]
    return Instruction(torch.randn(len(counts), max(counts), LANGUAGE), there, torch.randn(len(counts), LANGUAGE))


def ragged_targets():
    """Two things and stuff in the first image, nothing in the second."""
    masks = torch.zeros(3, 16, 16)
    masks[0, 2:6, 1:9], masks[1, 8:14, 10:15], masks[2, 14:] = 1, 1, 1
    return [target_of(masks, [0, 3, 1], [False, False, True]), target_of(masks[:0], [])]


def head(**changes):
    torch.manual_seed(7)
    return MVPLMHead(small(**changes))


@pytest.mark.parametrize(("task", "queries"), [(Task.PANOPTIC, 11), (Task.WORDS, 8)])
def test_shapes_with_ragged_word_lists(task, queries):
    net, text, targets = head(), words(), ragged_targets()
    output = net(vision(), text, task, targets=targets)
    assert len(output.layers) == 3 and len(output.denoised) == 2 and output.things == 8
    for layer in output.layers:
        assert layer.boxes_bq4.shape[:2] in ((2, queries), (2, 8))
        assert layer.mask_logits(1).shape == (layer.boxes_bq4.shape[1], 16, 16)
        assert torch.all(layer.similarity_bqk[1, :, 2:] == NEVER) and torch.all(layer.similarity_bqk[0] > NEVER)
        assert torch.all((layer.boxes_bq4 > 0) & (layer.boxes_bq4 < 1))
    assert output.answer.boxes_bq4.shape == (2, queries, 4) and output.answer.similarity_bqk.shape == (2, queries, 4)
    assert all(torch.isfinite(v) for v in losses(output, targets).values())
    net.eval()
    with torch.no_grad():
        assert len(net(vision(), text, task).layers) == 1


@pytest.mark.parametrize("changes", [{}, {"query_selection": False}, {"base_queries": False}, {"mask_points": 40}])
def test_gradients_reach_every_parameter(changes):
    net, targets = head(**changes), ragged_targets()
    for parameter in net.parameters():  # boxes start at the proposals by a layer of zeros, which lets nothing through
        parameter.data += 0.02 * torch.randn_like(parameter)
    output = net(vision(), words(), Task.PANOPTIC, targets=targets)
    total = sum(losses(output, targets, net.config.mask_points).values())
    # The bias that names and background share is nothing to word lists: a sentence teaches it.
    sentence = net(vision(), words((1, 1)), Task.SENTENCE)
    (total + losses(sentence, [targets[1]] * 2)["similarity"]).backward()
    still = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not still


def test_a_sentence_teaches_by_binary_cross_entropy_and_an_absent_one_too():
    net, targets = head(), [target_of(torch.ones(1, 8, 8), [0]), target_of(torch.zeros(0, 8, 8), [])]
    text = words((1, 1))
    output = net(vision(), text, Task.SENTENCE, targets=targets)
    assert not output.denoised
    parts = losses(output, targets)
    absent = losses(net(vision()[:4], text, Task.SENTENCE), [targets[1], targets[1]])
    assert float(absent["similarity"].detach()) > 0
    assert all(float(absent[n].detach()) == 0 for n in ("l1", "giou", "bce", "dice"))
    assert all(float(v.detach()) > 0 for v in parts.values())


def test_padding_names_change_nothing():
    net, text = head().eval(), words()
    alone = Instruction(text.phrases_bkc[1:, :2], text.there_bk[1:, :2], text.summary_bc[1:])
    with torch.no_grad():
        both = net(vision(), text, Task.PANOPTIC).answer
        one = net([m[1:] for m in vision()], alone, Task.PANOPTIC).answer
    torch.testing.assert_close(both.similarity_bqk[1:, :, :2], one.similarity_bqk, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(both.mask_logits(1), one.mask_logits(0), atol=1e-4, rtol=1e-4)


def test_an_image_is_encoded_once_for_many_phrases():
    net, maps = head().eval(), vision(2)
    text = words((1, 1, 1))
    image = torch.tensor([1, 0, 1])
    with torch.no_grad():
        pixels = net.encode(maps)
        together = net.decode(pixels, text, Task.SENTENCE, image).answer
        for n in range(3):
            own = Instruction(text.phrases_bkc[n : n + 1], text.there_bk[n : n + 1], text.summary_bc[n : n + 1])
            single = net.decode(pixels, own, Task.SENTENCE, image[n : n + 1]).answer
            torch.testing.assert_close(together.boxes_bq4[n], single.boxes_bq4[0], atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(together.mask_logits(n), single.mask_logits(0), atol=1e-4, rtol=1e-4)


def test_queries_are_the_most_similar_tokens_of_the_picture_and_none_of_the_padding():
    net, text = head().eval(), words((2, 2))
    inside = torch.ones(2, 16, 16, dtype=torch.bool)
    inside[:, :, 8:] = False
    with torch.no_grad():
        pixels = net.encode(vision(), inside)
        embedded = net.text(text.phrases_bkc)
        start = net.queries(pixels, text, embedded, net.heads)
        score = net.heads.similarity.compare(pixels.keys_vtd, embedded)[0].amax(-1)
    known = torch.cat([inside[:, :: 16 // h, :: 16 // w].flatten(1) for h, w in pixels.shapes], 1)
    assert torch.equal(pixels.inside_vt, known) and 0 < int(known[0].sum()) < known.shape[1]
    best = score.masked_fill(~known, -torch.inf).topk(8, 1).indices
    # The box head starts with zeros.
    torch.testing.assert_close(start.boxes_bq4, proposals(pixels.shapes, best.device)[best])
    assert torch.all(start.boxes_bq4[..., 0] < 0.5)
    base = net.queries.base(text.summary_bc).reshape(2, 8, -1)
    torch.testing.assert_close(start.content_bqd, start.selected_bqd + base)


def test_things_are_not_chosen_for_looking_like_stuff():
    net, text = head().eval(), words((2, 2))
    only = replace(text, phrases_bkc=text.phrases_bkc[:, :1], there_bk=text.there_bk[:, :1])
    with_stuff = replace(text, stuff_bk=torch.tensor([[False, True]] * 2))
    with torch.no_grad():
        boxes = [net(vision(), t, Task.WORDS).answer.boxes_bq4 for t in (only, with_stuff, text)]
    torch.testing.assert_close(boxes[0], boxes[1], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(boxes[0], boxes[2], atol=1e-3)


def test_the_middle_of_a_thing_is_a_cell_of_it():
    ring = torch.ones(7, 7)
    ring[2:5, 2:5] = 0
    row, col = middle(ring)
    assert ring[row, col] == 1 and max(abs(row - 3), abs(col - 3)) == 2
    speck = torch.zeros(7, 7)
    speck[5, 1], speck[5, 2] = 0.2, 0.1
    assert middle(speck) == (5, 1)


def test_centres_are_taught_their_names_and_the_rest_of_a_thing_is_left_alone():
    masks = torch.zeros(2, 8, 8)
    masks[0, 1:4, 1:4], masks[1, 6:] = 1, 1
    target = target_of(masks, [1, 0], [False, True])
    right = torch.zeros(1, 2, 8, 8)
    background = torch.full((1, 8, 8), 30.0)
    right[0, 1, 2, 2], background[0, 2, 2] = 30.0, 0.0
    inside = torch.ones(1, 8, 8, dtype=torch.bool)
    assert float(centre_loss(TokenScores(right, background, inside), [target], False)) < 1e-6
    background[0, 1:4, 1:4] = 0  # the thing's other cells may say what they like
    assert float(centre_loss(TokenScores(right, background, inside), [target], False)) < 1e-6
    wrong = right.roll(1, 1)
    assert float(centre_loss(TokenScores(wrong, background, inside), [target], False)) == pytest.approx(30, abs=1e-3)
    inside[:, :5] = False  # in the padding nothing counts, but a thing's middle
    background[:, :5] = -30
    assert float(centre_loss(TokenScores(right, background, inside), [target], False)) < 1e-6
    said = torch.full((1, 1, 8, 8), -30.0)
    said[0, 0, 2, 2] = 30
    one = target_of(masks[:1], [0])
    assert float(centre_loss(TokenScores(said, background, inside), [one], True)) < 1e-6
    boxes_only = replace(one, masks_nhw=None)
    assert float(centre_loss(TokenScores(said, background, inside), [boxes_only], True)) == 0
    output = head()(vision(), words((1, 1)), Task.SENTENCE)
    targets = [one, target_of(masks[:0], [])]
    assert "centres" not in losses(output, targets)
    parts = losses(output, targets, weights=LossWeights(centres=2.0))
    single = float(centre_loss(output.tokens, targets, True).detach())
    assert float(parts["centres"].detach()) == pytest.approx(2 * single, rel=1e-5)


def test_answers_never_see_the_denoising_queries():
    net, targets = head(), ragged_targets()
    own = net(vision(), words(), Task.PANOPTIC)
    noised = net(vision(), words(), Task.PANOPTIC, targets=targets)
    assert noised.denoised
    for a, b in zip(own.layers, noised.layers, strict=True):
        torch.testing.assert_close(a.mask_logits(0), b.mask_logits(0), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(a.boxes_bq4, b.boxes_bq4, atol=1e-5, rtol=1e-4)


def test_denoising_groups_see_themselves_and_the_answers_only():
    torch.manual_seed(0)
    denoising = noisy(ragged_targets(), words().there_bk, small())
    assert denoising.real_bm.tolist() == [[True] * 6, [False] * 6] and denoising.group_m.tolist() == [0, 0, 1, 1, 2, 2]
    assert denoising.truth_bm[0].tolist() == [0, 1] * 3  # the stuff is not among them
    wall = blocked(4, denoising)
    assert torch.equal(wall[0, :4], torch.tensor([[False] * 4 + [True] * 6] * 4))
    for n in range(6):
        expected = [False] * 4 + [m // 2 != n // 2 for m in range(6)]
        assert wall[0, 4 + n].tolist() == expected
        assert wall[1, 4 + n].tolist() == [False] * 4 + [m != n for m in range(6)]  # padding sees itself


def test_noise_stays_within_its_bounds():
    torch.manual_seed(0)
    target = target_of(torch.ones(1, 4, 4), [2])
    box = torch.tensor([0.5, 0.5, 0.4, 0.2])
    target.boxes_n4[0] = box
    denoising = noisy([target], torch.ones(1, 5, dtype=torch.bool), small(denoising_queries=4000))
    moved = (denoising.boxes_bm4[0] - box) / torch.tensor([0.2, 0.1, 0.4, 0.2])
    assert 0.39 < float(moved.abs().max()) <= 0.4001 and abs(float(moved.mean())) < 0.02
    flipped = float((denoising.labels_bm[0] != 2).float().mean())
    assert abs(flipped - 0.4 / 2 * 4 / 5) < 0.03


def test_averages_over_spans():
    states = torch.arange(12.0).reshape(1, 4, 3)
    member = torch.tensor([[[1, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]]).bool()
    expected = torch.stack([states[0, :2].mean(0), states[0, 3], torch.zeros(3)])
    torch.testing.assert_close(average_spans(states, member)[0], expected)


def _pictures(count=3):
    """Coloured rectangles on coloured ground: maps are the shrunken pictures, phrases one code for each colour."""
    torch.manual_seed(3)
    colours = torch.eye(4)
    pictures, targets = torch.zeros(count, 4, SIZE, SIZE), []
    for n in range(count):
        masks = torch.zeros(3, SIZE, SIZE)
        masks[0, 4:24, 8 + 8 * n : 28 + 8 * n], masks[1, 36:60, 4 + 12 * n : 24 + 12 * n] = 1, 1
        masks[2] = 1 - masks[:2].amax(0)
        labels = [n % 3, (n + 1) % 3, 3]
        for mask, label in zip(masks, labels, strict=True):
            pictures[n] += mask * colours[label][:, None, None]
        targets.append(target_of(masks, labels, [False, False, True]))
    maps = [torch.nn.functional.avg_pool2d(pictures, s) for s in STRIDES]
    phrases = torch.nn.functional.pad(torch.eye(4), (0, LANGUAGE - 4))[None].expand(count, -1, -1)
    return maps, phrases, targets


def test_it_learns_words_and_sentences_by_heart():
    maps, phrases, targets = _pictures()
    torch.manual_seed(0)
    net = MVPLMHead(small(channels=(4, 4, 4, 4)))
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    everything = Instruction(phrases, torch.ones(3, 4, dtype=torch.bool), torch.ones(3, LANGUAGE))
    image = torch.tensor([0, 1, 2, 0])  # of each sentence; nothing in picture 0 has the last one's colour
    wanted = [target_of(targets[n].masks_nhw[:1], [0]) for n in range(3)] + [target_of(torch.zeros(0, SIZE, SIZE), [])]
    said = Instruction(phrases[0, [0, 1, 2, 2]][:, None], torch.ones(4, 1, dtype=torch.bool), torch.ones(4, LANGUAGE))
    first = None
    for _ in range(90):
        pixels = net.encode(maps)
        parts = losses(net.decode(pixels, everything, Task.PANOPTIC, targets=targets), targets)
        spoken = losses(net.decode(pixels, said, Task.SENTENCE, image), wanted)
        total = sum(parts.values()) + sum(spoken.values())
        first = first or float(total.detach())
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
    net.eval()
    with torch.no_grad():
        output = net(maps, said, Task.SENTENCE, image).answer
    assert float(total.detach()) < 0.4 * first
    score = output.similarity_bqk[..., 0].sigmoid()
    for n in range(3):
        best = int(score[n].argmax())
        true = targets[n].masks_nhw[0] > 0.5
        logits = output.mask_logits(n, torch.tensor([best]))
        shown = torch.nn.functional.interpolate(logits[None], size=SIZE)[0, 0] > 0
        assert (shown & true).sum() / (shown | true).sum() > 0.7
        assert float(score[n, best]) > 0.5 > float(score[3].max())


def test_full_scale_builds_without_memory_and_has_the_parameters_of_its_parts():
    with torch.device("meta"):
        full = MVPLMHead(MVPLMConfig())
    millions = {name: round(sum(p.numel() for p in part.parameters()) / 1e6, 1) for name, part in full.named_children()}
    assert millions == {"pixels": 5.5, "text": 0.6, "queries": 7.2, "heads": 0.5, "decoder": 13.9, "known": 0.1}
    assert len(full.decoder.layers) == 9 and len(full.pixels.net.encoder.layers) == 6
    assert sum(p.numel() for p in MVPLMHead(compact(384)).parameters()) < 2.5e6


def test_half_precision_places_boxes_as_well():
    net, text, targets = head(), words(), ragged_targets()
    half = MVPLMHead(net.config).bfloat16()
    half.load_state_dict(net.state_dict())
    asked = replace(text, phrases_bkc=text.phrases_bkc.bfloat16(), summary_bc=text.summary_bc.bfloat16())
    maps = [m.bfloat16() for m in vision()]
    output = half(maps, asked, Task.PANOPTIC, targets=targets)
    assert all(torch.isfinite(v) for v in losses(output, targets).values())
    assert output.answer.boxes_bq4.dtype == torch.float32
    chosen = half.encode(maps)
    start = half.queries(chosen, asked, half.text(asked.phrases_bkc), half.heads)
    exact = proposals(chosen.shapes, torch.device("cpu"))  # the box head starts with zeros: boxes are proposals
    assert (start.boxes_bq4.reshape(-1, 1, 4) - exact).abs().amax(-1).amin(1).max() < 1e-6


def test_full_scale_has_the_published_shapes():
    with torch.device("meta"):
        full = MVPLMHead(MVPLMConfig()).eval()
        maps = [torch.empty(1, c, 1024 // s, 1024 // s) for c, s in zip(full.config.channels, STRIDES, strict=True)]
        there = torch.ones(1, 133, dtype=torch.bool)
        images = full.encode(maps)
        asked = Instruction(torch.empty(1, 133, 2048), there, torch.empty(1, 2048))
        answer = full.decode(images, asked, Task.PANOPTIC).answer
    assert {p.device.type for p in full.parameters()} == {"meta"}
    assert images.mask_features_vdhw.shape == (1, 256, 256, 256)
    assert images.inside_vt.shape == (1, 128**2 + 64**2 + 32**2)
    assert answer.similarity_bqk.shape == (1, 200, 133) and answer.mask_logits(0).shape == (200, 256, 256)


def test_full_scale_runs_on_small_maps():
    net = MVPLMHead(MVPLMConfig(mask_points=200, decoder_layers=2)).eval()
    maps = [torch.randn(1, c, 128 // s, 128 // s) for c, s in zip(net.config.channels, STRIDES, strict=True)]
    text = Instruction(torch.randn(1, 3, 2048), torch.ones(1, 3, dtype=torch.bool), torch.randn(1, 2048))
    with torch.no_grad():
        answer = net(maps, text, Task.PANOPTIC).answer
    assert answer.mask_logits(0).shape == (200, 32, 32) and torch.isfinite(answer.mask_logits(0)).all()


@pytest.mark.parametrize(
    "wrong",
    [{"width": 40}, {"queries": 0}, {"channels": (1, 2, 3)}, {"stuff_queries": -1}, {"denoising_noise": 2},
     {"mask_points": 0}, {"base_queries": False, "query_selection": False}],
)  # fmt: skip
def test_a_wrong_setting_is_refused_by_name(wrong):
    with pytest.raises(ValueError, match=f"MVPLMConfig.{next(iter(wrong))} "):
        small(**wrong)


def test_wrong_inputs_are_refused():
    net = head(stuff_queries=0)
    with pytest.raises(ValueError, match="one phrase"):
        net(vision(), words(), Task.SENTENCE)
    with pytest.raises(ValueError, match="no panoptic output"):
        net(vision(), words(), Task.PANOPTIC)
    with pytest.raises(ValueError, match="channels"):
        net(vision()[::-1], words(), Task.WORDS)
    with pytest.raises(ValueError, match="cannot give"):
        head(queries=200)(vision(), words(), Task.WORDS)
    with pytest.raises(ValueError, match="is empty"):
        target_of(torch.zeros(1, 4, 4), [0])
    with pytest.raises(ValueError, match="need boxes"):
        replace(target_of(torch.ones(1, 4, 4), [0]), labels_n=torch.zeros(2))
