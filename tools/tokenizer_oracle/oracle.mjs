// Expected results by the reference implementation (Hugging Face's Rust library `tokenizers` in a
// Node binding): hashes of ids and decoded texts, and on demand the results themselves.
// usage: node oracle.mjs TOKENIZER.json TEXTS.jsonl HASHES.u32 [FULL.jsonl]
import {createRequire} from 'node:module';
import fs from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import {lineHash, packHashes} from '../../tests/parity/tokenizers/hashes.mjs';

const require = createRequire(path.join(process.cwd(), 'package.json'));
const {Tokenizer} = require('@anush008/tokenizers');
const [tokenizerPath, textsPath, hashesPath, fullPath] = process.argv.slice(2);
const tokenizer = Tokenizer.fromFile(tokenizerPath);
const hashes = [];
const full = [];
for (const line of fs.readFileSync(textsPath, 'utf8').trimEnd().split('\n')) {
  const encoding = await tokenizer.encode(JSON.parse(line), null, {addSpecialTokens: false});
  const ids = encoding.getIds();
  const decoded = await tokenizer.decode(ids, false);
  const skipping = await tokenizer.decode(ids, true);
  hashes.push(lineHash(ids, decoded, skipping));
  if (fullPath) full.push(JSON.stringify({ids, decoded, skipping}));
}
fs.writeFileSync(hashesPath, packHashes(hashes));
if (fullPath) fs.writeFileSync(fullPath, full.join('\n') + '\n');
console.log(`${hashes.length} texts`);
