"""The last thing on the terminal: the reports are written and the same verdict is printed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from harness.core.errors import HarnessError
from harness.core.run import CHECKOUT


def render_and_print(run_dir: Path, reporter: Any) -> bool:
    """Write the reports of the run and print its summary; say whether both worked.

    The history is already on the disk, so a renderer that breaks costs the page, not the run.
    """
    # Loaded only here: a run of the harness's own tests has no use for templates and charts.
    import reports
    from reports.terminal import print_summary

    reporter.ensure_newline()
    try:
        rendered = reports.render(run_dir)
    except HarnessError as error:
        reporter.write_line(str(error), red=True)
        return False
    except Exception as error:
        # A bug of the renderer: the verdict stands in run.jsonl and is said all the same.
        reporter.write_line(f"The report could not be rendered: {error!r}", red=True)
        return False
    page = rendered.index
    shown = page.relative_to(CHECKOUT) if page.is_relative_to(CHECKOUT) else page
    console = Console(file=reporter._tw._file, width=reporter._tw.fullwidth, soft_wrap=False)
    print_summary(rendered.judgement, console, str(shown))
    return True
