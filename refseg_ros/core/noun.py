"""The noun that a "one" stands for: "all the bowls but the white one" excludes the white bowl."""

from __future__ import annotations

from refseg_ros.core import lexicon as lex
from refseg_ros.core.number import Number, number_of

_DESCRIBING = lex.ADJECTIVES | lex.NOUN_COLOURS | {"and"}


def one_at(low: list[str]) -> int:
    """Where the "one" stands that is a noun said before: "the white one", "the one on the left"; 0 for none."""
    k = next((k for k, w in enumerate(low) if w in ("one", "ones")), 0)
    described = [w for w in low[:k] if w not in lex.DETERMINERS]
    related = low[k + 1 : k + 2] and low[k + 1] in lex.CONTINUERS and low[k + 1] != "of"
    stands = all(w in _DESCRIBING for w in described) and (related or (bool(described) and k == len(low) - 1))
    return k if stands else 0


def with_noun(words: list[str], said: list[str]) -> list[str]:
    """The words of a part, with the noun of `said` for their "one"."""
    k = one_at([w.lower() for w in words])
    return [*words[:k], *noun_of(said, words[k].lower() == "one"), *words[k + 1 :]] if k else words


def adds(low: list[str]) -> bool:
    """Whether a part can say more about the phrase before it: "the big one", "all of them"."""
    return bool(one_at(low)) or tuple(low) in lex.ALL_OF_THEM


def refined(said: list[str], words: list[str]) -> list[str]:
    """`said` with what an apposition adds: "the mug, the big one"; empty for another thing."""
    low = [w.lower() for w in words]
    begin, end = _span([w.lower() for w in said])
    plural = number_of([w.lower() for w in said])[0] is not Number.SINGULAR
    if tuple(low) in lex.ALL_OF_THEM:
        every = plural and low[0] != "both" and said[0].lower() in ("the", "my", "your", "these", "those")
        return ["all", *said] if every else said
    k = one_at(low)
    if not k or begin == end or plural != (low[k] == "ones"):
        return []
    first = next(i for i, w in enumerate(said) if w.lower() not in lex.DETERMINERS)
    adding, relation = [w for w in words[:k] if w.lower() not in lex.DETERMINERS], words[k + 1 :]
    described = begin > first or (said[begin].lower() in lex.NOUN_COLOURS and end > begin + 1)
    if (adding and described) or (relation and end < len(said)):
        return []  # "the red mug, the blue one" are two
    known = bool(first) and said[0].lower() not in ("a", "an", "another", "some")
    return [*(said[:first] if known else words[:1]), *adding, *said[first:], *relation]


def noun_of(words: list[str], singular: bool) -> list[str]:
    """What a phrase is about, without what describes it; "one" where it names nothing."""
    begin, end = _span([w.lower() for w in words])
    noun = words[begin:end]
    if singular and noun:
        noun = [*noun[:-1], singular_of(noun[-1])]
    return noun or ["one" if singular else "ones"]


def _span(low: list[str]) -> tuple[int, int]:
    """Where a phrase's noun begins and ends."""
    begin = next((k for k, w in enumerate(low) if w not in lex.DETERMINERS | lex.ADJECTIVES | {"of", "and"}), len(low))
    if begin and low[begin - 1] == "and":
        begin = next(k for k, w in enumerate(low) if w not in lex.DETERMINERS)
    return begin, next((k for k in range(begin, len(low)) if low[k] == "," or low[k] in lex.CONTINUERS), len(low))


def singular_of(word: str) -> str:
    """A regular plural's singular; any other word as it is."""
    low = word.lower()
    if low in lex.IRREGULAR_SINGULARS:
        return lex.IRREGULAR_SINGULARS[low]
    if len(low) < 4 or not low.endswith("s") or low.endswith(("ss", "us", "is")) or low in lex.SINGULAR_S:
        return word
    if low.endswith(("xes", "shes", "ches", "sses")):
        return word[:-2]
    return word[:-3] + "y" if low.endswith("ies") else word[:-1]
