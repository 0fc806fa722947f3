"""Where a rule pack's tables lie: a file of its own, or a family of packs that are put together from shared parts.

A family file holds what every pack of it shares, ``[parts.NAME]`` tables, and ``[packs]``: the parts of each pack in
the order in which they are laid over the shared tables. ``apex_legacy.toml#50k-pa`` names one of them. A file with
the single key ``same_as`` stands for another pack.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from trigate.errors import ConfigError
from trigate.shipped import found_file, found_files
from trigate.suggestions import nearest
from trigate.toml_config import read_toml

FAMILY_KEYS = ("family", "parts", "packs")
APPENDED = ("sources", "not_simulated")
RULES_FOLDER = Path("configs/rules")


def pack_content(path: Path) -> dict[str, Any]:
    """The tables of one pack, put together.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or holds no such pack.
    """
    named, _, name = str(path).partition("#")
    file = _pack_file(named)
    content = read_toml(file)
    if "same_as" in content:
        return _same(file, content)
    if "packs" not in content:
        if name:
            raise ConfigError(f"{path}: {file} is one pack, not a family; leave out '#{name}'")
        return content
    if name not in content["packs"]:
        raise ConfigError(f"{path}: {_which(name, content['packs'])}")
    return _assembled(str(file), content, name)


def pack_paths(folder: Path) -> list[Path]:
    """Every pack under ``folder``, families pack by pack; files that only stand for another pack are left out.

    Packs that ship are among those of `RULES_FOLDER`; a file of a person's own takes the place of one of its name.

    Raises:
        ConfigError: a file cannot be read or is not TOML, or there is no pack.
    """
    paths: list[Path] = []
    for file in found_files(folder, "*.toml"):
        content = read_toml(file)
        if "same_as" not in content:
            paths += [Path(f"{file}#{name}") for name in content["packs"]] if "packs" in content else [file]
    if not paths:
        here = "" if folder.is_absolute() else f"; paths are taken from {Path.cwd()}"
        raise ConfigError(f"{folder}: holds no rule pack; give a folder of TOML files with --folder{here}")
    return paths


def resolved(name: str, folder: Path = RULES_FOLDER) -> Path:
    """The pack that a person names: a path, or a file of ``folder`` with or without its ending.

    Raises:
        ConfigError: there is no such file.
    """
    file, mark, pack = name.partition("#")
    return Path(f"{_pack_file(file, folder)}{mark}{pack}")


def full_name(name: str, folder: Path = RULES_FOLDER) -> str:
    """How the pack that a person names is listed; a file that only stands for another pack gives that one's name.

    Raises:
        ConfigError: there is no such pack.
    """
    path = resolved(name, folder)
    pack_content(path)
    same_as = read_toml(Path(str(path).partition("#")[0])).get("same_as")
    return str(same_as or path.name).replace(".toml", "")


def _pack_file(name: str, folder: Path = RULES_FOLDER) -> Path:
    """The file of that name or path; folder and ending may be left out, and what ships comes last.

    Raises:
        ConfigError: there is none; the message has the nearest packs.
    """
    ending = "" if name.endswith(".toml") else ".toml"
    places = (Path(name), Path(f"{name}{ending}"), folder / f"{name}{ending}")
    file = next((place for place in map(found_file, places) if place.is_file()), None)
    if file is None:
        near = nearest(Path(name).stem, _known_names(folder))
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "orchestrator rules list names all"
        raise ConfigError(f"{name}: cannot be read: there is no such rule pack; {hint}")
    return file


def _known_names(folder: Path) -> list[str]:
    """What a pack may be called: a file's name without its ending, or family#pack."""
    whole = [file.stem for file in found_files(folder, "*.toml") if "packs" not in read_toml(file)]
    return whole + [path.name.replace(".toml#", "#") for path in pack_paths(folder) if "#" in path.name]


def _same(file: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    if set(content) != {"same_as"}:
        raise ConfigError(f"{file}: same_as stands alone; other keys are not read")
    target = file.parent / str(content["same_as"])
    if "same_as" in read_toml(Path(str(target).partition("#")[0])):
        raise ConfigError(f"{file}: same_as names {target}, which itself only stands for another pack")
    return pack_content(target)


def _which(name: str, packs: Mapping[str, Any]) -> str:
    if not name:
        return f"a family of packs; name one after '#': {', '.join(packs)}"
    near = get_close_matches(name, packs, n=1)
    return f"no pack {name!r}; " + (f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(packs)}")


def _assembled(file: str, content: Mapping[str, Any], name: str) -> dict[str, Any]:
    pack = {key: value for key, value in content.items() if key not in FAMILY_KEYS}
    titles = [str(content.get("family", Path(file).stem))]
    for part in content["packs"][name]:
        if part not in content.get("parts", {}):
            raise ConfigError(f"{file}: pack {name!r} names part {part!r}, which [parts] does not have")
        layer = dict(content["parts"][part])
        titles += [layer.pop("title")] if "title" in layer else []
        pack = _laid_over(pack, layer)
    return {"name": " ".join(titles), **pack}


def _laid_over(base: Mapping[str, Any], layer: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in layer.items():
        if isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = _laid_over(result[key], value)
        elif key in APPENDED:
            result[key] = [*result.get(key, ()), *value]
        else:
            result[key] = value
    return result
