// LangChain for Node over OpenAI's chats and responses.
import assert from 'node:assert/strict';
import { HumanMessage, ToolMessage } from '@langchain/core/messages';
import { ChatOpenAI } from '@langchain/openai';
import * as c from './cases.mjs';

const apis = ['chat', 'responses'];
const model = (api, more = {}) =>
  new ChatOpenAI({
    model: c.model,
    apiKey: c.key,
    maxRetries: 0,
    useResponsesApi: api === 'responses',
    configuration: { baseURL: `${c.url}/v1` },
    ...more,
  });
const tools = [{ type: 'function', function: { name: 'weather', description: 'The weather', parameters: c.PARAMETERS } }];

async function joined(stream) {
  let whole;
  for await (const chunk of stream) {
    whole = whole === undefined ? chunk : whole.concat(chunk);
  }
  return whole;
}

c.test('invokes', apis, async (api) => {
  const reply = await model(api).invoke(c.SUM);
  assert.equal(reply.text.trim(), c.SUM_ANSWER);
  assert.ok(reply.usage_metadata.output_tokens > 0);
});

c.test('streams', apis, async (api) => {
  const reply = await joined(await model(api).stream(c.SUM));
  assert.equal(reply.text.trim(), c.SUM_ANSWER);
});

c.test('calls tools', apis.flatMap((a) => [`invoke ${a}`, `stream ${a}`]), async (variant) => {
  const [way, api] = variant.split(' ');
  const bound = model(api).bindTools(tools);
  const reply = way === 'invoke' ? await bound.invoke(c.BOTH) : await joined(await bound.stream(c.BOTH));
  assert.deepEqual(reply.tool_calls.map((call) => call.args.city), ['Oslo', 'Rome']);
});

c.test('a tool is answered', apis, async (api) => {
  const bound = model(api).bindTools(tools);
  const messages = [new HumanMessage(c.WEATHER)];
  const first = await bound.invoke(messages);
  messages.push(first, new ToolMessage({ content: c.WEATHER_RESULT, tool_call_id: first.tool_calls[0].id }));
  assert.equal((await bound.invoke(messages)).text, c.WEATHER_ANSWER);
});

c.test('errors are told', apis, async (api) => {
  await assert.rejects(model(api, { topP: 7 }).invoke(c.SUM), /top_p/);
});

await c.runAll('@langchain/openai');
