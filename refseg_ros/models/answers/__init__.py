"""What language models may answer: grammars, strict parsers, and decoding that cannot break an answer's form."""
