"""Reading a page as a browser would: its elements, its links, the text of its examples."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "input", "br", "img", "base"}


@dataclass
class Element:
    """An element with its attributes, its children and the text directly inside them."""

    name: str
    attributes: dict[str, str]
    children: list["Element | str"] = field(default_factory=list)

    @property
    def classes(self) -> list[str]:
        return self.attributes.get("class", "").split()

    @property
    def text(self) -> str:
        """textContent."""
        return "".join(c if isinstance(c, str) else c.text for c in self.children)

    def all(self, name: str | None = None, css_class: str | None = None) -> list["Element"]:
        """Descendants in document order."""
        found = []
        for child in self.children:
            if isinstance(child, Element):
                if name in (None, child.name) and css_class in (None, *child.classes):
                    found.append(child)
                found += child.all(name, css_class)
        return found


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("document", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Element(tag, {n: v or "" for n, v in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].name == tag, f"</{tag}> closes <{self.open[-1].name}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def parse(html: str) -> Element:
    """The page's tree. Fails where tags do not nest."""
    builder = _Builder()
    builder.feed(html)
    builder.close()
    assert builder.open == [builder.root], [element.name for element in builder.open]
    return builder.root


def example_texts(page: Element) -> list[str]:
    """The document's text of each example shown, put-in tokens left out."""
    return [
        "".join(t.text for t in shown.all("t-k") if "u" not in t.classes)
        for shown in page.all("div", "text")
    ]


def links(page: Element) -> set[str]:
    """Addresses of all links, without the part after #."""
    return {a.attributes["href"].partition("#")[0] for a in page.all("a")} - {""}
