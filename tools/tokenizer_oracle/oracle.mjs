// Ids by the reference implementation (the Rust `tokenizers` library in a Node binding), one line of
// ids per text.
// usage: node oracle.mjs TOKENIZER.json TEXTS.json > ids.txt
import {createRequire} from 'node:module';
import fs from 'node:fs';
import path from 'node:path';

const require = createRequire(path.join(process.cwd(), 'package.json'));
const {Tokenizer} = require('@anush008/tokenizers');
const [tokenizerPath, textsPath] = process.argv.slice(2);
const tokenizer = Tokenizer.fromFile(tokenizerPath);
const lines = [];
for (const text of JSON.parse(fs.readFileSync(textsPath, 'utf8'))) {
  const encoding = await tokenizer.encode(text, null, {addSpecialTokens: false});
  lines.push(encoding.getIds().join(' '));
}
fs.writeFileSync(1, lines.join('\n') + '\n');
