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

// DerivedGeneralCategory 15.0 minus 14.0.
constexpr std::array<CategoryAddition, 49> kAdditions15 = {{
    {"Mc", {0xCF3, 0xCF3}},     {"Mn", {0xECE, 0xECE}},     {"Mn", {0x10EFD, 0x10EFF}},
    {"Lo", {0x1123F, 0x11240}}, {"Mn", {0x11241, 0x11241}}, {"Po", {0x11B00, 0x11B09}},
    {"Mn", {0x11F00, 0x11F01}}, {"Lo", {0x11F02, 0x11F02}}, {"Mc", {0x11F03, 0x11F03}},
    {"Lo", {0x11F04, 0x11F10}}, {"Lo", {0x11F12, 0x11F33}}, {"Mc", {0x11F34, 0x11F35}},
    {"Mn", {0x11F36, 0x11F3A}}, {"Mc", {0x11F3E, 0x11F3F}}, {"Mn", {0x11F40, 0x11F40}},
    {"Mc", {0x11F41, 0x11F41}}, {"Mn", {0x11F42, 0x11F42}}, {"Po", {0x11F43, 0x11F4F}},
    {"Nd", {0x11F50, 0x11F59}}, {"Lo", {0x1342F, 0x1342F}}, {"Cf", {0x13439, 0x1343F}},
    {"Mn", {0x13440, 0x13440}}, {"Lo", {0x13441, 0x13446}}, {"Mn", {0x13447, 0x13455}},
    {"Lo", {0x1B132, 0x1B132}}, {"Lo", {0x1B155, 0x1B155}}, {"No", {0x1D2C0, 0x1D2D3}},
    {"Ll", {0x1DF25, 0x1DF2A}}, {"Lm", {0x1E030, 0x1E06D}}, {"Mn", {0x1E08F, 0x1E08F}},
    {"Lo", {0x1E4D0, 0x1E4EA}}, {"Lm", {0x1E4EB, 0x1E4EB}}, {"Mn", {0x1E4EC, 0x1E4EF}},
    {"Nd", {0x1E4F0, 0x1E4F9}}, {"So", {0x1F6DC, 0x1F6DC}}, {"So", {0x1F774, 0x1F776}},
    {"So", {0x1F77B, 0x1F77F}}, {"So", {0x1F7D9, 0x1F7D9}}, {"So", {0x1FA75, 0x1FA77}},
    {"So", {0x1FA87, 0x1FA88}}, {"So", {0x1FAAD, 0x1FAAF}}, {"So", {0x1FABB, 0x1FABD}},
    {"So", {0x1FABF, 0x1FABF}}, {"So", {0x1FACE, 0x1FACF}}, {"So", {0x1FADA, 0x1FADB}},
    {"So", {0x1FAE8, 0x1FAE8}}, {"So", {0x1FAF7, 0x1FAF8}}, {"Lo", {0x2B739, 0x2B739}},
    {"Lo", {0x31350, 0x323AF}},
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

std::span<const CategoryAddition> unicode_15_additions() {
  return kAdditions15;
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
