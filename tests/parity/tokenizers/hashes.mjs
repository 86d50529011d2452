// One 32-bit number per text stands for its token ids and both decoded texts, so that the expected
// results of 20,000 texts are a file of 80 KB.
import {createHash} from 'node:crypto';

/** First four bytes of SHA-256 over "ids\ndecoded\ndecoded without special tokens". */
export function lineHash(ids, decoded, decodedSkipping) {
  const text = `${ids.join(' ')}\n${decoded}\n${decodedSkipping}`;
  return createHash('sha256').update(text, 'utf8').digest().readUInt32LE(0);
}

export function packHashes(hashes) {
  const bytes = Buffer.alloc(hashes.length * 4);
  hashes.forEach((hash, i) => bytes.writeUInt32LE(hash, i * 4));
  return bytes;
}

export function unpackHashes(bytes) {
  return Array.from({length: bytes.length / 4}, (_, i) => bytes.readUInt32LE(i * 4));
}
