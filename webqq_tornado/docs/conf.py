"""Configuration of Sphinx: `python -m sphinx -W webqq_tornado/docs build/docs`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from webqq_tornado import __version__

if TYPE_CHECKING:
    from docutils.nodes import Element
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

project = "webqq_tornado"
version = release = __version__
copyright = "the authors of webqq_tornado"
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
nitpicky = False

# Docstrings have names in single backquotes: a link where the name is documented, else code.
default_role = "py:obj"
add_module_names = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 72
toc_object_entries_show_parents = "hide"
autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

html_theme = "furo"
html_title = "webqq_tornado"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = html_show_sourcelink = False
html_theme_options: dict[str, Any] = {"navigation_with_keys": True}
pygments_style = "friendly"
pygments_dark_style = "monokai"
highlight_language = "text"  # of blocks that say nothing else, such as diagrams


def resolve_short_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: Element
) -> Element | None:
    """Link a class to where it is documented, when only its name is given.

    Args:
        app: the build.
        env: all documents.
        node: a reference that Sphinx could not resolve.
        content: the text of the link.

    Returns:
        The link; None where no class, or several, have the name.
    """
    if node.get("refdomain") != "py":
        return None
    domain = env.domains.python_domain
    wanted = "." + str(node["reftarget"])
    found = {
        (entry.docname, entry.node_id): name
        for name, entry in domain.objects.items()
        if name.endswith(wanted) and entry.objtype in {"class", "exception", "function", "method"}
    }
    if len(found) != 1:
        return None
    (name,) = found.values()
    document = str(node.get("refdoc", env.docname))
    return domain.resolve_xref(env, document, app.builder, "obj", name, node, content)


def skip_fields(
    _app: Sphinx, _what: str, _name: str, thing: object, _skip: bool, _options: object
) -> bool | None:
    """Skip the fields of named tuples: the class has them among its arguments.

    Args:
        thing: a member of a class or module.

    Returns:
        True to skip it, None to leave the decision to autodoc.
    """
    is_field = (getattr(thing, "__doc__", None) or "").startswith("Alias for field number")
    return True if is_field else None


def shorten_signature(
    _app: Sphinx, what: str, name: str, _thing: object, _options: object, *_signature: object
) -> tuple[str, None] | None:
    """Leave out the arguments of errors, which are those of `StreamError`.

    Args:
        what: kind of a documented thing.
        name: its full name.

    Returns:
        A signature to use instead, None to leave it.
    """
    is_child = name.count(".") == 1 and name != "webqq_tornado.StreamError"
    return ("", None) if what == "exception" and is_child else None


def setup(app: Sphinx) -> None:
    """Register what this file adds to Sphinx.

    Args:
        app: the build.
    """
    app.connect("missing-reference", resolve_short_name)
    app.connect("autodoc-skip-member", skip_fields)
    app.connect("autodoc-process-signature", shorten_signature)
