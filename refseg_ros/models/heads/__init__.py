"""The systems' heads: torch modules on tensors, without any backbone, tokenizer or language model inside."""
