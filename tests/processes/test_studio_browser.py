"""The studio in Chromium, as people use it. Where there is no Chromium, this is not collected."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import pytest
from polyreel.providers.base.registry import all_providers
from support.chromium import RunningStudio, Tab, accessible, browsing, tab
from support.payloads import MARK, PAYLOADS
from support.pictures import picture

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow
VENDORS: Final = list(all_providers())
MOST_BYTES: Final = 150_000
"""Of a first visit, over the wire."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as made:
        yield made


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStudio]:
    with RunningStudio(tmp_path_factory.mktemp("studio")).running() as made:
        yield made


@pytest.fixture
def page(browser: Browser, studio: RunningStudio) -> Iterator[Tab]:
    """A page in a new profile. Whatever a test does, nothing goes wrong in it."""
    with tab(browser, studio) as made:
        yield made
        made.check()


def test_a_prompt_makes_a_column_for_every_vendor(page: Tab) -> None:
    """The address holds the request, and a first visit is light."""
    shown = page.page
    shown.locator("#f-prompt").press_sequentially("a cat", delay=10)
    for vendor in VENDORS:
        shown.locator(f'[data-vendor="{vendor}"] .body', has_text='"a cat"').wait_for()
    assert page.weight() <= MOST_BYTES
    shown.wait_for_url("**prompt=a+cat")
    typed = [one for one in page.requests if "/plans?" in one]
    assert typed
    assert not [one for one in typed if "=&" in one or one.endswith("=")]
    shown.reload()
    assert shown.input_value("#f-prompt") == "a cat"
    assert shown.locator("[data-vendor]").count() == len(VENDORS)


def test_a_native_field_lights_its_shared_field_and_back(page: Tab) -> None:
    page.open(prompt="a cat", duration="5")
    shown, lit = page.page, "[data-field=duration].lit"
    shown.hover(".line[data-field=duration]")
    shown.locator(f".field{lit}").wait_for()
    shown.hover(".brand")
    shown.wait_for_function("() => document.querySelectorAll('.lit').length === 0")
    shown.focus("#f-duration")
    shown.locator(f".line{lit}").first.wait_for()
    shown.hover("#f-prompt")
    shown.wait_for_function("() => !document.querySelector('[data-field=duration].lit')")
    shown.keyboard.type("5")  # the last that is acted on, also in lines that are drawn anew
    shown.locator(f".line{lit}", has_text="55").first.wait_for()
    assert shown.locator("[data-field=prompt].lit").count() == 0


def test_a_refusal_is_mended_by_a_click(page: Tab) -> None:
    """An answer that comes while it is being clicked, or one that is older, does not undo it."""
    page.open(prompt="a cat", duration="1000", allow="seed=drop")
    shown, held = page.page, list[Any]()

    def hold(route: Any) -> None:
        held.append(route)

    refused = shown.locator(".column.refused", has=shown.locator(".mend")).first
    vendor = refused.get_attribute("data-vendor")
    refused.locator(".mend").first.hover()
    shown.mouse.down()
    with shown.expect_response("**/plans?*"):
        shown.evaluate("document.getElementById('f-prompt').value = 'a dog'")
        shown.evaluate("htmx.trigger('#request', 'replan')")
    shown.mouse.up()
    shown.locator(f'[data-vendor="{vendor}"]:not(.refused)', has_text="a dog").wait_for()
    shown.wait_for_url("**allow=duration**")
    shown.click("#allowed-duration [data-remove]")
    refused.locator(".mend").first.wait_for()
    shown.route("**/plans?*", hold, times=1)
    with shown.expect_request("**/plans?*"):
        shown.click("#allowed-seed [data-remove]")
    refused.locator(".mend").first.click()
    held[0].continue_()
    shown.wait_for_url("**allow=duration**")
    assert "allow=seed" not in shown.url
    shown.locator("#allowed-duration .chip").wait_for()


def test_tabs_keep_what_was_typed(page: Tab) -> None:
    page.open(prompt="a cat", duration="5", vendor=VENDORS[:3])
    shown = page.page
    shown.click("nav.tabs a:has-text('image to video')")
    shown.wait_for_url("**workflow=image-to-video**")
    assert shown.input_value("#f-prompt") == "a cat"
    assert shown.input_value("#f-duration") == "5"
    assert "=&" not in shown.url + "&"
    assert shown.locator("[name=vendor]:checked").count() == 3


