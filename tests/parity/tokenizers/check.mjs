// Tokenizes and detokenizes a corpus with `tutti` and compares every line with the reference's hash.
// usage: node check.mjs TUTTI NAME TOKENIZER_DIRECTORY WORK_DIRECTORY
import {execFileSync, spawnSync} from 'node:child_process';
import {createHash} from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import {fileURLToPath} from 'node:url';
import {corpusLines, makeCorpus} from './corpus.mjs';
import {lineHash, unpackHashes} from './hashes.mjs';

const [tutti, name, directory, work] = process.argv.slice(2);
const here = path.dirname(fileURLToPath(import.meta.url));
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');
const expected = JSON.parse(fs.readFileSync(path.join(here, 'expected', 'index.json'), 'utf8'))[name];
const problems = [];

const tokenizerBytes = fs.readFileSync(path.join(directory, 'tokenizer.json'));
if (sha256(tokenizerBytes) !== expected.tokenizer_sha256) {
  problems.push('tokenizer.json is not the file the expected ids were made from');
}
const texts = makeCorpus(JSON.parse(tokenizerBytes.toString('utf8')));
const lines = corpusLines(texts);
if (sha256(lines) !== expected.corpus_sha256) {
  problems.push('corpus.mjs makes other texts than those the expected ids are for');
}
const file = (suffix) => path.join(work, `${name}.${suffix}`);
fs.writeFileSync(file('texts'), lines);
const run = (args, out) => {
  fs.writeFileSync(file(out), execFileSync(tutti, args, {maxBuffer: 1 << 30}));
  return fs.readFileSync(file(out), 'utf8').split('\n').slice(0, -1);
};
const ids = run(['tokenize', directory, '--file', file('texts'), '--jsonl', '--no-bos'], 'ids');
const back = ['detokenize', directory, '--file', file('ids'), '--jsonl', '--no-bos'];
const decoded = run(back, 'decoded').map((line) => JSON.parse(line));
const skipping = run([...back, '--skip-special'], 'skipping').map((line) => JSON.parse(line));

const hashes = unpackHashes(fs.readFileSync(path.join(here, 'expected', `${name}.u32`)));
if (ids.length !== texts.length || hashes.length !== texts.length || texts.length < 20000) {
  problems.push(`${texts.length} texts, ${ids.length} lines of ids, ${hashes.length} expected hashes`);
}
let different = 0;
let same = 0;  // texts that come back as they were
for (let i = 0; i < texts.length; ++i) {
  same += decoded[i] === texts[i] ? 1 : 0;
  if (lineHash(ids[i] ? ids[i].split(' ') : [], decoded[i], skipping[i]) !== hashes[i] && ++different <= 5) {
    problems.push(`text ${i}: ${JSON.stringify(texts[i])}\n  ids ${ids[i]}\n  decoded ${JSON.stringify(decoded[i])}`);
  }
}

// Raw completions begin with what the reference adds, and a JSON escape that is no Unicode text is
// refused with its line, as the reference's JSON reader does.
fs.writeFileSync(file('one'), '"Hello"\n');
const one = run(['tokenize', directory, '--file', file('one'), '--jsonl'], 'one.ids')[0].split(' ');
const bare = run(['tokenize', directory, '--file', file('one'), '--jsonl', '--no-bos'], 'one.ids')[0].split(' ');
if (one.slice(0, one.length - bare.length).join(' ') !== expected.prefix.join(' ')) {
  problems.push(`"Hello" became ${one.join(' ')}, wanted the prefix ${expected.prefix.join(' ')}`);
}
for (const lone of ['"\\ud83d"', '"a\\ude00b"', '"\\ude00\\ud83d"']) {
  fs.writeFileSync(file('one'), `"ok"\n${lone}\n`);
  const refused = spawnSync(tutti, ['tokenize', directory, '--file', file('one'), '--jsonl'], {encoding: 'utf8'});
  if (refused.status === 0 || !refused.stderr.includes('line 2') || !refused.stderr.includes('surrogate')) {
    problems.push(`${lone} was not refused: exit ${refused.status}, ${refused.stderr}`);
  }
}
console.log(`${name}: ${texts.length} texts, ${different} differ from the reference, ${same} decode to themselves`);
if (same !== expected.decode_to_themselves) {
  problems.push(`${same} texts decode to themselves, ${expected.decode_to_themselves} do in the reference`);
}
if (problems.length) {
  console.error(problems.join('\n'));
  process.exit(1);
}
