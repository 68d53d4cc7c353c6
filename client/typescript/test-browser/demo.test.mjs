// The demo page in a real browser: two people and a second device, over reloads, a killed server and a lost network.
//
// `IRIS_SCREENSHOTS=folder` keeps pictures. `CHROMIUM` names another browser than /usr/bin/chromium.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { Stage } from "./stage.mjs";

const WAIT = { timeout: 20_000 };
const pictures = process.env.IRIS_SCREENSHOTS;
const stage = new Stage();
let browser;
let context;
const violations = [];
const errors = [];

before(async () => {
  await stage.prepare();
  await stage.start();
  const quiet = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"];
  const more = ["--disable-component-update", "--disable-sync"];
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [...quiet, ...more, ...(process.getuid() === 0 ? ["--no-sandbox"] : [])],
  });
  context = await newContext();
});

after(async () => {
  await browser?.close();
  await stage.end();
});

async function newContext(wishes = {}) {
  const made = await browser.newContext({ viewport: { width: 1000, height: 700 }, ...wishes });
  await made.exposeFunction("reportViolation", (what) => violations.push(what));
  await made.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) => {
      window.reportViolation(`${event.violatedDirective}: ${event.blockedURI}`);
    });
  });
  return made;
}

async function open(me, device, to, where = context) {
  const page = await where.newPage();
  page.on("pageerror", (error) => errors.push(String(error)));
  await page.goto(`${stage.url}#me=${me}&device=${device}&to=${to}`);
  await connected(page);
  return page;
}

function connected(page) {
  return page.locator('#state[data-state="connected"]').waitFor(WAIT);
}

async function say(page, words) {
  await page.locator("#text").fill(words);
  await page.keyboard.press("Enter");
}

/** Waits for one message with these words and this fate. */
function fate(page, words, wanted) {
  return page.locator(`.message.mine[data-fate="${wanted}"]`, { hasText: words }).waitFor(WAIT);
}

