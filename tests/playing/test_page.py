"""The page in a real browser, without a window. Skipped where Chromium and its driver are not installed."""

import shutil

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from marl_app.playing.web import HOST
from tests.playing.runs import session, tic_tac_toe_run
from tests.playing.test_web import serving

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver (Debian: chromium-driver)"
)


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, Service(DRIVER))
    yield driver
    driver.quit()


def test_a_match_by_clicks(browser, tmp_path):
    def wait(condition):
        return WebDriverWait(browser, 30).until(lambda _: condition())

    def click(selector):
        browser.find_element(By.CSS_SELECTOR, selector).click()

    def text(identifier):
        return browser.find_element(By.ID, identifier).text

    playing = session(tic_tac_toe_run(tmp_path / "run"))
    with serving(playing, "my run") as port:
        browser.get(f"http://{HOST}:{port}/")
        wait(lambda: text("status") == "Your move as player_1")
        assert text("title") == "my run, match 1" and len(browser.find_elements(By.CSS_SELECTOR, ".cell")) == 9
        # A cell of the board, advice, a button of the list; the player fills a1, a2.
        click("[data-move=b1]")
        wait(lambda: len(playing.match.moves) == 2 and "player_2 (main): a1" in text("moves"))
        click("#ask")
        wait(lambda: "the agent would play:" in text("advice"))
        assert "Its value of your position: 0.250" in text("advice") and "63.2 %" not in text("advice")  # a1 is taken
        click("[data-move=b2]")
        wait(lambda: "player_2 (main): a2" in text("moves"))
        assert not browser.find_element(By.ID, "advice").is_displayed()
        click("#legal button:nth-child(2)")
        wait(lambda: text("status").startswith("You won. Returns: player_1 +1"))
        click("#undo")
        wait(lambda: text("status") == "Your move as player_1")
        # Another player and side: the snapshot begins in the last cell.
        browser.find_element(By.CSS_SELECTOR, "#player option[value='main@0000']").click()
        wait(lambda: "main@0000 plays player_2" in text("seats"))
        browser.find_element(By.CSS_SELECTOR, "#side option[value='player_2']").click()
        wait(lambda: "player_1 (main@0000): c3" in text("moves"))
        # Nothing is cut off or scrolls sideways, from a phone to a large screen.
        for width in (400, 800, 1600):
            browser.execute_cdp_cmd(
                "Emulation.setDeviceMetricsOverride",
                {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
            )
            wait(lambda width=width: browser.execute_script("return window.innerWidth") == width)
            assert browser.execute_script("return document.documentElement.scrollWidth") == width
        assert browser.get_log("browser") == []  # no error, nothing refused by the policy
