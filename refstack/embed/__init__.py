"""The embedding worker: OpenAI's embeddings API over models that ship inside packages."""
