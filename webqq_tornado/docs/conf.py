"""How Sphinx builds the documentation: `python -m sphinx -W webqq_tornado/docs build/docs`."""

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
autodoc_default_options = {"members": True, "show-inheritance": True}
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


def setup(app: Sphinx) -> None:
    """Register what this file adds to Sphinx.

    Args:
        app: the build.
    """
    app.connect("missing-reference", resolve_short_name)