def test_a_file_is_dropped(page: Tab) -> None:
    """Its thumbnail is shown, at once and after a reload, and a vendor is sent it."""
    page.open(workflow="image-to-video", prompt="a cat")
    shown, content = page.page, base64.b64encode(picture()).decode()
    shown.evaluate(
        """text => {
          const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
          const dataTransfer = new DataTransfer();
          const name = "<img src=x onerror=__hit=1>.png";
          dataTransfer.items.add(new File([bytes], name, {type: "image/png"}));
          const place = document.querySelector("#f-first_frame").closest("[data-drop]");
          place.dispatchEvent(new DragEvent("drop", {dataTransfer, bubbles: true}));
        }""",
        content,
    )
    shown.wait_for_url("**first_frame=upload**png%2F**png**")
    drawn = "() => document.querySelector('#f-first_frame ~ .thumbnail').naturalWidth > 0"
    shown.wait_for_function(drawn)
    shown.locator(".column:not(.refused)").first.wait_for()
    shown.reload()
    shown.wait_for_function(drawn)


def test_the_keyboard_is_enough(page: Tab) -> None:
    """The way from the address to a mended plan, with Tab, letters and Enter: it runs nothing."""
    keys, shown = page.page.keyboard, page.page
    keys.press("Tab")
    assert shown.evaluate("document.activeElement.className") == "skip"
    tabbed(page, ".skip[href='#f-prompt']")
    keys.press("Enter")
    assert shown.evaluate("document.activeElement.id") == "f-prompt"
    keys.type("a cat")
    tabbed(page, "#f-duration")
    keys.type("1000")
    keys.press("Enter")
    shown.locator(".mend").first.wait_for()
    tabbed(page, ".mend")
    keys.press("Enter")
    shown.wait_for_url("**allow=duration**")
    at_column = "() => document.activeElement.className.startsWith('column')"
    shown.wait_for_function(at_column)  # the address changes before the columns do
    keys.press("Enter")
    assert shown.evaluate(at_column)
    assert "/runs/" not in shown.url


def tabbed(page: Tab, wanted: str) -> None:
    """Press Tab until something has the focus. What has it can be seen, all the way."""
    for _ in range(200):
        page.page.keyboard.press("Tab")
        has_it, is_seen, what = page.page.evaluate(
            """wanted => {
              const one = document.activeElement, box = one.getBoundingClientRect();
              const seen = box.width > 0 && box.right > 0 && box.bottom > 0;
              const is_seen = seen && one.matches(":focus-visible");
              return [one.matches(wanted), is_seen, one.outerHTML.slice(0, 200)];
            }""",
            wanted,
        )
        assert is_seen, what
        if has_it:
            return
    raise AssertionError(f"Tab does not come to {wanted}")


def test_no_text_is_run(page: Tab) -> None:
    """Two hundred payloads as prompts of shots, and some wherever else texts stand."""
    shown = page.page
    page.open(shot_prompt=PAYLOADS, shot_duration=["1"] * len(PAYLOADS))
    shown.locator(".column").first.wait_for()
    for payload in (PAYLOADS[2], PAYLOADS[22], PAYLOADS[60]):
        names = ("prompt", "negative_prompt", "model", "duration", "extra", "elements", "allow")
        page.open(vendor=[VENDORS[0], payload], **dict.fromkeys(names, payload))
        shown.fill("#f-prompt", payload + payload)
        shown.wait_for_function("() => location.search.length > 10")
    assert shown.evaluate(f"window.{MARK}") is None


# -- every page ------------------------------------------------------------------------------------

REQUEST: Final[dict[str, Any]] = {
    "workflow": "reference-to-video",
    "prompt": "A cat in the neon rain, @Image1 and @Image2",
    "reference_images": ["https://media.example/a.png"],
    "duration": "12",
    "resolution": "4k",
    "audio": "true",
    "seed": "7",
}
WRONG: Final = {
    "prompt": "a cat",
    "duration": "long",
    "shot_prompt": ["a cat", "a dog"],
    "shot_duration": ["2", "5"],
    "extra": "{",
}
MODEL: Final = all_providers()[VENDORS[0]].routes[0].model
SIDES: Final = {"before": f"{VENDORS[0]}/{MODEL}", "after": VENDORS[1]}
PAGES: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "request": ("/", REQUEST),
    "wrong": ("/", WRONG),
    "vendors": ("/vendors", {}),
    "matrix": ("/matrix", {}),
    "difference": ("/difference", SIDES),
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_can_be_used_by_everybody(page: Tab, name: str) -> None:
    """axe finds nothing in light or dark colours, and nothing scrolls sideways on a telephone."""
    path, fields = PAGES[name]
    page.open(path, **fields)
    accessible(page, name)
