// Test texts for one tokenizer: sentences in more than 25 scripts, code, white space, emoji, random
// Unicode, every code point, random joins of vocabulary entries, special tokens. The same file gives
// the same texts always: the generator is seeded and written out here.
// usage: node corpus.mjs TOKENIZER.json OUT.jsonl (one JSON string per line)
import fs from 'node:fs';
import process from 'node:process';
import {pathToFileURL} from 'node:url';

const sentences = [
  'The quick brown fox jumps over the lazy dog. It\'s 12:45, isn\'t it? WE\'LL SEE; I\'D say they\'ve "won" 3,141,592.65 times!',
  'Il n\'est pas déjà là où l\'été s\'achève — ça coûte 1 299,50 € à Orléans.',
  'Größe, Straße, Übermaß: „Falsches Üben von Xylophonmusik quält jeden größeren Zwerg“.',
  '¿Dónde está el niño? ¡Mañana será otro día! Año 2024, 3.º capítulo.',
  '深度求索人工智能基础技术研究有限公司成立于2023年7月17日，总部位于杭州。“你好，世界！”——测试（一二三）……',
  '繁體中文測試：台北市的氣溫是攝氏27度，濕度80%。',
  '吾輩は猫である。名前はまだ無い。カタカナとひらがな、漢字、そして１２３ＡＢＣ。東京タワーは333メートルです！',
  '안녕하세요, 세계! 대한민국의 수도는 서울이며 인구는 약 940만 명입니다.',
  'Съешь же ещё этих мягких французских булок, да выпей чаю. В 1812 году — «Бородино».',
  'Україна: їжак, ґанок, єнот; ціна 45₴.',
  'مرحبا بالعالم! كيف حالك؟ عام ٢٠٢٤ م، السعر ١٢٣٫٤٥ ريال. اَلْعَرَبِيَّةُ',
  'فارسی: می‌خواهم ۱۲۳ کتاب بخوانم.',
  'שלום עולם! מה שלומך? בְּרֵאשִׁית בָּרָא אֱלֹהִים',
  'नमस्ते दुनिया! यह हिन्दी में लिखा एक वाक्य है। संख्या १२३४५६७८९० और क्षत्रिय।',
  'বাংলা ভাষা: আমি ভাত খাই। ১২৩৪',
  'தமிழ் மொழி: வணக்கம் உலகம்! ௧௨௩',
  'สวัสดีชาวโลก ภาษาไทยไม่มีการเว้นวรรคระหว่างคำ ๑๒๓๔๕ บาท',
  'Xin chào thế giới! Tiếng Việt có nhiều dấu: ắ ằ ẳ ẵ ặ.',
  'Καλημέρα κόσμε! Ξεσκεπάζω την ψυχοφθόρα βδελυγμία. 50½ ²³',
  'Türkçe: İstanbul\'da ılık bir gün, çğıöşü ÇĞIİÖŞÜ.',
  'ქართული ენა, Հայերեն լեզու, አማርኛ, ខ្មែរ, မြန်မာ, ລາວ, བོད་ཡིག, සිංහල',
  'Emoji: 😀👍🏽👨‍👩‍👧‍👦🏳️‍🌈🇫🇷🇩🇪❤️‍🔥 ☕️ 1️⃣ ©®™ ♥',
  'Maths: ∀x∈ℝ: x²≥0 ⇒ √x ∈ ℂ, ∑_{i=1}^{n} i = n(n+1)/2, α→β, ≠ ≤ ⟨ψ|φ⟩ 𝐀𝑩𝒞 ⅷ ① ㊿ Ⅻ',
  'Decomposed: cafe\u0301 A\u030A o\u0302\u0301 가 q\u0307\u0323 \u1112\u1161\u11ab e\u0327\u0301 ﬁ Å Ω ½',
  'for (int i = 0; i < 10; ++i) {\n    x[i] += y->z * 0x1F;  // comment\n\t\treturn x == NULL ? -1 : 1e-9;\n}',
  'def f(a, *b, **c):\n\t"""doc"""\n    return {k: v for k, v in c.items() if k != \'x\'}\r\n\r\n',
  'SELECT * FROM `t` WHERE a<>b AND c LIKE \'%x%\'; -- hi',
  'https://example.com/a/b?c=d&e=%20f#g user.name+tag@mail.example.org C:\\Users\\me\\file.txt',
  '<div class="a b">text&nbsp;</div>\n\n\n<!-- x -->\n  <br/>',
  '# Title\n\n- item 1\n- item 2\n\n```python\nprint("x")\n```\n\n| a | b |\n|---|---|\n',
  '{"a": [1, 2.5, -3e10], "b": {"c": null, "d": true}, "e": "\\u00e9\\n"}',
  'ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ ᓄᓇᕗᑦ ᐃᓄᒃᑎᑐᑦ ⵜⴰⵎⴰⵣⵉⵖⵜ ꦲꦏ꧀ꦱꦫꦗꦮ ᠮᠣᠩᠭᠣᠯ 𐌲𐌿𐍄 𒀀𒁀',
  'తెలుగు లిపి ௧౧౨౩ ಕನ್ನಡ ೧೨೩ മലയാളം ൧൨൩ ગુજરાતી ૧૨૩ ਪੰਜਾਬੀ ੧੨੩ ଓଡ଼ିଆ ୧୨୩',
  'JSON escapes as text: \\ud83d\\ude00 \\ud800 \\uDFFF \\u0000 \\n \\t \\" \\/ \\x1b[0m',
  'Control: \u0000\u0001\u0007\b\u001b[31mred\u001b[0m\u007f\u0080\u009f\u00ad\u061c\u200e\u202a\u2066\ufff9\ufffd\uffff',
  '$$\\frac{1}{2}\\int_{-\\infty}^{\\infty} e^{-x^2}\\,dx = \\sqrt{\\pi}$$',
  'you\'re YOU\'RE I\'m I\'M he\'s HE\'S we\'ve we\'d we\'ll can\'t \'tis don\u2019t it\'\u017f \'\u017f \'ReX',
];
const spaces = [' ', '  ', '   ', '\t', '\t\t', '\n', '\n\n', '\r\n', '\r', ' \n', '\n ', '\u00a0', '\u3000',
  '\u1680', '\u2000', '\u2003', '\u2007', '\u200a', '\u2029', '\u205f', '\u202f', '\u2028', '\u180e', '\u200b', '\u0085', '\u000b', '\u000c', '\ufeff', '\u200d', '\u200c'];
