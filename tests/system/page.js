// SPDX-License-Identifier: Apache-2.0
// Uses SmartCMS's page as a person does: with a mouse, with the keyboard alone, on a phone.
//   node page.js CHROMIUM URL FOLDER-FOR-SCREENSHOTS
const { chromium } = require('playwright-core');
const assert = require('assert');

const [executablePath, url, folder] = process.argv.slice(2);
const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
              '--disable-component-update', '--disable-sync'];

const says = (page, text) => page.locator('#answer', { hasText: text }).waitFor({ timeout: 20000 });
const form = (page, route) => page.locator(`form[data-route=${route}]`);
const focused = (page) => page.evaluate(() => document.activeElement.textContent || document.activeElement.name);

async function byMouse(page) {
  await page.goto(url);
  const keep = form(page, 'create'), read = form(page, 'retrieve');
  await keep.getByLabel('Name').fill('harbour');
  await keep.getByLabel('Story').fill('Boats came in.\nThen it rained.');
  await keep.getByRole('button').click();
  await says(page, 'Stored harbour');
  assert.strictEqual(await read.getByLabel('Name').inputValue(), 'harbour', 'what was kept is ready to be read');
  await read.getByRole('button').click();
  await says(page, 'Then it rained.');
  assert.strictEqual(await page.locator('#title').textContent(), 'harbour');
  await page.screenshot({ path: `${folder}/smartcms.png` });
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.screenshot({ path: `${folder}/smartcms-dark.png` });
  await page.emulateMedia({ colorScheme: 'light' });
}

// Tab from the top: name, story, button, name, button, first words, button.
async function byKeyboard(page) {
  await page.goto(url);
  await page.keyboard.press('Tab');
  await page.keyboard.type('by hand');
  await page.keyboard.press('Tab');
  await page.keyboard.type('Without a mouse.');
  await page.keyboard.press('Control+Enter');
  await says(page, 'Stored by hand');
  for (let i = 0; i < 3; i++) await page.keyboard.press('Tab');
  assert.strictEqual(await focused(page), 'Read it');
  await page.keyboard.press('Space');
  await says(page, 'Without a mouse.');
  assert.strictEqual(await focused(page), 'Read it', 'a button keeps the focus when it is used');
  await page.keyboard.press('Tab');
  await page.keyboard.type('A cat');
  await page.keyboard.press('Enter');
  await says(page, 'A cat, said the model');
  assert.match(await page.locator('#title').textContent(), /^generated\d+$/);
  await form(page, 'retrieve').getByLabel('Name').fill('nobody');
  await page.keyboard.press('Enter');
  await says(page, 'Story not found');
  assert.ok(await page.locator('article.failed').count(), 'a failure looks like one');
}

async function onPhone(browser) {
  const page = await browser.newPage({ viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
  await page.goto(url);
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(overflow <= 0, `${overflow} pixels too wide`);
  for (const field of await page.locator('input, textarea').all())
    assert.ok(parseFloat(await field.evaluate((f) => getComputedStyle(f).fontSize)) >= 16, 'a phone would zoom in');
  for (const button of await page.getByRole('button').all())
    assert.ok((await button.boundingBox()).height >= 44, 'a button is too small for a finger');
  await form(page, 'generate').getByRole('button').tap();
  await says(page, 'Once upon a time');
  const { y, height } = await page.locator('article').boundingBox();
  assert.ok(y >= 0 && y + height <= 740, 'the story is on the screen, not above it');
  await page.screenshot({ path: `${folder}/smartcms-phone.png`, fullPage: true });
}

(async () => {
  const browser = await chromium.launch({ executablePath, args, headless: true });
  try {
    const page = await browser.newPage();
    const errors = [];
    page.on('pageerror', (e) => errors.push(e.message));
    await byMouse(page);
    await byKeyboard(page);
    await onPhone(browser);
    assert.deepStrictEqual(errors, []);
    console.log('kept, read and generated; by mouse, keyboard and touch');
  } finally {
    await browser.close();
  }
})().catch((e) => { console.error(e); process.exit(1); });
