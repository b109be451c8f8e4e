"""How the rooms of the package build on each other: imports go one way."""

import ast
import pathlib
import re

import pytest

PACKAGE = pathlib.Path(__file__).parents[1] / 'tf_lottery'

# From the ground up: what stands in a row may import what stands in it and below it.
FLOORS = (
    {'errors', '__init__'},
    {'runtime'},
    {'ticket', 'steps', 'values'},
    {'pruning'},
    {'lottery', 'branches'},
    {'training'},
    {'data', 'models'},
    {'tasks'},
    {'experiment', 'configs'},
    {'exports', 'reporting'},
    {'command', 'flags', 'notebook', '__main__'},
)
FLOOR = {room: number for number, floor in enumerate(FLOORS) for room in floor}
FILES = sorted(PACKAGE.rglob('*.py'))


def room(module):
    """The room of a module below the package: of 'runtime.storage' it is 'runtime'."""
    return module.split('.')[0]


def imported(tree):
    """Yields the modules of the package that a file imports, anywhere in it, as dotted names below the package."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == 'tf_lottery':
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith('tf_lottery.'):
            yield node.module.removeprefix('tf_lottery.')
        elif isinstance(node, ast.Import):
            yield from (name.name.removeprefix('tf_lottery.') for name in node.names
                        if name.name.startswith('tf_lottery.'))


@pytest.mark.parametrize('path', FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path):
    own = room('.'.join(path.relative_to(PACKAGE).with_suffix('').parts))
    # The package itself selects Keras 2, which everything builds on.
    above = [module for module in imported(ast.parse(path.read_text()))
             if FLOOR[room(module)] > FLOOR[own] and own != '__init__']
    assert not above


def test_every_file_has_a_floor():
    assert {room('.'.join(path.relative_to(PACKAGE).with_suffix('').parts)) for path in FILES} <= set(FLOOR)


# What only tasks of images know of.
OF_IMAGES = {'accuracy', 'accurate', 'brightest', 'classes', 'image', 'images', 'label', 'labels', 'pixels'}
# Who may: the tasks, and what they are made of. Matplotlib's artists and Kubernetes's pods have labels, too, and what
# Pillow draws is an image.
ALLOWED = {'tasks': OF_IMAGES, 'data': OF_IMAGES, 'models': OF_IMAGES,
           'reporting': {'image', 'images', 'label', 'labels'}, 'runtime': {'label'}, 'flags': {'label'}}


def said(tree):
    """The words in the names and the texts of a file's code; what documents it is no code."""
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield from re.findall('[a-z]+', node.value.lower())
        for field in ('name', 'id', 'attr', 'arg'):
            if not isinstance(node, ast.alias) and isinstance(getattr(node, field, None), str):
                yield from re.findall('[a-z]+', getattr(node, field).lower())


@pytest.mark.parametrize('path', FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_engine_knows_nothing_of_images(path):
    own = room('.'.join(path.relative_to(PACKAGE).with_suffix('').parts))
    assert not OF_IMAGES & set(said(ast.parse(path.read_text()))) - ALLOWED.get(own, set())
