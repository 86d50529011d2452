// Writes a JSON array of test texts: sentences in many scripts, code, white space, emoji, random
// Unicode, random joins of vocabulary entries, special tokens.
// usage: node make_corpus.mjs OUT.json TOKENIZER.json [TEXT_FILE...]
import fs from 'node:fs';

const [out, tokenizerPath, ...files] = process.argv.slice(2);
let seed = 20240607;
const random = () => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return seed / 4294967296;
};
const below = (n) => Math.floor(random() * n);
const pick = (list) => list[below(list.length)];

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
  '$$\\frac{1}{2}\\int_{-\\infty}^{\\infty} e^{-x^2}\\,dx = \\sqrt{\\pi}$$',
  'you\'re YOU\'RE I\'m I\'M he\'s HE\'S we\'ve we\'d we\'ll can\'t \'tis don\u2019t it\'\u017f \'\u017f \'ReX',
];
const spaces = [' ', '  ', '   ', '\t', '\t\t', '\n', '\n\n', '\r\n', '\r', ' \n', '\n ', '\u00a0', '\u3000',
  '\u2003', '\u202f', '\u2028', '\u180e', '\u200b', '\u0085', '\u000b', '\u000c', '\ufeff', '\u200d', '\u200c'];
const tokenizer = JSON.parse(fs.readFileSync(tokenizerPath, 'utf8'));
const added = tokenizer.added_tokens.map((t) => t.content);

// Vocabulary entries as text (the byte-level alphabet undone).
const byteOf = new Map();
for (let b = 0, n = 0; b < 256; ++b) {
  const self = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
  byteOf.set(String.fromCodePoint(self ? b : 256 + n++), b);
}
const words = [];
for (const word of Object.keys(tokenizer.model.vocab)) {
  const bytes = Buffer.from([...word].map((c) => byteOf.get(c) ?? 63));
  const text = bytes.toString('utf8');
  if (!text.includes('\ufffd')) {
    words.push(text);
  }
}

const texts = [...sentences];
const add = (text) => texts.push(text.toWellFormed());
for (const sentence of sentences) {
  for (let i = 0; i < 12; ++i) {  // cut anywhere, join with odd white space
    const chars = [...sentence];
    const at = below(chars.length);
    const length = 1 + below(60);
    add(pick(spaces) + chars.slice(at, at + length).join('') + pick(spaces) + pick(sentences).slice(0, below(40)));
  }
}
const join = (n, make) => Array.from({length: n}, make).join('');
for (let i = 0; i < 1500; ++i) add(join(1 + below(30), () => pick(words)));
for (let i = 0; i < 300; ++i) add(join(1 + below(12), () => (below(3) ? pick(spaces) : pick(words))));
for (let i = 0; i < 300; ++i) add(join(1 + below(40), () => pick([...'aZ9 \n\r\t.,!?\'"-_/\\()<>|'])));
for (let i = 0; i < 300; ++i) add(join(1 + below(10), () => (below(2) ? pick(added) : pick(words))));
for (let i = 0; i < 200; ++i) add(pick(words) + pick(spaces) + pick(added) + pick(spaces) + pick(added).slice(0, -1) + pick(words));
const planes = [[0x20, 0x7f], [0x80, 0x250], [0x250, 0x600], [0x600, 0x1000], [0x1000, 0x2000], [0x2000, 0x3100],
  [0x3100, 0xd800], [0xe000, 0x10000], [0x10000, 0x1f000], [0x1f000, 0x20000], [0x20000, 0x32400], [0xe0000, 0xe01f0]];
for (let i = 0; i < 1500; ++i) {
  const plane = pick(planes);
  const mixed = below(3) === 0;
  add(join(1 + below(25), () => {
    const [first, last] = mixed ? pick(planes) : plane;
    return below(5) ? String.fromCodePoint(first + below(last - first)) : pick(spaces.concat('a', '1', '.'));
  }));
}
for (let i = 0; i < 300; ++i) {  // marks for the normalizer
  add(join(1 + below(8), () => pick([...'aeoEKs가あक']) + join(below(5), () => String.fromCodePoint(0x300 + below(0x70)))));
}
for (const [unit, n] of [['a', 300], [' ', 301], ['1', 100], ['\n', 77], ['!', 130], ['ab', 200], ['😀', 60], ['你', 90], ['é', 90], ['A ', 90], ['\u0301', 50]]) {
  add(unit.repeat(n));
  add(unit.repeat(n) + 'x');
}
for (const file of files) {
  const lines = fs.readFileSync(file, 'utf8').split('\n');
  for (let i = 0; i < lines.length; i += 7) add(lines.slice(i, i + 7).join('\n'));
}
fs.writeFileSync(out, JSON.stringify(texts));
console.log(`${texts.length} texts, ${Buffer.byteLength(texts.join(''))} bytes`);
