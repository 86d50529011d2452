// The AI SDK over three providers: OpenAI (chats and responses), any compatible one, Anthropic.
import assert from 'node:assert/strict';
import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { generateText, stepCountIs, streamText, tool } from 'ai';
import { z } from 'zod';
import * as c from './cases.mjs';

const openai = createOpenAI({ baseURL: `${c.url}/v1`, apiKey: c.key });
const models = {
  compatible: createOpenAICompatible({ name: 'tutti', baseURL: `${c.url}/v1`, apiKey: c.key, includeUsage: true })(c.model),
  chat: openai.chat(c.model),
  responses: openai.responses(c.model),
  anthropic: createAnthropic({ baseURL: `${c.url}/v1`, apiKey: c.key })(c.model),
};
const names = Object.keys(models);
const common = (name) => ({ model: models[name], maxRetries: 0, maxOutputTokens: 500 });

c.test('generates', names, async (name) => {
  const { text, usage, finishReason } = await generateText({ ...common(name), prompt: c.SUM });
  assert.equal(text.trim(), c.SUM_ANSWER);
  assert.equal(finishReason, 'stop');
  assert.ok(usage.outputTokens > 0);
});

c.test('streams', names, async (name) => {
  const result = streamText({ ...common(name), prompt: c.SUM });
  let text = '';
  for await (const piece of result.textStream) {
    text += piece;
  }
  assert.equal(text.trim(), c.SUM_ANSWER);
  assert.equal(await result.finishReason, 'stop');
  assert.ok((await result.usage).outputTokens > 0);
});

c.test('shows reasoning', ['compatible', 'anthropic'], async (name) => {
  const { reasoningText } = await generateText({ ...common(name), prompt: c.SUM });
  assert.equal(reasoningText, c.SUM_THOUGHT);
});

c.test('runs tools', names.flatMap((n) => [`generate ${n}`, `stream ${n}`]), async (variant) => {
  const [way, name] = variant.split(' ');
  const asked = [];
  const settings = {
    ...common(name),
    prompt: c.WEATHER,
    stopWhen: stepCountIs(3),
    tools: {
      weather: tool({
        description: 'The weather',
        inputSchema: z.object({ city: z.string() }),
        execute: async ({ city }) => {
          asked.push(city);
          return c.WEATHER_RESULT;
        },
      }),
    },
  };
  const text = way === 'generate' ? (await generateText(settings)).text : await streamText(settings).text;
  assert.deepEqual(asked, ['Oslo']);
  assert.ok(text.length > 0);
});

c.test('ends at its length', names, async (name) => {
  const { finishReason } = await generateText({ ...common(name), maxOutputTokens: 16, prompt: c.COUNT });
  assert.equal(finishReason, 'length');
});

c.test('errors have a status', names, async (name) => {
  await assert.rejects(
    generateText({ ...common(name), prompt: c.SUM, topP: 7 }),
    (error) => error.statusCode === 400 && !error.isRetryable,
  );
});

c.test('a stream is aborted', names, async (name) => {
  const control = new AbortController();
  const result = streamText({ ...common(name), prompt: c.COUNT, abortSignal: control.signal, onError() {} });
  let pieces = 0;
  try {
    for await (const _ of result.textStream) {
      pieces += 1;
      if (pieces === 3) {
        control.abort();
      }
    }
  } catch (error) {
    assert.equal(error.name, 'AbortError');
  }
  assert.ok(pieces < 390);
});

await c.runAll('ai');
