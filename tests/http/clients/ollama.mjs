// The published client of Ollama for Node.
import assert from 'node:assert/strict';
import { Ollama } from 'ollama';
import * as c from './cases.mjs';

const client = new Ollama({ host: c.url, headers: { Authorization: `Bearer ${c.key}` } });
const tools = [{ type: 'function', function: { name: 'weather', description: 'The weather', parameters: c.PARAMETERS } }];
const request = (text, more = {}) => ({ model: c.model, messages: [{ role: 'user', content: text }], ...more });

c.test('chats', ['whole', 'stream'], async (way) => {
  let said = '';
  let thought = '';
  let last;
  if (way === 'whole') {
    last = await client.chat(request(c.SUM));
    [said, thought] = [last.message.content, last.message.thinking];
  } else {
    for await (last of await client.chat(request(c.SUM, { stream: true }))) {
      said += last.message.content;
      thought += last.message.thinking ?? '';
    }
  }
  assert.deepEqual([said.trim(), thought], [c.SUM_ANSWER, c.SUM_THOUGHT]);
  assert.ok(last.done && last.eval_count > 0);
});

c.test('generates', ['whole', 'stream'], async (way) => {
  let said = '';
  if (way === 'whole') {
    said = (await client.generate({ model: c.model, prompt: c.SUM })).response;
  } else {
    for await (const part of await client.generate({ model: c.model, prompt: c.SUM, stream: true })) {
      said += part.response;
    }
  }
  assert.equal(said.trim(), c.SUM_ANSWER);
});

c.test('calls tools', ['whole', 'stream'], async (way) => {
  const calls = [];
  if (way === 'whole') {
    calls.push(...(await client.chat(request(c.BOTH, { tools }))).message.tool_calls);
  } else {
    for await (const part of await client.chat(request(c.BOTH, { tools, stream: true }))) {
      calls.push(...(part.message.tool_calls ?? []));
    }
  }
  assert.deepEqual(calls.map((call) => call.function.arguments.city), ['Oslo', 'Rome']);
});

c.test('a tool is answered', async () => {
  const { message } = await client.chat(request(c.WEATHER, { tools }));
  const messages = [{ role: 'user', content: c.WEATHER }, message, { role: 'tool', tool_name: 'weather', content: c.WEATHER_RESULT }];
  assert.equal((await client.chat({ model: c.model, messages, tools })).message.content, c.WEATHER_ANSWER);
});

c.test('options count', async () => {
  const reply = await client.chat(request(c.COUNT, { options: { num_predict: 5 } }));
  assert.deepEqual([reply.message.content, reply.done_reason], [c.COUNT_WORDS.slice(0, 5).join(''), 'length']);
});

c.test('models are told', async () => {
  assert.deepEqual((await client.list()).models.map((m) => m.name), [c.model]);
  assert.deepEqual((await client.ps()).models.map((m) => m.name), [c.model]);
  assert.ok((await client.show({ model: c.model })).capabilities.includes('thinking'));
  assert.equal(typeof (await client.version()).version, 'string');
});

c.test('errors have a status', async () => {
  await assert.rejects(client.chat(request(c.SUM, { model: 'nobody' })), (e) => e.status_code === 404);
  await assert.rejects(client.chat(request(c.SUM, { options: { top_p: 7 } })), (e) => e.status_code === 400);
});

c.test('a stream is aborted', async () => {
  const stream = await client.chat(request(c.COUNT, { stream: true, options: { num_predict: 390 } }));
  let lines = 0;
  await assert.rejects(async () => {
    for await (const _ of stream) {
      lines += 1;
      if (lines === 3) {
        stream.abort();
      }
    }
  }, { name: 'AbortError' });
  assert.ok(lines < 390);
});

await c.runAll('ollama (Node)');
