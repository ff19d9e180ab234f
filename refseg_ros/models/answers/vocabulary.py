"""What each token of a tokenizer spells, in bytes; and special tokens by name. No torch, no model.

Byte-level BPE (Qwen, Phi), SentencePiece-like BPE (Llama) and WordPiece (BERT) are told apart by the decoder that the
tokenizer itself declares. A WordPiece token spells a space before it when both it and the token before it are words,
and numbers are spelled digit by digit; elsewhere a token always spells the same bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from refseg_ros.models.answers.grammar import NOTHING, Symbol, Term


class Vocabulary:
    """tokenizer: a fast tokenizer of transformers; specials: names of its added tokens that answers may contain.

    Raises ValueError for a special token that the tokenizer does not know, and for an unknown kind of tokenizer.
    """

    def __init__(self, tokenizer: Any, specials: Sequence[str]) -> None:
        self.tokenizer = tokenizer
        self.eos_id: int = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else tokenizer.sep_token_id
        # Llama's and InternLM's tokenizers put one before every text; Qwen's and Phi's do not, though Phi's has one.
        first = list(tokenizer.encode("", add_special_tokens=True))[:1]
        self.beginning: list[int] = first if first == [tokenizer.bos_token_id] else []
        known = tokenizer.get_added_vocab()
        missing = [name for name in specials if name not in known]
        if missing:
            raise ValueError(f"the tokenizer has no token {', '.join(missing)}: add it before the vocabulary is built")
        self.special_ids = {name: known[name] for name in specials}
        self._names = {number: name for name, number in self.special_ids.items()}
        self._unspellable = set(known.values()) | set(tokenizer.all_special_ids)
        spell = _speller(tokenizer)
        self._spellings: dict[int, Spelling] = {}
        self._trie, self._trie_after_word = _Node(), _Node()
        for token, number in tokenizer.get_vocab().items():
            spelling = None if number in self._unspellable else spell(token)
            if spelling is None or not spelling.data:
                continue
            self._spellings[number] = spelling
            if spelling.writes:
                if not spelling.joins:
                    self._trie.add(spelling.data, number)
                self._trie_after_word.add(spelling.after_word(), number)

    def encode_user_text(self, text: str) -> list[int]:
        """Token ids of text from outside. It never yields a special token, whatever the text spells."""
        return self.encode_with_offsets(text)[0]

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """As encode_user_text(), with the first and past-the-last character of each token."""
        out = self.tokenizer(
            text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True
        )
        pairs = zip(out["input_ids"], out["offset_mapping"], strict=True)
        kept = [(i, o) for i, o in pairs if i not in self._unspellable or i == self.tokenizer.unk_token_id]
        return [i for i, _ in kept], [(int(a), int(b)) for _, (a, b) in kept]

    def spell(self, text: str) -> str:
        """Text as the model can write it: normalised as the tokenizer does, without what it has no token for."""
        data = b"".join(d for d in self.symbols(self.encode_user_text(text)) if isinstance(d, bytes))
        return data.decode(errors="ignore").strip()

    def symbols(self, ids: Iterable[int]) -> list[bytes | str]:
        """What each token stands for: bytes, or the name of a special token; one entry a token.

        Tokens that answers cannot contain are named "<unknown:ID>".
        """
        out: list[bytes | str] = []
        after_word = False
        for number in ids:
            if number in self._names:
                out.append(self._names[number])
                after_word = False
            elif number in self._spellings:
                spelling = self._spellings[number]
                out.append(spelling.after_word() if after_word else spelling.data)
                after_word = spelling.word
            else:
                out.append(f"<unknown:{number}>")
                after_word = False
        return out

    def is_unknown(self, number: int) -> bool:
        """Whether this token stands for text that the tokenizer cannot read."""
        return number == self.tokenizer.unk_token_id

    def is_word(self, number: int) -> bool:
        """Whether a word that follows this token spells a space first."""
        return number in self._spellings and self._spellings[number].word

    def symbols_of(self, number: int, after_word: bool) -> tuple[Symbol, ...]:
        """The symbols of one token, after a word or not; () for one that answers cannot contain."""
        if number in self._names:
            return (self._names[number],)
        spelling = self._spellings.get(number)
        if spelling is None or not spelling.writes:
            return ()
        return tuple(spelling.after_word() if after_word else spelling.data)

    def allowed(self, term: Term, after_word: bool) -> list[int]:
        """Ids of every token that may come next, in order; without the end of the answer."""
        ids = [number for name, number in self.special_ids.items() if term.step(name) is not NOTHING]
        stack = [(self._trie_after_word if after_word else self._trie, term)]
        while stack:
            node, here = stack.pop()
            ids.extend(node.ids)
            first = here.first()
            for byte in first if len(first) < len(node.children) else node.children:
                child = node.children.get(byte) if isinstance(byte, int) else None
                rest = here.step(byte) if child is not None else NOTHING
                if child is not None and rest is not NOTHING:
                    stack.append((child, rest))
        return sorted(ids)

    def extends(self, symbols: Sequence[Symbol], then: Term, after_word: bool) -> bool:
        """Whether some token spells all of `symbols` and, after them, something that `then` allows."""
        node = self._trie_after_word if after_word else self._trie
        for symbol in symbols:
            child = node.children.get(symbol) if isinstance(symbol, int) else None
            if child is None:
                return False
            node = child
        return self._spells_more(node, then)

    def _spells_more(self, node: _Node, then: Term) -> bool:
        for byte, child in node.children.items():
            rest = then.step(byte)
            if rest is not NOTHING and (child.ids or self._spells_more(child, rest)):
                return True
        return False

    def longest(self, symbols: Sequence[Symbol], after_word: bool) -> tuple[int, int]:
        """The token that spells the most of the start of `symbols`, and how much of it.

        Raises ValueError when no token does: text that did not go through spell().
        """
        if symbols and isinstance(symbols[0], str):
            return self.special_ids[symbols[0]], 1
        node, best = (self._trie_after_word if after_word else self._trie), (-1, 0)
        for length, symbol in enumerate(symbols, 1):
            child = node.children.get(symbol) if isinstance(symbol, int) else None
            if child is None:
                break
            node = child
            if node.ids:
                best = node.ids[0], length
        if best[0] < 0:
            raise ValueError(f"no token spells {symbols[:8]!r}: pass the text through spell() first")
        return best


class Spelling(NamedTuple):
    """What a token spells. word: it is one; joins: it continues the word before it; writes: answers may contain it."""

    data: bytes
    word: bool = False
    joins: bool = False
    writes: bool = True

    def after_word(self) -> bytes:
        """Its bytes when a word stands before it."""
        return b" " + self.data if self.word and not self.joins else self.data


class _Node:
    """A trie over bytes; ids: the tokens that end here, lowest first."""

    __slots__ = ("children", "ids")

    def __init__(self) -> None:
        self.children: dict[int, _Node] = {}
        self.ids: list[int] = []

    def add(self, data: bytes, number: int) -> None:
        node = self
        for byte in data:
            node = node.children.setdefault(byte, _Node())
        node.ids.append(number)
        node.ids.sort()


def _speller(tokenizer: Any) -> Callable[[str], Spelling | None]:
    """From a token's string to its spelling; None for one that spells nothing."""
    decoder = json.loads(tokenizer.backend_tokenizer.to_str()).get("decoder") or {}
    kinds = [d["type"] for d in decoder.get("decoders", [])] or [decoder.get("type")]
    if "ByteLevel" in kinds:
        table = _byte_level()
        return lambda token: Spelling(bytes(table[c] for c in token)) if set(token) <= set(table) else None
    if "WordPiece" in kinds:
        return _word_piece
    if "ByteFallback" in kinds or "Metaspace" in kinds:
        return _sentence_piece
    raise ValueError(f"tokenizers with the decoder {decoder.get('type')!r} are not supported")


def _byte_level() -> dict[str, int]:
    """GPT-2's printable stand-ins for bytes: printable ones stand for themselves, the others follow from 256 on."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in set(plain)]
    return {chr(b): b for b in plain} | {chr(256 + n): b for n, b in enumerate(rest)}


def _word_piece(token: str) -> Spelling:
    joins = token.startswith("##")
    text = token[2:] if joins else token
    if text.isalpha():
        return Spelling(text.encode(), word=True, joins=joins)
    return Spelling(text.encode(), writes=len(text) == 1 and not joins)


def _sentence_piece(token: str) -> Spelling:
    byte = re.fullmatch(r"<0x([0-9A-Fa-f]{2})>", token)
    return Spelling(bytes([int(byte[1], 16)]) if byte else token.replace("▁", " ").encode())
