"""Reports of a run, made from its directory alone: page, JUnit XML, Markdown and terminal."""

from reports.rendering import Rendered, render

__all__ = ["Rendered", "render"]
