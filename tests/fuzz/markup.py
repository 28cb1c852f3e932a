"""Mutations of XML, as a tree and as text."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from tests.fuzz.values import bad_text

DEEP = (10, 100, 5000, 50_000)
LAUGHS = (
    '<!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    + "".join(f'<!ENTITY {x} "{f"&{y};" * 10}">' for x, y in zip("cdefghi", "bcdefgh", strict=True))
    + "]>"
)
OUTSIDE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]>'
ENCODINGS = ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252", "ascii", "utf-7")

TreeMutation = Callable[[Element, random.Random], None]
TextMutation = Callable[[bytes, random.Random], bytes]


def parsed(content: bytes) -> Element | None:
    """Return the tree of a document; None where it is broken, or declares entities."""
    if b"<!DOCTYPE" in content:
        return None
    try:
        return ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError):
        return None


def written(root: Element) -> bytes:
    """Return a tree as UTF-8, its first namespace without prefix."""
    space = re.match(r"\{(.*?)\}", root.tag)
    if space:
        ElementTree.register_namespace("", space[1])
    content: bytes = ElementTree.tostring(root, "utf-8", xml_declaration=True)
    return content


def on_tree(mutate: TreeMutation) -> TextMutation:
    """Return a mutation of trees as one of text; broken documents stay as they are."""

    def change(content: bytes, rng: random.Random) -> bytes:
        root = parsed(content)
        if root is None:
            return content
        mutate(root, rng)
        try:
            return written(root)
        except RecursionError:  # nested by an earlier mutation
            return content

    change.__name__ = mutate.__name__
    return change


def _some(root: Element, rng: random.Random) -> Element:
    return rng.choice(list(root.iter()))


def _with_attributes(root: Element, rng: random.Random) -> Element:
    return rng.choice([node for node in root.iter() if node.attrib] or [root])


def _with_parent(root: Element, rng: random.Random) -> tuple[Element, Element] | None:
    found = [(parent, child) for parent in root.iter() for child in parent]
    return rng.choice(found) if found else None


def change_attribute(root: Element, rng: random.Random) -> None:
    """Give an attribute another value."""
    node = _with_attributes(root, rng)
    if node.attrib:
        node.set(rng.choice(list(node.attrib)), bad_text(rng))


def remove_attribute(root: Element, rng: random.Random) -> None:
    """Remove an attribute."""
    node = _with_attributes(root, rng)
    if node.attrib:
        del node.attrib[rng.choice(list(node.attrib))]


def rename_attribute(root: Element, rng: random.Random) -> None:
    """Write an attribute's name in lower case, or give it that of another."""
    node = _with_attributes(root, rng)
    if node.attrib:
        name = rng.choice(list(node.attrib))
        other = rng.choice([name.lower(), *_with_attributes(root, rng).attrib])
        node.set(other, node.attrib.pop(name))


def exchange_attributes(root: Element, rng: random.Random) -> None:
    """Exchange the values of two attributes, or give one that of the other."""
    a, b = _with_attributes(root, rng), _with_attributes(root, rng)
    if a.attrib and b.attrib:
        one, other = rng.choice(list(a.attrib)), rng.choice(list(b.attrib))
        first, second = a.attrib[one], b.attrib[other]
        a.set(one, second)
        b.set(other, rng.choice((first, second)))


def remove_element(root: Element, rng: random.Random) -> None:
    """Remove an element with all that is in it."""
    if chosen := _with_parent(root, rng):
        chosen[0].remove(chosen[1])


def repeat_element(root: Element, rng: random.Random) -> None:
    """Repeat an element some times, or very often."""
    if chosen := _with_parent(root, rng):
        parent, child = chosen
        place = rng.choice((0, len(parent), list(parent).index(child)))
        parent[place:place] = [child] * rng.choice(
            (1, 1, 2, 50, 20_000 if len(list(child.iter())) < 5 else 50)
        )


def move_element(root: Element, rng: random.Random) -> None:
    """Move an element to another parent, or to another place."""
    if chosen := _with_parent(root, rng):
        parent, child = chosen
        parent.remove(child)
        target = _some(root, rng) if rng.random() < 0.5 else parent
        target.insert(rng.randrange(len(target) + 1), child)


def rename_element(root: Element, rng: random.Random) -> None:
    """Give an element another name or namespace."""
    node = _some(root, rng)
    name = re.sub(r"\{.*?\}", "", node.tag)
    node.tag = rng.choice((name, name.lower(), "x", _some(root, rng).tag, f"{{http://other}}{name}"))


