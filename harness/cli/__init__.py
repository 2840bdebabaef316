"""The command ``ragdrill``: one file per family of subcommands."""
