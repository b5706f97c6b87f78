"""What the server asks a browser to do: say something briefly, show another address. Values travel as JSON."""

import json

from nicegui import ui

from iot_pipeline.serving.pages.parts.links import page_url


def tell(message: str) -> None:
    """Say something for a moment."""
    ui.run_javascript(f"window.iot.told({json.dumps(message)})")


def replace_address(path: str, **query: str | None) -> None:
    """Let the address bar say what is chosen, so that it can be kept and sent; nothing is loaded."""
    ui.run_javascript(f"history.replaceState(null, '', {json.dumps(page_url(path, **query))})")
