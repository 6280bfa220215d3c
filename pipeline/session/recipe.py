"""The recipe that DVC runs: dvc.yaml, for the checkout and for sessions, and the code that each stage depends on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import jinja2

from dpedtool.dataset.code_digest import FOLDER, WITHOUT_EFFECT, closure, file_of, syntax_digest
from dpedtool.dataset.io import file_sha256, replacing
from dpedtool.dataset.params import Params, functions_of
from dpedtool.dataset.params_files import FILES, PLUGINS
from dpedtool.dataset.places import is_url
from dpedtool.dataset.plugins import PluginName
from dpedtool.pipeline.records import versions

MODULES: Mapping[str, tuple[str, ...]] = {
    "captures": ("dpedtool.pipeline.rig.session",),
    "pair": ("dpedtool.pipeline.pair.intake", "dpedtool.pipeline.pair.stage"),
    "align": ("dpedtool.pipeline.align.stage",),
    "patches": ("dpedtool.pipeline.patches.stage",),
    "split": ("dpedtool.pipeline.split.stage",),
    "train": ("dpedtool.training.train.stage",),
    "evaluate": ("dpedtool.training.evaluate.stage",),
    "report": ("dpedtool.pipeline.report.stage",),
    "release": ("dpedtool.pipeline.release.build", "dpedtool.pipeline.release.verification.verify"),
}
"""The modules that the commands of each stage call."""

CODE_FOLDER = ".dpedtool/code"
"""Below a session: one file a stage, in which DVC sees that the code of the stage has changed."""

FILES_FOLDER = ".dpedtool/files"
"""Below the checkout: one file a stage, in which DVC sees that a file named in the parameters has changed."""

_SECTIONS_WITH_CODE = {section: (section,) for section, _ in PLUGINS} | {"evaluate": ("train", "evaluate")}
"""By stage, the sections that name functions of the user's own that it calls: evaluate runs the network of train."""
_WITH_FILES = {"pair", "split", *_SECTIONS_WITH_CODE, *(section for section, _ in FILES if section != "captures")}
"""The stages of which parameters may name files; the table of scenes is one of pair and split."""
_OF_PARAMETERS = {f"dpedtool.dataset.{name}" for name in ("params", "demo_params", "sections")}
_WITHOUT_EFFECT = set(WITHOUT_EFFECT) - _OF_PARAMETERS
_DATA_FOLDERS = ("presets", "templates")
# DVC reads every file of the checkout that is called dvc.yaml, and these are not YAML yet.
RECIPE, DEMO_RECIPE = "recipe.yaml.j2", "demo_recipe.yaml.j2"

_TEMPLATES = Path(__file__).parent / "templates"


def checkout_recipe() -> dict[str, str]:
    """Return the recipe of the checkout, by file name: its stages depend on the folders of the code that they import.

    A stage of its own writes down which files the parameters name, since DVC knows no key that may be missing. The
    recipe can only be made in a checkout, whose folders it names.
    """
    named = {stage: [f"{FILES_FOLDER}/{stage}"] for stage in MODULES if stage in _WITH_FILES}
    code = {stage: [*_folders(modules), *named.get(stage, ())] for stage, modules in MODULES.items()}
    written = [path for paths in named.values() for path in paths]
    return {
        "dvc.yaml": render(RECIPE, code=code, in_checkout=True, folder=FILES_FOLDER, written=written),
        "demo/dvc.yaml": render(DEMO_RECIPE, code=code),
    }