const planes = [[0x20, 0x7f], [0x80, 0x250], [0x250, 0x600], [0x600, 0x1000], [0x1000, 0x2000], [0x2000, 0x3100],
  [0x3100, 0xd800], [0xe000, 0x10000], [0x10000, 0x1f000], [0x1f000, 0x20000], [0x20000, 0x32400], [0xe0000, 0xe01f0]];

/** The texts for a parsed tokenizer.json, and how many each kind has. */
export function makeCorpus(tokenizer) {
  let seed = 20240607;
  const random = () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return seed / 4294967296;
  };
  const below = (n) => Math.floor(random() * n);
  const pick = (list) => list[below(list.length)];
  const join = (n, make) => Array.from({length: n}, make).join('');
  const added = tokenizer.added_tokens.map((t) => t.content);
  const words = vocabularyTexts(tokenizer);
  const texts = [...sentences];
  // A character cut in the middle becomes U+FFFD, so that every text is Unicode.
  const add = (text) => texts.push(Buffer.from(text, 'utf8').toString('utf8'));

  for (const sentence of sentences) {
    for (let i = 0; i < 50; ++i) {  // cut anywhere, join with odd white space
      const chars = [...sentence];
      const at = below(chars.length);
      const length = 1 + below(60);
      add(pick(spaces) + chars.slice(at, at + length).join('') + pick(spaces) + pick(sentences).slice(0, below(40)));
    }
  }
  for (let i = 0; i < 4500; ++i) add(join(1 + below(30), () => pick(words)));
  for (let i = 0; i < 1500; ++i) add(join(1 + below(12), () => (below(3) ? pick(spaces) : pick(words))));
  for (let i = 0; i < 1000; ++i) add(join(1 + below(40), () => pick([...'aZ9 \n\r\t.,!?\'"-_/\\()<>|'])));
  for (let i = 0; i < 1000; ++i) {  // code
    add(join(1 + below(25), () => ' '.repeat(below(3) ? 0 : below(12)) +
      pick([pick(words).trim(), 'x_' + below(100), 'getURLOf' + below(9), '0x' + below(1e9).toString(16), below(1e9) + '.5e-3',
        '==', '!=', '->', '::', '{', '}', '();', '[i]', '&&', '||', '<<=', '#include <', '//', '/*', '*/', '"""', '\n', '\n\n\t',
        ';\n', ',\r\n', '$', '@', '\\n', "'", '"', '`'])));
  }
  for (let i = 0; i < 1000; ++i) add(join(1 + below(10), () => (below(2) ? pick(added) : pick(words))));
  for (let i = 0; i < 500; ++i) {
    add(pick(words) + pick(spaces) + pick(added) + pick(spaces) + pick(added).slice(0, -1) + pick(words));
    add(pick(added).slice(1) + pick(added) + pick(added).toUpperCase() + pick(spaces) + pick(spaces) + pick(added));
  }
  for (let i = 0; i < 3500; ++i) {
    const plane = pick(planes);
    const mixed = below(3) === 0;
    add(join(1 + below(25), () => {
      const [first, last] = mixed ? pick(planes) : plane;
      return below(5) ? String.fromCodePoint(first + below(last - first)) : pick(spaces.concat('a', '1', '.'));
    }));
  }
  for (let i = 0; i < 900; ++i) {  // marks for the normalizer
    add(join(1 + below(8), () => pick([...'aeoEKs가あक']) + join(below(5), () => String.fromCodePoint(0x300 + below(0x70)))));
  }
  for (let i = 0; i < 600; ++i) {  // emoji: modifiers, presentation selectors, flags, joined sequences
    add(join(1 + below(12), () => pick([...'👨👩👧👦❤🔥🏳🌈👍🤦🧑🚀☕⚕✈💻🇫🇷🇩🇪🇯🇵']) +
      pick(['', '', '\u200d', '\u200d', '\ufe0f', '\ufe0f\u200d', '\u{1f3fd}', '\u20e3', ' ', 'a', '7'])));
  }
  for (let i = 0; i < 600; ++i) {  // digit runs of every length, in several scripts
    const zero = pick([0x30, 0x30, 0x30, 0x660, 0x6f0, 0x966, 0xe50, 0xff10, 0x1d7ce]);
    add(pick(['', ' ', 'n', '-', '.', '$']) + join(1 + below(below(8) ? 12 : 120), () => String.fromCodePoint(zero + below(10))) +
      pick(['', ',', ' ', '\n', 'x', '½', '²', 'Ⅻ', '.' + below(1000)]));
  }
  for (const unit of ['a', 'A', ' ', '1', '\n', '\t', '\r\n', '!', "'s", 'ab', '😀', '你', 'é', 'A ', '\u0301', '\u00a0', 'あ', '٣', '\u200d', ' \n', '. ']) {
    for (const n of [2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 100, 128, 129, 300]) {
      add(unit.repeat(n));
      add(unit.repeat(n) + 'x');
      add('x' + unit.repeat(n) + pick(spaces) + pick(words));
    }
  }
  addEveryCodePoint(add);
  return texts;
}

