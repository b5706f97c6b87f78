"""The pages that people look at: mounted beside the API on one application, behind the same gate.

A page is a folder here: `page.py` with `register(context)`, and beside it what is shown, computed without NiceGUI
(`view.py` where that is one idea). Importing this package costs nothing: NiceGUI is loaded when pages are mounted.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI

    from iot_pipeline.serving.pages.shell import PageContext

# One line a page; the name is that of its folder.
PAGES = (
    "overview",
    "device",
    "inbox",
    "ice_plant",
    "weather",
    "states",
    "country",
    "customer",
    "line",
    "quality",
)


def mount_pages(app: "FastAPI", context: "PageContext") -> None:
    """Serve all pages at `/`, behind every route that `app` has already."""
    from iot_pipeline.serving.pages.mounting import mount  # noqa: PLC0415 -- see the module

    modules = [import_module(f"{__name__}.{name}.page") for name in PAGES]
    mount(app, context)
    for module in modules:
        module.register(context)
