// Talks to a running server through the published OpenAI SDK, as applications do.
// node sdk_test.mjs BASE_URL [MODEL]; exits non-zero if anything is not as the SDK needs it.
// The model should think before it answers; TUTTI_SDK_NO_REASONING=1 accepts one that does not.
import assert from 'node:assert/strict';
import OpenAI from 'openai';

const [baseURL, wantedModel] = process.argv.slice(2);
if (!baseURL) {
  console.error('usage: node sdk_test.mjs http://127.0.0.1:9997 [MODEL]');
  process.exit(2);
}
const client = new OpenAI({
  baseURL: `${baseURL.replace(/\/$/, '')}/v1`,
  apiKey: process.env.TUTTI_API_KEY ?? 'none',
  maxRetries: 0,
  timeout: 60_000,
});
const wantReasoning = !process.env.TUTTI_SDK_NO_REASONING;
const messages = [{ role: 'user', content: 'thinking' }];
let model = wantedModel;

const tests = {
  async 'lists and retrieves models'() {
    const list = await client.models.list();
    assert.equal(list.object, 'list');
    assert.ok(list.data.length > 0, 'no model is served');
    model ??= list.data[0].id;
    const one = await client.models.retrieve(model);
    assert.equal(one.id, model);
    assert.equal(one.object, 'model');
    assert.equal(typeof one.created, 'number');
  },

  async 'streams a chat'() {
    const stream = await client.chat.completions.create({
      model,
      messages,
      max_tokens: 64,
      stream: true,
      stream_options: { include_usage: true },
    });
    let chunks = 0;
    let pieces = 0;
    let reasoning = '';
    let usage = null;
    const finishes = [];
    const ids = new Set();
    for await (const chunk of stream) {
      ids.add(`${chunk.id} ${chunk.created} ${chunk.model} ${chunk.object}`);
      if (chunk.choices.length === 0) {
        usage = chunk.usage;
        continue;
      }
      assert.equal(usage, null, 'the usage chunk must be the last');
      assert.equal(chunk.usage, null);
      const [{ delta, finish_reason: finish, index }] = chunk.choices;
      assert.equal(index, 0);
      if (chunks === 0) {
        assert.equal(delta.role, 'assistant');
      }
      chunks += 1;
      pieces += delta.content || delta.reasoning_content ? 1 : 0;
      reasoning += delta.reasoning_content ?? '';
      if (finish) {
        finishes.push(finish);
      }
    }
    assert.equal(ids.size, 1, 'id, created and model must be the same in all chunks');
    assert.ok([...ids][0].startsWith('chatcmpl-') && [...ids][0].endsWith('chat.completion.chunk'));
    assert.ok(pieces > 1, 'the text must come in more than one piece');
    assert.equal(finishes.length, 1);
    assert.ok(['stop', 'length'].includes(finishes[0]), finishes[0]);
    assert.ok(usage, 'no usage chunk');
    assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
    if (wantReasoning) {
      assert.ok(reasoning.length > 0, 'no reasoning_content was streamed');
    }
  },

  async 'the stream helper accepts every event'() {
    const stream = client.chat.completions.stream({ model, messages, max_tokens: 32, n: 2 });
    const final = await stream.finalChatCompletion();
    assert.equal(final.choices.length, 2);
    for (const choice of final.choices) {
      assert.equal(choice.message.role, 'assistant');
      assert.ok(['stop', 'length'].includes(choice.finish_reason));
    }
  },

  async 'answers a chat at once'() {
    const { data, response } = await client.chat.completions
      .create({
        model,
        messages: [
          { role: 'developer', content: 'Be brief.' },
          { role: 'user', content: [{ type: 'text', text: 'thinking' }] },
        ],
        max_completion_tokens: 64,
        temperature: 0,
        seed: 1,
        stop: ['\u0001'],
        logprobs: true,
        top_logprobs: 2,
        user: 'sdk',
        metadata: { a: 'b' },
      })
      .withResponse();
    assert.ok(response.headers.get('x-request-id'));
    assert.equal(data.object, 'chat.completion');
    const [choice] = data.choices;
    assert.equal(choice.message.role, 'assistant');
    assert.equal(typeof choice.message.content, 'string');
    assert.ok(['stop', 'length'].includes(choice.finish_reason));
    assert.equal(data.usage.total_tokens, data.usage.prompt_tokens + data.usage.completion_tokens);
    assert.ok(choice.logprobs.content.length > 0);
    for (const token of choice.logprobs.content) {
      assert.equal(typeof token.token, 'string');
      assert.ok(token.logprob <= 0);
      assert.ok(token.bytes.every((b) => b >= 0 && b <= 255));
      assert.ok(token.top_logprobs.length <= 2);
    }
  },

  async 'completes a prompt'() {
    const whole = await client.completions.create({
      model,
      prompt: ['a', 'b'],
      max_tokens: 4,
      logprobs: 1,
    });
    assert.equal(whole.object, 'text_completion');
    assert.deepEqual(whole.choices.map((c) => c.index), [0, 1]);
    assert.equal(
      whole.choices[0].logprobs.tokens.length,
      whole.choices[0].logprobs.text_offset.length,
    );
    let finishes = 0;
    for await (const chunk of await client.completions.create({
      model,
      prompt: 'a',
      max_tokens: 4,
      stream: true,
    })) {
      finishes += chunk.choices[0].finish_reason ? 1 : 0;
    }
    assert.equal(finishes, 1);
  },

  async 'aborts in the middle of a stream'() {
    const stream = await client.chat.completions.create({
      model,
      messages,
      stream: true,
      ignore_eos: true,
      max_tokens: 2000,
    });
    let chunks = 0;
    for await (const _ of stream) {
      chunks += 1;
      if (chunks === 3) {
        stream.controller.abort();
      }
    }
    assert.ok(chunks < 100, `${chunks} chunks after the abort`);
    const after = await client.chat.completions.create({ model, messages, max_tokens: 2 });
    assert.equal(after.choices.length, 1);
  },

  async 'errors have the classes of the SDK'() {
    await assert.rejects(
      client.chat.completions.create({ model: 'no-such-model', messages }),
      (e) => e instanceof OpenAI.NotFoundError && e.code === 'model_not_found' && e.param === 'model',
    );
    await assert.rejects(
      client.models.retrieve('no/such model'),
      (e) => e instanceof OpenAI.NotFoundError && e.message.includes('no/such model'),
    );
    await assert.rejects(
      client.chat.completions.create({ model, messages, temperature: 9 }),
      (e) => e instanceof OpenAI.BadRequestError && e.param === 'temperature',
    );
    await assert.rejects(
      client.chat.completions.create({ model, messages, stream: true, max_tokens: 0 }),
      (e) => e instanceof OpenAI.BadRequestError && e.type === 'invalid_request_error',
    );
  },
};

let failed = 0;
for (const [name, run] of Object.entries(tests)) {
  try {
    await run();
    console.log(`ok   ${name}`);
  } catch (error) {
    failed += 1;
    console.error(`FAIL ${name}\n${error.stack ?? error}`);
  }
}
console.log(`${Object.keys(tests).length - failed} of ${Object.keys(tests).length} passed`);
process.exit(failed === 0 ? 0 : 1);
