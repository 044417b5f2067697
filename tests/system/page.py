# SPDX-License-Identifier: Apache-2.0
"""SmartCMS's page used as a person does: with a mouse, with the keyboard alone, on a phone."""

from browser import PHONE

FIELDS = "form[data-route={}] :is(input, textarea)"
BUTTON = "form[data-route={}] button"
FOCUSED = "return document.activeElement.textContent || document.activeElement.name"


def field(page, route, label):
    return page.field(FIELDS.format(route), label)


def button(page, route):
    return page.one(BUTTON.format(route))


def by_mouse(page, url, shots):
    page.goto(url)
    page.fill(field(page, "create", "Name"), "harbour")
    page.fill(field(page, "create", "Story"), "Boats came in.\nThen it rained.")
    page.click(button(page, "create"))
    page.says("#answer", "Stored harbour")
    assert page.value(field(page, "retrieve", "Name")) == "harbour", "what was kept is ready to be read"
    page.click(button(page, "retrieve"))
    page.says("#answer", "Then it rained.")
    assert page.text("#title") == "harbour"
    page.screenshot(shots / "smartcms.png")
    page.colour_scheme("dark")
    page.screenshot(shots / "smartcms-dark.png")
    page.colour_scheme("light")


def by_keyboard(page, url):
    """Tab from the top: name, story, button, name, button, first words, button."""
    page.goto(url)
    page.press("Tab")
    page.type("by hand")
    page.press("Tab")
    page.type("Without a mouse.")
    page.press("Control", "Enter")
    page.says("#answer", "Stored by hand")
    for _ in range(3):
        page.press("Tab")
    assert page.run(FOCUSED) == "Read it"
    page.press("Space")
    page.says("#answer", "Without a mouse.")
    page.says(BUTTON.format("retrieve"), "Read it")
    assert page.run(FOCUSED) == "Read it", "a button keeps the focus when it is used"
    page.press("Tab")
    page.type("A cat")
    page.press("Enter")
    page.says("#answer", "A cat, said the model")
    assert page.text("#title").startswith("generated")
    assert not page.all("article.failed")
    page.fill(field(page, "retrieve", "Name"), "nobody")
    page.press("Enter")
    page.says("#answer", "Story not found")
    assert page.all("article.failed"), "a failure looks like one"


def on_phone(page, url, shots):
    page.goto(url)
    overflow = page.run("return document.documentElement.scrollWidth - innerWidth")
    assert overflow <= 0, f"{overflow} pixels too wide"
    for element in page.all("input, textarea"):
        size = page.run("return parseFloat(getComputedStyle(arguments[0]).fontSize)", element)
        assert size >= 16, f"a phone would zoom in at {size} pixels"
    for element in page.all("button"):
        height = page.run("return arguments[0].getBoundingClientRect().height", element)
        assert height >= 44, f"{height} pixels are too small for a finger"
    page.tap(button(page, "generate"))
    page.says("#answer", "Once upon a time")
    page.says(BUTTON.format("generate"), "Write it")  # its work ends with a scroll to the story
    top, bottom = page.run("const r = document.querySelector('article').getBoundingClientRect(); return [r.top, r.bottom]")
    assert top >= 0 and bottom <= 740, "the story is on the screen, not above it"
    page.screenshot(shots / "smartcms-phone.png")


def use(browser, url, shots):
    """All three; a script that fails is a failure."""
    with browser.page() as page:
        by_mouse(page, url, shots)
        by_keyboard(page, url)
        errors = page.errors()
    with browser.page(mobileEmulation=PHONE) as page:
        on_phone(page, url, shots)
        errors += page.errors()
    assert not errors, errors
