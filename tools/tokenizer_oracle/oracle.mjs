// Expected results by the reference implementation (Hugging Face's Rust library `tokenizers` in a
// Node binding): hashes of ids and decoded texts, and on demand the results themselves.
// usage: node oracle.mjs NAME TOKENIZER.json TEXTS.jsonl EXPECTED_FOLDER [FULL.jsonl]
import {createHash} from 'node:crypto';
import {createRequire} from 'node:module';
import fs from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import {lineHash, packHashes} from '../../tests/parity/tokenizers/hashes.mjs';

const require = createRequire(path.join(process.cwd(), 'package.json'));
const {Tokenizer} = require('@anush008/tokenizers');
const [name, tokenizerPath, textsPath, folder, fullPath] = process.argv.slice(2);
const sha256 = (file) => createHash('sha256').update(fs.readFileSync(file)).digest('hex');
const tokenizer = Tokenizer.fromFile(tokenizerPath);
const hashes = [];
const full = [];
let same = 0;
for (const line of fs.readFileSync(textsPath, 'utf8').trimEnd().split('\n')) {
  const text = JSON.parse(line);
  const encoding = await tokenizer.encode(text, null, {addSpecialTokens: false});
  const ids = encoding.getIds();
  const decoded = await tokenizer.decode(ids, false);
  const skipping = await tokenizer.decode(ids, true);
  hashes.push(lineHash(ids, decoded, skipping));
  same += decoded === text ? 1 : 0;
  if (fullPath) full.push(JSON.stringify({ids, decoded, skipping}));
}
fs.writeFileSync(path.join(folder, `${name}.u32`), packHashes(hashes));
if (fullPath) fs.writeFileSync(fullPath, full.join('\n') + '\n');

// "package" (where the test gets the file) and "prefix" (what transformers puts before a raw text) are
// kept: they are not the library's to say.
const indexPath = path.join(folder, 'index.json');
const index = JSON.parse(fs.readFileSync(indexPath, 'utf8'));
index[name] = {package: '', prefix: [], ...index[name], tokenizer_sha256: sha256(tokenizerPath),
  corpus_sha256: sha256(textsPath), decode_to_themselves: same};
fs.writeFileSync(indexPath, JSON.stringify(index, null, 2) + '\n');
console.log(`${hashes.length} texts, ${same} decode to themselves`);
