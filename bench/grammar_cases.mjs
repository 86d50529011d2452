// Cases for grammar_bench: JSON schemas as zod emits them, each with a text that holds it.
//
//   node grammar_cases.mjs N [SEED] > cases.jsonl        wants zod 4 (npm)
import { z } from "zod";

const words = "the order was sent to Oslo on Monday and came back with a note saying that nobody lives there".split(" ");
let state = Number(process.argv[3] ?? 1);
const below = (n) => {
  state = (state * 1103515245 + 12345) % 2147483648;
  return Math.floor((state / 2147483648) * n);
};
const text = () => Array.from({ length: 1 + below(15) }, () => words[below(words.length)]).join(" ");

function field(depth) {
  switch (below(depth > 0 ? 14 : 10)) {
    case 0:
    case 1:
      return [z.string(), text()];
    case 2:
      return [z.int(), below(1000) - 500];
    case 3:
      return [z.number(), below(1000) + 0.5];
    case 4:
      return [z.boolean(), below(2) === 1];
    case 5:
      return [z.enum(["low", "medium", "high"]), "medium"];
    case 6:
      return [z.string().min(1).max(300), text()];
    case 7:
      return [z.int().min(0).max(150), below(151)];
    case 8:
      return [z.literal("fixed"), "fixed"];
    case 9:
      return [z.string().regex(/^[A-Z]{2}-\d{4}$/), "NO-1234"];
    case 10: {
      const [inner, value] = field(depth - 1);
      return [inner.nullable(), below(2) ? value : null];
    }
    case 11: {
      const [inner, value] = field(depth - 1);
      return [z.array(inner), Array(below(4)).fill(value)];
    }
    case 12: {
      const [a, value] = field(depth - 1);
      const [b] = field(depth - 1);
      return [z.union([a, b]), value];
    }
    default:
      return object(depth - 1);
  }
}

function object(depth) {
  const shape = {};
  const value = {};
  const count = 1 + below(9);
  for (let i = 0; i < count; ++i) {
    const key = `${words[below(words.length)]}_${i}`;
    const [type, one] = field(depth);
    shape[key] = type.describe(text());
    value[key] = one;
  }
  return [z.object(shape), value];
}

for (let i = 0; i < Number(process.argv[2]); ++i) {
  const [type, value] = object(2);
  const schema = z.toJSONSchema(type);
  console.log(JSON.stringify({ name: `zod ${i}`, schema, text: JSON.stringify(value, null, below(2) ? 2 : undefined) }));
}
