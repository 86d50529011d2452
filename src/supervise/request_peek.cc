#include "supervise/request_peek.h"

#include <charconv>

#include "base/json.h"

namespace tutti {

namespace {

constexpr size_t kPrefixBytes = 1024;
// In a longer body what is not found by then is not worth looking for.
constexpr size_t kEnough = 1 << 20;

uint64_t fnv1a(std::string_view text) {
  uint64_t hash = 14695981039346656037U;
  for (const char c : text) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
  }
  return hash | 1U;
}

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  RequestPeek run() {
    RequestPeek peek;
    if (!take('{')) {
      return peek;
    }
    while (at_ < text_.size() && !(peek.model && at_ > kEnough)) {
      const std::string_view key = string();
      if (key.empty() || !take(':')) {
        break;
      }
      skip_space();
      const size_t begin = at_;
      if (!skip_value()) {
        break;
      }
      note(key, text_.substr(begin, at_ - begin), peek);
      if (!take(',')) {
        break;
      }
    }
    return peek;
  }

 private:
  static void note(std::string_view key, std::string_view value, RequestPeek& peek) {
    if (key == R"("model")" && value.starts_with('"')) {
      const Result<Json> text = parse_json(value);
      if (text.ok() && text->is_string()) {
        peek.model = text->as_string();
      }
    } else if (key == R"("max_tokens")" || key == R"("max_completion_tokens")" ||
               key == R"("max_output_tokens")") {
      int64_t number = 0;
      const char* end = value.data() + value.size();
      const auto parsed = std::from_chars(value.data(), end, number);
      if (parsed.ec == std::errc() && parsed.ptr == end && number >= 0) {
        peek.max_tokens = number;
      }
    } else if (key == R"("messages")" || key == R"("prompt")" || key == R"("input")") {
      peek.prefix = fnv1a(value.substr(0, kPrefixBytes));
    }
  }

  void skip_space() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\r' || text_[at_] == '\n')) {
      ++at_;
    }
  }

  bool take(char c) {
    skip_space();
    if (at_ >= text_.size() || text_[at_] != c) {
      return false;
    }
    ++at_;
    return true;
  }

  // With its quotes; "" if there is none, or no end of it.
  std::string_view string() {
    skip_space();
    if (at_ >= text_.size() || text_[at_] != '"') {
      return {};
    }
    const size_t begin = at_++;
    while (at_ < text_.size()) {
      at_ = text_.find_first_of("\"\\", at_);
      if (at_ == std::string_view::npos) {
        break;
      }
      if (text_[at_] == '"') {
        return text_.substr(begin, ++at_ - begin);
      }
      at_ += 2;
    }
    at_ = text_.size();
    return {};
  }

  // A value, or what stands for one, up to what may follow it.
  bool skip_value() {
    int64_t depth = 0;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"') {
        if (string().empty()) {
          return false;
        }
        continue;
      }
      if (c == '{' || c == '[') {
        ++depth;
      } else if (c == '}' || c == ']') {
        if (depth-- == 0) {
          return true;
        }
      } else if (c == ',' && depth == 0) {
        return true;
      } else if (depth == 0 && (c == ' ' || c == '\n' || c == '\r' || c == '\t')) {
        return true;
      }
      ++at_;
    }
    return false;
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

RequestPeek peek_request(std::string_view body) {
  return Scanner(body).run();
}

}  // namespace tutti
