#include "text/unicode_props.h"

#include <algorithm>
#include <array>
#include <cstring>

#include <utf8proc.h>

#include "base/utf8.h"

namespace tutti {

namespace {

constexpr std::array<CodeRange, 10> kWhiteSpace = {{{0x09, 0x0D},
                                                    {0x20, 0x20},
                                                    {0x85, 0x85},
                                                    {0xA0, 0xA0},
                                                    {0x1680, 0x1680},
                                                    {0x2000, 0x200A},
                                                    {0x2028, 0x2029},
                                                    {0x202F, 0x202F},
                                                    {0x205F, 0x205F},
                                                    {0x3000, 0x3000}}};

// Other_Alphabetic code points outside L, M and Nl: circled and squared letters.
constexpr std::array<CodeRange, 4> kAlphabeticSymbols = {
    {{0x24B6, 0x24E9}, {0x1F130, 0x1F149}, {0x1F150, 0x1F169}, {0x1F170, 0x1F189}}};

// DerivedGeneralCategory of Unicode 16.0 for code points that have none in 14.0.
constexpr std::array<CategoryAddition, 126> kAdditions = {{
    {"Mn", {0x897, 0x897}},     {"Mc", {0xCF3, 0xCF3}},     {"Mn", {0xECE, 0xECE}},
    {"Po", {0x1B4E, 0x1B4F}},   {"Po", {0x1B7F, 0x1B7F}},   {"Lu", {0x1C89, 0x1C89}},
    {"Ll", {0x1C8A, 0x1C8A}},   {"So", {0x2427, 0x2429}},   {"So", {0x2FFC, 0x2FFF}},
    {"So", {0x31E4, 0x31E5}},   {"So", {0x31EF, 0x31EF}},   {"Lu", {0xA7CB, 0xA7CC}},
    {"Ll", {0xA7CD, 0xA7CD}},   {"Lu", {0xA7DA, 0xA7DA}},   {"Ll", {0xA7DB, 0xA7DB}},
    {"Lu", {0xA7DC, 0xA7DC}},   {"Lo", {0x105C0, 0x105F3}}, {"Nd", {0x10D40, 0x10D49}},
    {"Lo", {0x10D4A, 0x10D4D}}, {"Lm", {0x10D4E, 0x10D4E}}, {"Lo", {0x10D4F, 0x10D4F}},
    {"Lu", {0x10D50, 0x10D65}}, {"Mn", {0x10D69, 0x10D6D}}, {"Pd", {0x10D6E, 0x10D6E}},
    {"Lm", {0x10D6F, 0x10D6F}}, {"Ll", {0x10D70, 0x10D85}}, {"Sm", {0x10D8E, 0x10D8F}},
    {"Lo", {0x10EC2, 0x10EC4}}, {"Mn", {0x10EFC, 0x10EFF}}, {"Lo", {0x1123F, 0x11240}},
    {"Mn", {0x11241, 0x11241}}, {"Lo", {0x11380, 0x11389}}, {"Lo", {0x1138B, 0x1138B}},
    {"Lo", {0x1138E, 0x1138E}}, {"Lo", {0x11390, 0x113B5}}, {"Lo", {0x113B7, 0x113B7}},
    {"Mc", {0x113B8, 0x113BA}}, {"Mn", {0x113BB, 0x113C0}}, {"Mc", {0x113C2, 0x113C2}},
    {"Mc", {0x113C5, 0x113C5}}, {"Mc", {0x113C7, 0x113CA}}, {"Mc", {0x113CC, 0x113CD}},
    {"Mn", {0x113CE, 0x113CE}}, {"Mc", {0x113CF, 0x113CF}}, {"Mn", {0x113D0, 0x113D0}},
    {"Lo", {0x113D1, 0x113D1}}, {"Mn", {0x113D2, 0x113D2}}, {"Lo", {0x113D3, 0x113D3}},
    {"Po", {0x113D4, 0x113D5}}, {"Po", {0x113D7, 0x113D8}}, {"Mn", {0x113E1, 0x113E2}},
    {"Nd", {0x116D0, 0x116E3}}, {"Po", {0x11B00, 0x11B09}}, {"Lo", {0x11BC0, 0x11BE0}},
    {"Po", {0x11BE1, 0x11BE1}}, {"Nd", {0x11BF0, 0x11BF9}}, {"Mn", {0x11F00, 0x11F01}},
    {"Lo", {0x11F02, 0x11F02}}, {"Mc", {0x11F03, 0x11F03}}, {"Lo", {0x11F04, 0x11F10}},
    {"Lo", {0x11F12, 0x11F33}}, {"Mc", {0x11F34, 0x11F35}}, {"Mn", {0x11F36, 0x11F3A}},
    {"Mc", {0x11F3E, 0x11F3F}}, {"Mn", {0x11F40, 0x11F40}}, {"Mc", {0x11F41, 0x11F41}},
    {"Mn", {0x11F42, 0x11F42}}, {"Po", {0x11F43, 0x11F4F}}, {"Nd", {0x11F50, 0x11F59}},
    {"Mn", {0x11F5A, 0x11F5A}}, {"Lo", {0x1342F, 0x1342F}}, {"Cf", {0x13439, 0x1343F}},
    {"Mn", {0x13440, 0x13440}}, {"Lo", {0x13441, 0x13446}}, {"Mn", {0x13447, 0x13455}},
    {"Lo", {0x13460, 0x143FA}}, {"Lo", {0x16100, 0x1611D}}, {"Mn", {0x1611E, 0x16129}},
    {"Mc", {0x1612A, 0x1612C}}, {"Mn", {0x1612D, 0x1612F}}, {"Nd", {0x16130, 0x16139}},
    {"Lm", {0x16D40, 0x16D42}}, {"Lo", {0x16D43, 0x16D6A}}, {"Lm", {0x16D6B, 0x16D6C}},
    {"Po", {0x16D6D, 0x16D6F}}, {"Nd", {0x16D70, 0x16D79}}, {"Lo", {0x18CFF, 0x18CFF}},
    {"Lo", {0x1B132, 0x1B132}}, {"Lo", {0x1B155, 0x1B155}}, {"So", {0x1CC00, 0x1CCEF}},
    {"Nd", {0x1CCF0, 0x1CCF9}}, {"So", {0x1CD00, 0x1CEB3}}, {"No", {0x1D2C0, 0x1D2D3}},
    {"Ll", {0x1DF25, 0x1DF2A}}, {"Lm", {0x1E030, 0x1E06D}}, {"Mn", {0x1E08F, 0x1E08F}},
    {"Lo", {0x1E4D0, 0x1E4EA}}, {"Lm", {0x1E4EB, 0x1E4EB}}, {"Mn", {0x1E4EC, 0x1E4EF}},
    {"Nd", {0x1E4F0, 0x1E4F9}}, {"Lo", {0x1E5D0, 0x1E5ED}}, {"Mn", {0x1E5EE, 0x1E5EF}},
    {"Lo", {0x1E5F0, 0x1E5F0}}, {"Nd", {0x1E5F1, 0x1E5FA}}, {"Po", {0x1E5FF, 0x1E5FF}},
    {"So", {0x1F6DC, 0x1F6DC}}, {"So", {0x1F774, 0x1F776}}, {"So", {0x1F77B, 0x1F77F}},
    {"So", {0x1F7D9, 0x1F7D9}}, {"So", {0x1F8B2, 0x1F8BB}}, {"So", {0x1F8C0, 0x1F8C1}},
    {"So", {0x1FA75, 0x1FA77}}, {"So", {0x1FA87, 0x1FA89}}, {"So", {0x1FA8F, 0x1FA8F}},
    {"So", {0x1FAAD, 0x1FAAF}}, {"So", {0x1FABB, 0x1FABF}}, {"So", {0x1FAC6, 0x1FAC6}},
    {"So", {0x1FACE, 0x1FACF}}, {"So", {0x1FADA, 0x1FADC}}, {"So", {0x1FADF, 0x1FADF}},
    {"So", {0x1FAE8, 0x1FAE9}}, {"So", {0x1FAF7, 0x1FAF8}}, {"So", {0x1FBCB, 0x1FBEF}},
    {"Lo", {0x2B739, 0x2B739}}, {"Lo", {0x2EBF0, 0x2EE5D}}, {"Lo", {0x31350, 0x323AF}},
}};

bool contains(std::span<const CodeRange> ranges, char32_t code) {
  return std::any_of(ranges.begin(), ranges.end(), [code](const CodeRange& r) {
    return code >= r.first && code <= r.last;
  });
}

}  // namespace

std::span<const CodeRange> white_space_ranges() {
  return kWhiteSpace;
}

bool is_white_space(char32_t code) {
  return contains(kWhiteSpace, code);
}

bool is_word_char(char32_t code) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return code == 0x200C || code == 0x200D || contains(kAlphabeticSymbols, code);
  }
}

std::span<const CategoryAddition> unicode_additions() {
  return kAdditions;
}

std::optional<size_t> find_invalid_utf8(std::string_view text) {
  constexpr uint64_t kHighBits = 0x8080808080808080ULL;
  size_t i = 0;
  while (i < text.size()) {
    uint64_t block = 0;
    if (i + sizeof(block) <= text.size()) {
      std::memcpy(&block, text.data() + i, sizeof(block));
      if ((block & kHighBits) == 0) {
        i += sizeof(block);
        continue;
      }
    }
    const Utf8Char c = decode_utf8(text, i);
    if (!c.valid) {
      return i;
    }
    i += static_cast<size_t>(c.length);
  }
  return std::nullopt;
}

}  // namespace tutti
