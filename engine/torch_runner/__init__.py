"""The real runner: any Hugging Face decoder model over paged KV, on torch."""
