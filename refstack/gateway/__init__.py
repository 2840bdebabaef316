"""The reference gateway: the HTTP API that customers of the RAG service talk to."""
