"""MLflow's page in a headless Chromium, looked at and clicked like a person does; every wait is bounded."""

from __future__ import annotations

import contextlib
import shutil
import time

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
WAIT_S = 60


@contextlib.contextmanager
def browser(profile, size=(2300, 1200)):
    """A driver whose profile is in the folder `profile`."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    quiet = ("no-first-run", "disable-background-networking", "disable-component-update", "disable-sync")
    for switch in ("headless=new", "no-sandbox", "disable-gpu", "disable-quic", "disable-dev-shm-usage", *quiet):
        options.add_argument(f"--{switch}")
    options.add_argument(f"--user-data-dir={profile}")
    options.add_argument("--window-size={},{}".format(*size))
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    driver.set_page_load_timeout(WAIT_S)
    try:
        yield driver
    finally:
        driver.quit()


class Page:
    """One browser tab; what goes wrong leaves a screenshot in the folder `shots`."""

    def __init__(self, driver, shots):
        self.driver, self.shots = driver, shots

    def open(self, address):
        self.driver.get("about:blank")  # the address differs after its # only, which alone loads nothing
        self.driver.get(address)

    def text(self):
        return self.driver.execute_script("return document.body.innerText")

    def until(self, condition, what):
        """Waits for a true value and returns it; a screenshot shows what there was instead."""
        from selenium.common.exceptions import WebDriverException

        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            with contextlib.suppress(WebDriverException, ValueError):  # the page is being redrawn
                if found := condition():
                    return found
            time.sleep(0.25)
        self.shoot("failed")
        raise AssertionError(f"not on the page after {WAIT_S} s: {what}; there was:\n{self.text()[:3000]}")

    def see(self, *texts):
        for text in texts:
            self.until(lambda text=text: text in self.text(), text)

    def find(self, selector):
        return self.driver.find_elements("css selector", selector)

    def click(self, selector, text=""):
        """Clicks the first visible element that matches the selector and reads `text`, if that is given."""

        def clicked():
            shown = (e for e in self.find(selector) if e.is_displayed() and text in ("", e.text.strip()))
            element = next(shown, None)
            if element is not None:
                element.click()
            return element is not None

        self.until(clicked, f"{selector} {text}")

    def shoot(self, name):
        self.driver.save_screenshot(str(self.shots / f"{name}.png"))

    def unfold(self):
        """Shows the trials below every sweep."""
        self.click("[col-id='attributes.`Run Name`'] button")

    def column(self, name):
        """Ticks one more column of the runs table."""
        self.click("button", "Columns")
        self.click(f"[title='{name}']")
        self.driver.switch_to.active_element.send_keys("\ue00c")  # Escape closes the list

    def compare(self, url, experiment, runs):
        """Opens the page that compares runs."""
        listed = "[" + ",".join(f'"{run}"' for run in runs) + "]"
        self.open(f'{url}/#/compare-runs?runs={listed}&experiments=["{experiment}"]&workflowType=machine_learning')
