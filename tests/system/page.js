// SPDX-License-Identifier: Apache-2.0
// Uses SmartCMS's page as a person does: with a mouse, with the keyboard alone, on a phone.
//   node page.js CHROMIUM URL FOLDER-FOR-SCREENSHOTS
const { chromium } = require('playwright-core');
const assert = require('assert');

const [executablePath, url, folder] = process.argv.slice(2);
const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
              '--disable-component-update', '--disable-sync'];

const says = (page, text) => page.locator('#answer', { hasText: text }).waitFor({ timeout: 20000 });

async function byMouse(page) {
  await page.goto(url);
  const keep = page.locator('form[data-route=create]');
  await keep.getByLabel('Name').fill('harbour');
  await keep.getByLabel('Story').fill('Boats came in.\nThen it rained.');
  await keep.getByRole('button').click();
  await says(page, 'Stored harbour');
  const read = page.locator('form[data-route=retrieve]');
  await read.getByLabel('Name').fill('harbour');
  await read.getByRole('button').click();
  await says(page, 'Then it rained.');
  await page.screenshot({ path: `${folder}/smartcms.png` });
}

// Tab from the top: name, story, button, name, button, first words, button.
async function byKeyboard(page) {
  await page.goto(url);
  for (let i = 0; i < 6; i++) await page.keyboard.press('Tab');
  await page.keyboard.type('A cat');
  await page.keyboard.press('Enter');
  await says(page, /generated\d+\s+A cat, said the model/);
  await page.locator('form[data-route=retrieve]').getByLabel('Name').fill('nobody');
  await page.keyboard.press('Enter');
  await says(page, 'Story not found');
  assert.ok(await page.locator('#answer.failed').count(), 'a failure looks like one');
}

async function onPhone(browser) {
  const page = await browser.newPage({ viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
  await page.goto(url);
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(overflow <= 0, `${overflow} pixels too wide`);
  for (const button of await page.getByRole('button').all())
    assert.ok((await button.boundingBox()).height >= 44, 'a button is too small for a finger');
  await page.locator('form[data-route=generate]').getByRole('button').tap();
  await says(page, 'Once upon a time');
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
