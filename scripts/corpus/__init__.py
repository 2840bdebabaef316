"""The parts of the corpus builder: documentation packages in, labelled passages out."""
