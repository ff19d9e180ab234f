"""The noun that a "one" stands for: "all the bowls but the white one" excludes the white bowl."""

from __future__ import annotations

from refseg_ros.core import lexicon as lex


def stands_for(low: list[str]) -> bool:
    """Whether a part ends in a "one" that stands for a noun said before: "all the bowls but the white one"."""
    described = [w for w in low[:-1] if w not in lex.DETERMINERS]
    known = lex.ADJECTIVES | lex.NOUN_COLOURS | {"and"}
    return bool(described) and low[-1] in ("one", "ones") and all(w in known for w in described)


def noun_of(words: list[str], singular: bool) -> list[str]:
    """What a phrase is about, without what describes it; "one" where it names nothing."""
    low = [w.lower() for w in words]
    begin = next((k for k, w in enumerate(low) if w not in lex.DETERMINERS | lex.ADJECTIVES | {"of", "and"}), len(low))
    if begin and low[begin - 1] == "and":
        begin = next(k for k, w in enumerate(low) if w not in lex.DETERMINERS)
    end = next((k for k in range(begin, len(low)) if low[k] == "," or low[k] in lex.CONTINUERS), len(low))
    noun = words[begin:end]
    if singular and noun:
        noun = [*noun[:-1], singular_of(noun[-1])]
    return noun or ["one" if singular else "ones"]


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
