// The published SDK of OpenAI for Node: chats and responses.
import assert from 'node:assert/strict';
import OpenAI from 'openai';
import * as c from './cases.mjs';

const client = new OpenAI({ baseURL: `${c.url}/v1`, apiKey: c.key, maxRetries: 0 });
const messages = (text) => [{ role: 'user', content: text }];
const chat = (text, more = {}) =>
  client.chat.completions.create({ model: c.model, messages: messages(text), temperature: 0, ...more });
const respond = (input, more = {}) => client.responses.create({ model: c.model, input, ...more });
const chatTools = [{ type: 'function', function: { name: 'weather', parameters: c.PARAMETERS } }];
const tools = [{ type: 'function', name: 'weather', parameters: c.PARAMETERS, strict: false }];

c.test('chat says and thinks', ['whole', 'stream'], async (way) => {
  let said = '';
  let thought = '';
  if (way === 'whole') {
    const { message } = (await chat(c.SUM)).choices[0];
    [said, thought] = [message.content, message.reasoning_content];
  } else {
    for await (const chunk of await chat(c.SUM, { stream: true })) {
      said += chunk.choices[0].delta.content ?? '';
      thought += chunk.choices[0].delta.reasoning_content ?? '';
    }
  }
  assert.deepEqual([said.trim(), thought], [c.SUM_ANSWER, c.SUM_THOUGHT]);
});

c.test('chat helper', async () => {
  const stream = client.chat.completions.stream({ model: c.model, messages: messages(c.SUM) });
  assert.equal((await stream.finalContent()).trim(), c.SUM_ANSWER);
});

c.test('chat calls tools', ['whole', 'stream'], async (way) => {
  const asked = { model: c.model, messages: messages(c.BOTH), tools: chatTools };
  const reply =
    way === 'whole'
      ? await client.chat.completions.create(asked)
      : await client.chat.completions.stream(asked).finalChatCompletion();
  const calls = reply.choices[0].message.tool_calls;
  assert.deepEqual(calls.map((one) => JSON.parse(one.function.arguments).city), ['Oslo', 'Rome']);
  assert.equal(reply.choices[0].finish_reason, 'tool_calls');
});

c.test('the tool runner answers', async () => {
  const asked = [];
  const runner = client.chat.completions.runTools({
    model: c.model,
    messages: messages(c.WEATHER),
    tools: [
      {
        type: 'function',
        function: {
          name: 'weather',
          description: 'The weather',
          parameters: c.PARAMETERS,
          parse: JSON.parse,
          function: ({ city }) => {
            asked.push(city);
            return c.WEATHER_RESULT;
          },
        },
      },
    ],
  });
  assert.equal(await runner.finalContent(), c.WEATHER_ANSWER);
  assert.deepEqual(asked, ['Oslo']);
});

c.test('chat ends at its length', async () => {
  const [choice] = (await chat(c.COUNT, { max_tokens: 5 })).choices;
  assert.deepEqual([choice.finish_reason, choice.message.content], ['length', c.COUNT_WORDS.slice(0, 5).join('')]);
});

c.test('a stream is aborted', async () => {
  const stream = await chat(c.COUNT, { stream: true, max_tokens: 390 });
  let chunks = 0;
  for await (const _ of stream) {
    chunks += 1;
    if (chunks === 3) {
      stream.controller.abort();
    }
  }
  assert.ok(chunks < 300);
  assert.equal((await chat(c.SUM)).choices[0].message.content.trim(), c.SUM_ANSWER);
});

c.test('a request that timed out is not sent again', async () => {
  let sent = 0;
  const counting = new OpenAI({
    baseURL: `${c.url}/v1`,
    apiKey: c.key,
    maxRetries: 2,
    fetch: (...args) => {
      sent += 1;
      return fetch(...args);
    },
  });
  await assert.rejects(
    counting.chat.completions.create({ model: c.model, messages: messages(c.COUNT), timeout: 0.001 }),
    (error) => error.status === 504,
  );
  assert.equal(sent, 1);
});

c.test('response says and thinks', ['whole', 'stream', 'helper'], async (way) => {
  let reply;
  if (way === 'whole') {
    reply = await respond(c.SUM);
  } else if (way === 'helper') {
    reply = await client.responses.stream({ model: c.model, input: c.SUM }).finalResponse();
  } else {
    let said = '';
    for await (const event of await respond(c.SUM, { stream: true })) {
      said += event.type === 'response.output_text.delta' ? event.delta : '';
      reply = event.response ?? reply;
    }
    assert.equal(said.trim(), c.SUM_ANSWER);
  }
  assert.equal(reply.status, 'completed');
  const text = (type) =>
    reply.output.filter((i) => i.type === type).flatMap((i) => i.content.map((part) => part.text)).join('');
  assert.equal(text('message').trim(), c.SUM_ANSWER);
  assert.equal(text('reasoning'), c.SUM_THOUGHT);
});

c.test('response calls functions', ['whole', 'helper'], async (way) => {
  const asked = { model: c.model, input: c.BOTH, tools };
  const reply =
    way === 'whole' ? await client.responses.create(asked) : await client.responses.stream(asked).finalResponse();
  const calls = reply.output.filter((item) => item.type === 'function_call');
  assert.deepEqual(calls.map((call) => JSON.parse(call.arguments).city), ['Oslo', 'Rome']);
  assert.equal(new Set(calls.map((call) => call.call_id)).size, 2);
});

c.test('response goes on with another', async () => {
  const first = await respond(c.WEATHER, { tools });
  const call = first.output.find((item) => item.type === 'function_call');
  const second = await respond([{ type: 'function_call_output', call_id: call.call_id, output: c.WEATHER_RESULT }], {
    tools,
    previous_response_id: first.id,
  });
  assert.equal(second.output_text, c.WEATHER_ANSWER);
  assert.equal((await client.responses.retrieve(first.id)).id, first.id);
  await client.responses.delete(first.id);
  await assert.rejects(client.responses.retrieve(first.id), OpenAI.NotFoundError);
});

c.test('errors have classes', async () => {
  await assert.rejects(chat(c.SUM, { top_p: 7 }), (e) => e instanceof OpenAI.BadRequestError && e.param === 'top_p');
  await assert.rejects(respond(c.SUM, { top_p: 7 }), (e) => e instanceof OpenAI.BadRequestError && e.param === 'top_p');
  await assert.rejects(respond(c.SUM, { model: 'nobody' }), OpenAI.NotFoundError);
});

await c.runAll('openai (Node)');
