// The published SDK of Anthropic for Node.
import assert from 'node:assert/strict';
import Anthropic from '@anthropic-ai/sdk';
import * as c from './cases.mjs';

const client = new Anthropic({ baseURL: c.url, apiKey: c.key, maxRetries: 0 });
const tools = [{ name: 'weather', description: 'The weather', input_schema: c.PARAMETERS }];
const request = (text, more = {}) => ({
  model: c.model,
  max_tokens: 500,
  messages: [{ role: 'user', content: text }],
  ...more,
});
const ask = (text, more) => client.messages.create(request(text, more));
const helper = (text, more) => client.messages.stream(request(text, more)).finalMessage();
const part = (message, type, member) =>
  message.content.filter((b) => b.type === type).map((b) => b[member]).join('');
const ways = { whole: ask, helper };

c.test('says and thinks', ['whole', 'helper'], async (way) => {
  const message = await ways[way](c.SUM);
  assert.equal(part(message, 'text', 'text').trim(), c.SUM_ANSWER);
  assert.equal(part(message, 'thinking', 'thinking'), c.SUM_THOUGHT);
  assert.equal(message.stop_reason, 'end_turn');
  assert.ok(message.usage.output_tokens > 0);
});

c.test('events', async () => {
  let said = '';
  const kinds = [];
  for await (const event of await ask(c.SUM, { stream: true })) {
    kinds.push(event.type);
    said += event.delta?.text ?? '';
  }
  assert.equal(said.trim(), c.SUM_ANSWER);
  assert.deepEqual([kinds[0], ...kinds.slice(-2)], ['message_start', 'message_delta', 'message_stop']);
});

c.test('uses tools', ['whole', 'helper'], async (way) => {
  const message = await ways[way](c.BOTH, { tools });
  assert.deepEqual(
    message.content.filter((b) => b.type === 'tool_use').map((b) => b.input.city),
    ['Oslo', 'Rome'],
  );
  assert.equal(message.stop_reason, 'tool_use');
});

c.test('a tool is answered', ['whole', 'helper'], async (way) => {
  const first = await ways[way](c.WEATHER, { tools });
  const use = first.content.find((b) => b.type === 'tool_use');
  const second = await ways[way](c.WEATHER, {
    tools,
    messages: [
      { role: 'user', content: c.WEATHER },
      { role: 'assistant', content: first.content },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: use.id, content: c.WEATHER_RESULT }] },
    ],
  });
  assert.equal(part(second, 'text', 'text'), c.WEATHER_ANSWER);
});

c.test('stops', ['whole', 'helper'], async (way) => {
  const stopped = await ways[way](c.COUNT, { stop_sequences: ['w003'] });
  assert.deepEqual([stopped.stop_reason, stopped.stop_sequence], ['stop_sequence', 'w003']);
  assert.equal((await ways[way](c.COUNT, { max_tokens: 4 })).stop_reason, 'max_tokens');
});

c.test('counts tokens', async () => {
  const { input_tokens: counted } = await client.messages.countTokens({
    model: c.model,
    messages: [{ role: 'user', content: c.SUM }],
  });
  const { usage } = await ask(c.SUM);
  assert.equal(usage.input_tokens + usage.cache_read_input_tokens, counted);
});

c.test('errors have classes', async () => {
  await assert.rejects(ask(c.SUM, { top_p: 7 }), Anthropic.BadRequestError);
  await assert.rejects(ask(c.SUM, { model: 'nobody' }), (e) => e instanceof Anthropic.NotFoundError && e.requestID.startsWith('req-'));
  const other = new Anthropic({ baseURL: c.url, apiKey: 'wrong', maxRetries: 0 });
  await assert.rejects(other.messages.create(request(c.SUM)), Anthropic.AuthenticationError);
});

c.test('a stream is aborted', async () => {
  const stream = client.messages.stream(request(c.COUNT, { max_tokens: 390 }));
  let events = 0;
  await assert.rejects(async () => {
    for await (const _ of stream) {
      events += 1;
      if (events === 5) {
        stream.abort();
      }
    }
  }, Anthropic.APIUserAbortError);
  assert.equal(part(await ask(c.SUM), 'text', 'text').trim(), c.SUM_ANSWER);
});

c.test('a request that timed out is not sent again', async () => {
  let sent = 0;
  const counting = new Anthropic({
    baseURL: c.url,
    apiKey: c.key,
    maxRetries: 2,
    fetch: (...args) => {
      sent += 1;
      return fetch(...args);
    },
  });
  await assert.rejects(counting.messages.create(request(c.COUNT, { timeout: 0.001 })), (e) => e.status === 504);
  assert.equal(sent, 1);
});

c.test('lists models', async () => {
  const list = await client.models.list();
  assert.deepEqual(list.data.map((m) => m.id), [c.model]);
});

await c.runAll('@anthropic-ai/sdk');
