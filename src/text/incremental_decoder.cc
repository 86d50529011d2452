#include "text/incremental_decoder.h"

#include <algorithm>

#include "base/utf8.h"

namespace tutti {

std::string IncrementalDecoder::push(int32_t id) {
  if (skip_special_ && tokenizer_.is_special(id)) {
    return {};
  }
  if (tokenizer_.is_fallback_byte(id)) {
    run_ += tokenizer_.token_bytes(id);
    return {};
  }
  append_fallback_bytes(run_, held_);
  held_ += tokenizer_.token_bytes(id);
  // An unfinished character is at most the last three bytes: find where it begins.
  size_t keep = held_.size();
  for (size_t back = 1; back <= std::min<size_t>(3, held_.size()); ++back) {
    const size_t at = held_.size() - back;
    if ((static_cast<unsigned char>(held_[at]) & 0xC0) != 0x80) {
      const Utf8Char c = decode_utf8(held_, at);
      if (!c.valid && c.truncated) {
        keep = at;
      }
      break;
    }
  }
  std::string out = replace_invalid_utf8(std::string_view(held_).substr(0, keep));
  held_.erase(0, keep);
  return out;
}

std::string IncrementalDecoder::finish() {
  append_fallback_bytes(run_, held_);
  std::string out = replace_invalid_utf8(held_);
  held_.clear();
  return out;
}

}  // namespace tutti
