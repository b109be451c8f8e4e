"""The page of a report: one HTML file with its pictures inside, which needs no other file and no network."""

import base64
import io
import os

import jinja2
import matplotlib

from tf_lottery.reporting.pictures import STYLE
from tf_lottery.runtime import storage


def draw(folder, pictures):
    """Writes Pictures as PNG files.

    Args:
      folder: of the report.
      pictures: generator of Pictures, which draws them in the style of all.

    Returns:
      What the page shows of them: dict from section to list of dicts of `alternative`, `caption` and
      those of `inside`.
    """
    sections = {}
    with matplotlib.rc_context(STYLE):
        for picture in pictures:
            buffer = io.BytesIO()
            picture.figure.savefig(buffer, format='png')
            png = buffer.getvalue()
            storage.write_bytes(storage.join(folder, f'{picture.name}.png'), png)
            sections.setdefault(picture.section, []).append({
                'alternative': picture.alternative, 'caption': picture.caption, **inside(png, 'png')})
    return sections


def inside(content, form):
    """How the page holds bytes of the form 'png' or 'gif': dict of `form` and `base64`."""
    return {'form': form, 'base64': base64.b64encode(content).decode()}


def write(folder, template, **values):
    """Writes index.html from a template that extends page.html.j2; returns its path."""
    loader = jinja2.FileSystemLoader(os.path.dirname(__file__))
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    path = storage.join(folder, 'index.html')
    storage.write_text(path, environment.get_template(template).render(**values))
    return path
