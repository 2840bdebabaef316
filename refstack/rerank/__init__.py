"""The reranker: scores texts against a query in the shapes that TEI and Cohere share."""
