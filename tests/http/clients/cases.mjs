// A list of cases, run one after another, and what the model recites (recite.py).
export const { URL: url, KEY: key, MODEL: model, WAY: way = '' } = process.env;
export const SUM = 'What is 3+4?';
export const SUM_THOUGHT = 'Adding up numbers';
export const SUM_ANSWER = 'The answer is seven indeed.';
export const WEATHER = 'What is the weather in Oslo?';
export const WEATHER_RESULT = '4 degrees, rain';
export const WEATHER_ANSWER = 'It is four degrees in Oslo and rains';
export const COUNT = 'Count.';
export const COUNT_WORDS = Array.from({ length: 400 }, (_, i) => `w${String(i).padStart(3, '0')}, `);
export const BOTH = 'Compare Oslo and Rome.';
export const PARAMETERS = {
  type: 'object',
  properties: { city: { type: 'string' } },
  required: ['city'],
};

const cases = [];

// test('name', run), or test('name', ['variant', …], run): run gets the variant.
export function test(name, variants, run) {
  if (run === undefined) {
    cases.push([name, variants]);
    return;
  }
  for (const variant of variants) {
    cases.push([`${name}[${variant}]`, () => run(variant)]);
  }
}

export async function runAll(library) {
  let failed = 0;
  for (const [name, run] of cases) {
    try {
      await run();
    } catch (error) {
      failed += 1;
      console.error(`FAIL ${library} ${name}\n${error.stack ?? error}`);
    }
  }
  console.log(`${library}${way}: ${cases.length - failed} of ${cases.length} passed`);
  process.exit(failed === 0 ? 0 : 1);
}