async function until(holds) {
  for (const end = Date.now() + WAIT.timeout; !holds(); ) {
    assert.ok(Date.now() < end, "it never came true");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function words(page) {
  return page.locator(".message .words").allTextContents();
}

async function seen(page, text) {
  await page.locator(".message .words", { hasText: text }).last().waitFor(WAIT);
}

async function picture(page, name) {
  if (pictures === undefined) return;
  mkdirSync(pictures, { recursive: true });
  await page.screenshot({ path: `${pictures}/${name}.png` });
}

test("what one person writes reaches the other and the writer's second device, and is said to be delivered", async () => {
  const laptop = await open("alice", "laptop", "bob");
  const tablet = await open("alice", "tablet", "bob");
  const phone = await open("bob", "phone", "alice");
  await say(laptop, "Hello Bob, does this survive a power cut?");
  await fate(laptop, "Hello Bob", "delivered");
  await seen(phone, "Hello Bob");
  await seen(tablet, "Hello Bob");
  await say(phone, "It says: stored on disk.");
  await fate(phone, "It says", "delivered");
  await seen(laptop, "It says");
  assert.match(await phone.locator(".message.mine .fate").last().textContent(), /delivered to laptop/);
  const both = ["Hello Bob, does this survive a power cut?", "It says: stored on disk."];
  for (const page of [laptop, tablet, phone]) assert.deepEqual(await words(page), both);
  await picture(laptop, "demo-desktop");
  for (const page of [laptop, tablet, phone]) await page.close();
});

test("messages written while the server is dead survive the end of the tab, and arrive once, in order, when it is back", async () => {
  let laptop = await open("carol", "laptop", "dave");
  const phone = await open("dave", "phone", "carol");
  const tablet = await open("carol", "tablet", "dave");
  await say(laptop, "before");
  await fate(laptop, "before", "delivered");
  await stage.kill();
  for (const text of ["one", "two", "three"]) await say(laptop, text);
  await fate(laptop, "three", "waiting");
  await picture(laptop, "demo-waiting");
  await laptop.close();
  await stage.start();
  laptop = await open("carol", "laptop", "dave");
  for (const text of ["one", "two", "three"]) await fate(laptop, text, "delivered");
  for (const page of [laptop, phone, tablet]) {
    await seen(page, "three");
    assert.deepEqual(await words(page), ["before", "one", "two", "three"]);
  }
  await stage.kill();
  await stage.start();
  await say(phone, "still here");
  await fate(phone, "still here", "delivered");
  for (const page of [laptop, phone, tablet]) {
    await page.reload();
    await seen(page, "still here");
    assert.deepEqual(await words(page), ["before", "one", "two", "three", "still here"]);
    await page.close();
  }
});

test("a device that is away gets everything when it is back", async () => {
  const elsewhere = await newContext();
  const laptop = await open("erin", "laptop", "frank");
  const phone = await open("frank", "phone", "erin", elsewhere);
  await phone.getByRole("button", { name: "Go offline" }).click();
  await phone.getByRole("button", { name: "Go online" }).waitFor(WAIT);
  for (const text of ["first", "second"]) await say(laptop, text);
  await fate(laptop, "second", "stored");
  await elsewhere.setOffline(true);
  await phone.getByRole("button", { name: "Go online" }).click();
  await phone.locator('#state:not([data-state="connected"]):not([data-state="closed"])').waitFor(WAIT);
  assert.deepEqual(await words(phone), []);
  await elsewhere.setOffline(false);
  await connected(phone);
  await seen(phone, "second");
  assert.deepEqual(await words(phone), ["first", "second"]);
  await fate(laptop, "second", "delivered");
  await elsewhere.close();
  await laptop.close();
});

test("the same device in a second tab takes over, and the first tab stays away until it is asked back", async () => {
  const first = await open("grace", "laptop", "heidi");
  const second = await open("grace", "laptop", "heidi");
  await first.getByRole("alert").getByText("another tab").waitFor(WAIT);
  await say(second, "from the second tab");
  await fate(second, "from the second", "stored");
  await first.getByRole("button", { name: "Use it here" }).click();
  await connected(first);
  await second.getByRole("alert").getByText("another tab").waitFor(WAIT);
  await first.close();
  await second.close();
});

test("the page runs no script and no style that is not its own, and frames and forms lead nowhere", async () => {
  const page = await open("ivan", "laptop", "judy");
  assert.deepEqual(violations, []);
  await page.evaluate(() => {
    const script = document.createElement("script");
    const unsafe = "window.wasRun = true";
    try {
      script.text = unsafe;
    } catch {
      // Trusted types refuse it before the policy has to.
    }
    document.body.append(script);
    document.body.setAttribute("style", "display: none");
  });
  await until(() => violations.length > 0);
  assert.equal(await page.evaluate(() => window.wasRun), undefined);
  assert.notEqual(await page.evaluate(() => getComputedStyle(document.body).display), "none");
  assert.notEqual(violations.length, 0);
  await page.close();
});

test("keyboard and screen reader find everything", async () => {
  const start = await context.newPage();
  await start.goto(stage.url);
  assert.deepEqual(await unnamed(start), []);
  assert.deepEqual(await tabStops(start, 7), ["me", "device", "to", "Open the chat", "alice on her laptop", "bob on his phone", "alice on her tablet"]);
  await picture(start, "demo-start");
  await start.close();
  const page = await open("kate", "laptop", "leo");
  assert.equal(await page.evaluate(() => document.activeElement?.id), "text");
  assert.deepEqual(await unnamed(page), []);
  assert.equal(await page.locator("html").getAttribute("lang"), "en");
  assert.equal(await page.getByRole("log", { name: "Messages with leo" }).count(), 1);
  assert.equal(await page.getByRole("status").textContent(), "Connected");
  assert.equal(await page.getByRole("textbox", { name: "Message" }).count(), 1);
  assert.deepEqual((await tabStops(page, 4)).slice(0, 4), ["Send", "link", "messages", "text"]);
  await page.close();
});

/** Ids of what takes input and has no name. */
function unnamed(page) {
  return page.evaluate(() => {
    const visible = [...document.querySelectorAll("input, textarea, button, a")].filter((one) => one.checkVisibility());
    const hasName = (one) => (one.labels?.length ?? 0) > 0 || one.textContent.trim() !== "" || one.ariaLabel !== null;
    return visible.filter((one) => !hasName(one)).map((one) => one.outerHTML);
  });
}

async function tabStops(page, count) {
  const stops = [];
  while (stops.length < count) {
    await page.keyboard.press("Tab");
    // Behind the last one the focus is the browser's own for a while.
    const focused = await page.evaluate(() => {
      const at = document.activeElement;
      return at === null || at === document.body ? [] : [at.id || at.textContent];
    });
    stops.push(...focused);
  }
  return stops;
}

test("it fits a phone, in light and in dark, with enough contrast", async () => {
  for (const colorScheme of ["light", "dark"]) {
    const pocket = await newContext({ viewport: { width: 360, height: 700 }, colorScheme });
    const page = await open(`mia-${colorScheme}`, "phone", `noah-${colorScheme}`, pocket);
    const other = await open(`noah-${colorScheme}`, "laptop", `mia-${colorScheme}`, pocket);
    await say(other, "Are you on your phone?");
    await seen(page, "Are you");
    await say(page, "Yes, and this is one long word: " + "supercalifragilistic".repeat(3));
    await fate(page, "Yes", "delivered");
    const wider = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.equal(wider, 0, "the page scrolls sideways");
    for (const selector of [".message .words", ".message .facts", ".message.mine .words", ".fate", "#self", "#state", "#composer button"]) {
      const ratio = await contrast(page, selector);
      assert.ok(ratio >= 4.5, `${colorScheme}: ${selector} has ${ratio.toFixed(2)}`);
    }
    await picture(page, `demo-phone-${colorScheme}`);
    await pocket.close();
  }
});

/** The contrast of an element's text with what is behind it (WCAG 2). */
function contrast(page, selector) {
  return page.locator(selector).last().evaluate((element) => {
    const numbers = (color) => color.match(/[\d.]+/g).map(Number);
    const luminance = (color) => {
      const [r, g, b] = numbers(color).map((part) => (part / 255 <= 0.03928 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    let behind = element;
    while (numbers(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
    const pair = [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor].map(luminance).sort((a, b) => a - b);
    return (pair[1] + 0.05) / (pair[0] + 0.05);
  });
}

test("only the page itself gets tokens", async () => {
  const who = JSON.stringify({ user: "alice", device: "laptop" });
  const own = { origin: `http://127.0.0.1:${stage.admin}` };
  assert.equal((await stage.ask("POST", "/demo/token", own, who)).status, 200);
  assert.equal((await stage.ask("POST", "/demo/token", { origin: "https://evil.example" }, who)).status, 403);
  assert.equal((await stage.ask("POST", "/demo/token", { host: "evil.example" }, who)).status, 403);
  assert.equal((await stage.ask("POST", "/demo/token", own, JSON.stringify({ user: "a b", device: "x" }))).status, 400);
});

test("without the flag there is no page and no token", async () => {
  await stage.kill();
  await stage.start([]);
  const who = JSON.stringify({ user: "alice", device: "laptop" });
  for (const path of ["/demo/", "/demo/app.js", "/demo/server"]) assert.equal((await stage.ask("GET", path)).status, 404);
  assert.equal((await stage.ask("POST", "/demo/token", {}, who)).status, 404);
});

test("nothing went wrong on any page", () => {
  assert.deepEqual(errors, []);
});
