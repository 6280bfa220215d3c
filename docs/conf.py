"""The web site of docs/: `make site` builds it with Sphinx into dist/site.

The source folder is the checkout, so that a page may link to benchmarks/ and CONTRIBUTING.md on the site as it does in
the repository.
"""

import importlib.metadata

project = "dpedtool"
release = importlib.metadata.version("dpedtool")
root_doc = "docs/index"
include_patterns = ["docs/**", "benchmarks/*.md", "CONTRIBUTING.md"]
# Without this Sphinx would walk through all of them.
exclude_patterns = ["docs/_templates", ".venv", ".git", ".dvc", "build", "dist", "results", "demo", "shared", "tests"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc", "sphinx_click"]
myst_heading_anchors = 3
numpydoc_show_class_members = False
autodoc_typehints = "none"
autodoc_class_signature = "separated"
autodoc_member_order = "bysource"

templates_path = ["_templates"]
html_theme = "pydata_sphinx_theme"
html_title = "dpedtool"
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"show_prev_next": False, "secondary_sidebar_items": ["page-toc"]}
# The pages lie in docs/ there too; this sends a reader of the site's folder to the first of them.
html_additional_pages = {"index": "to_first_page.html"}