def nest(root: Element, rng: random.Random) -> None:
    """Put an element into itself, so many times."""
    node = _some(root, rng)
    inner = Element(node.tag, node.attrib)
    inner.extend(list(node))
    for _ in range(rng.choice(DEEP[:2])):
        outer = Element(node.tag, node.attrib)
        outer.append(inner)
        inner = outer
    node[:] = [inner]


def change_text(root: Element, rng: random.Random) -> None:
    """Put text where there is none."""
    _some(root, rng).text = re.sub(r"[^\t\n -~\xa0-\uffff]", "", bad_text(rng))


TREE: tuple[TextMutation, ...] = tuple(
    on_tree(mutate)
    for mutate in (
        change_attribute, change_attribute, change_attribute, remove_attribute, rename_attribute,
        exchange_attributes, remove_element, repeat_element, move_element, move_element, rename_element, nest,
        change_text,
    )
)  # fmt: skip


def double_attribute(content: bytes, rng: random.Random) -> bytes:
    """Write an attribute twice, which XML forbids."""
    found = list(re.finditer(rb' \w+="[^"]*"', content))
    if not found:
        return content
    match = rng.choice(found)
    return content[: match.end()] + match[0] + content[match.end() :]


def change_declaration(content: bytes, rng: random.Random) -> bytes:
    """Declare another encoding than the one it has, or none."""
    name = rng.choice((*ENCODINGS, "x-unknown", "UTF-8", "", "a" * 300)).encode()
    body = re.sub(rb"^\s*<\?xml.*?\?>", b"", content, flags=re.DOTALL)
    return rng.choice((b'<?xml version="1.0" encoding="%s"?>' % name, b"", b'<?xml version="1.1"?>')) + body


def change_encoding(content: bytes, rng: random.Random) -> bytes:
    """Write the text in another encoding than the one it declares."""
    return content.decode("utf-8", "replace").encode(rng.choice(ENCODINGS), "replace")


def declare_entities(content: bytes, rng: random.Random) -> bytes:
    """Use entities that grow without bound, or that are files."""
    head, mark, body = content.partition(b"?>")
    if not mark:
        head, body = b"", content
    entity, name = rng.choice(((LAUGHS, b"&i;"), (OUTSIDE, b"&a;"), ("", b"&nbsp;"), ("", b"&#0;")))
    spots = [match.end() for match in re.finditer(rb'>|="', body)] or [0]
    spot = rng.choice(spots)
    return head + mark + entity.encode() + body[:spot] + name + body[spot:]


def add_blanks(content: bytes, rng: random.Random) -> bytes:
    """Put blanks, a comment or a NUL before or after the document."""
    more = rng.choice((b" " * 5000, b"<!--" + b"x" * 5000 + b"-->", b"\n", b"\0", b"\0junk", b"\xef\xbb\xbf"))
    return more + content if rng.random() < 0.5 else content + more


def nest_text(content: bytes, rng: random.Random) -> bytes:
    """Nest more deeply than a tree can be written."""
    spots = [match.start() for match in re.finditer(rb"<\w", content)][1:] or [0]
    spot, depth = rng.choice(spots), rng.choice(DEEP)
    return content[:spot] + b"<a>" * depth + b"</a>" * depth + content[spot:]


def prefix_names(content: bytes, rng: random.Random) -> bytes:
    """Give all elements a prefix, which means the same."""
    if b"xmlns=" not in content:
        return content
    named = re.sub(rb"<(/?)(\w)", rb"<\1ome:\2", content)
    return named.replace(b"xmlns=", b"xmlns:ome=")


def break_text(content: bytes, rng: random.Random) -> bytes:
    """Cut the text, or change some of its bytes."""
    out = bytearray(content)
    if rng.random() < 0.4:
        return bytes(out[: rng.randrange(len(out) + 1)])
    for _ in range(rng.choice((1, 2, 10))):
        out[rng.randrange(len(out))] = rng.choice((0, 0x3C, 0x3E, 0x22, 0x26, 0xFF, rng.randrange(256)))
    return bytes(out)


TEXT: tuple[TextMutation, ...] = (
    double_attribute, change_declaration, change_encoding, declare_entities, add_blanks, nest_text,
    break_text,
)  # fmt: skip
