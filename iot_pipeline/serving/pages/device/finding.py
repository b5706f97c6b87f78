"""Ways to a device: the list to choose from, and what is said when there is none of a name."""

from nicegui import ui

from iot_pipeline.serving.pages import shell
from iot_pipeline.serving.pages.overview.view import FLEET_PAGES, fleet_title
from iot_pipeline.serving.pages.parts import links, states
from iot_pipeline.serving.pages.parts.markup import box, text

FOUND = 100


def crumbs(fleet: str) -> list[tuple[str, str]]:
    """Where a device of `fleet` belongs."""
    if fleet in FLEET_PAGES:
        return [FLEET_PAGES[fleet]]
    return [(fleet_title(fleet), links.page_url("/device", fleet=fleet))] if fleet else [("Devices", "/device")]


def finder(context: shell.PageContext, fleet: str) -> None:
    """The devices that were heard lately, of a fleet if one is named."""
    names = context.live.devices(fleet=fleet or None, prefix=None, limit=FOUND + 1, after=None)
    title = f"Devices of {fleet_title(fleet)}" if fleet else "Devices"
    with shell.frame(context, title=title, active=""):
        if not names:
            states.empty("No device was heard lately.", "They are listed here with their first reading.")
            return
        text(
            "Heard lately, by name. The search above finds all others by the beginning of their name.", "muted", tag="p"
        )
        with box("card"), box("name-list"):
            for name in names[:FOUND]:
                links.device_link(name)
        if len(names) > FOUND:
            text(f"There are more than {FOUND}: search by the beginning of the name.", "muted", tag="p")


def unknown(context: shell.PageContext, name: str, not_yet: str) -> None:
    """Nobody is called `name`, as far as is known; `not_yet` says why that may change."""
    ui.context.client.status_code = 404
    near = context.live.devices(fleet=None, prefix=name[:3], limit=12, after=None)
    with shell.frame(context, title="Unknown device", active="", crumbs=[("Devices", "/device")]):
        with box("state"):
            text("No device of this name is known:", "state-text", tag="p")
            text(name, "mono device-name", tag="p")
            text(not_yet or "Names are exact, capital letters too. Search it above.", "muted", tag="p")
        if near:
            with box("card"):
                text("Did you mean", "card-title", tag="h2")
                with box("name-list"):
                    for one in near:
                        links.device_link(one)