def write_checkout_recipe() -> None:
    """Write the recipe of the checkout that this code runs from."""
    for name, text in checkout_recipe().items():
        with replacing(FOLDER / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def session_recipe(*, is_demo: bool) -> dict[str, str]:
    """Return the recipe of a session, by file name: its stages depend on digests of the installed code."""
    code = {stage: [f"{CODE_FOLDER}/{stage}"] for stage in MODULES if is_demo or stage != "captures"}
    written = [path for paths in code.values() for path in paths]
    recipe = render(RECIPE, code=code, in_checkout=False, folder=CODE_FOLDER, written=written)
    return {"dvc.yaml": recipe} | ({"demo/dvc.yaml": render(DEMO_RECIPE, code=code)} if is_demo else {})


def render(name: str, **values: object) -> str:
    """Fill in a template of this package; a value that it lacks is an error."""
    environment = jinja2.Environment(  # noqa: S701 - YAML and plain text, of our own values
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True, loader=jinja2.FileSystemLoader(_TEMPLATES)
    )
    return environment.get_template(name).render(**values)


def write_code_digests(folder: Path, params: Params) -> None:
    """Write one file a stage: the modules that the stage depends on, each with a digest of what it does.

    A module's digest covers its syntax without comments and docstrings, so that a change of words runs nothing again.
    Data files that come with a module, such as templates and presets, are covered byte by byte. Modules that cannot
    change a result are left out; those of the parameters are not, since DVC does not see the defaults. The versions of
    OpenCV and torch are part of it, as they are of the tables' keys, and so is the content of the files that the
    parameters name.
    """
    for stage, modules in MODULES.items():
        _write(folder / stage, [*_digests(modules), *_packages(stage), *_named_files(stage, params)])


def write_file_digests(folder: Path, params: Params) -> None:
    """Write one file for each stage of which parameters may name files: these files, each with its SHA-256."""
    for stage in MODULES:
        if stage in _WITH_FILES:
            # DVC warns of empty files.
            _write(folder / stage, ["# SHA-256 of the files that the parameters name", *_named_files(stage, params)])


def _write(file: Path, lines: Sequence[str]) -> None:
    """Write lines, unless the file holds them already."""
    text = "".join(f"{line}\n" for line in lines)
    if not file.is_file() or file.read_text(encoding="utf-8") != text:
        with replacing(file) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _digests(modules: tuple[str, ...]) -> list[str]:
    names = {name for module in modules for name in closure(module)} - _WITHOUT_EFFECT
    lines = [f"{syntax_digest(name)}  {name}" for name in names]
    packages = {file_of(name).parent for name in names}
    data = [path for package in packages for folder in _DATA_FOLDERS for path in (package / folder).glob("*")]
    lines += [f"{file_sha256(path)}  {path.relative_to(FOLDER).as_posix()}" for path in data if path.is_file()]
    return sorted(lines, key=lambda line: line.partition("  ")[2])


def _packages(stage: str) -> list[str]:
    packages = [name for name in ("opencv", "torch") if name == "opencv" or stage in ("train", "evaluate")]
    return [f"{versions().get(name, 'none')}  {name}" for name in packages]


def _named_files(stage: str, params: Params) -> list[str]:
    """The files, and the functions of the user's own, that the parameters of a stage name."""
    lines = []
    for section, key in FILES:
        # DVC watches the captures by itself, and the stage that makes them must not depend on them.
        is_named = (section, key) == ("captures", "scenes") and stage in ("pair", "split")
        is_named |= section == stage and section != "captures"
        named = (getattr(getattr(params, section), key) if is_named else None) or ()
        for name in (named,) if isinstance(named, str) else named:
            if is_url(name):
                continue
            # A list of pairs may be one of each phone.
            places = {Path(name.replace("{phone}", phone)) for phone in ("{phone}", *params.captures.phones)}
            files = sorted(path for place in places for path in [place, *place.glob("*")] if path.is_file())
            lines += [f"{file_sha256(path)}  {section}.{key} {path.name}" for path in files]
    for section in _SECTIONS_WITH_CODE.get(stage, ()):
        lines += [
            f"{PluginName.parse(own).digest()}  {section}.{key}" for key, own in functions_of(getattr(params, section))
        ]
    return lines


def _folders(modules: tuple[str, ...]) -> list[str]:
    """Name what a stage imports: all of dataset, the folders of stages, and the files beside these folders."""
    places = {_place(name) for module in modules for name in closure(module)}
    return sorted(places - {"pipeline", "training"})


def _place(module: str) -> str:
    top, *below = module.split(".")[1:]
    if top == "dataset" or not below:
        return top
    path = PurePosixPath(top, below[0])
    return path.as_posix() if (FOLDER / path).is_dir() else f"{path}.py"
