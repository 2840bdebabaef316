"""The parts everything else rests on: verdicts, errors, history and the guide's requirements."""
