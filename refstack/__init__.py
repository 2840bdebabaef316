"""The reference RAG service that is verified when a user brings no stack of their own."""
