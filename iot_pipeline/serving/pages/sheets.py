"""Style sheets that only some pages need, beside the common one."""

from nicegui import ui

from iot_pipeline.serving.pages import shell


def sheet(name: str) -> None:
    """Load `static/<name>.css` into the page that is being built."""
    ui.add_head_html(f'<link rel="stylesheet" href="{shell.ASSETS}/{name}.css">')