// 48 of them per text, each followed by a neighbour of another class.
function addEveryCodePoint(add) {
  const after = ['', 'a', ' ', '1', '.', '\n', '中', ' b', '\u0301'];
  let text = '';
  let count = 0;
  for (const [first, last] of [[0, 0xd800], [0xe000, 0x32400], [0xe0000, 0xe01f0]]) {
    for (let code = first; code < last; ++code) {
      text += String.fromCodePoint(code) + after[(code + (code >> 4)) % after.length];
      if (++count % 48 === 0) {
        add(text);
        text = '';
      }
    }
  }
  add(text);
}

// Vocabulary entries as text: the byte-level alphabet undone, or SentencePiece's spaces.
function vocabularyTexts(tokenizer) {
  const entries = Object.keys(tokenizer.model.vocab);
  if (!JSON.stringify(tokenizer.pre_tokenizer).includes('ByteLevel')) {
    return entries.map((word) => word.replaceAll('▁', ' '));
  }
  const byteOf = new Map();
  for (let b = 0, n = 0; b < 256; ++b) {
    const self = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
    byteOf.set(String.fromCodePoint(self ? b : 256 + n++), b);
  }
  return entries.map((word) => Buffer.from([...word].map((c) => byteOf.get(c) ?? 63)).toString('utf8'))
    .filter((text) => !text.includes('\ufffd'));
}

/** JSON strings, one per line, every other one in ASCII with escapes (and so surrogate pairs). */
export function corpusLines(texts) {
  return texts.map((text, i) => {
    const json = JSON.stringify(text);
    return i % 2 ? json : json.replace(/[\u0080-\uffff]/g, (c) => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'));
  }).join('\n') + '\n';
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [tokenizerPath, out] = process.argv.slice(2);
  const texts = makeCorpus(JSON.parse(fs.readFileSync(tokenizerPath, 'utf8')));
  fs.writeFileSync(out, corpusLines(texts));
  console.log(`${texts.length} texts, ${Buffer.byteLength(texts.join(''))} bytes`);
}
