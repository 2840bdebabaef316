"""What is logged arrives in the right tenant, whole, and without personal data (guide 3.3)."""
