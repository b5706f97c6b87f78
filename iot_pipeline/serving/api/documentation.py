"""The API's documents as one plain page, made of its OpenAPI description: no script, no style sheet from elsewhere.

What there is to say is said in the routes and models; here it gets its form.
"""

import html
import json
from collections.abc import Iterator, Mapping
from typing import Any

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
section { border-top: 1px solid #8886; padding: 1rem 0; }
h2 { font-size: 1.1rem; } h2, code, pre { font-family: ui-monospace, monospace; }
pre { overflow-x: auto; background: #8882; padding: .5rem; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; vertical-align: top; padding: .2rem .6rem; }
th { font-weight: 600; } .scroll { overflow-x: auto; }
"""


def documentation_page(schema: Mapping[str, Any], address: str) -> str:
    """The page for an OpenAPI `schema` of an API that answers below `address`."""
    title = html.escape(f"{schema['info']['title']} {schema['info']['version']}")
    operations = list(_operations(schema))
    links = [
        f'<li><a href="#{_anchor(path, verb)}"><code>{verb} {path}</code></a></li>' for path, verb, _ in operations
    ]
    sections = [_section(address, path, verb, operation) for path, verb, operation in operations]
    models = [_model(name, model) for name, model in sorted(schema["components"]["schemas"].items())]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head><body>'
        f"<h1>{title}</h1><p>{html.escape(schema['info'].get('description', ''))}</p>"
        '<p>For programs: <a href="openapi.json">openapi.json</a> (OpenAPI 3.1).</p>'
        f"<nav><ul>{''.join(links)}</ul></nav><main>{''.join(sections)}"
        f"<h1>Models</h1>{''.join(models)}</main></body></html>"
    )


def _operations(schema: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, verbs in schema["paths"].items():
        for verb, operation in verbs.items():
            yield html.escape(path), verb.upper(), operation


def _section(address: str, path: str, verb: str, operation: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{html.escape(one['name'])}</code>{' *' if one.get('required') else ''}</td>"
        f"<td>{_kind(one['schema'])}</td><td>{html.escape(one.get('description') or _words(one['schema']))}</td></tr>"
        for one in operation.get("parameters", [])
    )
    table = f'<div class="scroll"><table><tr><th>parameter</th><th>is</th><th></th></tr>{rows}</table></div>'
    needed = "&".join(f"{one['name']}=..." for one in operation.get("parameters", []) if one.get("required"))
    question = f"?{needed}" if needed else ""
    answers = ", ".join(
        f"{html.escape(status)} {_content(answer)}" for status, answer in sorted(operation["responses"].items())
    )
    body = "".join(f"<p>body: {_kind(one['schema'])}</p>" for one in _bodies(operation))
    return (
        f'<section id="{_anchor(path, verb)}"><h2>{verb} {path}</h2>'
        f"<p>{html.escape(operation.get('description', ''))}</p>{table if rows else ''}{body}"
        f"<p>answers: {answers}</p><pre>curl '{html.escape(address)}{path}{html.escape(question)}'</pre></section>"
    )


def _words(schema: Mapping[str, Any]) -> str:
    """The description of a type that may be left out stands with the type itself."""
    return " ".join(one["description"] for one in schema.get("anyOf", []) if "description" in one)


def _bodies(operation: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from operation.get("requestBody", {}).get("content", {}).values()


def _content(answer: Mapping[str, Any]) -> str:
    kinds = [_kind(one["schema"]) for one in answer.get("content", {}).values() if one.get("schema")]
    return " or ".join(kinds) or html.escape(answer["description"])


def _model(name: str, model: Mapping[str, Any]) -> str:
    needed = model.get("required", [])
    rows = "".join(
        f"<tr><td><code>{html.escape(field)}</code>{' *' if field in needed else ''}</td><td>{_kind(kind)}</td>"
        f"<td>{html.escape(kind.get('description', ''))}</td></tr>"
        for field, kind in model.get("properties", {}).items()
    )
    words = f"<p>{html.escape(model.get('description', ''))}</p>"
    values = "".join(f"<p>one of {html.escape(json.dumps(model['enum']))}</p>" if "enum" in model else "")
    return (
        f'<section id="model-{html.escape(name)}"><h2>{html.escape(name)}</h2>{words}{values}'
        f'<div class="scroll"><table>{rows}</table></div></section>'
    )


def _kind(schema: Mapping[str, Any]) -> str:
    """A type in words, with links to models, bounds and defaults."""
    if "$ref" in schema:
        name = html.escape(schema["$ref"].rsplit("/", 1)[-1])
        text = f'<a href="#model-{name}">{name}</a>'
    elif "anyOf" in schema:
        text = " or ".join(_kind(one) for one in schema["anyOf"])
    elif schema.get("type") == "array":
        text = f"list of {_kind(schema['items'])}"
    else:
        text = html.escape(" ".join(str(schema[key]) for key in ("type", "format") if key in schema)) or "anything"
    words = {"minimum": "from", "maximum": "to", "default": "default", "const": "always"}
    bounds = [f"{word} {json.dumps(schema[key])}" for key, word in words.items() if schema.get(key) is not None]
    return f"{text}, {html.escape(', '.join(bounds))}" if bounds else text


def _anchor(path: str, verb: str) -> str:
    return f"{verb.lower()}{path.replace('/', '-')}"
